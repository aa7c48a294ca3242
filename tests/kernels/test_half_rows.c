/*
 * Kernels that take rows of 16-bit floats give what they make of the same numbers as floats, rounded: softmax with a scale,
 * ends of rows, logarithms, log-sum-exps and maxima or without, the products of its derivatives, and cross-entropy with target
 * classes, some of them ignored. Every width up to several vectors and a tail, at any address and distance of rows, in place or
 * not, streamed or not, special values; nothing but the rows is touched.
 */
#include "expect.h"
#include "guard.h"
#include "tables.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_COLS = 200, MANY_COLS = 3000, MAX_ROWS = 5, MAX_GAP = 3 };

static const char *const format_names[] = {[SOFTATTN_FORMAT_F16] = "f16", [SOFTATTN_FORMAT_BF16] = "bf16"};

/* ---- Rows ---- */

/* The same rows as 16-bit floats in guarded memory and as floats. */
struct rows {
    int32_t format;
    int64_t count, cols, step;
    guard_block halves;
    float *floats;
};

static int64_t elements(const struct rows *rows) { return (rows->count - 1) * rows->step + rows->cols; }

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

/* Everywhere sentinels. */
static struct rows rows_create(int32_t format, int64_t count, int64_t cols, random_source *random) {
    struct rows rows = {.format = format, .count = count, .cols = cols};
    rows.step = cols + random_below(random, MAX_GAP + 1);
    guard_create(&rows.halves, (size_t)elements(&rows) * sizeof(uint16_t), sizeof(uint16_t),
                 chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE);
    rows.floats = malloc((size_t)(elements(&rows) + 1) * sizeof *rows.floats);
    if (rows.floats == NULL) {
        abort();
    }
    memset(rows.floats, GUARD_SENTINEL, (size_t)elements(&rows) * sizeof *rows.floats);
    return rows;
}

static uint16_t *halves_of(const struct rows *rows) { return (uint16_t *)(void *)rows->halves.data; }

/* The numbers that were put into the floats, rounded, in both. */
static void rows_round(const struct rows *rows, const struct softattn_kernels *kernels) {
    kernels->narrow(rows->format, elements(rows), rows->floats, halves_of(rows), 0);
    kernels->widen(rows->format, elements(rows), halves_of(rows), rows->floats);
}

static void rows_fill(const struct rows *rows, double mean, double deviation, random_source *random) {
    for (int64_t i = 0; i < elements(rows); i++) {
        rows->floats[i] = (float)(mean + deviation * random_normal(random));
    }
}

/* Replaces about one element in `one_in`. */
static void rows_sprinkle(const struct rows *rows, float value, int64_t one_in, random_source *random) {
    for (int64_t i = 0; i < elements(rows); i++) {
        rows->floats[i] = chance(random, one_in) ? value : rows->floats[i];
    }
}

/* Numbers of many sizes whose sum is 0 but for what rounding leaves of it, which tells in what order they were added; every
 * eighth is 0. */
static void rows_cancel(const struct rows *rows, random_source *random) {
    const int64_t half = rows->cols / 2;
    const int sizes = rows->format == SOFTATTN_FORMAT_F16 ? 10 : 26;
    for (int64_t r = 0; r < rows->count; r++) {
        float *row = rows->floats + r * rows->step;
        for (int64_t j = 2 * half; j < rows->cols; j++) {
            row[j] = 0;
        }
        for (int64_t j = 0; j < half; j++) {
            const int64_t opposite = half + (j + half / 3) % half;
            row[j] = j % 8 == 0 ? 0 : (float)ldexp(random_normal(random), (int)random_below(random, sizes));
            row[opposite] = -row[j];
        }
    }
}

static void rows_destroy(struct rows *rows) {
    free(rows->floats);
    guard_destroy(&rows->halves);
}

static bool is_nan(int32_t format, uint16_t half) {
    return (half & 0x7fff) > (format == SOFTATTN_FORMAT_F16 ? 0x7c00 : 0x7f80);
}

/* The same bits, or NaN both: of two NaN that meet, compilers may put either first. */
static bool is_same(int32_t format, uint16_t a, uint16_t b) {
    return a == b || (is_nan(format, a) && is_nan(format, b));
}

