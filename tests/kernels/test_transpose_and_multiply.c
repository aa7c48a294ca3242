/*
 * transpose and multiply of every instruction set give the generic one's bits at any size and stride, and touch nothing
 * outside their operands, gaps between output rows included.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_SIZE = 150 };

static guard_side random_side(random_source *random) {
    return random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
}

/* Elements of a rows x cols matrix in memory whose larger index steps by stride. */
static int64_t extent(int64_t rows, int64_t cols, int64_t stride) {
    return rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols;
}

static struct reals random_matrix(int32_t bytes, int64_t count, guard_side side, random_source *random) {
    struct reals array = reals_create(bytes, count, side);
    reals_fill_normal(&array, random, 1);
    return array;
}

static void check_transpose(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                            random_source *random) {
    const int32_t bytes = tested->real_bytes;
    const int64_t rows = random_between(random, 0, MAX_SIZE), cols = random_between(random, 0, MAX_SIZE);
    const int64_t from_stride = cols + random_below(random, 9), to_stride = rows + random_below(random, 9);
    const double factor = random_below(random, 2) ? 1 : random_normal(random);
    const guard_side side = random_side(random);
    struct reals from = random_matrix(bytes, extent(rows, cols, from_stride), side, random);
    reals_sprinkle_specials(&from, random, 50);
    struct reals actual = reals_create(bytes, extent(cols, rows, to_stride), side);
    struct reals expected = reals_create(bytes, extent(cols, rows, to_stride), side);
    tested->transpose(rows, cols, factor, from.block.data, from_stride, actual.block.data, to_stride);
    generic->transpose(rows, cols, factor, from.block.data, from_stride, expected.block.data, to_stride);
    char context[200];
    snprintf(context, sizeof context, "transpose, %s f%d, %" PRId64 " x %" PRId64 ", factor %g", tested->isa,
             8 * bytes, rows, cols, factor);
    expect_equal(context, "to", &actual, &expected, tolerance_none);
    expect_gaps_untouched(context, &actual, rows, to_stride);
    reals_destroy(&from);
    reals_destroy(&actual);
    reals_destroy(&expected);
}

/* A is stored by rows or by columns. */
static void check_multiply(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                           random_source *random) {
    const int32_t bytes = tested->real_bytes;
    const bool exact = table_is_exact(tested), a_by_columns = random_below(random, 2);
    const int64_t m = random_between(random, 0, 20), n = random_between(random, 0, MAX_SIZE);
    const int64_t k = random_between(random, 0, MAX_SIZE);
    const int64_t a_stride = (a_by_columns ? m : k) + random_below(random, 9);
    const int64_t b_stride = n + random_below(random, 9), c_stride = n + random_below(random, 9);
    const guard_side side = random_side(random);
    struct reals a =
        random_matrix(bytes, a_by_columns ? extent(k, m, a_stride) : extent(m, k, a_stride), side, random);
    struct reals b = random_matrix(bytes, extent(k, n, b_stride), side, random);
    if (exact && random_below(random, 4) == 0) {
        reals_sprinkle_specials(&a, random, 100);
        reals_sprinkle_specials(&b, random, 100);
    }
    struct reals c[2] = {reals_create(bytes, extent(m, n, c_stride), side),
                         reals_create(bytes, extent(m, n, c_stride), side)};
    const struct softattn_kernels *kernels[2] = {tested, generic};
    for (int i = 0; i < 2; i++) {
        kernels[i]->multiply(m, n, k, a.block.data, a_by_columns ? 1 : a_stride, a_by_columns ? a_stride : 1,
                             b.block.data, b_stride, c[i].block.data, c_stride);
    }
    char context[200];
    snprintf(context, sizeof context,
             "multiply, %s f%d, m %" PRId64 ", n %" PRId64 ", k %" PRId64 ", A by %s", tested->isa, 8 * bytes,
             m, n, k, a_by_columns ? "columns" : "rows");
    /* A chain of k products of normal numbers below 6, rounded twice each: 2 k u times the sum of magnitudes. */
    const double sum = 36.0 * (double)k;
    const struct tolerance twice_rounded = {
        2 * (double)k * unit_roundoff(bytes) * sum + smallest_normal(bytes), 0};
    expect_equal(context, "C", &c[0], &c[1], exact ? tolerance_none : twice_rounded);
    expect_gaps_untouched(context, &c[0], n, c_stride);
    reals_destroy(&a);
    reals_destroy(&b);
    reals_destroy(&c[0]);
    reals_destroy(&c[1]);
}

static void transpose_and_multiply_equal_generic(const struct softattn_kernels *tested,
                                                 const struct softattn_kernels *generic,
                                                 random_source *random) {
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_transpose(tested, generic, random);
        check_multiply(tested, generic, random);
    }
}

int main(void) { return check_tables("test_transpose_and_multiply", transpose_and_multiply_equal_generic); }
