/*
 * Memory: when any allocation of any public function fails, the call returns its status, nothing leaks,
 * outputs are as they were and the next call works. Once enough is had, runs take no more.
 */
#include "allocator.h"
#include "assert_status.h"
#include "attention_case.h"
#include "failing_system.h"
#include "softmax_case.h"

static random_source contents;
static test_allocator allocator;

/* A context that allocates by `allocator`, with a problem and a handle of each kind. */
typedef struct subject {
    softattn_context *context;
    softmax_case scores;
    attention_case sequences;
    softattn_softmax *softmax;
    softattn_attention *attention;
} subject;

static void set_up(subject *s, int32_t threads, int32_t engine) {
    softmax_options scores = softmax_options_plain(ARRAY_F32, 1200, 120);
    scores.layout = scores.output_layout = ARRAY_TRANSPOSED;
    scores.keep.given = true;
    attention_options sequences = attention_options_plain(ARRAY_F32, 3, 100, 16);
    sequences.engine = engine;
    *s = (subject){.context = context_create(NULL, threads)};
    softmax_case_create(&s->scores, &scores, &contents);
    attention_case_create(&s->sequences, &sequences, &contents);
    assert_ok(softattn_context_set_allocator(s->context, test_allocate, test_free, &allocator));
    s->softmax = softmax_case_handle(&s->scores, s->context);
    s->attention = attention_case_handle(&s->sequences, s->context);
}

static void tear_down(subject *s) {
    softattn_softmax_destroy(s->softmax);
    softattn_attention_destroy(s->attention);
    softattn_context_destroy(s->context);
    softmax_case_destroy(&s->scores);
    attention_case_destroy(&s->sequences);
    assert_int_equal(allocator.live, 0);
    assert_false(allocator.misused);
}

/* ---- Calls ---- */

static int32_t run_softmax(subject *s) { return softattn_softmax_run(s->softmax, &s->scores.args); }
static int32_t run_attention(subject *s) { return softattn_attention_run(s->attention, &s->sequences.args); }

static int32_t create_softmax(subject *s) {
    softattn_softmax *out = s->softmax; /* must stay as it is when the call fails */
    const int32_t status = softattn_softmax_create(s->context, &out);
    if (status == SOFTATTN_OK) {
        softattn_softmax_destroy(out);
    } else {
        assert_ptr_equal(out, s->softmax);
    }
    return status;
}

static int32_t create_attention(subject *s) {
    softattn_attention *out = s->attention;
    const int32_t status = softattn_attention_create(s->context, &out);
    if (status == SOFTATTN_OK) {
        softattn_attention_destroy(out);
    } else {
        assert_ptr_equal(out, s->attention);
    }
    return status;
}

/* Ends with the context as it was, so that what is alive can be compared. */
static int32_t set_threads(subject *s) {
    const int32_t before = softattn_context_threads(s->context);
    const int32_t status = softattn_context_set_threads(s->context, before + 1);
    assert_int_equal(softattn_context_threads(s->context), status == SOFTATTN_OK ? before + 1 : before);
    return status == SOFTATTN_OK ? softattn_context_set_threads(s->context, before) : status;
}

static int32_t set_allocator(subject *s) {
    return softattn_context_set_allocator(s->context, test_allocate, test_free, &allocator);
}

static const struct call {
    const char *name;
    int32_t (*run)(subject *s);
} calls[] = {
    {"softattn_softmax_run", run_softmax},         {"softattn_attention_run", run_attention},
    {"softattn_softmax_create", create_softmax},   {"softattn_attention_create", create_attention},
    {"softattn_context_set_threads", set_threads}, {"softattn_context_set_allocator", set_allocator},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* ---- Tests ---- */

/* Lets allocation 1, 2, … of the call fail until there is none of that number. The cache of the context is
 * emptied before each, so that the call has to allocate. */
static void fail_each_allocation(subject *s, const struct call *call, bool fail_after) {
    for (int64_t n = 1;; n++) {
        assert_ok(set_allocator(s));
        const int64_t live = allocator.live;
        test_allocator_fail_at(&allocator, n, fail_after);
        const int32_t status = call->run(s);
        const bool reached = allocator.calls >= n;
        test_allocator_fail_at(&allocator, 0, false);
        if (!reached) {
            assert_ok(status);
            return;
        }
        if (status == SOFTATTN_OK) {
            fail_msg("%s did not notice that allocation %d failed", call->name, (int)n);
        }
        assert_fails(status, SOFTATTN_ERROR_MEMORY, "context");
        assert_int_equal(allocator.live, live);
        assert_true(array_untouched(&s->scores.y) && array_untouched(&s->scores.lse));
        assert_true(array_untouched(&s->sequences.out) && array_untouched(&s->sequences.lse));
    }
}

static void every_failed_allocation_is_a_status(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        for (int32_t engine = 0; engine < 3; engine++) {
            for (int call = 0; call < CALLS; call++) {
                for (int fail_after = 0; fail_after < 2; fail_after++) {
                    subject s;
                    set_up(&s, threads, engine);
                    fail_each_allocation(&s, &calls[call], fail_after == 1);
                    assert_int_equal(softmax_case_differences(&s.scores, s.context), 0);
                    assert_int_equal(attention_case_differences(&s.sequences, s.context), 0);
                    tear_down(&s);
                }
            }
        }
    }
}

