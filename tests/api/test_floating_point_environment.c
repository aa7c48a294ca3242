/*
 * The caller's floating-point control settings are as they were after every call, whatever they are, and on
 * the caller's own worker threads too; the library works under all of them and raises no exception that
 * stands for an error when the scores are finite or -infinity.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "softmax_case.h"

#include <fenv.h>
#include <float.h>
#include <math.h>

#define LOG2_E 1.44269504088896340735992468100189214

static random_source contents;

/* ---- Control settings of this thread: rounding, flushing of subnormals, exception masks ---- */

#if defined(__SSE__)

#include <xmmintrin.h>

enum { FLUSH_SUBNORMALS = 0x8040 }; /* FTZ and DAZ */

static uint64_t get_control(void) { return _mm_getcsr() & ~0x3fu; }
static void set_flushing(void) { _mm_setcsr(_mm_getcsr() | FLUSH_SUBNORMALS); }
static void unset_flushing(void) { _mm_setcsr(_mm_getcsr() & ~(unsigned)FLUSH_SUBNORMALS); }

#elif defined(__aarch64__)

enum { FLUSH_SUBNORMALS = 1 << 24 }; /* FPCR.FZ */

static uint64_t get_control(void) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}
static void set_control(uint64_t control) { __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory"); }
static void set_flushing(void) { set_control(get_control() | FLUSH_SUBNORMALS); }
static void unset_flushing(void) { set_control(get_control() & ~(uint64_t)FLUSH_SUBNORMALS); }

#else

static uint64_t get_control(void) { return (uint64_t)fegetround(); }
static void set_flushing(void) {}
static void unset_flushing(void) {}

#endif

/* ---- Work for the library ---- */

/* Everything with scores that become tiny, huge, subnormal and masked; engine: of attention. */
static void run_everything(const softattn_context *context, int32_t engine) {
    softmax_options scores = softmax_options_plain(ARRAY_F32, 900, 150);
    scores.keep.given = true;
    scores.deviation = 40.0;
    softmax_case softmax;
    softmax_case_create(&softmax, &scores, &contents);
    array_set(&softmax.x, 1, 1e-40);
    array_set(&softmax.x, 2, -HUGE_VAL);
    assert_ok(softmax_case_run(&softmax, context));
    softmax_case_destroy(&softmax);
    for (int variant = 0; variant < 4; variant++) {
        attention_options sequences = attention_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 2, 90, 11);
        sequences.batch = 2;
        sequences.dropout = variant < 2 ? 0 : 0.9;
        sequences.has_key_lengths = true;
        sequences.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
        sequences.has_bias = true;
        sequences.deviation = 5.0;
        sequences.engine = engine;
        attention_case attention;
        attention_case_create(&attention, &sequences, &contents);
        array_set(&attention.bias, 3, -HUGE_VAL);
        array_set(&attention.key_lengths, 1, 0); /* queries that see nothing */
        if (attention_case_is_served(&attention, context)) {
            assert_ok(attention_case_run(&attention, context));
        }
        attention_case_destroy(&attention);
    }
}

/* On every instruction set and engine, with one thread and with several. */
static void run_everything_everywhere(void) {
    const uint64_t control = get_control();
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            softattn_context *const context = context_create(softattn_isa_name(i), threads);
            for (int32_t engine = 0; engine < 3; engine++) {
                run_everything(context, engine);
                assert_int_equal(get_control(), control);
            }
            softattn_context_destroy(context);
        }
    }
    assert_int_equal(get_control(), control);
}

/* ---- Tests ---- */

static void control_is_unchanged(void **state) {
    (void)state;
    run_everything_everywhere();
}

static void control_is_unchanged_when_subnormals_are_flushed(void **state) {
    (void)state;
    set_flushing();
    run_everything_everywhere();
    unset_flushing();
}

static void control_is_unchanged_in_every_rounding_mode(void **state) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(fesetround(modes[i]), 0);
        run_everything_everywhere();
        assert_int_equal(fegetround(), modes[i]);
    }
    fesetround(FE_TONEAREST);
}

/* Runs each task with flushing set, as a host whose workers flush would, and checks that it still is
 * afterwards. */
static void run_on_flushing_workers(void *user, int64_t tasks, softattn_task_function task,
                                    void *task_context) {
    int64_t *const changed = user;
    const uint64_t own = get_control();
    for (int64_t i = 0; i < tasks; i++) {
        set_flushing();
        const uint64_t before = get_control();
        task(task_context, i);
        *changed += get_control() != before;
        unset_flushing();
    }
    *changed += get_control() != own;
}

static void control_of_the_callers_workers_is_unchanged(void **state) {
    int64_t changed = 0;
    softattn_context *const context = context_create(NULL, 1);
    (void)state;
    assert_ok(softattn_context_set_parallel_for(context, run_on_flushing_workers, &changed, 4));
    for (int32_t engine = 0; engine < 3; engine++) {
        run_everything(context, engine);
    }
    assert_int_equal(changed, 0);
    softattn_context_destroy(context);
}

