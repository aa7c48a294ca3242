/*
 * After fork the child uses contexts that it inherited, threads and all; an alarm ends it should it wait
 * forever.
 */
#define _DEFAULT_SOURCE
#include "assert_status.h"
#include "attention_case.h"
#include "compare.h"
#include "sanitizers.h"
#include "softmax_case.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 120, THREADS = 3 };

/* Problems with work for every thread, and what they give before the fork. */
typedef struct work {
    softattn_context *context;
    softmax_case scores;
    attention_case sequences;
    test_array expected_y, expected_out;
} work;

static bool is_right(work *w) {
    array_fill(&w->scores.y, 0.0);
    array_fill(&w->sequences.out, 0.0);
    return softmax_case_run(&w->scores, w->context) == SOFTATTN_OK &&
           attention_case_run(&w->sequences, w->context) == SOFTATTN_OK &&
           compare_bits("y", &w->scores.y, &w->expected_y) == 0 &&
           compare_bits("out", &w->sequences.out, &w->expected_out) == 0;
}

static void prepare(work *w, int32_t threads, int32_t engine) {
    random_source random;
    random_start(&random, "test_fork");
    const softmax_options scores = softmax_options_plain(ARRAY_F32, 3000, 120);
    attention_options sequences = attention_options_plain(ARRAY_F32, 4, 150, 16);
    sequences.engine = engine;
    softmax_case_create(&w->scores, &scores, &random);
    attention_case_create(&w->sequences, &sequences, &random);
    array_create(&w->expected_y, ARRAY_F32, 2, scores.shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&w->expected_out, ARRAY_F32, 4, w->sequences.out.shape, ARRAY_COMPACT, GUARD_AFTER);
    w->context = context_create(NULL, threads);
    assert_ok(softmax_case_run(&w->scores, w->context));
    assert_ok(attention_case_run(&w->sequences, w->context));
    array_copy(&w->expected_y, &w->scores.y);
    array_copy(&w->expected_out, &w->sequences.out);
}

static void clean_up(work *w) {
    softattn_context_destroy(w->context);
    softmax_case_destroy(&w->scores);
    attention_case_destroy(&w->sequences);
    array_destroy(&w->expected_y);
    array_destroy(&w->expected_out);
}

/* Runs the work in a child and, at depth 2, in the child's child too; then destroys the inherited context
 * there. */
static pid_t start_child(work *w, int depth) {
    fflush(NULL);
    const pid_t child = fork();
    if (child != 0) {
        return child;
    }
    alarm(PATIENCE_SECONDS);
    bool right = is_right(w);
    if (depth > 1) {
        int status = 1;
        const pid_t grandchild = start_child(w, depth - 1);
        right = right && waitpid(grandchild, &status, 0) == grandchild && status == 0;
    }
    softattn_context_destroy(w->context);
    softattn_context *const own = context_create(NULL, THREADS);
    w->context = own;
    right = right && is_right(w);
    softattn_context_destroy(own);
    _exit(right ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void assert_child_succeeds(pid_t child) {
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        fail_msg("the child was ended by signal %d%s", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? ": it waited forever" : "");
    }
    assert_int_equal(status, 0);
}

/* ThreadSanitizer cannot follow a child that starts threads after a parent with threads forked. */
static void skip_where_forks_cannot_be_followed(void) {
    if (THREAD_SANITIZER) {
        skip();
    }
}

static void children_use_inherited_contexts(void **state) {
    (void)state;
    skip_where_forks_cannot_be_followed();
    for (int32_t engine = 0; engine < 3; engine++) {
        for (int32_t threads = 1; threads <= THREADS; threads += THREADS - 1) {
            work w;
            prepare(&w, threads, engine);
            for (int i = 0; i < 3; i++) {
                assert_child_succeeds(start_child(&w, 1));
                assert_true(is_right(&w));
            }
            clean_up(&w);
        }
    }
}

static void children_of_children_do_too(void **state) {
    work w;
    (void)state;
    skip_where_forks_cannot_be_followed();
    prepare(&w, THREADS, SOFTATTN_ENGINE_AUTO);
    assert_child_succeeds(start_child(&w, 3));
    assert_true(is_right(&w));
    clean_up(&w);
}

/* ---- While another thread is inside the library ---- */

static atomic_bool must_stop;

static void *run_until_stopped(void *argument) {
    work *const w = argument;
    bool right = true;
    while (right && !atomic_load(&must_stop)) {
        right = is_right(w);
    }
    return right ? argument : NULL;
}

static void a_fork_while_another_context_runs_is_harmless(void **state) {
    static work busy, forked; /* outlive a failed assertion, which leaves the runner running */
    pthread_t runner;
    void *result;
    (void)state;
    skip_where_forks_cannot_be_followed();
    if (ADDRESS_SANITIZER) {
        skip(); /* its allocator does not survive a fork while another thread allocates */
    }
    prepare(&busy, THREADS, SOFTATTN_ENGINE_FUSED);
    prepare(&forked, THREADS, SOFTATTN_ENGINE_FUSED);
    atomic_store(&must_stop, false);
    assert_int_equal(pthread_create(&runner, NULL, run_until_stopped, &busy), 0);
    for (int i = 0; i < 10; i++) {
        assert_child_succeeds(start_child(&forked, 1));
    }
    atomic_store(&must_stop, true);
    assert_int_equal(pthread_join(runner, &result), 0);
    assert_ptr_equal(result, &busy);
    clean_up(&busy);
    clean_up(&forked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_use_inherited_contexts),
        cmocka_unit_test(children_of_children_do_too),
        cmocka_unit_test(a_fork_while_another_context_runs_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
