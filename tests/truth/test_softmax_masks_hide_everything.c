/*
 * What a mask of softmax hides has no effect, bit for bit: keep masks, biases, lengths and causal order hide
 * zero, NaN, infinities and huge numbers alike.
 */
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "softmax_case.h"

#include <math.h>

static const double poisons[] = {NAN, HUGE_VAL, -HUGE_VAL, 1e38, -1e38};
enum { POISONS = sizeof poisons / sizeof *poisons };

/* Every third bias masks. */
static void mask_by_bias(test_array *bias) {
    for (int64_t i = 0; i < array_count(bias); i += 3) {
        array_set(bias, i, -HUGE_VAL);
    }
}

enum { ROWS = 6, COLS = 75 };

typedef enum softmax_mask { BY_KEEP, BY_LENGTHS, BY_CAUSAL, BY_BIAS, SOFTMAX_MASKS } softmax_mask;

static bool softmax_sees(const softmax_case *c, softmax_mask mask, int64_t row, int64_t col) {
    switch (mask) {
    case BY_KEEP: return array_get(&c->keep, row * COLS + col) != 0.0;
    case BY_LENGTHS: return (double)col < array_get(&c->lengths, row);
    case BY_CAUSAL: return col <= row + c->options.offset;
    default: return array_get(&c->bias, row * COLS + col) != -HUGE_VAL;
    }
}

/* Writes to the masked places of x, and of the bias unless that is the mask. */
static void poison_masked_scores(softmax_case *c, softmax_mask mask, double poison) {
    for (int64_t i = 0; i < ROWS * COLS; i++) {
        if (!softmax_sees(c, mask, i / COLS, i % COLS)) {
            array_set(&c->x, i, poison);
            if (c->options.bias.given && mask != BY_BIAS) {
                array_set(&c->bias, i, poison);
            }
        }
    }
}

static void create_masked_softmax(softmax_case *c, const softmax_options *options, softmax_mask mask,
                                  random_source random) {
    softmax_case_create(c, options, &random);
    if (mask == BY_BIAS) {
        mask_by_bias(&c->bias);
    }
    poison_masked_scores(c, mask, 0.0);
}

static void check_softmax(softmax_mask mask, int variant, const softattn_context *context,
                          random_source *random) {
    softmax_options options = softmax_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, ROWS, COLS);
    options.layout = variant & 2 ? ARRAY_TRANSPOSED : ARRAY_COMPACT;
    options.output = variant & 4 ? SOFTATTN_OUTPUT_LOG_PROBABILITIES : SOFTATTN_OUTPUT_PROBABILITIES;
    options.bias.given = mask == BY_BIAS || variant & 8;
    options.keep.given = mask == BY_KEEP;
    options.lengths.given = mask == BY_LENGTHS;
    options.causal = mask == BY_CAUSAL ? SOFTATTN_CAUSAL_OFFSET : SOFTATTN_CAUSAL_NONE;
    options.offset = 33;
    softmax_case clean, poisoned;
    create_masked_softmax(&clean, &options, mask, *random);
    EXPECT(softmax_case_run(&clean, context) == SOFTATTN_OK, "%s", last_error());
    for (int i = 0; i < POISONS; i++) {
        create_masked_softmax(&poisoned, &options, mask, *random);
        poison_masked_scores(&poisoned, mask, poisons[i]);
        EXPECT(softmax_case_run(&poisoned, context) == SOFTATTN_OK, "%s", last_error());
        const int64_t differences = compare_bits("y", &poisoned.y, &clean.y) +
                                    compare_bits("lse", &poisoned.lse, &clean.lse) +
                                    compare_bits("row_max", &poisoned.row_max, &clean.row_max);
        EXPECT(differences == 0, "masked %g on %s: %s", poisons[i], softattn_context_isa(context),
               softmax_case_text(&clean));
        softmax_case_destroy(&poisoned);
    }
    softmax_case_destroy(&clean);
    (void)random_bits(random); /* so that the next case has other contents */
}

static void masked_scores_do_not_change_softmax(const softattn_context *context, random_source *random) {
    for (int mask = 0; mask < SOFTMAX_MASKS; mask++) {
        for (int variant = 0; variant < 16; variant++) {
            check_softmax((softmax_mask)mask, variant, context, random);
        }
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_softmax_masks_hide_everything");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        masked_scores_do_not_change_softmax(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