static void assert_no_error_was_raised(const char *isa, const char *what) {
    const int raised = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    if (raised != 0) {
        fail_msg("%s, %s raised %s%s%s", isa, what, raised & FE_INVALID ? "invalid " : "",
                 raised & FE_DIVBYZERO ? "division by zero " : "", raised & FE_OVERFLOW ? "overflow" : "");
    }
}

static void no_invalid_division_or_overflow_exception_is_raised(void **state) {
    static const char *const engines[] = {"AUTO", "FUSED", "BLAS"};
    (void)state;
    assert_int_equal(feclearexcept(FE_ALL_EXCEPT), 0);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int32_t engine = 0; engine < 3; engine++) {
            run_everything(context, engine);
            assert_no_error_was_raised(softattn_isa_name(i), engines[engine]);
        }
        softattn_context_destroy(context);
    }
}

/* ---- Up to the bounds of docs/arithmetic.md ---- */

/* What is below 1, by some roundings. */
#define ALMOST (1 - 1e-6)

static double largest(array_type type) { return type == ARRAY_F32 ? (double)FLT_MAX : DBL_MAX; }
static double smallest(array_type type) { return type == ARRAY_F32 ? (double)FLT_MIN : DBL_MIN; }

/* value, -value, value, ... */
static void alternate(test_array *array, double value) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, i % 2 ? -value : value);
    }
}

/* Softmax of scores that differ by `difference`. */
static void run_softmax(const softattn_context *context, softmax_options options, double difference) {
    softmax_case softmax;
    softmax_case_create(&softmax, &options, &contents);
    alternate(&softmax.x, difference / 2 / options.scale);
    if (options.bias.given) {
        array_fill(&softmax.bias, 0);
    }
    assert_ok(softmax_case_run(&softmax, context));
    softmax_case_destroy(&softmax);
}

static void softmax_raises_nothing_up_to_the_largest_differences(void **state) {
    (void)state;
    assert_int_equal(feclearexcept(FE_ALL_EXCEPT), 0);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int variant = 0; variant < 8; variant++) {
            softmax_options options = softmax_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 5, 150);
            options.scale = variant & 2 ? 0.5 : 1;
            options.bias.given = variant & 4;
            options.output = SOFTATTN_OUTPUT_PROBABILITIES;
            run_softmax(context, options, ALMOST * largest(options.type) / LOG2_E);
            options.output = SOFTATTN_OUTPUT_LOG_PROBABILITIES;
            run_softmax(context, options, ALMOST * largest(options.type) / LOG2_E);
            assert_no_error_was_raised(softattn_isa_name(i), "softmax");
        }
        softattn_context_destroy(context);
    }
}

/* Attention with the scores score and -score before the soft-cap. */
static void run_attention(const softattn_context *context, attention_options options, double score) {
    attention_case attention;
    attention_case_create(&attention, &options, &contents);
    array_fill(&attention.q, 1);
    alternate(&attention.k, score);
    assert_ok(attention_case_run(&attention, context));
    attention_case_destroy(&attention);
}

static void attention_raises_nothing_up_to_the_largest_differences(void **state) {
    (void)state;
    assert_int_equal(feclearexcept(FE_ALL_EXCEPT), 0);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int variant = 0; variant < 8; variant++) {
            attention_options options = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 1, 1, 1);
            options.engine = variant & 2 ? SOFTATTN_ENGINE_BLAS : SOFTATTN_ENGINE_FUSED;
            options.seq_q = variant & 4 ? 70 : 1;
            options.seq_kv = 600;
            options.has_scale = true;
            options.scale = 1;
            run_attention(context, options, options.type == ARRAY_F32 ? 0x1p29 : 0x1p61);
            assert_no_error_was_raised(softattn_isa_name(i), "attention");
            options.softcap = 30;
            run_attention(context, options, ALMOST * largest(options.type) / LOG2_E);
            assert_no_error_was_raised(softattn_isa_name(i), "a soft-cap of large scores");
            options.softcap = smallest(options.type);
            run_attention(context, options, ALMOST * smallest(options.type) * largest(options.type));
            assert_no_error_was_raised(softattn_isa_name(i), "the smallest soft-cap");
        }
        softattn_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_is_unchanged),
        cmocka_unit_test(control_is_unchanged_when_subnormals_are_flushed),
        cmocka_unit_test(control_is_unchanged_in_every_rounding_mode),
        cmocka_unit_test(control_of_the_callers_workers_is_unchanged),
        cmocka_unit_test(no_invalid_division_or_overflow_exception_is_raised),
        cmocka_unit_test(softmax_raises_nothing_up_to_the_largest_differences),
        cmocka_unit_test(attention_raises_nothing_up_to_the_largest_differences),
    };
    random_start(&contents, "test_floating_point_environment");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
