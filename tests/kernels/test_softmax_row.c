/*
 * softmax_row of every instruction set gives the generic one's bits: every width up to four vectors and a tail, scale,
 * bias, keep, visible range, either output, streamed stores, in place, log-sum-exp and maximum, special values. Many rows
 * at once, with anything that may differ between them, give the bits of each row alone, of which the scores are computed
 * first. It touches nothing outside its operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST_VECTOR = 64, ALL_COLS = 4 * WIDEST_VECTOR + 3, MANY_COLS = 5000, MOST_ROWS = 5 };

/* What a row is read from; the row's pointers are set by run_row. */
struct row_case {
    struct softattn_row row;
    struct reals x, bias;
    guard_block keep;
    bool has_bias, has_keep, in_place, wants_y, wants_lse, wants_max, wants_prefetch;
    guard_side side;
};

struct row_results {
    struct reals y, lse, max;
};

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

static struct reals make_scores(int32_t real_bytes, int64_t cols, random_source *random, bool specials) {
    struct reals x = reals_create(real_bytes, cols, GUARD_AFTER);
    const double deviations[] = {1, 1, 10, 100, 1e30, 0};
    reals_fill_normal(&x, random, deviations[random_below(random, 6)]);
    if (specials && chance(random, 3)) {
        reals_sprinkle_specials(&x, random, 1 + random_below(random, 100));
    }
    if (chance(random, 20)) {
        reals_fill(&x, -(double)INFINITY);
    }
    return x;
}

static struct row_case make_case(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    const double scales[] = {1, 1, 1, 0.125, -0.75, 0, 3.0e3};
    struct row_case c = {.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE};
    struct softattn_row *row = &c.row;
    row->rows = 1;
    row->cols = row->last = cols;
    row->scale = scales[random_below(random, 7)];
    row->output = chance(random, 3) ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    row->empty_is_zero = chance(random, 2);
    row->stream = chance(random, 3);
    row->asking = (enum softattn_asking)random_below(random, 3);
    if (chance(random, 3)) {
        row->first = random_between(random, 0, cols);
        row->last = random_between(random, 0, cols);
    }
    c.x = make_scores(tested->real_bytes, cols, random, table_is_exact(tested));
    c.has_bias = chance(random, 3);
    row->bias_stride = random_below(random, 2);
    c.bias = reals_create(tested->real_bytes, row->bias_stride ? cols : 1, c.side);
    reals_fill_normal(&c.bias, random, 2);
    for (int64_t i = 0; i < c.bias.count; i++) {
        if (chance(random, 9)) {
            reals_set(&c.bias, i, -(double)INFINITY);
        }
    }
    c.has_keep = chance(random, 3);
    row->keep_stride = random_below(random, 2);
    guard_create(&c.keep, row->keep_stride ? (size_t)cols : 1, 1, c.side);
    for (size_t i = 0; i < c.keep.bytes; i++) {
        c.keep.data[i] = (unsigned char)random_below(random, 3);
    }
    c.wants_y = !chance(random, 8);
    c.in_place = chance(random, 4);
    c.wants_lse = chance(random, 2);
    c.wants_max = chance(random, 2);
    c.wants_prefetch = chance(random, 4);
    return c;
}

static void destroy_case(struct row_case *c) {
    reals_destroy(&c->x);
    reals_destroy(&c->bias);
    guard_destroy(&c->keep);
}

