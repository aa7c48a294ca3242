/*
 * cross_entropy of every instruction set gives the generic one's bits, and so do streamed stores: every width
 * up to four vectors and a tail, several rows, target classes at every place and target probabilities, class
 * weights, smoothing, z-loss, scales of either sign, ignored rows, in place, special values. It touches
 * nothing outside its operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDEST_VECTOR = 64, ALL_COLS = 4 * WIDEST_VECTOR + 3, MANY_COLS = 5000, MAX_ROWS = 4 };

struct entropy_case {
    struct softattn_row_cross_entropy rows; /* without its arrays */
    int64_t targets[MAX_ROWS];
    struct reals x, probabilities, weights;
    bool has_probabilities, has_weights, in_place, wants_gradient, wants_loss, wants_lse;
    guard_side side;
};

struct entropy_results {
    struct reals gradient, loss, lse;
};

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

static struct reals make_probabilities(int32_t real_bytes, int64_t count, int64_t cols,
                                       random_source *random) {
    struct reals q = reals_create(real_bytes, count, GUARD_AFTER);
    for (int64_t j = 0; j < count; j++) {
        reals_set(&q, j, chance(random, 3) ? 0 : random_uniform(random, 0, 2.0 / (double)cols));
    }
    return q;
}

/* From the first element of the rows to the last. */
static int64_t elements(const struct softattn_row_cross_entropy *rows, int64_t cols, int64_t step) {
    return (rows->rows - 1) * step + cols;
}

static void set_options(struct softattn_row_cross_entropy *rows, int64_t cols, random_source *random) {
    const double scales[] = {1, 1, 1, 0.125, -0.75, 0};
    rows->rows = random_between(random, 1, MAX_ROWS);
    rows->cols = cols;
    rows->x_step = rows->gradient_step = cols + (chance(random, 2) ? random_below(random, 5) : 0);
    rows->probabilities_step = cols + random_below(random, 5);
    rows->loss_step = 1 + random_below(random, 2);
    rows->lse_step = 1 + random_below(random, 2);
    rows->scale = scales[random_below(random, 6)];
    rows->smoothing = chance(random, 3) ? random_uniform(random, 0, 1) : 0;
    rows->z_loss = chance(random, 3) ? 1e-2 : 0;
    rows->factor = chance(random, 2) ? 1 : 0.37;
    rows->prefetch = chance(random, 3);
}

static struct entropy_case make_case(const struct softattn_kernels *tested, int64_t cols,
                                     random_source *random) {
    const double deviations[] = {1, 1, 10, 100};
    const bool exact = table_is_exact(tested);
    struct entropy_case c = {.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE};
    set_options(&c.rows, cols, random);
    for (int row = 0; row < MAX_ROWS; row++) {
        c.targets[row] = cols == 0 || chance(random, 8) ? -1 : random_below(random, cols);
    }
    c.x = reals_create(tested->real_bytes, elements(&c.rows, cols, c.rows.x_step), GUARD_AFTER);
    reals_fill_normal(&c.x, random, deviations[random_below(random, exact ? 4 : 2)]);
    if (exact && chance(random, 4)) {
        reals_sprinkle_specials(&c.x, random, 1 + random_below(random, 100));
    }
    if (exact && chance(random, 20)) {
        reals_fill(&c.x, -(double)INFINITY);
    }
    const bool has_empty = exact && chance(random, 4);
    const int64_t empty = random_below(random, c.rows.rows);
    for (int64_t j = 0; has_empty && j < cols; j++) {
        reals_set(&c.x, empty * c.rows.x_step + j, -(double)INFINITY);
    }
    c.has_probabilities = chance(random, 3);
    c.probabilities = make_probabilities(tested->real_bytes,
                                         elements(&c.rows, cols, c.rows.probabilities_step), cols, random);
    c.has_weights = chance(random, 3);
    c.weights = make_probabilities(tested->real_bytes, cols, cols, random);
    c.wants_gradient = !chance(random, 5);
    c.in_place = chance(random, 3);
    c.rows.asking = (enum softattn_asking)random_below(random, 3);
    c.rows.stream = c.wants_gradient && !c.in_place && chance(random, 2);
    c.wants_loss = !chance(random, 5);
    c.wants_lse = chance(random, 2);
    return c;
}