static void repeated_runs_take_no_more_memory(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        for (int32_t engine = 0; engine < 3; engine++) {
            subject s;
            set_up(&s, threads, engine);
            for (int i = 0; i < 2; i++) {
                assert_ok(run_softmax(&s));
                assert_ok(run_attention(&s));
            }
            const int64_t calls_before = allocator.calls, live = allocator.live;
            for (int i = 0; i < 5; i++) {
                assert_ok(run_softmax(&s));
                assert_ok(run_attention(&s));
            }
            assert_int_equal(allocator.live, live);
            assert_int_equal(allocator.calls, calls_before);
            tear_down(&s);
        }
    }
}

static void a_run_with_a_workspace_takes_no_memory(void **state) {
    (void)state;
    for (int32_t engine = 0; engine < 3; engine++) {
        softattn_attention_plan plan = {.struct_size = sizeof plan};
        guard_block block;
        subject s;
        set_up(&s, 1, engine);
        assert_ok(softattn_attention_describe(s.attention, &s.sequences.args, &plan));
        guard_create(&block, (size_t)plan.workspace_bytes, 1, GUARD_AFTER);
        s.sequences.args.workspace = block.data;
        s.sequences.args.workspace_bytes = plan.workspace_bytes;
        const int64_t before = allocator.calls;
        assert_ok(run_attention(&s));
        assert_int_equal(allocator.calls, before);
        guard_destroy(&block);
        tear_down(&s);
    }
}

/* ---- Calls without a context, or that make one: they allocate by malloc ---- */

static int32_t make_context(void) {
    softattn_context *context = NULL;
    const int32_t status = softattn_context_create(&context);
    if (status != SOFTATTN_OK) {
        assert_null(context);
    }
    softattn_context_destroy(context);
    return status;
}

static int32_t make_softmax(void) {
    softattn_softmax *softmax = NULL;
    const int32_t status = softattn_softmax_create(NULL, &softmax);
    softattn_softmax_destroy(softmax);
    return status;
}

static int32_t make_attention(void) {
    softattn_attention *attention = NULL;
    const int32_t status = softattn_attention_create(NULL, &attention);
    softattn_attention_destroy(attention);
    return status;
}

static int32_t flat_softmax(void) {
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float y[8] = {77};
    const int32_t status = softattn_softmax_f32(NULL, 2, 4, x, 4, y, 4);
    assert_true(status == SOFTATTN_OK || y[0] == 77);
    return status;
}

static int32_t flat_attention(void) {
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float out[8] = {77};
    const int32_t status =
        softattn_attention_f32(NULL, 1, 1, 1, 2, 2, 4, 4, x, x, x, out, SOFTATTN_CAUSAL_NONE);
    assert_true(status == SOFTATTN_OK || out[0] == 77);
    return status;
}

static void every_failed_malloc_is_a_status(void **state) {
    static int32_t (*const functions[])(void) = {make_context, make_softmax, make_attention, flat_softmax,
                                                 flat_attention};
    (void)state;
    if (!failing_system_is_available()) {
        skip();
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        assert_ok(functions[i]());
        for (int fail_after = 0; fail_after < 2; fail_after++) {
            bool reached = true;
            for (int64_t n = 1; reached; n++) {
                fail_allocation(n, fail_after == 1);
                const int32_t status = functions[i]();
                reached = allocations_counted() >= n;
                fail_allocation(0, false);
                assert_status(status, reached ? SOFTATTN_ERROR_MEMORY : SOFTATTN_OK);
            }
        }
        assert_ok(functions[i]());
    }
}

/* ---- Threads that cannot be started ---- */

static void runs_do_without_threads_that_cannot_be_started(void **state) {
    (void)state;
    if (!failing_system_is_available()) {
        skip();
    }
    for (int32_t engine = 0; engine < 3; engine++) {
        subject s;
        set_up(&s, 4, engine);
        failed_thread_creations();
        fail_thread_creation(true);
        const int64_t wrong = softmax_case_differences(&s.scores, s.context) +
                              attention_case_differences(&s.sequences, s.context);
        fail_thread_creation(false);
        assert_int_equal(wrong, 0);
        assert_true(failed_thread_creations() > 0);
        assert_int_equal(softmax_case_differences(&s.scores, s.context), 0);
        tear_down(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_a_status),
        cmocka_unit_test(repeated_runs_take_no_more_memory),
        cmocka_unit_test(a_run_with_a_workspace_takes_no_memory),
        cmocka_unit_test(every_failed_malloc_is_a_status),
        cmocka_unit_test(runs_do_without_threads_that_cannot_be_started),
    };
    random_start(&contents, "test_memory");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
