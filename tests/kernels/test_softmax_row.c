/*
 * softmax_row of every instruction set gives the generic one's bits: every width up to four vectors and a tail, scale,
 * bias, keep, visible range, either output, streamed stores, in place, log-sum-exp and maximum, special values. Many rows
 * at once, at any distance of one from the next, give the bits of each row alone. It touches nothing outside its operands.
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
    struct reals scratch = reals_create(bytes, c->row.cols, c->side);
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

static char *row_address(const struct reals *reals, int64_t index) {
    return (char *)reals->block.data + index * reals->bytes;
}

/* The rows of `row` one at a time; what asks for statistics is computed by itself, too. */
static void run_alone(const struct softattn_kernels *tested, struct softattn_row row, const struct reals *x,
                      const struct reals *y) {
    const int64_t count = row.rows;
    struct reals statistic = reals_create(x->bytes, 1, GUARD_AFTER);
    row.rows = 1;
    row.lse = statistic.block.data;
    row.stream = 0;
    for (int64_t r = 0; r < count; r++) {
        row.x = row_address(x, r * row.x_step);
        row.y = row_address(y, r * row.y_step);
        tested->softmax_row(&row);
    }
    reals_destroy(&statistic);
}

static void check_rows(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    const bool in_place = chance(random, 3);
    struct softattn_row row = {.rows = random_between(random, 1, MOST_ROWS),
                               .cols = cols,
                               .last = cols,
                               .scale = 1,
                               .output = (int32_t)random_below(random, 2),
                               .empty_is_zero = chance(random, 2),
                               .stream = !in_place && chance(random, 2)};
    row.x_step = cols + random_below(random, 20);
    row.y_step = in_place ? row.x_step : cols + random_below(random, 20);
    const int64_t last_x = (row.rows - 1) * row.x_step, last_y = (row.rows - 1) * row.y_step;
    struct reals x = make_scores(tested->real_bytes, last_x + cols, random, table_is_exact(tested));
    for (int64_t j = 0; chance(random, 4) && j < cols; j++) {
        reals_set(&x, last_x + j, -(double)INFINITY);
    }
    struct reals scratch = reals_create(tested->real_bytes, cols, GUARD_AFTER);
    struct reals together =
        in_place ? reals_copy(&x, GUARD_AFTER) : reals_create(tested->real_bytes, last_y + cols, GUARD_AFTER);
    if (!in_place) {
        reals_fill(&together, 7); /* between rows it stays */
    }
    struct reals alone = reals_copy(&together, GUARD_AFTER);
    row.scratch = scratch.block.data;
    run_alone(tested, row, in_place ? &alone : &x, &alone);
    row.x = in_place ? together.block.data : x.block.data;
    row.y = together.block.data;
    tested->softmax_row(&row);
    char context[200];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " rows of %" PRId64 " columns, log %d, stream %d, in place %d", tested->isa,
             8 * tested->real_bytes, row.rows, cols, row.output, row.stream, in_place);
    expect_equal(context, "y", &together, &alone, tolerance_none);
    reals_destroy(&alone);
    reals_destroy(&together);
    reals_destroy(&scratch);
    reals_destroy(&x);
}

static void softmax_rows_keep_their_bits(const struct softattn_kernels *tested, random_source *random) {
    for (int64_t cols = 1; cols <= ALL_COLS; cols++) {
        check_rows(tested, cols, random);
    }
    for (int64_t i = 0; i < 1 + test_rounds() / 8; i++) {
        check_rows(tested, 1 + random_below(random, MANY_COLS), random);
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