/* Expects the halves to be the floats, rounded, and what lies between rows to be untouched, where nothing was put there. */
static void expect_rounded(const char *what, const struct softattn_kernels *tested, const struct rows *rows,
                           bool has_gaps) {
    uint16_t expected[MANY_COLS + 1];
    int64_t differences = 0, written = 0;
    for (int64_t r = 0; r < rows->count; r++) {
        const uint16_t *row = halves_of(rows) + r * rows->step;
        tested->narrow(rows->format, rows->cols, rows->floats + r * rows->step, expected, 0);
        for (int64_t j = 0; j < rows->cols; j++) {
            differences += !is_same(rows->format, row[j], expected[j]);
        }
        for (int64_t j = rows->cols; has_gaps && r + 1 < rows->count && j < rows->step; j++) {
            written += row[j] != 0xffff;
        }
    }
    EXPECT(differences == 0 && written == 0 && guard_surroundings_untouched(&rows->halves),
           "%s of %s %s, %d rows of %d columns: %d differ, %d between rows written", what, tested->isa,
           format_names[rows->format], (int)rows->count, (int)rows->cols, (int)differences, (int)written);
}

/* ---- The kernels ---- */

/* Anything that rows of 16-bit floats may have; lasts has MAX_ROWS. */
static void add_options(struct softattn_row *row, int64_t *lasts, random_source *random) {
    const double scales[] = {1, 0.125, 0.3, 1e-30, 3e38};
    row->scale = scales[random_below(random, 5)];
    row->output = chance(random, 2) ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    row->plus_one = chance(random, 4);
    if (chance(random, 2)) {
        row->last_step = random_below(random, 3);
        row->last = random_below(random, row->cols + 1) - (row->rows - 1) * row->last_step;
        row->last = row->last < 0 ? 0 : row->last;
    }
    if (row->last + (row->rows - 1) * row->last_step > row->cols) {
        row->last_step = 0;
    }
    for (int64_t r = 0; r < MAX_ROWS; r++) {
        lasts[r] = chance(random, 6) ? 0 : random_between(random, 0, row->cols);
    }
    row->lasts = chance(random, 3) ? lasts : NULL;
}

/* Runs on the floats and on the halves; log-sum-exps and maxima are floats of both and must be the same bits. */
static void run_softmax(const struct softattn_kernels *tested, struct softattn_row row, int32_t format,
                        bool has_statistics, const struct rows *x, const struct rows *result) {
    float lses[2][MAX_ROWS] = {{0}}, maxima[2][MAX_ROWS] = {{0}};
    row.lse_step = row.max_step = 1;
    row.x_step = x->step;
    row.y_step = result->step;
    for (int halves = 0; halves < 2; halves++) {
        row.x = halves ? x->halves.data : (void *)x->floats;
        row.y = halves ? result->halves.data : (void *)result->floats;
        row.format = halves ? format : SOFTATTN_FORMAT_REAL;
        row.lse = has_statistics ? lses[halves] : NULL;
        row.max = has_statistics ? maxima[halves] : NULL;
        tested->softmax_row(&row);
    }
    for (int64_t r = 0; r < row.rows; r++) {
        const bool is_nan = lses[0][r] != lses[0][r] && lses[1][r] != lses[1][r];
        EXPECT(is_nan || (memcmp(&lses[0][r], &lses[1][r], sizeof(float)) == 0 &&
                          memcmp(&maxima[0][r], &maxima[1][r], sizeof(float)) == 0),
               "softmax of %s %s, row %d of %d columns: lse %g and %g, max %g and %g", tested->isa,
               format_names[format], (int)r, (int)row.cols, (double)lses[0][r], (double)lses[1][r],
               (double)maxima[0][r], (double)maxima[1][r]);
    }
}

