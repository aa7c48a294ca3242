/*
 * Rows that are stored around the caches and share vectors raise no floating-point exception by what their kernels read along:
 * scratch full of signalling NaNs, and neighbours so far away that their difference is too large for the type. They give the
 * values that they should.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { ROWS = 5, MOST_COLS = 200 };

static void fill_with_signalling_nans(struct reals *reals) {
    const uint32_t single = UINT32_C(0x7fa00000);
    const uint64_t value = UINT64_C(0x7ff4000000000000);
    for (int64_t i = 0; i < reals->count; i++) {
        memcpy(reals_at(reals, i), reals->bytes == 4 ? (const void *)&single : (const void *)&value,
               (size_t)reals->bytes);
    }
}

/* Three fifths of the largest number, of one sign in even rows and of the other in odd ones. */
static void fill_far_apart(struct reals *reals, int64_t cols) {
    const double far = 0.6 * (reals->bytes == 4 ? (double)FLT_MAX : DBL_MAX);
    for (int64_t i = 0; i < ROWS * cols; i++) {
        reals_set(reals, i, i / cols % 2 == 0 ? far : -far);
    }
}

/* Whether all of them are near to what they should be. */
static void expect_all(const struct softattn_kernels *tested, const char *what, const struct reals *out,
                       int64_t cols, double value, double tolerance) {
    const int raised = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    EXPECT(raised == 0, "%s f%d, %s of %" PRId64 " columns raised %#x", tested->isa, 8 * tested->real_bytes,
           what, cols, (unsigned)raised);
    for (int64_t i = 0; i < ROWS * cols; i++) {
        EXPECT(fabs(reals_get(out, i) - value) <= tolerance,
               "%s f%d, %s of %" PRId64 " columns: %g at %" PRId64 ", not %g", tested->isa,
               8 * tested->real_bytes, what, cols, reals_get(out, i), i, value);
    }
}

/* All scores of a row are equal, so that probabilities are 1 / cols: within the errors of a logarithm and a sum. */
static void check_softmax(const struct softattn_kernels *tested, int64_t cols, const struct reals *x,
                          const struct reals *scratch, const struct reals *y) {
    struct softattn_row row = {.rows = ROWS, .cols = cols, .last = cols, .scale = 1, .stream = 1};
    row.x_step = row.y_step = cols;
    row.x = x->block.data;
    row.y = y->block.data;
    row.scratch = scratch->block.data;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_row(&row);
    expect_all(tested, "softmax", y, cols, 1.0 / (double)cols, 1e-4 / (double)cols);
    row.output = SOFTATTN_ROW_LOG_PROBABILITIES;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_row(&row);
    expect_all(tested, "log-softmax", y, cols, -log((double)cols), 1e-4 * log((double)cols + 1));
}

static void check_cross_entropy(const struct softattn_kernels *tested, int64_t cols, const struct reals *x,
                                const struct reals *scratch, struct reals *gradient) {
    const int64_t targets[ROWS] = {0, cols - 1, cols / 2, 0, cols - 1};
    struct softattn_row_cross_entropy rows = {
        .rows = ROWS, .cols = cols, .targets = targets, .scale = 1, .factor = 1, .stream = 1};
    rows.x_step = rows.gradient_step = cols;
    rows.x = x->block.data;
    rows.gradient = gradient->block.data;
    rows.scratch = scratch->block.data;
    feclearexcept(FE_ALL_EXCEPT);
    tested->cross_entropy(&rows);
    for (int64_t r = 0; r < ROWS; r++) { /* at the target 1 less */
        reals_set(gradient, r * cols + targets[r], reals_get(gradient, r * cols + targets[r]) + 1);
    }
    expect_all(tested, "cross-entropy", gradient, cols, 1.0 / (double)cols, 1e-4 / (double)cols + 1e-6);
}

/* v is the same in all columns of a row, so that out is 0: within the roundings of its sum, of so many steps at most. */
static void check_backward(const struct softattn_kernels *tested, int64_t cols, const struct reals *v,
                           struct reals *y, const struct reals *out) {
    const double unit = tested->real_bytes == 4 ? (double)FLT_EPSILON : DBL_EPSILON;
    struct softattn_row_backward row = {.rows = ROWS, .cols = cols, .scale = 1, .transposed = 1, .stream = 1};
    for (int64_t i = 0; i < ROWS * cols; i++) {
        reals_set(y, i, 1.0 / (double)cols);
    }
    row.y_step = row.v_step = row.out_step = cols;
    row.y = y->block.data;
    row.v = v->block.data;
    row.out = out->block.data;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_backward(&row);
    expect_all(tested, "backward", out, cols, 0, fabs(reals_get(v, 0)) * unit * (double)(cols + 8));
}

static void streamed_rows_raise_nothing(const struct softattn_kernels *tested,
                                        const struct softattn_kernels *generic, random_source *random) {
    (void)generic;
    for (int64_t cols = 1; cols <= MOST_COLS; cols++) {
        const int32_t bytes = tested->real_bytes;
        const guard_side side = random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
        struct reals far = reals_create(bytes, ROWS * cols, side),
                     out = reals_create(bytes, ROWS * cols, side);
        struct reals y = reals_create(bytes, ROWS * cols, side);
        struct reals scratch = reals_create(bytes, SOFTATTN_ROW_SCRATCH(cols), side);
        fill_far_apart(&far, cols);
        fill_with_signalling_nans(&scratch);
        check_softmax(tested, cols, &far, &scratch, &out);
        fill_with_signalling_nans(&scratch);
        check_cross_entropy(tested, cols, &far, &scratch, &out);
        check_backward(tested, cols, &far, &y, &out);
        reals_destroy(&far);
        reals_destroy(&out);
        reals_destroy(&y);
        reals_destroy(&scratch);
    }
}

int main(void) { return check_tables("test_stream_exceptions", streamed_rows_raise_nothing); }
