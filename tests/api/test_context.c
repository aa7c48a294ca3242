/*
 * Contexts: settings and their ranges, the allocator, the caller's parallel_for, and defaults from the
 * environment.
 */
#define _DEFAULT_SOURCE
#include "allocator.h"
#include "assert_status.h"
#include "softmax_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void create_and_destroy_accept_null_as_documented(void **state) {
    (void)state;
    assert_fails(softattn_context_create(NULL), SOFTATTN_ERROR_NULL, "out");
    softattn_context_destroy(NULL);
    softattn_softmax_destroy(NULL);
    softattn_attention_destroy(NULL);
}

static void null_is_a_context_of_defaults(void **state) {
    softattn_context *context = NULL;
    (void)state;
    assert_ok(softattn_context_create(&context));
    assert_string_equal(softattn_context_isa(NULL), softattn_context_isa(context));
    assert_int_equal(softattn_context_threads(NULL), 1);
    softattn_context_destroy(context);
}

/* ---- Settings ---- */

static void every_setter_refuses_a_null_context(void **state) {
    (void)state;
    assert_fails(softattn_context_set_threads(NULL, 1), SOFTATTN_ERROR_NULL, "context");
    assert_fails(softattn_context_set_isa(NULL, "generic"), SOFTATTN_ERROR_NULL, "context");
    assert_fails(softattn_context_set_allocator(NULL, NULL, NULL, NULL), SOFTATTN_ERROR_NULL, "context");
    assert_fails(softattn_context_set_parallel_for(NULL, NULL, NULL, 1), SOFTATTN_ERROR_NULL, "context");
}

static void thread_counts_outside_the_range_change_nothing(void **state) {
    static const int32_t bad[] = {-1, 1025, INT32_MIN, INT32_MAX};
    softattn_context *const context = context_create(NULL, 3);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(softattn_context_set_threads(context, bad[i]), SOFTATTN_ERROR_ARGUMENT, "threads");
        assert_int_equal(softattn_context_threads(context), 3);
    }
    assert_ok(softattn_context_set_threads(context, 1024));
    assert_int_equal(softattn_context_threads(context), 1024);
    assert_ok(softattn_context_set_threads(context, 0));
    assert_in_range(softattn_context_threads(context), 1, 1024);
    softattn_context_destroy(context);
}

static void unknown_instruction_sets_change_nothing(void **state) {
    static const char *const bad[] = {"", "GENERIC", "generic ", "avx",
                                      "a name that is far longer than any is"};
    softattn_context *const context = context_create("generic", 1);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(softattn_context_set_isa(context, bad[i]), SOFTATTN_ERROR_UNSUPPORTED, "isa");
        assert_string_equal(softattn_context_isa(context), "generic");
    }
    assert_fails(softattn_context_set_isa(context, NULL), SOFTATTN_ERROR_NULL, "isa");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        assert_ok(softattn_context_set_isa(context, softattn_isa_name(i)));
        assert_string_equal(softattn_context_isa(context), softattn_isa_name(i));
    }
    softattn_context_destroy(context);
}

/* ---- The caller's parallel_for ---- */

enum { CALLERS_THREADS = 5 };

typedef struct callers_pool {
    int64_t calls, most_tasks;
    bool backwards;
} callers_pool;

/* Runs the tasks one after another on the calling thread, in either order. */
static void run_serially(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    callers_pool *const pool = user;
    pool->calls++;
    pool->most_tasks = tasks > pool->most_tasks ? tasks : pool->most_tasks;
    for (int64_t i = 0; i < tasks; i++) {
        task(task_context, pool->backwards ? tasks - 1 - i : i);
    }
}

static void refuse_to_run(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    (void)user, (void)tasks, (void)task, (void)task_context;
    fail_msg("the parallel_for of an earlier setting was called");
}

/* Softmax of enough rows that there is work for every thread. */
static void assert_large_softmax_is_right(const softattn_context *context) {
    random_source random;
    softmax_case c;
    random_start(&random, "large softmax");
    const softmax_options options = softmax_options_plain(ARRAY_F32, 4000, 130);
    softmax_case_create(&c, &options, &random);
    assert_int_equal(softmax_case_differences(&c, context), 0);
    softmax_case_destroy(&c);
}

static void parallel_for_gets_at_most_the_tasks_asked_for(void **state) {
    softattn_context *const context = context_create(NULL, 1);
    (void)state;
    for (int backwards = 0; backwards < 2; backwards++) {
        callers_pool pool = {.backwards = backwards};
        assert_ok(softattn_context_set_parallel_for(context, run_serially, &pool, CALLERS_THREADS));
        assert_int_equal(softattn_context_threads(context), CALLERS_THREADS);
        assert_large_softmax_is_right(context);
        assert_true(pool.calls > 0);
        assert_in_range(pool.most_tasks, 2, CALLERS_THREADS);
    }
    softattn_context_destroy(context);
}

static void null_parallel_for_returns_to_the_librarys_threads(void **state) {
    callers_pool pool = {0};
    softattn_context *const context = context_create(NULL, 2);
    (void)state;
    assert_ok(softattn_context_set_parallel_for(context, refuse_to_run, &pool, 2));
    assert_ok(softattn_context_set_parallel_for(context, NULL, NULL, 0));
    assert_large_softmax_is_right(context);
    softattn_context_destroy(context);
}