static void check_softmax(const struct softattn_kernels *tested, int32_t format, int64_t cols,
                          random_source *random) {
    const int64_t count = random_between(random, 1, MAX_ROWS);
    struct rows x = rows_create(format, count, cols, random), y = rows_create(format, count, cols, random);
    const bool in_place = chance(random, 4);
    guard_block scratch;
    guard_create(&scratch, (size_t)SOFTATTN_ROW_SCRATCH(cols) * sizeof(float), sizeof(float), GUARD_AFTER);
    rows_fill(&x, chance(random, 3) ? -20 : 0, 3, random); /* negative ones alone, too */
    rows_sprinkle(&x, -HUGE_VALF, 6, random);
    if (chance(random, 4)) {
        rows_sprinkle(&x,
                      chance(random, 2)   ? HUGE_VALF
                      : chance(random, 2) ? (float)NAN
                                          : -(float)NAN,
                      100, random);
    }
    const bool has_empty = chance(random, 4);
    for (int64_t j = 0; has_empty && j < cols; j++) {
        x.floats[(count - 1) * x.step + j] = -HUGE_VALF;
    }
    rows_round(&x, tested);
    struct rows *const result = in_place ? &x : &y;
    struct softattn_row row = {
        .rows = count, .cols = cols, .last = cols, .scale = 1, .scratch = scratch.data};
    row.empty_is_zero = chance(random, 2);
    row.stream = !in_place && chance(random, 2);
    const bool has_options = chance(random, 2);
    int64_t lasts[MAX_ROWS];
    if (has_options) {
        add_options(&row, lasts, random);
    }
    run_softmax(tested, row, format, has_options && chance(random, 2), &x, result);
    expect_rounded("softmax", tested, result, !in_place);
    EXPECT(guard_surroundings_untouched(&scratch), "softmax, %d columns", (int)cols);
    guard_destroy(&scratch);
    rows_destroy(&x);
    rows_destroy(&y);
}

static void check_backward(const struct softattn_kernels *tested, int32_t format, int64_t cols,
                           random_source *random) {
    const int64_t count = random_between(random, 1, MAX_ROWS);
    struct rows y = rows_create(format, count, cols, random), v = rows_create(format, count, cols, random);
    struct rows out = rows_create(format, count, cols, random);
    const bool in_place = chance(random, 4), is_log = chance(random, 2);
    const bool cancels = chance(random, 2);
    rows_fill(&y, is_log ? -3 : 0.01, cancels ? 0 : is_log ? 1 : 0.002, random);
    rows_fill(&v, 0, 1, random);
    if (cancels) {
        rows_cancel(&v, random);
    } else {
        rows_sprinkle(&y, is_log ? -HUGE_VALF : 0, 5, random);
    }
    if (chance(random, 4)) {
        rows_sprinkle(&v, chance(random, 2) ? HUGE_VALF : (float)NAN, 100, random);
    }
    rows_round(&y, tested);
    rows_round(&v, tested);
    struct rows *const result = in_place ? &v : &out;
    struct softattn_row_backward row = {.rows = count, .cols = cols, .scale = chance(random, 2) ? 1 : -0.75};
    row.output = is_log ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    row.transposed = is_log || chance(random, 2); /* else of log-probabilities, which take floats */
    row.y_step = y.step;
    row.v_step = v.step;
    row.out_step = result->step;
    row.y = y.floats;
    row.v = v.floats;
    row.out = result->floats;
    tested->softmax_backward(&row);
    row.format = format;
    row.stream = !in_place && chance(random, 2);
    row.prefetch = chance(random, 2);
    row.asking = (enum softattn_asking)random_below(random, 3);
    row.y = y.halves.data;
    row.v = v.halves.data;
    row.out = result->halves.data;
    tested->softmax_backward(&row);
    expect_rounded("derivative", tested, result, !in_place);
    EXPECT(guard_surroundings_untouched(&y.halves) && guard_surroundings_untouched(&v.halves),
           "derivative, %d columns", (int)cols);
    rows_destroy(&y);
    rows_destroy(&v);
    rows_destroy(&out);
}

/* Runs on the floats and on the halves; losses and log-sum-exps are floats of both and must be the same bits. */
static void run_cross_entropy(const struct softattn_kernels *tested, struct softattn_row_cross_entropy row,
                              const struct rows *x, const struct rows *result, bool wants_gradient) {
    float losses[2][MAX_ROWS] = {{0}}, lses[2][MAX_ROWS] = {{0}};
    guard_block scratch;
    guard_create(&scratch, (size_t)SOFTATTN_ROW_SCRATCH(row.cols) * sizeof(float), sizeof(float),
                 GUARD_AFTER);
    row.scratch = scratch.data;
    const int32_t stream = row.stream;
    const bool has_losses = row.loss != NULL, has_lses = row.lse != NULL;
    for (int i = 0; i < 2; i++) {
        row.format = i == 0 ? SOFTATTN_FORMAT_REAL : x->format;
        row.stream = i == 0 ? 0 : stream;
        row.x = i == 0 ? (const void *)x->floats : x->halves.data;
        row.gradient = !wants_gradient ? NULL : i == 0 ? (void *)result->floats : result->halves.data;
        row.loss = has_losses ? losses[i] : NULL;
        row.lse = has_lses ? lses[i] : NULL;
        tested->cross_entropy(&row);
    }
    for (int64_t r = 0; r < row.rows; r++) {
        EXPECT(losses[0][r] == losses[1][r] || (isnan(losses[0][r]) && isnan(losses[1][r])),
               "loss %g of floats, %g of halves", (double)losses[0][r], (double)losses[1][r]);
        EXPECT(lses[0][r] == lses[1][r] || (isnan(lses[0][r]) && isnan(lses[1][r])),
               "log-sum-exp %g of floats, %g of halves", (double)lses[0][r], (double)lses[1][r]);
    }
    EXPECT(guard_surroundings_untouched(&scratch), "cross-entropy, %d columns", (int)row.cols);
    guard_destroy(&scratch);
}

