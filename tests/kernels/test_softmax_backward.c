/*
 * softmax_backward and jacobian_row of every instruction set give the generic one's bits, and so do streamed
 * stores: every width up to four vectors and a tail, several rows, each of the three products, in place,
 * masked columns, special values. They touch nothing outside their operands, and masked columns come out 0.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST_VECTOR = 64, ALL_COLS = 4 * WIDEST_VECTOR + 3, MANY_COLS = 5000 };

struct backward_case {
    struct softattn_row_backward row; /* without its arrays */
    struct reals y, v;
    bool in_place;
    guard_side side;
};

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

/* Something like a softmax result: probabilities whose sum is about 1, or their logarithms. */
static struct reals make_y(int32_t real_bytes, int64_t count, int64_t cols, int32_t output,
                           random_source *random) {
    const bool is_log = output == SOFTATTN_ROW_LOG_PROBABILITIES;
    struct reals y = reals_create(real_bytes, count, GUARD_AFTER);
    for (int64_t j = 0; j < count; j++) {
        const double p = exp(3 * random_normal(random)) / ((double)cols * 90);
        const double log_p = log(p) < 1e-7 ? log(p) : 1e-7; /* rounding leaves some just above 0 */
        reals_set(&y, j, is_log ? log_p : p);
        if (chance(random, 4)) {
            reals_set(&y, j, is_log ? -(double)INFINITY : 0);
        }
    }
    return y;
}

/* From the first element of the rows to the last. */
static int64_t elements(const struct softattn_row_backward *row, int64_t step) {
    return (row->rows - 1) * step + row->cols;
}

static struct backward_case make_case(const struct softattn_kernels *tested, int64_t cols,
                                      random_source *random) {
    const double scales[] = {1, 1, 0.125, -0.75, 0, 3.0e3};
    struct backward_case c = {.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE};
    c.row.rows = random_between(random, 1, 4);
    c.row.cols = cols;
    const bool has_gaps = chance(random, 2);
    c.row.y_step = cols + (has_gaps ? random_below(random, 5) : 0);
    c.row.v_step = c.row.out_step = cols + (has_gaps ? random_below(random, 5) : 0);
    c.row.scale = scales[random_below(random, 6)];
    c.row.output = chance(random, 2) ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    c.row.transposed = chance(random, 2);
    c.row.stream = chance(random, 3);
    c.row.prefetch = chance(random, 3);
    c.row.asking = (enum softattn_asking)random_below(random, 3);
    c.y = make_y(tested->real_bytes, elements(&c.row, c.row.y_step), cols, c.row.output, random);
    c.v = reals_create(tested->real_bytes, elements(&c.row, c.row.v_step), c.side);
    reals_fill_normal(&c.v, random, 1);
    if (table_is_exact(tested) && chance(random, 4)) {
        reals_sprinkle_specials(&c.v, random, 1 + random_below(random, 50));
        reals_sprinkle_specials(&c.y, random, 1 + random_below(random, 200));
    }
    c.in_place = chance(random, 3);
    return c;
}

static struct reals run_case(const struct softattn_kernels *kernels, const struct backward_case *c) {
    struct softattn_row_backward row = c->row;
    struct reals out =
        c->in_place ? reals_copy(&c->v, c->side) : reals_create(c->v.bytes, c->v.count, c->side);
    struct reals v = reals_copy(&c->v, c->side);
    struct reals y = reals_copy(&c->y, c->side);
    row.y = y.block.data;
    row.v = c->in_place ? out.block.data : v.block.data;
    row.out = out.block.data;
    kernels->softmax_backward(&row);
    reals_destroy(&v);
    reals_destroy(&y);
    return out;
}

/*
 * Without fma, and with an exponential that is off by another unit: each term of the sum moves by a few
 * roundings, more for the argument of the exponential, and so does the result by as much of the whole sum.
 */
