/* Derivatives of row-wise softmax: walks the rows (rows.h) and hands them to the kernels. */
#include "engine/softmax_backward.h"

#include <stddef.h>
#include <string.h>

#include "engine/reals.h"
#include "platform/cpu.h"

/* ---- Products ---- */

enum { Y, V, OUT };

struct product {
    const struct softattn_softmax_backward_problem *problem;
    bool columns, halves, prefetch, stream;
};

/* Rows whose elements have nothing to do with each other are one where they lie without gaps. */
static void join_rows(struct softattn_row_backward *rows) {
    if (rows->y_step == rows->cols && rows->v_step == rows->cols && rows->out_step == rows->cols) {
        rows->cols *= rows->rows;
        rows->rows = 1;
    }
}

static void visit_product(void *user, const struct softattn_row_visit *visit) {
    const struct product *product = user;
    const struct softattn_softmax_backward_problem *problem = product->problem;
    const int32_t format = product->halves ? problem->y.format : SOFTATTN_FORMAT_REAL;
    struct softattn_row_backward rows = {.rows = visit->count,
                                         .cols = problem->rows.cols,
                                         .format = format,
                                         .y = visit->data[Y],
                                         .v = visit->data[V],
                                         .out = visit->data[OUT],
                                         .y_step = visit->step[Y],
                                         .v_step = visit->step[V],
                                         .out_step = visit->step[OUT],
                                         .y_stride = visit->stride[Y],
                                         .v_stride = visit->stride[V],
                                         .out_stride = visit->stride[OUT],
                                         .scale = problem->scale,
                                         .output = problem->output,
                                         .transposed = problem->transposed,
                                         .scratch = visit->scratch,
                                         .prefetch = product->prefetch,
                                         .asking = softattn_cpu_asking(),
                                         .stream = product->stream && format == problem->out.format};
    if (product->columns) {
        problem->kernels->softmax_backward_columns(&rows);
    } else if (softattn_normalize_is_softmax(problem->normalizer)) {
        problem->kernels->softmax_backward(&rows);
    } else {
        if (softattn_normalize_is_alone(problem->normalizer)) {
            join_rows(&rows);
        }
        problem->kernels->normalize_backward(problem->normalizer, &rows);
    }
}

enum { SHORT_BYTES = 128 }; /* longer rows are faster as they lie */

/* Whether the kernel by columns takes the rows. */
static bool takes_columns(const struct softattn_softmax_backward_problem *problem) {
    const struct softattn_row_operand *matrices[] = {&problem->y, &problem->v, &problem->out};
    return softattn_normalize_is_softmax(problem->normalizer) &&
           softattn_rows_suit_columns(&problem->rows, problem->kernels, matrices, 3, SHORT_BYTES);
}

enum { SHORTEST_OF_HALVES = 64 };

/* Whether the kernel takes rows of 16-bit floats as they are. */
static bool takes_halves(const struct softattn_softmax_backward_problem *problem) {
    const struct softattn_rows *rows = &problem->rows;
    return problem->y.format != SOFTATTN_FORMAT_REAL && softattn_rows_suit_halves(rows, SHORTEST_OF_HALVES) &&
           (problem->output == SOFTATTN_ROW_PROBABILITIES || problem->transposed) &&
           softattn_normalize_is_softmax(problem->normalizer) &&
           softattn_row_is_contiguous(rows, &problem->y) && softattn_row_is_contiguous(rows, &problem->v) &&
           softattn_row_is_contiguous(rows, &problem->out);
}

static bool has_gaps(const struct softattn_softmax_backward_problem *problem) {
    const struct softattn_rows *rows = &problem->rows;
    return softattn_row_inner_stride(rows, &problem->y) != rows->cols ||
           softattn_row_inner_stride(rows, &problem->v) != rows->cols;
}

/*
 * Whether rows of so many bytes that come from memory are asked for. Shorter ones the hardware asks for in time (asking takes 1.0 to
 * 1.2 of the time on Zen 4, where it takes 0.7 to 0.98 of longer ones), but on Zen 5, which takes 1.1 to 1.6 times as long without;
 * and asking does not know of gaps between rows, which count where rows are short.
 */
