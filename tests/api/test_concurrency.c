/*
 * Any number of threads may run one const handle on one context at once: each gets the bits that it gets
 * alone.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "compare.h"
#include "softmax_case.h"

#include <pthread.h>

enum { CALLERS = 4, RUNS = 30 };

/* One calling thread: its own arrays, the shared handles. */
typedef struct caller {
    const softattn_softmax *softmax;
    const softattn_attention *attention;
    softmax_case scores;
    attention_case sequences;
    test_array expected_y, expected_out;
    int64_t differences;
} caller;

static void run_both(caller *c) {
    c->differences += softattn_softmax_run(c->softmax, &c->scores.args) != SOFTATTN_OK;
    c->differences += softattn_attention_run(c->attention, &c->sequences.args) != SOFTATTN_OK;
}

static void *run_many_times(void *argument) {
    caller *const c = argument;
    for (int i = 0; i < RUNS; i++) {
        array_fill(&c->scores.y, 0.0);
        array_fill(&c->sequences.out, 0.0);
        run_both(c);
        c->differences += compare_bits("y", &c->scores.y, &c->expected_y);
        c->differences += compare_bits("out", &c->sequences.out, &c->expected_out);
    }
    return NULL;
}

/* The arrays of one thread, whose sizes differ from those of the others, and its results alone. */
static void prepare(caller *c, int index, int32_t engine, random_source *random) {
    const softmax_options scores = softmax_options_plain(ARRAY_F32, 700 + 100 * index, 133);
    attention_options sequences = attention_options_plain(ARRAY_F32, 2, 60 + 20 * index, 16);
    sequences.engine = engine;
    softmax_case_create(&c->scores, &scores, random);
    attention_case_create(&c->sequences, &sequences, random);
    array_create(&c->expected_y, ARRAY_F32, 2, c->scores.y.shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&c->expected_out, ARRAY_F32, 4, c->sequences.out.shape, ARRAY_COMPACT, GUARD_AFTER);
}

static void clean_up(caller *c) {
    softmax_case_destroy(&c->scores);
    attention_case_destroy(&c->sequences);
    array_destroy(&c->expected_y);
    array_destroy(&c->expected_out);
}

/* All callers on handles of one context with this many threads of its own. */
static void run_callers_at_once(int32_t threads, int32_t engine) {
    static caller callers[CALLERS];
    softattn_context *const context = context_create(NULL, threads);
    softattn_softmax *softmax = NULL;
    softattn_attention *attention = NULL;
    pthread_t ids[CALLERS];
    random_source random;
    random_start(&random, "test_concurrency");
    assert_ok(softattn_softmax_create(context, &softmax));
    assert_ok(softattn_attention_create(context, &attention));
    assert_ok(softattn_attention_set_engine(attention, engine));
    for (int i = 0; i < CALLERS; i++) {
        caller *const c = &callers[i];
        *c = (caller){.softmax = softmax, .attention = attention};
        prepare(c, i, engine, &random);
        run_both(c);
        array_copy(&c->expected_y, &c->scores.y);
        array_copy(&c->expected_out, &c->sequences.out);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&ids[i], NULL, run_many_times, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(callers[i].differences, 0);
        clean_up(&callers[i]);
    }
    softattn_softmax_destroy(softmax);
    softattn_attention_destroy(attention);
    softattn_context_destroy(context);
}

static void callers_share_a_serial_context(void **state) {
    (void)state;
    run_callers_at_once(1, SOFTATTN_ENGINE_AUTO);
    run_callers_at_once(1, SOFTATTN_ENGINE_BLAS);
}

static void callers_share_a_context_with_threads(void **state) {
    (void)state;
    run_callers_at_once(3, SOFTATTN_ENGINE_AUTO);
    run_callers_at_once(3, SOFTATTN_ENGINE_BLAS);
}

/* One calling thread that makes contexts of its own. */
typedef struct context_maker {
    random_source contents;
    int index;
    int64_t differences;
} context_maker;

static void *make_contexts(void *argument) {
    context_maker *const maker = argument;
    for (int i = 0; i < 5; i++) {
        softmax_case c;
        softattn_context *const context = context_create(NULL, 1 + (maker->index + i) % 3);
        const softmax_options options = softmax_options_plain(ARRAY_F32, 1500, 100);
        softmax_case_create(&c, &options, &maker->contents);
        maker->differences += softmax_case_differences(&c, context);
        softmax_case_destroy(&c);
        softattn_context_destroy(context);
    }
    return NULL;
}

static void contexts_come_and_go_in_several_threads_at_once(void **state) {
    pthread_t ids[CALLERS];
    context_maker makers[CALLERS];
    (void)state;
    for (int i = 0; i < CALLERS; i++) {
        makers[i] = (context_maker){.index = i};
        random_start(&makers[i].contents, "own contexts");
        assert_int_equal(pthread_create(&ids[i], NULL, make_contexts, &makers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(makers[i].differences, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_share_a_serial_context),
        cmocka_unit_test(callers_share_a_context_with_threads),
        cmocka_unit_test(contexts_come_and_go_in_several_threads_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
