/*
 * diagnose_row of every instruction set with fused multiply-add gives the generic one's bits: every width up to some
 * vectors and a tail, scale, bias, keep, visible range, sinks, special values. It touches nothing but the scratch.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALL_COLS = 150, MANY_COLS = 3000 };

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

static struct softattn_diagnosis_of_row diagnose(const struct softattn_kernels *kernels,
                                                 struct softattn_row row, double sink) {
    struct softattn_diagnosis_of_row result;
    struct reals scratch = reals_create(kernels->real_bytes, row.cols, GUARD_AFTER);
    memset(&result, GUARD_SENTINEL, sizeof result);
    row.scratch = scratch.block.data;
    kernels->diagnose_row(&row, sink, &result);
    reals_destroy(&scratch);
    return result;
}

static bool same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static bool same_diagnosis(const struct softattn_diagnosis_of_row *a,
                           const struct softattn_diagnosis_of_row *b) {
    return a->visible == b->visible && a->sound == b->sound && same(a->entropy, b->entropy) &&
           same(a->max_probability, b->max_probability) && same(a->effective_keys, b->effective_keys) &&
           same(a->score_mean, b->score_mean) && same(a->score_variance, b->score_variance) &&
           same(a->jacobian_norm, b->jacobian_norm);
}

static void check_row(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                      int64_t cols, random_source *random) {
    const double scales[] = {1, 1, 0.125, -0.75, 0}, deviations[] = {1, 10, 40, 0, 1e30};
    const double sinks[] = {-(double)INFINITY, -(double)INFINITY, 0.5, 50, (double)NAN, (double)INFINITY};
    const guard_side side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
    struct reals x = reals_create(tested->real_bytes, cols, side),
                 bias = reals_create(tested->real_bytes, cols, side);
    guard_block keep;
    guard_create(&keep, (size_t)cols, 1, side);
    reals_fill_normal(&x, random, deviations[random_below(random, 5)]);
    reals_fill_normal(&bias, random, 2);
    if (chance(random, 4)) {
        reals_sprinkle_specials(&x, random, 1 + random_below(random, 100));
    }
    for (size_t j = 0; j < keep.bytes; j++) {
        keep.data[j] = !chance(random, 4);
    }
    struct softattn_row row = {
        .rows = 1, .cols = cols, .x = x.block.data, .last = cols, .keep_stride = 1, .bias_stride = 1};
    row.scale = scales[random_below(random, 5)];
    row.bias = chance(random, 3) ? bias.block.data : NULL;
    row.keep = chance(random, 3) ? keep.data : NULL;
    row.first = chance(random, 3) ? random_between(random, 0, cols) : 0;
    const double sink = sinks[random_below(random, 6)];
    const struct softattn_diagnosis_of_row actual = diagnose(tested, row, sink),
                                           expected = diagnose(generic, row, sink);
    EXPECT(same_diagnosis(&actual, &expected),
           "%s f%d, %" PRId64
           " columns, scale %g, sink %g: entropy %a instead of %a, norm %a instead of %a, variance %a "
           "instead of %a",
           tested->isa, 8 * tested->real_bytes, cols, row.scale, sink, actual.entropy, expected.entropy,
           actual.jacobian_norm, expected.jacobian_norm, actual.score_variance, expected.score_variance);
    EXPECT(guard_surroundings_untouched(&keep), "written beside the keep mask");
    guard_destroy(&keep);
    reals_destroy(&bias);
    reals_destroy(&x);
}

static void diagnose_row_equals_generic(const struct softattn_kernels *tested,
                                        const struct softattn_kernels *generic, random_source *random) {
    for (int64_t cols = 0; cols <= ALL_COLS && table_is_exact(tested); cols++) {
        for (int64_t i = 0; i < 1 + test_rounds() / 100; i++) {
            check_row(tested, generic, cols, random);
        }
    }
    for (int64_t i = 0; i < test_rounds() / 4 && table_is_exact(tested); i++) {
        check_row(tested, generic, random_below(random, MANY_COLS), random);
    }
}

int main(void) { return check_tables("test_diagnose_row", diagnose_row_equals_generic); }