enum { LONG_ROW_BYTES = 8192, COLUMNS_ASKED_TWICE = 896 };
static bool is_worth_asking(const struct softattn_softmax_backward_problem *problem, double row_bytes) {
    const bool is_bound_by_conversion = problem->y.format == SOFTATTN_FORMAT_F16; /* 1.04 to 1.1 there */
    const bool is_short = row_bytes < LONG_ROW_BYTES;
    switch (softattn_cpu_asking()) {
    case SOFTATTN_ASKING_ONCE: return !is_short || !has_gaps(problem);
    case SOFTATTN_ASKING_TWICE:
        return !is_short ||
               (problem->rows.cols >= COLUMNS_ASKED_TWICE && !is_bound_by_conversion && !has_gaps(problem));
    default: return !is_short;
    }
}

/* Rows that do not stay in the caches anyway are asked for early. Where out is not v it is stored around the caches. */
static void suit_to_caches(struct product *product) {
    const struct softattn_softmax_backward_problem *problem = product->problem;
    const struct softattn_rows *rows = &problem->rows;
    const double row_bytes =
        (double)(rows->cols * softattn_row_element_bytes(&problem->y, problem->kernels->real_bytes));
    const bool is_cold = softattn_rows_exceed_cache(3 * (double)softattn_rows_count(rows) * row_bytes);
    const bool is_converted = problem->y.format != SOFTATTN_FORMAT_REAL && !product->halves;
    product->prefetch = is_cold && !is_converted && is_worth_asking(problem, row_bytes);
    product->stream =
        is_cold && softattn_normalize_is_softmax(problem->normalizer) &&
        problem->out.data != problem->v.data &&
        softattn_rows_suit_streaming(rows, &problem->out, problem->kernels, !has_gaps(problem)) &&
        (product->columns || softattn_row_is_contiguous(rows, &problem->out));
}

bool softattn_softmax_backward_execute(const struct softattn_softmax_backward_problem *problem,
                                       const struct softattn_runtime *runtime) {
    struct product product = {.problem = problem, .columns = takes_columns(problem)};
    product.halves = product.columns && !softattn_row_is_contiguous(&problem->rows, &problem->y)
                         ? problem->y.format != SOFTATTN_FORMAT_REAL
                         : takes_halves(problem);
    suit_to_caches(&product);
    const int64_t scratch = SOFTATTN_BACKWARD_COLUMNS_SCRATCH(problem->rows.cols, problem->kernels->lanes());
    const struct softattn_row_walk walk = {
        .kernels = problem->kernels,
        .rows = problem->rows,
        .matrix = {[Y] = {.operand = problem->y, .is_read = true},
                   [V] = {.operand = problem->v, .is_read = true, .may_be_overwritten = true},
                   [OUT] = {.operand = problem->out, .is_written = true}},
        .scratch_reals = product.columns ? scratch : 0,
        .in_runs = true,
        .takes_columns = product.columns,
        .takes_halves = product.halves,
        .stream = product.stream,
        .visit = visit_product,
        .user = &product};
    return softattn_rows_walk(&walk, runtime);
}

/* ---- Jacobians ---- */

enum { JACOBIAN = 1 };

/* Row i, which is column i, as the product with the unit vector i. */
static void normalizer_jacobian_row(const struct softattn_jacobian_problem *problem, int64_t i, const char *y,
                                    char *to) {
    const int64_t cols = problem->rows.cols, bytes = problem->kernels->real_bytes;
    const struct softattn_row_backward row = {
        .rows = 1, .cols = cols, .y = y, .v = to, .out = to, .scale = problem->scale};
    memset(to, 0, (size_t)(cols * bytes));
    softattn_put_real(to, i, 1, bytes);
    problem->kernels->normalize_backward(problem->normalizer, &row);
}

static void visit_jacobian(void *user, const struct softattn_row_visit *visit) {
    const struct softattn_jacobian_problem *problem = user;
    const int64_t i = visit->place.index[problem->rows.rank - 1];
    if (softattn_normalize_is_softmax(problem->normalizer)) {
        problem->kernels->jacobian_row(problem->rows.cols, i, visit->data[Y], problem->output, problem->scale,
                                       visit->data[JACOBIAN]);
    } else {
        normalizer_jacobian_row(problem, i, visit->data[Y], visit->data[JACOBIAN]);
    }
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