static struct entropy_results run_case(const struct softattn_kernels *kernels, const struct entropy_case *c) {
    const int32_t bytes = c->x.bytes;
    struct softattn_row_cross_entropy rows = c->rows;
    struct entropy_results results = {c->in_place ? reals_copy(&c->x, c->side)
                                                  : reals_create(bytes, c->x.count, c->side),
                                      reals_create(bytes, elements(&rows, 1, rows.loss_step), c->side),
                                      reals_create(bytes, elements(&rows, 1, rows.lse_step), c->side)};
    struct reals x = reals_copy(&c->x, c->side), q = reals_copy(&c->probabilities, c->side);
    struct reals w = reals_copy(&c->weights, c->side),
                 scratch = reals_create(bytes, SOFTATTN_ROW_SCRATCH(rows.cols), c->side);
    rows.x = c->in_place ? results.gradient.block.data : x.block.data;
    rows.gradient = c->wants_gradient ? results.gradient.block.data : NULL;
    rows.targets = c->has_probabilities ? NULL : c->targets;
    rows.probabilities = c->has_probabilities ? q.block.data : NULL;
    rows.weights = c->has_weights ? w.block.data : NULL;
    rows.loss = c->wants_loss ? results.loss.block.data : NULL;
    rows.lse = c->wants_lse ? results.lse.block.data : NULL;
    rows.scratch = rows.stream ? scratch.block.data : NULL;
    kernels->cross_entropy(&rows);
    reals_destroy(&x);
    reals_destroy(&q);
    reals_destroy(&w);
    reals_destroy(&scratch);
    return results;
}

static void destroy_results(struct entropy_results *results) {
    reals_destroy(&results->gradient);
    reals_destroy(&results->loss);
    reals_destroy(&results->lse);
}

/*
 * Without fma: a difference of logits of size d, here at most 8 * 10, moves the weights by d roundings, sums
 * and loss by as many, and z-loss and targets scale it by the largest target weight, at most 2.
 */
static struct tolerance case_tolerance(const struct softattn_kernels *tested, const struct entropy_case *c) {
    if (table_is_exact(tested)) {
        return tolerance_none;
    }
    const double roundoff = unit_roundoff(tested->real_bytes) * (double)(c->rows.cols + 1024);
    return (struct tolerance){8 * roundoff, 8 * roundoff};
}

static void check_rows(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                       int64_t cols, random_source *random) {
    struct entropy_case c = make_case(tested, cols, random), plain = c;
    plain.rows.stream = 0;
    struct entropy_results actual = run_case(tested, &c), expected = run_case(generic, &plain);
    const struct tolerance tolerance = case_tolerance(tested, &c);
    char context[240];
    snprintf(context, sizeof context,
             "%s f%d, %" PRId64 " rows of %" PRId64 " classes, target %" PRId64
             ", probabilities %d, weights %d, scale %g, smoothing %g, z-loss %g, stream %d, in place %d",
             tested->isa, 8 * tested->real_bytes, c.rows.rows, cols, c.targets[0], c.has_probabilities,
             c.has_weights, c.rows.scale, c.rows.smoothing, c.rows.z_loss, c.rows.stream, c.in_place);
    expect_equal(context, "gradient", &actual.gradient, &expected.gradient, tolerance);
    expect_equal(context, "loss", &actual.loss, &expected.loss, tolerance);
    expect_equal(context, "lse", &actual.lse, &expected.lse, tolerance);
    if (!c.in_place && cols > 0) {
        expect_gaps_untouched(context, &actual.gradient, cols, c.rows.gradient_step);
    }
    destroy_results(&actual);
    destroy_results(&expected);
    reals_destroy(&c.x);
    reals_destroy(&c.probabilities);
    reals_destroy(&c.weights);
}

static void cross_entropy_equals_generic(const struct softattn_kernels *tested,
                                         const struct softattn_kernels *generic, random_source *random) {
    const int64_t rounds = test_rounds();
    for (int64_t cols = 0; cols <= ALL_COLS; cols++) {
        for (int64_t i = 0; i < 1 + rounds / 50; i++) {
            check_rows(tested, generic, cols, random);
        }
    }
    for (int64_t i = 0; i < 1 + rounds / 8; i++) {
        check_rows(tested, generic, random_below(random, MANY_COLS), random);
    }
}

int main(void) { return check_tables("test_cross_entropy", cross_entropy_equals_generic); }
