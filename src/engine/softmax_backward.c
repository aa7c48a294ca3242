/* Derivatives of row-wise softmax: a kernel call for each row. */
#include "engine/softmax_backward.h"

#include <stddef.h>

/* ---- Products ---- */

enum { Y, V, OUT };

struct product {
    const struct softattn_softmax_backward_problem *problem;
    bool prefetch, stream;
};

static void visit_product(void *user, const struct softattn_row_visit *visit) {
    const struct product *product = user;
    const struct softattn_softmax_backward_problem *problem = product->problem;
    const struct softattn_row_backward row = {.cols = problem->rows.cols,
                                              .y = visit->data[Y],
                                              .v = visit->data[V],
                                              .out = visit->data[OUT],
                                              .scale = problem->scale,
                                              .output = problem->output,
                                              .transposed = problem->transposed,
                                              .stream = product->stream,
                                              .prefetch_y = product->prefetch ? visit->next[Y] : NULL,
                                              .prefetch_v = product->prefetch ? visit->next[V] : NULL};
    problem->kernels->softmax_backward(&row);
}

/* What does not stay in the caches anyway is asked for early and, where out is not v, stored around them. */
static void suit_to_caches(struct product *product) {
    const struct softattn_softmax_backward_problem *problem = product->problem;
    const struct softattn_rows *rows = &problem->rows;
    const double elements = (double)softattn_rows_count(rows) * (double)rows->cols;
    product->prefetch = softattn_rows_exceed_cache(3 * elements * problem->kernels->real_bytes);
    product->stream = product->prefetch && problem->out.data != problem->v.data &&
                      softattn_row_is_contiguous(rows, &problem->y) &&
                      softattn_row_is_contiguous(rows, &problem->v) &&
                      softattn_row_is_contiguous(rows, &problem->out);
}

bool softattn_softmax_backward_execute(const struct softattn_softmax_backward_problem *problem,
                                       const struct softattn_runtime *runtime) {
    struct product product = {.problem = problem};
    const struct softattn_row_walk walk = {.kernels = problem->kernels,
                                           .rows = problem->rows,
                                           .matrix = {[Y] = {.operand = problem->y, .is_read = true},
                                                      [V] = {.operand = problem->v, .is_read = true},
                                                      [OUT] = {.operand = problem->out, .is_written = true}},
                                           .visit = visit_product,
                                           .user = &product};
    suit_to_caches(&product);
    return softattn_rows_walk(&walk, runtime);
}

/* ---- Jacobians ---- */

enum { JACOBIAN = 1 };

static void visit_jacobian(void *user, const struct softattn_row_visit *visit) {
    const struct softattn_jacobian_problem *problem = user;
    const int64_t i = visit->place.index[problem->rows.rank - 1];
    problem->kernels->jacobian_row(problem->rows.cols, i, visit->data[Y], problem->output, problem->scale,
                                   visit->data[JACOBIAN]);
}

bool softattn_jacobian_execute(const struct softattn_jacobian_problem *problem,
                               const struct softattn_runtime *runtime) {
    struct softattn_jacobian_problem own = *problem;
    const struct softattn_row_walk walk = {
        .kernels = problem->kernels,
        .rows = problem->rows,
        .matrix = {[Y] = {.operand = problem->y, .is_read = true},
                   [JACOBIAN] = {.operand = problem->jacobian, .is_written = true}},
        .visit = visit_jacobian,
        .user = &own};
    return softattn_rows_walk(&walk, runtime);
}