static struct row_results run_row(const struct softattn_kernels *kernels, const struct row_case *c) {
    const int32_t bytes = c->x.bytes;
    struct softattn_row row = c->row;
    struct row_results results = {reals_create(bytes, c->row.cols, c->side), reals_create(bytes, 1, c->side),
                                  reals_create(bytes, 1, c->side)};
    struct reals x = reals_copy(&c->x, c->side);
    struct reals scratch = reals_create(bytes, SOFTATTN_ROW_SCRATCH(c->row.cols), c->side);
    row.x = x.block.data;
    if (c->in_place) {
        memcpy(results.y.block.data, x.block.data, x.block.bytes);
        row.x = results.y.block.data;
    }
    row.y = c->wants_y ? results.y.block.data : NULL;
    row.bias = c->has_bias ? c->bias.block.data : NULL;
    row.keep = c->has_keep ? c->keep.data : NULL;
    row.prefetch = c->wants_prefetch ? x.block.data : NULL;
    row.scratch = scratch.block.data;
    row.lse = c->wants_lse ? results.lse.block.data : NULL;
    row.max = c->wants_max ? results.max.block.data : NULL;
    kernels->softmax_row(&row);
    reals_destroy(&scratch);
    reals_destroy(&x);
    return results;
}

static void destroy_results(struct row_results *results) {
    reals_destroy(&results->y);
    reals_destroy(&results->lse);
    reals_destroy(&results->max);
}

/*
 * Without fma scale * x + bias is rounded twice: a score s is off by u * |scale * x| at most, twice with the maximum's
 * own error, and exp2 by some units. The sum averages those errors, and the quotient has the larger of both again.
 * Weights near the least normal number may be flushed to 0 on one side only.
 */
static struct tolerance row_tolerance(const struct softattn_kernels *tested, const struct row_case *c) {
    if (table_is_exact(tested)) {
        return tolerance_none;
    }
    double largest = 0;
    for (int64_t i = 0; i < c->x.count; i++) {
        largest = fmax(largest, fabs(c->row.scale * reals_get(&c->x, i)));
    }
    for (int64_t i = 0; i < c->bias.count; i++) {
        const double bias = fabs(reals_get(&c->bias, i));
        largest = c->has_bias && isfinite(bias) ? fmax(largest, bias) : largest;
    }
    const double roundoff = unit_roundoff(tested->real_bytes);
    const double weights = roundoff * (8 * largest + 64);
    /* log-probabilities and statistics move by the scores' errors themselves */
    return (struct tolerance){4 * smallest_normal(tested->real_bytes) +
                                  (c->row.output == SOFTATTN_ROW_LOG_PROBABILITIES ? weights : 0),
                              weights};
}

static void check_row(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                      int64_t cols, random_source *random) {
    struct row_case c = make_case(tested, cols, random);
    struct row_results actual = run_row(tested, &c), expected = run_row(generic, &c);
    const struct tolerance tolerance = row_tolerance(tested, &c);
    const struct tolerance statistics = {tolerance.absolute + tolerance.relative, tolerance.relative};
    char context[200];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " columns, scale %g, visible %" PRId64 " ... %" PRId64
             ", bias %d, keep %d, log %d, stream %d, in place %d",
             tested->isa, 8 * tested->real_bytes, cols, c.row.scale, c.row.first, c.row.last, c.has_bias,
             c.has_keep, c.row.output, c.row.stream, c.in_place);
    expect_equal(context, "y", &actual.y, &expected.y, tolerance);
    expect_equal(context, "lse", &actual.lse, &expected.lse, statistics);
    expect_equal(context, "max", &actual.max, &expected.max, statistics);
    destroy_results(&actual);
    destroy_results(&expected);
    destroy_case(&c);
}

/* ---- Many rows at once ---- */

/* Rows, what masks them, and their results, of which there are two: from one call, and from one call for each row. */
struct rows_case {
    struct softattn_row row;
    int64_t lasts[MOST_ROWS];
    struct reals x, bias, scratch;
    struct reals y[2], lse[2], max[2];
    guard_block keep;
    bool in_place, has_lasts, has_bias, has_keep, wants_y, wants_lse, wants_max;
};

static int64_t extent(const struct softattn_row *row, int64_t step, int64_t each) {
    return (row->rows - 1) * step + each;
}

