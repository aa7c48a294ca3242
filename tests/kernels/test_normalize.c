/*
 * normalize_row and normalize_backward of every instruction set give the generic one's bits, for every normalizer that is not
 * softmax: every width up to four vectors and a tail, scale, bias, keep mask, visible range, special values, either policy for
 * empty rows. So do the kernels that only linear attention has. They touch nothing outside their operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALL_COLS = 4 * SOFTATTN_MAX_LANES + 3, MANY_COLS = 2000 };

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

/* Without fma scores and sums are off by some roundings of numbers up to about 100, and a threshold or a quotient by some times
 * that; weights near the least normal number may be flushed to 0 on one side only. */
static struct tolerance tolerance_of(const struct softattn_kernels *tested) {
    const double roundoff = unit_roundoff(tested->real_bytes);
    return table_is_exact(tested) ? tolerance_none : (struct tolerance){4096 * roundoff, 65536 * roundoff};
}

/* ---- Rows ---- */

struct row_inputs {
    struct softattn_row row;
    struct reals x, bias;
    guard_block keep;
};

static struct row_inputs make_inputs(const struct softattn_kernels *tested, int64_t cols,
                                     random_source *random) {
    const double scales[] = {1, 1, 0.125, -0.75};
    const int32_t bytes = tested->real_bytes;
    struct row_inputs in = {.x = reals_create(bytes, cols, GUARD_AFTER),
                            .bias = reals_create(bytes, cols, GUARD_AFTER)};
    in.row = (struct softattn_row){.rows = 1, .x_stride = 1, .y_stride = 1, .cols = cols, .last = cols};
    in.row.scale = scales[random_below(random, 4)];
    in.row.empty_is_zero = chance(random, 2);
    reals_fill_normal(&in.x, random, chance(random, 3) ? 10 : 1);
    reals_fill_normal(&in.bias, random, 1);
    if (table_is_exact(tested) && chance(random, 3)) {
        reals_sprinkle_specials(&in.x, random, 1 + random_below(random, 50));
    }
    if (chance(random, 3)) {
        in.row.first = random_between(random, 0, cols);
        in.row.last = random_between(random, 0, cols);
    }
    guard_create(&in.keep, (size_t)cols, 1, GUARD_AFTER);
    for (int64_t j = 0; j < cols; j++) {
        in.keep.data[j] = (unsigned char)random_below(random, 3);
    }
    in.row.x = in.x.block.data;
    in.row.bias = chance(random, 3) ? in.bias.block.data : NULL;
    in.row.keep = chance(random, 3) ? in.keep.data : NULL;
    in.row.bias_stride = in.row.keep_stride = 1;
    return in;
}

static void destroy_inputs(struct row_inputs *in) {
    reals_destroy(&in->x);
    reals_destroy(&in->bias);
    guard_destroy(&in->keep);
}

static struct reals weights_by(const struct softattn_kernels *kernels, int32_t normalizer,
                               const struct row_inputs *in, int32_t *is_visible) {
    const int32_t bytes = kernels->real_bytes;
    struct softattn_row row = in->row;
    struct reals y = reals_create(bytes, row.cols, GUARD_AFTER);
    struct reals scratch = reals_create(bytes, SOFTATTN_NORMALIZE_SCRATCH(row.cols), GUARD_AFTER);
    row.y = y.block.data;
    row.scratch = scratch.block.data;
    *is_visible = kernels->normalize_row(normalizer, 0.25, &row);
    reals_destroy(&scratch);
    return y;
}

static struct reals product_by(const struct softattn_kernels *kernels, int32_t normalizer,
                               const struct reals *y, const struct reals *v) {
    struct reals out = reals_create(kernels->real_bytes, y->count, GUARD_AFTER);
    const struct softattn_row_backward row = {.rows = 1,
                                              .cols = y->count,
                                              .y = y->block.data,
                                              .v = v->block.data,
                                              .out = out.block.data,
                                              .y_stride = 1,
                                              .v_stride = 1,
                                              .out_stride = 1,
                                              .scale = 0.5};
    kernels->normalize_backward(normalizer, &row);
    return out;
}

