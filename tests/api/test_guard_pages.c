/*
 * Nothing is read or written outside the elements that the arguments describe: every operand lies flush
 * against an unreadable page, on either side, and every gap and surrounding byte must stay as it was.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "softmax_case.h"

static random_source contents;

static void check_softmax(const softmax_options *options, const softattn_context *context) {
    softmax_case c;
    softmax_case_create(&c, options, &contents);
    if (softmax_case_differences(&c, context) != 0) {
        fail_msg("on %s: %s", softattn_context_isa(context), softmax_case_text(&c));
    }
    softmax_case_destroy(&c);
}

static void check_attention(const attention_options *options, const softattn_context *context) {
    attention_case c;
    attention_case_create(&c, options, &contents);
    if (attention_case_is_served(&c, context) && attention_case_differences(&c, context) != 0) {
        fail_msg("on %s: %s", softattn_context_isa(context), attention_case_text(&c));
    }
    attention_case_destroy(&c);
}

/* On every instruction set, with one thread and with several. */
static void on_every_context(void (*check)(const softattn_context *context)) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            softattn_context *const context = context_create(softattn_isa_name(i), threads);
            check(context);
            softattn_context_destroy(context);
        }
    }
}

static void softmax_of_all_widths(const softattn_context *context) {
    for (int64_t cols = 1; cols <= 100; cols++) {
        for (int variant = 0; variant < 8; variant++) {
            softmax_options options =
                softmax_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 1 + cols % 3, cols);
            options.side = variant & 2 ? GUARD_BEFORE : GUARD_AFTER;
            options.axis = variant & 4 ? 0 : 1;
            options.keep.given = options.bias.given = options.lengths.given = cols % 2 == 0;
            check_softmax(&options, context);
        }
    }
}

static void attention_of_all_sizes(const softattn_context *context) {
    for (int64_t size = 1; size <= 36; size++) {
        for (int variant = 0; variant < 12; variant++) {
            attention_options options = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 2, 1, 1);
            options.side = variant & 2 ? GUARD_BEFORE : GUARD_AFTER;
            options.engine = variant / 4;
            options.heads_kv = 1 + size % 2;
            options.seq_q = 1 + size * 5 % 23;
            options.seq_kv = size * 2;
            options.dim_qk = size;
            options.dim_v = 37 - size;
            options.has_keep = options.has_bias = size % 3 == 0;
            options.layout = (attention_layout)((size + variant) % ATTENTION_LAYOUTS);
            if (options.layout == ATTENTION_PACKED) {
                options.layout = ATTENTION_COMPACT;
            }
            options.wants_weights = variant / 4 == SOFTATTN_ENGINE_BLAS && size % 2 == 0;
            check_attention(&options, context);
        }
    }
}

/* Enough queries for copies of keys and values that have gaps between them. */
static void attention_of_many_queries(const softattn_context *context) {
    for (int layout = 0; layout < ATTENTION_LAYOUTS; layout++) {
        for (int variant = 0; variant < 4 && layout != ATTENTION_PACKED; variant++) {
            attention_options options =
                attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 9, 1, 130);
            options.side = variant & 2 ? GUARD_BEFORE : GUARD_AFTER;
            options.engine = SOFTATTN_ENGINE_FUSED;
            options.layout = (attention_layout)layout;
            options.seq_q = 200;
            options.seq_kv = 140;
            check_attention(&options, context);
        }
    }
}

/* Masks, slopes, sinks, lists and blocks of any size, in any combination. */
static void attention_with_masks(const softattn_context *context) {
    for (int problem = 0; problem < 80; problem++) {
        attention_options options = attention_options_random(&contents);
        attention_options_add_masks(&options, &contents);
        options.side = problem % 2 ? GUARD_BEFORE : GUARD_AFTER;
        check_attention(&options, context);
    }
}

static void softmax_stays_within_its_operands(void **state) {
    (void)state;
    on_every_context(softmax_of_all_widths);
}

static void attention_stays_within_its_operands(void **state) {
    (void)state;
    on_every_context(attention_of_all_sizes);
    on_every_context(attention_of_many_queries);
}

static void attention_with_masks_stays_within_its_operands(void **state) {
    (void)state;
    on_every_context(attention_with_masks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_stays_within_its_operands),
        cmocka_unit_test(attention_stays_within_its_operands),
        cmocka_unit_test(attention_with_masks_stays_within_its_operands),
    };
    random_start(&contents, "test_guard_pages");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