static void parallel_for_refuses_thread_counts_outside_the_range(void **state) {
    static const int32_t bad[] = {0, -1, 1025, INT32_MAX};
    softattn_context *const context = context_create(NULL, 1);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(softattn_context_set_parallel_for(context, refuse_to_run, NULL, bad[i]),
                     SOFTATTN_ERROR_ARGUMENT, "threads");
    }
    assert_large_softmax_is_right(context);
    softattn_context_destroy(context);
}

/* ---- The allocator ---- */

static void allocator_functions_come_in_pairs(void **state) {
    test_allocator allocator = {0};
    softattn_context *const context = context_create(NULL, 1);
    (void)state;
    assert_fails(softattn_context_set_allocator(context, test_allocate, NULL, &allocator),
                 SOFTATTN_ERROR_NULL, "free_memory");
    assert_fails(softattn_context_set_allocator(context, NULL, test_free, &allocator), SOFTATTN_ERROR_NULL,
                 "allocate");
    assert_large_softmax_is_right(context);
    assert_int_equal(allocator.calls, 0);
    softattn_context_destroy(context);
}

static void memory_goes_back_to_the_allocator_that_gave_it(void **state) {
    static test_allocator first, second;
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        softattn_context *const context = context_create(NULL, threads);
        assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &first));
        softattn_softmax *softmax = NULL;
        assert_ok(softattn_softmax_create(context, &softmax));
        assert_large_softmax_is_right(context);
        assert_true(first.calls > 0);
        assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &second));
        assert_large_softmax_is_right(context);
        assert_ok(softattn_context_set_allocator(context, NULL, NULL, NULL));
        assert_large_softmax_is_right(context);
        softattn_softmax_destroy(softmax);
        softattn_context_destroy(context);
        assert_int_equal(first.live, 0);
        assert_int_equal(second.live, 0);
        assert_false(first.misused);
        assert_false(second.misused);
    }
}

/* ---- Environment ---- */

static char own_path[4096];

/* What the re-executed program does: prints the defaults as a fresh process sees them, after changing the
 * variables once they were read. */
static int print_defaults(void) {
    softattn_context *context = NULL;
    for (int i = 0; i < 2; i++) {
        if (softattn_context_create(&context) != SOFTATTN_OK) {
            return EXIT_FAILURE;
        }
        printf("%s %d\n", softattn_context_isa(context), (int)softattn_context_threads(context));
        softattn_context_destroy(context);
        setenv("SOFTATTN_ISA", "generic", 1);
        setenv("SOFTATTN_NUM_THREADS", "9", 1);
    }
    return EXIT_SUCCESS;
}

static void set_or_unset(const char *name, const char *value) {
    if (value) {
        setenv(name, value, 1);
    } else {
        unsetenv(name);
    }
}

/* Runs this program anew with these variables (NULL: unset) and reads what print_defaults prints. */
static void assert_defaults(const char *isa_variable, const char *threads_variable, const char *isa,
                            int threads) {
    char actual_isa[2][64] = {"", ""};
    int actual_threads[2] = {0, 0};
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        set_or_unset("SOFTATTN_ISA", isa_variable);
        set_or_unset("SOFTATTN_NUM_THREADS", threads_variable);
        dup2(ends[1], STDOUT_FILENO);
        execl(own_path, own_path, "print-defaults", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    close(ends[1]);
    FILE *const output = fdopen(ends[0], "r");
    assert_non_null(output);
    assert_int_equal(fscanf(output, "%63s %d %63s %d", actual_isa[0], &actual_threads[0], actual_isa[1],
                            &actual_threads[1]),
                     4);
    fclose(output);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(actual_isa[i], isa);
        if (threads > 0) {
            assert_int_equal(actual_threads[i], threads);
        }
    }
    assert_in_range(actual_threads[0], 1, 1024);
}

static void environment_sets_the_defaults_once(void **state) {
    const char *const best = softattn_isa_name(0);
    (void)state;
    assert_defaults(NULL, NULL, best, 1);
    assert_defaults("generic", "3", "generic", 3);
    assert_defaults("no such set", "1024", best, 1024);
    assert_defaults("", "", best, 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        assert_defaults(softattn_isa_name(i), "0", softattn_isa_name(i), 0);
    }
}

static void nonsense_thread_counts_in_the_environment_mean_one(void **state) {
    static const char *const nonsense[] = {"-1", "1025", "99999999999999999999", "two", "2 ", "0x2", "2.0"};
    (void)state;
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        assert_defaults(NULL, nonsense[i], softattn_isa_name(0), 1);
    }
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_and_destroy_accept_null_as_documented),
        cmocka_unit_test(null_is_a_context_of_defaults),
        cmocka_unit_test(every_setter_refuses_a_null_context),
        cmocka_unit_test(thread_counts_outside_the_range_change_nothing),
        cmocka_unit_test(unknown_instruction_sets_change_nothing),
        cmocka_unit_test(parallel_for_gets_at_most_the_tasks_asked_for),
        cmocka_unit_test(null_parallel_for_returns_to_the_librarys_threads),
        cmocka_unit_test(parallel_for_refuses_thread_counts_outside_the_range),
        cmocka_unit_test(allocator_functions_come_in_pairs),
        cmocka_unit_test(memory_goes_back_to_the_allocator_that_gave_it),
        cmocka_unit_test(environment_sets_the_defaults_once),
        cmocka_unit_test(nonsense_thread_counts_in_the_environment_mean_one),
    };
    if (count == 2 && strcmp(arguments[1], "print-defaults") == 0) {
        return print_defaults();
    }
    if (readlink("/proc/self/exe", own_path, sizeof own_path - 1) < 0) {
        return EXIT_FAILURE;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