static void check_normalizer(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                             int32_t normalizer, int64_t cols, random_source *random) {
    struct row_inputs in = make_inputs(tested, cols, random);
    struct reals v = reals_create(tested->real_bytes, cols, GUARD_AFTER);
    reals_fill_normal(&v, random, 1);
    int32_t is_visible[2];
    struct reals actual = weights_by(tested, normalizer, &in, &is_visible[0]);
    struct reals expected = weights_by(generic, normalizer, &in, &is_visible[1]);
    struct reals product = product_by(tested, normalizer, &expected, &v);
    struct reals product_expected = product_by(generic, normalizer, &expected, &v);
    char context[160];
    snprintf(context, sizeof context,
             "%s f%d, normalizer %d, %" PRId64 " columns, visible %" PRId64 " ... %" PRId64, tested->isa,
             8 * tested->real_bytes, (int)normalizer, cols, in.row.first, in.row.last);
    EXPECT(is_visible[0] == is_visible[1], "%s: visible %d", context, (int)is_visible[0]);
    expect_equal(context, "weights", &actual, &expected, tolerance_of(tested));
    expect_equal(context, "product", &product, &product_expected, tolerance_of(tested));
    struct reals *const all[] = {&v, &actual, &expected, &product, &product_expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        reals_destroy(all[i]);
    }
    destroy_inputs(&in);
}

/* ---- Linear attention ---- */

static void linear_by(const struct softattn_kernels *kernels, int64_t rows, int64_t cols, int32_t normalizes,
                      const struct reals *addend, struct reals *features, struct reals *sums) {
    const int64_t stride = cols + 1;
    kernels->elu_plus_one(features->count, features->block.data);
    kernels->add_rows(rows, cols, stride, addend->block.data, sums->block.data);
    kernels->divide_rows(rows, cols, stride, normalizes, sums->block.data);
}

static void check_linear(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                         int64_t cols, random_source *random) {
    const int32_t bytes = tested->real_bytes, normalizes = chance(random, 2);
    const int64_t rows = random_between(random, 1, 4), count = rows * (cols + 1);
    struct reals features = reals_create(bytes, count, GUARD_AFTER),
                 addend = reals_create(bytes, count, GUARD_AFTER);
    struct reals sums = reals_create(bytes, count, GUARD_AFTER);
    reals_fill_normal(&features, random, 3);
    reals_fill_normal(&addend, random, 1);
    reals_fill_normal(&sums, random, 1);
    reals_set(&sums, cols, 0); /* a denominator of 0 */
    struct reals features_expected = reals_copy(&features, GUARD_AFTER),
                 sums_expected = reals_copy(&sums, GUARD_AFTER);
    linear_by(tested, rows, cols, normalizes, &addend, &features, &sums);
    linear_by(generic, rows, cols, normalizes, &addend, &features_expected, &sums_expected);
    char context[120];
    snprintf(context, sizeof context, "%s f%d, %" PRId64 " rows, %" PRId64 " columns, normalizes %d",
             tested->isa, 8 * bytes, rows, cols, (int)normalizes);
    expect_equal(context, "features", &features, &features_expected, tolerance_of(tested));
    expect_equal(context, "quotients", &sums, &sums_expected,
                 tolerance_none); /* additions and divisions alone */
    struct reals *const all[] = {&features, &addend, &sums, &features_expected, &sums_expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        reals_destroy(all[i]);
    }
}

static void all_equal_generic(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                              random_source *random) {
    const int32_t normalizers[] = {SOFTATTN_NORMALIZE_NONE,         SOFTATTN_NORMALIZE_RELU,
                                   SOFTATTN_NORMALIZE_RELU_SQUARED, SOFTATTN_NORMALIZE_SIGMOID,
                                   SOFTATTN_NORMALIZE_SPARSEMAX,    SOFTATTN_NORMALIZE_ENTMAX};
    for (int64_t i = 0; i <= ALL_COLS + test_rounds() / 20; i++) {
        const int64_t cols = i <= ALL_COLS ? i : random_below(random, MANY_COLS);
        for (size_t n = 0; n < sizeof normalizers / sizeof *normalizers; n++) {
            check_normalizer(tested, generic, normalizers[n], cols, random);
        }
        check_linear(tested, generic, cols, random);
    }
}

int main(void) { return check_tables("test_normalize", all_equal_generic); }
