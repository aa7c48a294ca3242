/*
 * What decides about masked operands: all_finite of every instruction set finds a single infinity or NaN wherever it is,
 * and nothing between rows; pack_addend gives the generic one's bits for bias and keep mask of any strides, keeping finite
 * what is finite. They touch nothing outside their operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static guard_side random_side(random_source *random) {
    return random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
}

/* ---- all_finite ---- */

/* Gaps hold sentinels, which are NaN. */
static void check_all_finite(const struct softattn_kernels *tested, random_source *random) {
    const int64_t rows = random_between(random, 1, 12), cols = random_between(random, 1, 300);
    const int64_t stride = cols + random_below(random, 9);
    struct reals matrix = reals_create(tested->real_bytes, (rows - 1) * stride + cols, random_side(random));
    for (int64_t i = 0; i < matrix.count; i++) {
        if (i % stride < cols) {
            reals_set(&matrix, i, random_below(random, 50) ? 1e30 * random_normal(random) : 0);
        }
    }
    EXPECT(tested->all_finite(rows, cols, matrix.block.data, stride),
           "%s f%d: %" PRId64 " x %" PRId64 " numbers", tested->isa, 8 * tested->real_bytes, rows, cols);
    const int64_t row = random_below(random, rows), col = random_below(random, cols);
    const double values[] = {(double)NAN, payload_nan(), (double)INFINITY, -(double)INFINITY};
    for (int i = 0; i < 4; i++) {
        reals_set(&matrix, row * stride + col, values[i]);
        EXPECT(!tested->all_finite(rows, cols, matrix.block.data, stride),
               "%s f%d: %g at row %" PRId64 ", column %" PRId64 " of %" PRId64 " x %" PRId64, tested->isa,
               8 * tested->real_bytes, values[i], row, col, rows, cols);
    }
    reals_destroy(&matrix);
}

/* ---- pack_addend ---- */

/* A row or column stride: unit strides, gaps, and 0 for an operand broadcast along an axis. */
struct strides {
    int64_t row, col;
};

static struct strides random_strides(int64_t rows, int64_t cols, random_source *random) {
    switch (random_below(random, 5)) {
    case 0: return (struct strides){0, 1};
    case 1: return (struct strides){1, 0};
    case 2: return (struct strides){1, rows + random_below(random, 5)};
    case 3: return (struct strides){2 * cols + 3, 2};
    default: return (struct strides){cols, 1};
    }
}

static int64_t extent(int64_t rows, int64_t cols, struct strides strides) {
    return (rows - 1) * strides.row + (cols - 1) * strides.col + 1;
}

static struct reals random_bias(int32_t bytes, int64_t count, guard_side side, random_source *random) {
    struct reals bias = reals_create(bytes, count, side);
    reals_fill_normal(&bias, random, 4);
    reals_sprinkle_specials(&bias, random, 8);
    return bias;
}

static void check_pack_addend(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                              random_source *random) {
    const int32_t bytes = tested->real_bytes;
    const int64_t rows = random_between(random, 1, 50), keys = random_between(random, 1, SOFTATTN_KEY_TILE);
    const struct strides bias_strides = random_strides(rows, keys, random);
    const struct strides keep_strides = random_strides(rows, keys, random);
    /* queries in the lanes, or keys in them */
    const struct strides to_strides =
        random_below(random, 2) ? (struct strides){1, rows} : (struct strides){SOFTATTN_KEY_TILE, 1};
    const bool has_bias = random_below(random, 3) != 0, has_keep = !has_bias || random_below(random, 2);
    const guard_side side = random_side(random);
    struct reals bias = random_bias(bytes, extent(rows, keys, bias_strides), side, random);
    guard_block keep;
    guard_create(&keep, (size_t)extent(rows, keys, keep_strides), 1, side);
    for (size_t i = 0; i < keep.bytes; i++) {
        keep.data[i] = (unsigned char)random_below(random, 3);
    }
    struct reals to[2] = {reals_create(bytes, extent(rows, keys, to_strides), side),
                          reals_create(bytes, extent(rows, keys, to_strides), side)};
    const struct softattn_kernels *kernels[2] = {tested, generic};
    for (int i = 0; i < 2; i++) {
        kernels[i]->pack_addend(rows, keys, has_bias ? bias.block.data : NULL, bias_strides.row,
                                bias_strides.col, has_keep ? keep.data : NULL, keep_strides.row,
                                keep_strides.col, to[i].block.data, to_strides.row, to_strides.col);
    }
    char context[200];
    snprintf(context, sizeof context,
             "pack_addend, %s f%d, %" PRId64 " rows, %" PRId64 " keys, bias %d (%" PRId64 ", %" PRId64
             "), keep %d (%" PRId64 ", %" PRId64 ")",
             tested->isa, 8 * bytes, rows, keys, has_bias, bias_strides.row, bias_strides.col, has_keep,
             keep_strides.row, keep_strides.col);
    expect_equal(context, "to", &to[0], &to[1], tolerance_none);
    if (to_strides.row > 1) {
        expect_gaps_untouched(context, &to[0], keys, to_strides.row);
    }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < keys; j++) {
            const double given = has_bias ? reals_get(&bias, r * bias_strides.row + j * bias_strides.col) : 0;
            const bool kept = !has_keep || keep.data[r * keep_strides.row + j * keep_strides.col] != 0;
            const double addend = reals_get(&to[0], r * to_strides.row + j * to_strides.col);
            const bool masks = addend == -(double)INFINITY;
            EXPECT(masks == (!kept || given == -(double)INFINITY), "%s: keep %d and bias %g became %g",
                   context, kept, given, addend);
        }
    }
    reals_destroy(&bias);
    reals_destroy(&to[0]);
    reals_destroy(&to[1]);
    guard_destroy(&keep);
}

static void masked_operands_are_handled(const struct softattn_kernels *tested,
                                        const struct softattn_kernels *generic, random_source *random) {
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_all_finite(tested, random);
        check_pack_addend(tested, generic, random);
    }
}

int main(void) { return check_tables("test_masked_operands", masked_operands_are_handled); }
