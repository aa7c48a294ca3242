/*
 * Calls leave errno alone, also where results underflow and where a context starts its threads.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "softmax_case.h"

#include <errno.h>
#include <math.h>

enum { SOME_ERROR = 77 };

static random_source contents;

static void assert_softmax_keeps_errno(array_type type, const softattn_context *context) {
    softmax_options options = softmax_options_plain(type, 300, 150);
    options.deviation = 1e4;
    options.output = SOFTATTN_OUTPUT_LOG_PROBABILITIES;
    softmax_case softmax;
    softmax_case_create(&softmax, &options, &contents);
    errno = SOME_ERROR;
    assert_ok(softmax_case_run(&softmax, context));
    assert_int_equal(errno, SOME_ERROR);
    softmax_case_destroy(&softmax);
}

static void assert_attention_keeps_errno(const attention_options *options, double sink,
                                         const softattn_context *context) {
    attention_case attention;
    attention_case_create(&attention, options, &contents);
    array_fill(&attention.sink, sink);
    errno = SOME_ERROR;
    assert_ok(attention_case_run(&attention, context));
    if (errno != SOME_ERROR) {
        fail_msg("errno is %d after %s, with a sink of %g", errno, attention_case_text(&attention), sink);
    }
    attention_case_destroy(&attention);
}

static void runs_keep_errno(void **state) {
    static const double sinks[] = {-1e30, -2000, 0, 2000, 1e30, -HUGE_VAL};
    (void)state;
    for (int32_t variant = 0; variant < 12; variant++) {
        softattn_context *const context = context_create(NULL, variant % 2 ? 3 : 1);
        attention_options options = attention_options_plain(variant & 2 ? ARRAY_F64 : ARRAY_F32, 2, 90, 11);
        options.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
        options.has_sink = true;
        options.softcap = 20;
        options.engine = variant / 4;
        for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++) {
            assert_attention_keeps_errno(&options, sinks[i], context);
        }
        assert_softmax_keeps_errno(options.type, context);
        softattn_context_destroy(context);
    }
}

static void contexts_are_made_and_destroyed_with_errno_kept(void **state) {
    softattn_context *context = NULL;
    (void)state;
    errno = SOME_ERROR;
    assert_ok(softattn_context_create(&context));
    assert_int_equal(errno, SOME_ERROR);
    softattn_context_destroy(context);
    assert_int_equal(errno, SOME_ERROR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_are_made_and_destroyed_with_errno_kept),
        cmocka_unit_test(runs_keep_errno),
    };
    random_start(&contents, "test_errno");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