static void choose_rows(struct softattn_row *row, int64_t cols, random_source *random) {
    const double scales[] = {0.125, 1.7, 3.0e3, -0.75};
    *row = (struct softattn_row){.rows = random_between(random, 1, MOST_ROWS), .cols = cols, .last = cols};
    row->scale = chance(random, 2) ? 1 : scales[random_below(random, 4)];
    row->output = (int32_t)random_below(random, 2);
    row->plus_one = chance(random, 6);
    row->empty_is_zero = chance(random, 2);
    if (chance(random, 2)) { /* else all columns of all rows are visible */
        row->last_step = random_below(random, 3);
        const int64_t most = cols - (row->rows - 1) * row->last_step;
        row->last_step = most < 0 ? 0 : row->last_step;
        row->last = random_between(random, 0, most < 0 ? cols : most);
    }
    row->bias_stride = random_below(random, 2);
    row->keep_stride = random_below(random, 2);
    row->bias_step = random_below(random, 3) * row->bias_stride * cols;
    row->keep_step = random_below(random, 2) * cols;
    row->lse_step = 1 + random_below(random, 3);
    row->max_step = 1 + random_below(random, 3);
}

static struct rows_case make_rows(const struct softattn_kernels *tested, int64_t cols,
                                  random_source *random) {
    const int32_t bytes = tested->real_bytes;
    struct rows_case c = {.in_place = chance(random, 3), .has_bias = chance(random, 6)};
    struct softattn_row *row = &c.row;
    choose_rows(row, cols, random);
    c.has_lasts = chance(random, 3);
    for (int64_t r = 0; r < MOST_ROWS; r++) {
        c.lasts[r] = chance(random, 6) ? 0 : random_between(random, 0, cols);
    }
    c.has_keep = chance(random, 6);
    c.wants_y = !chance(random, 8);
    c.wants_lse = chance(random, 3);
    c.wants_max = chance(random, 3);
    row->stream = !c.in_place && chance(random, 2);
    row->asking = (enum softattn_asking)random_below(random, 3);
    const bool has_gaps = chance(random, 2);
    row->x_step = cols + (has_gaps ? random_below(random, 20) : 0);
    row->y_step = c.in_place ? row->x_step : cols + (has_gaps ? random_below(random, 20) : 0);
    c.x = make_scores(bytes, extent(row, row->x_step, cols), random, table_is_exact(tested));
    const bool has_empty = chance(random, 3);
    const int64_t empty = random_below(random, row->rows);
    for (int64_t j = 0; has_empty && j < cols; j++) {
        reals_set(&c.x, empty * row->x_step + j, -(double)INFINITY);
    }
    c.bias = reals_create(bytes, extent(row, row->bias_step, row->bias_stride ? cols : 1), GUARD_AFTER);
    reals_fill_normal(&c.bias, random, 2);
    guard_create(&c.keep, (size_t)extent(row, row->keep_step, row->keep_stride ? cols : 1), 1, GUARD_AFTER);
    for (size_t i = 0; i < c.keep.bytes; i++) {
        c.keep.data[i] = (unsigned char)random_below(random, 3);
    }
    c.scratch = reals_create(bytes, SOFTATTN_SCORES_SCRATCH(cols), GUARD_AFTER);
    for (int i = 0; i < 2; i++) {
        c.y[i] = c.in_place ? reals_copy(&c.x, GUARD_AFTER)
                            : reals_create(bytes, extent(row, row->y_step, cols), GUARD_AFTER);
        c.lse[i] = reals_create(bytes, extent(row, row->lse_step, 1), GUARD_AFTER);
        c.max[i] = reals_create(bytes, extent(row, row->max_step, 1), GUARD_AFTER);
        if (!c.in_place) {
            reals_fill(&c.y[i], 7); /* between rows it stays */
        }
        reals_fill(&c.lse[i], 7);
        reals_fill(&c.max[i], 7);
    }
    return c;
}

static void destroy_rows(struct rows_case *c) {
    for (int i = 0; i < 2; i++) {
        reals_destroy(&c->max[i]);
        reals_destroy(&c->lse[i]);
        reals_destroy(&c->y[i]);
    }
    reals_destroy(&c->scratch);
    guard_destroy(&c->keep);
    reals_destroy(&c->bias);
    reals_destroy(&c->x);
}