static struct tolerance case_tolerance(const struct softattn_kernels *tested, const struct backward_case *c) {
    if (table_is_exact(tested)) {
        return tolerance_none;
    }
    double sum = 0; /* over all rows, so at least that of each */
    for (int64_t i = 0; i < c->row.rows * c->row.cols; i++) {
        const int64_t row = i / c->row.cols, j = i % c->row.cols;
        const double y = reals_get(&c->y, row * c->row.y_step + j);
        const double v = fabs(reals_get(&c->v, row * c->row.v_step + j));
        const bool is_log = c->row.output == SOFTATTN_ROW_LOG_PROBABILITIES;
        sum += !is_log ? y * v : isinf(y) ? 0 : (c->row.transposed ? 1 : exp(y)) * v * (8 - 2 * y);
    }
    const double roundoff = unit_roundoff(tested->real_bytes);
    return (struct tolerance){
        64 * roundoff * fabs(c->row.scale) * sum + 4 * smallest_normal(tested->real_bytes), 256 * roundoff};
}

static void masked_columns_are_zero(const char *context, const struct backward_case *c,
                                    const struct reals *out) {
    const double masked = c->row.output == SOFTATTN_ROW_LOG_PROBABILITIES ? -(double)INFINITY : 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < c->row.rows * c->row.cols; i++) {
        const int64_t row = i / c->row.cols, j = i % c->row.cols;
        const double value = reals_get(out, row * c->row.out_step + j);
        wrong += reals_get(&c->y, row * c->row.y_step + j) == masked && (value != 0 || signbit(value));
    }
    EXPECT(wrong == 0, "%s: %" PRId64 " masked columns are not 0", context, wrong);
}

static void check_product(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                          int64_t cols, random_source *random) {
    struct backward_case c = make_case(tested, cols, random), plain = c;
    plain.row.stream = 0;
    struct reals actual = run_case(tested, &c), expected = run_case(generic, &plain);
    char context[200];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " rows of %" PRId64
             " columns, scale %g, log %d, transposed %d, stream %d, in place %d",
             tested->isa, 8 * tested->real_bytes, c.row.rows, cols, c.row.scale, c.row.output,
             c.row.transposed, c.row.stream, c.in_place);
    expect_equal(context, "out", &actual, &expected, case_tolerance(tested, &c));
    if (!c.in_place && cols > 0) {
        expect_gaps_untouched(context, &actual, cols, c.row.out_step);
    }
    masked_columns_are_zero(context, &c, &actual);
    reals_destroy(&actual);
    reals_destroy(&expected);
    reals_destroy(&c.y);
    reals_destroy(&c.v);
}

static struct reals jacobian_row(const struct softattn_kernels *kernels, const struct reals *y, int64_t i,
                                 int32_t output, double scale, guard_side side) {
    struct reals row = reals_create(y->bytes, y->count, side);
    kernels->jacobian_row(y->count, i, y->block.data, output, scale, row.block.data);
    return row;
}

static void check_jacobian(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                           int64_t cols, random_source *random) {
    const double scale = chance(random, 2) ? 1 : -0.3;
    const int32_t output = chance(random, 2) ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    const guard_side side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
    const int64_t i = random_below(random, cols);
    struct reals y = make_y(tested->real_bytes, cols, cols, output, random);
    struct reals actual = jacobian_row(tested, &y, i, output, scale, side);
    struct reals expected = jacobian_row(generic, &y, i, output, scale, side);
    char context[120];
    snprintf(context, sizeof context, "%s f%d, row %" PRId64 " of %" PRId64 ", log %d", tested->isa,
             8 * tested->real_bytes, i, cols, output);
    /* sse2: the argument of the exponential, up to 30, by a rounding, and the exponential itself */
    const double roundoff = table_is_exact(tested) ? 0 : 128 * unit_roundoff(tested->real_bytes);
    expect_equal(context, "jacobian", &actual, &expected,
                 (struct tolerance){roundoff == 0 ? 0 : roundoff * fabs(scale), roundoff});
    reals_destroy(&actual);
    reals_destroy(&expected);
    reals_destroy(&y);
}

static void softmax_backward_equals_generic(const struct softattn_kernels *tested,
                                            const struct softattn_kernels *generic, random_source *random) {
    const int64_t rounds = test_rounds();
    for (int64_t cols = 0; cols <= ALL_COLS; cols++) {
        for (int64_t i = 0; i < 1 + rounds / 50; i++) {
            check_product(tested, generic, cols, random);
        }
        check_jacobian(tested, generic, cols + 1, random);
    }
    for (int64_t i = 0; i < 1 + rounds / 8; i++) {
        check_product(tested, generic, random_below(random, MANY_COLS), random);
    }
}

int main(void) { return check_tables("test_softmax_backward", softmax_backward_equals_generic); }
