/*
 * Rows that are stored around the caches and share vectors raise no floating-point exception by what their kernels read along:
 * scratch full of signalling NaNs, and neighbours so far away that their difference is too large for the type. They give the
 * values that they should.
 */
#include "expect.h"
#include "tables.h"

#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, MOST_COLS = 200, MOST_SHIFT = 31, LINE_BYTES = 64 };

/* Reals of a table's type, the first of them `shift` behind the beginning of a line. */
struct line_reals {
    void *memory;
    unsigned char *first;
    int32_t bytes;
};

static struct line_reals create(int32_t bytes, int64_t count, int64_t shift) {
    const size_t all = (size_t)((count + shift) * bytes + LINE_BYTES) / LINE_BYTES * LINE_BYTES;
    struct line_reals reals = {.memory = aligned_alloc(LINE_BYTES, all), .bytes = bytes};
    if (reals.memory == NULL) {
        abort();
    }
    reals.first = (unsigned char *)reals.memory + shift * bytes;
    return reals;
}

static void set(const struct line_reals *reals, int64_t i, double value) {
    const float single = (float)value;
    if (reals->bytes == (int32_t)sizeof single) {
        memcpy(reals->first + i * reals->bytes, &single, sizeof single);
    } else {
        memcpy(reals->first + i * reals->bytes, &value, sizeof value);
    }
}

static double get(const struct line_reals *reals, int64_t i) {
    float single;
    double value;
    if (reals->bytes == (int32_t)sizeof single) {
        memcpy(&single, reals->first + i * reals->bytes, sizeof single);
        return single;
    }
    memcpy(&value, reals->first + i * reals->bytes, sizeof value);
    return value;
}

static void fill_with_signalling_nans(const struct line_reals *reals, int64_t count) {
    const uint32_t single = UINT32_C(0x7fa00000);
    const uint64_t value = UINT64_C(0x7ff4000000000000);
    for (int64_t i = 0; i < count; i++) {
        memcpy(reals->first + i * reals->bytes,
               reals->bytes == 4 ? (const void *)&single : (const void *)&value, (size_t)reals->bytes);
    }
}

/* Three fifths of the largest number, of one sign in even rows and of the other in odd ones. */
static void fill_far_apart(const struct line_reals *reals, int64_t cols) {
    const double far = 0.6 * (reals->bytes == 4 ? (double)FLT_MAX : DBL_MAX);
    for (int64_t i = 0; i < ROWS * cols; i++) {
        set(reals, i, i / cols % 2 == 0 ? far : -far);
    }
}

/* Whether all of them are near to what they should be. */
static void expect_all(const struct softattn_kernels *tested, const char *what, const struct line_reals *out,
                       int64_t cols, double value, double tolerance) {
    const int raised = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    EXPECT(raised == 0, "%s f%d, %s of %" PRId64 " columns raised %#x", tested->isa, 8 * tested->real_bytes,
           what, cols, (unsigned)raised);
    for (int64_t i = 0; i < ROWS * cols; i++) {
        EXPECT(fabs(get(out, i) - value) <= tolerance,
               "%s f%d, %s of %" PRId64 " columns: %g at %" PRId64 ", not %g", tested->isa,
               8 * tested->real_bytes, what, cols, get(out, i), i, value);
    }
}

/* All scores of a row are equal, so that probabilities are 1 / cols: within the errors of a logarithm and a sum. */
static void check_softmax(const struct softattn_kernels *tested, int64_t cols, const struct line_reals *x,
                          const struct line_reals *scratch, const struct line_reals *y) {
    struct softattn_row row = {.rows = ROWS, .cols = cols, .last = cols, .scale = 1, .stream = 1};
    row.x_step = row.y_step = cols;
    row.x = x->first;
    row.y = y->first;
    row.scratch = scratch->first;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_row(&row);
    expect_all(tested, "softmax", y, cols, 1.0 / (double)cols, 1e-4 / (double)cols);
    row.output = SOFTATTN_ROW_LOG_PROBABILITIES;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_row(&row);
    expect_all(tested, "log-softmax", y, cols, -log((double)cols), 1e-4 * log((double)cols + 1));
}

static void check_cross_entropy(const struct softattn_kernels *tested, int64_t cols,
                                const struct line_reals *x, const struct line_reals *scratch,
                                const struct line_reals *gradient) {
    const int64_t targets[ROWS] = {0, cols - 1, cols / 2, 0, cols - 1};
    struct softattn_row_cross_entropy rows = {
        .rows = ROWS, .cols = cols, .targets = targets, .scale = 1, .factor = 1, .stream = 1};
    rows.x_step = rows.gradient_step = cols;
    rows.x = x->first;
    rows.gradient = gradient->first;
    rows.scratch = scratch->first;
    feclearexcept(FE_ALL_EXCEPT);
    tested->cross_entropy(&rows);
    for (int64_t r = 0; r < ROWS; r++) { /* at the target 1 less */
        set(gradient, r * cols + targets[r], get(gradient, r * cols + targets[r]) + 1);
    }
    expect_all(tested, "cross-entropy", gradient, cols, 1.0 / (double)cols, 1e-4 / (double)cols + 1e-6);
}

/* v is the same in all columns of a row, so that out is 0: within the roundings of its sum, of so many steps at most. */
static void check_backward(const struct softattn_kernels *tested, int64_t cols, const struct line_reals *v,
                           const struct line_reals *y, const struct line_reals *out) {
    const double unit = tested->real_bytes == 4 ? (double)FLT_EPSILON : DBL_EPSILON;
    struct softattn_row_backward row = {.rows = ROWS, .cols = cols, .scale = 1, .transposed = 1, .stream = 1};
    for (int64_t i = 0; i < ROWS * cols; i++) {
        set(y, i, 1.0 / (double)cols);
    }
    row.y_step = row.v_step = row.out_step = cols;
    row.y = y->first;
    row.v = v->first;
    row.out = out->first;
    feclearexcept(FE_ALL_EXCEPT);
    tested->softmax_backward(&row);
    expect_all(tested, "backward", out, cols, 0, fabs(get(v, 0)) * unit * (double)(cols + 8));
}

static void streamed_rows_raise_nothing(const struct softattn_kernels *tested,
                                        const struct softattn_kernels *generic, random_source *random) {
    (void)generic;
    for (int64_t cols = 1; cols <= MOST_COLS; cols++) {
        const int32_t bytes = tested->real_bytes;
        struct line_reals far = create(bytes, ROWS * cols, random_below(random, MOST_SHIFT + 1));
        struct line_reals out = create(bytes, ROWS * cols, random_below(random, MOST_SHIFT + 1));
        struct line_reals scratch = create(bytes, ROWS * cols + SOFTATTN_ROW_SCRATCH(cols), 0);
        fill_far_apart(&far, cols);
        fill_with_signalling_nans(&scratch, SOFTATTN_ROW_SCRATCH(cols));
        check_softmax(tested, cols, &far, &scratch, &out);
        fill_with_signalling_nans(&scratch, SOFTATTN_ROW_SCRATCH(cols));
        check_cross_entropy(tested, cols, &far, &scratch, &out);
        check_backward(tested, cols, &far, &scratch, &out);
        free(far.memory);
        free(out.memory);
        free(scratch.memory);
    }
}

int main(void) { return check_tables("test_stream_exceptions", streamed_rows_raise_nothing); }