static char *real_at(const struct reals *reals, int64_t index) {
    return (char *)reals->block.data + index * reals->bytes;
}

/* Row number r of the case, and those after it, with results number i. */
static struct softattn_row rows_from(const struct rows_case *c, int64_t r, int i) {
    struct softattn_row row = c->row;
    row.rows -= r;
    row.last += r * row.last_step;
    row.lasts = c->has_lasts ? c->lasts + r : NULL;
    row.x = real_at(c->in_place ? &c->y[i] : &c->x, r * row.x_step);
    row.y = c->wants_y ? real_at(&c->y[i], r * row.y_step) : NULL;
    row.bias = c->has_bias ? real_at(&c->bias, r * row.bias_step) : NULL;
    row.keep = c->has_keep ? c->keep.data + r * row.keep_step : NULL;
    row.lse = c->wants_lse ? real_at(&c->lse[i], r * row.lse_step) : NULL;
    row.max = c->wants_max ? real_at(&c->max[i], r * row.max_step) : NULL;
    row.scratch = c->scratch.block.data;
    return row;
}

/* A mask that hides nothing makes softmax_row compute the scores first, whatever it does without. */
static void run_alone(const struct softattn_kernels *tested, const struct rows_case *c) {
    const uint8_t shown = 1;
    for (int64_t r = 0; r < c->row.rows; r++) {
        struct softattn_row row = rows_from(c, r, 1);
        row.rows = 1;
        row.stream = 0;
        row.last = row.lasts ? *row.lasts : row.last;
        row.lasts = NULL;
        if (!c->has_keep) {
            row.keep = &shown;
            row.keep_stride = 0;
        }
        tested->softmax_row(&row);
    }
}

static void check_rows(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    struct rows_case c = make_rows(tested, cols, random);
    const struct softattn_row together = rows_from(&c, 0, 0);
    tested->softmax_row(&together);
    run_alone(tested, &c);
    char context[240];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " rows of %" PRId64 " columns, scale %g, last %" PRId64 " + %" PRId64
             ", lasts %d, plus one %d, bias %d, keep %d, log %d, stream %d, in place %d",
             tested->isa, 8 * tested->real_bytes, together.rows, cols, together.scale, together.last,
             together.last_step, c.has_lasts, together.plus_one, c.has_bias, c.has_keep, together.output,
             together.stream, c.in_place);
    expect_equal(context, "y", &c.y[0], &c.y[1], tolerance_none);
    expect_equal(context, "lse", &c.lse[0], &c.lse[1], tolerance_none);
    expect_equal(context, "max", &c.max[0], &c.max[1], tolerance_none);
    destroy_rows(&c);
}

static void softmax_rows_keep_their_bits(const struct softattn_kernels *tested, random_source *random) {
    for (int64_t cols = 0; cols <= ALL_COLS; cols++) {
        for (int64_t i = 0; i < 1 + test_rounds() / 100; i++) {
            check_rows(tested, cols, random);
        }
    }
    for (int64_t i = 0; i < 1 + test_rounds() / 8; i++) {
        check_rows(tested, random_below(random, MANY_COLS), random);
    }
}

static void softmax_row_equals_generic(const struct softattn_kernels *tested,
                                       const struct softattn_kernels *generic, random_source *random) {
    const int64_t rounds = test_rounds();
    for (int64_t cols = 0; cols <= ALL_COLS; cols++) {
        for (int64_t i = 0; i < 1 + rounds / 50; i++) {
            check_row(tested, generic, cols, random);
        }
    }
    for (int64_t i = 0; i < 1 + rounds / 8; i++) {
        check_row(tested, generic, random_below(random, MANY_COLS), random);
    }
    softmax_rows_keep_their_bits(tested, random);
}

int main(void) { return check_tables("test_softmax_row", softmax_row_equals_generic); }