static void check_cross_entropy(const struct softattn_kernels *tested, int32_t format, int64_t cols,
                                random_source *random) {
    const int64_t count = random_between(random, 1, MAX_ROWS);
    struct rows x = rows_create(format, count, cols, random);
    struct rows gradient = rows_create(format, count, cols, random);
    const bool in_place = chance(random, 4), wants_gradient = !chance(random, 6);
    float weights[MANY_COLS + 1], wanted = 0;
    int64_t targets[MAX_ROWS];
    for (int64_t j = 0; j < cols; j++) {
        weights[j] = (float)random_uniform(random, 0, 2);
    }
    for (int r = 0; r < MAX_ROWS; r++) {
        targets[r] = cols == 0 || chance(random, 4) ? -1 : random_below(random, cols);
    }
    rows_fill(&x, chance(random, 3) ? -90 : 0, chance(random, 2) ? 1 : 30, random);
    rows_sprinkle(&x, -HUGE_VALF, chance(random, 4) ? 1 : 10, random);
    if (chance(random, 4)) {
        rows_sprinkle(&x, chance(random, 2) ? HUGE_VALF : (float)NAN, 100, random);
    }
    rows_round(&x, tested);
    struct rows *const result = in_place ? &x : &gradient;
    const struct softattn_row_cross_entropy row = {.rows = count,
                                                   .cols = cols,
                                                   .x_step = x.step,
                                                   .gradient_step = result->step,
                                                   .targets = targets,
                                                   .weights = chance(random, 3) ? weights : NULL,
                                                   .scale = chance(random, 2) ? 1 : 0.125,
                                                   .z_loss = chance(random, 3) ? 1e-2 : 0,
                                                   .factor = chance(random, 20) ? 1e39 : 0.37,
                                                   .loss = chance(random, 4) ? NULL : &wanted,
                                                   .lse = chance(random, 2) ? NULL : &wanted,
                                                   .loss_step = 1,
                                                   .lse_step = 1,
                                                   .stream =
                                                       wants_gradient && !in_place && chance(random, 2)};
    run_cross_entropy(tested, row, &x, result, wants_gradient);
    if (wants_gradient) {
        expect_rounded("cross-entropy", tested, result, !in_place);
    } else {
        EXPECT(guard_surroundings_untouched(&x.halves), "cross-entropy, %d columns", (int)cols);
    }
    rows_destroy(&x);
    rows_destroy(&gradient);
}

static void check_all(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    for (int32_t format = SOFTATTN_FORMAT_F16; format <= SOFTATTN_FORMAT_BF16; format++) {
        check_softmax(tested, format, cols, random);
        check_backward(tested, format, cols, random);
        check_cross_entropy(tested, format, cols, random);
    }
}

static void rows_of_halves_give_those_of_floats_rounded(const struct softattn_kernels *tested,
                                                        const struct softattn_kernels *generic,
                                                        random_source *random) {
    (void)generic;
    if (tested->real_bytes != sizeof(float)) {
        return;
    }
    const int64_t rounds = test_rounds();
    for (int64_t cols = 0; cols <= ALL_COLS; cols++) {
        for (int64_t i = 0; i < 1 + rounds / 50; i++) {
            check_all(tested, cols, random);
        }
    }
    for (int64_t i = 0; i < 1 + rounds / 8; i++) {
        check_all(tested, random_below(random, MANY_COLS), random);
    }
}

int main(void) { return check_tables("test_half_rows", rows_of_halves_give_those_of_floats_rounded); }
