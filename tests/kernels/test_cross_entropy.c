/*
 * cross_entropy of every instruction set gives the generic one's bits, and so do streamed stores and results in place:
 * every width up to four vectors and a tail, target classes at every place and target probabilities, class weights,
 * smoothing, z-loss, scales of either sign, ignored rows, special values. It touches nothing outside its operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST_VECTOR = 64, ALL_COLS = 4 * WIDEST_VECTOR + 3, MANY_COLS = 5000 };

struct entropy_case {
    struct softattn_row_cross_entropy row; /* without its arrays */
    struct reals x, probabilities, weights;
    bool has_probabilities, has_weights, in_place, wants_gradient, wants_loss, wants_lse, wants_prefetch;
    guard_side side;
};

struct entropy_results {
    struct reals gradient, loss, lse;
};

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

static struct reals make_probabilities(int32_t real_bytes, int64_t cols, random_source *random) {
    struct reals q = reals_create(real_bytes, cols, GUARD_AFTER);
    for (int64_t j = 0; j < cols; j++) {
        reals_set(&q, j, chance(random, 3) ? 0 : random_uniform(random, 0, 2.0 / (double)cols));
    }
    return q;
}

static struct entropy_case make_case(const struct softattn_kernels *tested, int64_t cols,
                                     random_source *random) {
    const double scales[] = {1, 1, 1, 0.125, -0.75, 0};
    const double deviations[] = {1, 1, 10, 100};
    const bool exact = table_is_exact(tested);
    struct entropy_case c = {.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE};
    c.row.cols = cols;
    c.row.target = cols == 0 || chance(random, 8) ? -1 : random_below(random, cols);
    c.row.scale = scales[random_below(random, 6)];
    c.row.smoothing = chance(random, 3) ? random_uniform(random, 0, 1) : 0;
    c.row.z_loss = chance(random, 3) ? 1e-2 : 0;
    c.row.factor = chance(random, 2) ? 1 : 0.37;
    c.row.stream = chance(random, 3);
    c.x = reals_create(tested->real_bytes, cols, GUARD_AFTER);
    reals_fill_normal(&c.x, random, deviations[random_below(random, exact ? 4 : 2)]);
    if (exact && chance(random, 4)) {
        reals_sprinkle_specials(&c.x, random, 1 + random_below(random, 100));
    }
    if (exact && chance(random, 20)) {
        reals_fill(&c.x, -(double)INFINITY);
    }
    c.has_probabilities = chance(random, 3);
    c.probabilities = make_probabilities(tested->real_bytes, cols, random);
    c.has_weights = chance(random, 3);
    c.weights = make_probabilities(tested->real_bytes, cols, random);
    c.wants_gradient = !chance(random, 5);
    c.in_place = chance(random, 3);
    c.wants_loss = !chance(random, 5);
    c.wants_lse = chance(random, 2);
    c.wants_prefetch = chance(random, 3);
    return c;
}

static struct entropy_results run_case(const struct softattn_kernels *kernels, const struct entropy_case *c) {
    const int32_t bytes = c->x.bytes;
    struct softattn_row_cross_entropy row = c->row;
    struct entropy_results results = {c->in_place ? reals_copy(&c->x, c->side)
                                                  : reals_create(bytes, c->row.cols, c->side),
                                      reals_create(bytes, 1, c->side), reals_create(bytes, 1, c->side)};
    struct reals x = reals_copy(&c->x, c->side), q = reals_copy(&c->probabilities, c->side);
    struct reals w = reals_copy(&c->weights, c->side);
    row.stream = c->row.stream && !c->in_place;
    row.x = c->in_place ? results.gradient.block.data : x.block.data;
    row.gradient = c->wants_gradient ? results.gradient.block.data : NULL;
    row.probabilities = c->has_probabilities ? q.block.data : NULL;
    row.weights = c->has_weights ? w.block.data : NULL;
    row.prefetch_x = c->wants_prefetch ? x.block.data : NULL;
    row.prefetch_probabilities = c->wants_prefetch ? q.block.data : NULL;
    row.loss = c->wants_loss ? results.loss.block.data : NULL;
    row.lse = c->wants_lse ? results.lse.block.data : NULL;
    kernels->cross_entropy(&row);
    reals_destroy(&x);
    reals_destroy(&q);
    reals_destroy(&w);
    return results;
}

/*
 * Without fma: a difference of logits of size d, here at most 8 * 10, moves the weights by d roundings, sums and loss by
 * as many, and z-loss and targets scale it by the largest target weight, at most 2.
 */
static struct tolerance case_tolerance(const struct softattn_kernels *tested, const struct entropy_case *c) {
    if (table_is_exact(tested)) {
        return tolerance_none;
    }
    const double roundoff = unit_roundoff(tested->real_bytes) * (double)(c->row.cols + 1024);
    return (struct tolerance){8 * roundoff, 8 * roundoff};
}

static void check_row(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                      int64_t cols, random_source *random) {
    struct entropy_case c = make_case(tested, cols, random), plain = c;
    plain.row.stream = 0;
    plain.in_place = false;
    struct entropy_results actual = run_case(tested, &c), expected = run_case(generic, &plain);
    const struct tolerance tolerance = case_tolerance(tested, &c);
    char context[220];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " classes, target %" PRId64
             ", probabilities %d, weights %d, scale %g, smoothing %g, "
             "z-loss %g, stream %d, in place %d",
             tested->isa, 8 * tested->real_bytes, cols, c.row.target, c.has_probabilities, c.has_weights,
             c.row.scale, c.row.smoothing, c.row.z_loss, c.row.stream, c.in_place);
    if (c.wants_gradient) {
        expect_equal(context, "gradient", &actual.gradient, &expected.gradient, tolerance);
    }
    expect_equal(context, "loss", &actual.loss, &expected.loss, tolerance);
    expect_equal(context, "lse", &actual.lse, &expected.lse, tolerance);
    reals_destroy(&actual.gradient);
    reals_destroy(&actual.loss);
    reals_destroy(&actual.lse);
    reals_destroy(&expected.gradient);
    reals_destroy(&expected.loss);
    reals_destroy(&expected.lse);
    reals_destroy(&c.x);
    reals_destroy(&c.probabilities);
    reals_destroy(&c.weights);
}

static void cross_entropy_equals_generic(const struct softattn_kernels *tested,
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
}

int main(void) { return check_tables("test_cross_entropy", cross_entropy_equals_generic); }
