/*
 * softattn_softmax_run: from the caller's tensors to a checked problem for the row engine.
 *
 * Checks in order: handle and struct, each tensor by itself in the struct's order, the axis, how the tensors
 * fit together, overlap. The first that fails decides the status.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/arguments.h"
#include "api/axis.h"
#include "api/broadcast.h"
#include "api/context.h"
#include "api/options.h"
#include "api/overlap.h"
#include "api/softmax.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/rows_join.h"
#include "engine/softmax.h"

_Static_assert((int)SOFTATTN_ROW_PROBABILITIES == SOFTATTN_OUTPUT_PROBABILITIES &&
                   (int)SOFTATTN_ROW_LOG_PROBABILITIES == SOFTATTN_OUTPUT_LOG_PROBABILITIES,
               "the kernels number outputs as the public header does");

enum { X = SOFTATTN_SOFTMAX_X, Y, BIAS, KEEP_MASK, LENGTHS, LSE, ROW_MAX, OPERANDS };

_Static_assert((int)OPERANDS == (int)SOFTATTN_SOFTMAX_TENSORS, "callers of the stages hold every tensor");

/* How an operand's shape follows from x's. */
enum fit { SAME_AS_X, BROADCAST_TO_X, SAME_AS_ROWS, BROADCAST_TO_ROWS };

static const struct {
    struct softattn_tensor_rule rule;
    enum fit fit;
    size_t argument; /* where softattn_softmax_args has its tensor */
    size_t operand;  /* where struct softattn_softmax_problem has its struct softattn_row_operand */
} operands[OPERANDS] = {
#define OPERAND(element, required, is_output, fit, argument, field)                                          \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, is_output}, fit,                                   \
            offsetof(softattn_softmax_args, argument), offsetof(struct softattn_softmax_problem, field)      \
    }
    [X] = OPERAND(FLOAT, true, false, SAME_AS_X, x, x),
    [Y] = OPERAND(FLOAT, false, true, SAME_AS_X, y, y),
    [BIAS] = OPERAND(REAL, false, false, BROADCAST_TO_X, bias, bias),
    [KEEP_MASK] = OPERAND(BYTE, false, false, BROADCAST_TO_X, keep_mask, keep),
    [LENGTHS] = OPERAND(INTEGER, false, false, BROADCAST_TO_ROWS, lengths, lengths),
    [LSE] = OPERAND(REAL, false, true, SAME_AS_ROWS, lse, lse),
    [ROW_MAX] = OPERAND(REAL, false, true, SAME_AS_ROWS, row_max, row_max),
#undef OPERAND
};

static int32_t require_output(const struct softattn_array *arrays) {
    if (arrays[Y].name == NULL && arrays[LSE].name == NULL && arrays[ROW_MAX].name == NULL) {
        return softattn_fail(SOFTATTN_ERROR_NULL,
                             "y: is NULL, and so are lse and row_max: no output is wanted");
    }
    return SOFTATTN_OK;
}

/* ---- Fitting the tensors together ---- */

/* x's axis as an index, checked against what the options ask of it. */
static int32_t find_axis(const softattn_softmax *softmax, const struct softattn_array *x, int32_t *axis) {
    const int32_t rank = x->rank;
    const int32_t status = softattn_find_axis(softmax->axis, x, axis);
    if (status != SOFTATTN_OK || softmax->causal == SOFTATTN_CAUSAL_NONE) {
        return status;
    }
    if (rank < 2) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "x: rank 1 has no query dimension, which causal needs");
    }
    if (*axis != rank - 1) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                             "axis: %d is not the last of x, whose rank is %d; causal needs that",
                             (int)softmax->axis, (int)rank);
    }
    return SOFTATTN_OK;
}

static int32_t fit_operand(enum fit fit, const struct softattn_array *array, const struct softattn_array *x,
                           int32_t axis, const int64_t *row_shape, struct softattn_row_operand *operand) {
    const bool has_axis = fit == SAME_AS_X || fit == BROADCAST_TO_X;
    const int32_t rank = has_axis ? x->rank : x->rank - 1;
    const int64_t *shape = has_axis ? x->shape : row_shape;
    const char *of = has_axis ? "x" : "x without the axis";
    int64_t stride[SOFTATTN_MAX_RANK];

    int32_t status = SOFTATTN_OK;
    if (fit == SAME_AS_X || fit == SAME_AS_ROWS) {
        status = softattn_require_shape(array, rank, shape, of);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_broadcast(array, rank, shape, of, stride);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    operand->data = array->data;
    operand->format = array->format;
    if (has_axis) {
        softattn_without_axis(stride, rank, axis, operand->stride);
        operand->axis_stride = stride[axis];
    } else {
        memcpy(operand->stride, stride, (size_t)rank * sizeof stride[0]);
    }
    return SOFTATTN_OK;
}

static struct softattn_row_operand *operand_of(struct softattn_softmax_problem *problem, int32_t which) {
    return (void *)((char *)problem + operands[which].operand);
}

static int32_t fit_tensors(const struct softattn_array *arrays, int32_t axis,
                           struct softattn_softmax_problem *problem) {
    const struct softattn_array *x = &arrays[X];
    problem->rows = softattn_rows_of(x, axis);
    for (int32_t i = 0; i < OPERANDS; i++) {
        if (arrays[i].name == NULL) {
            continue;
        }
        int32_t status = softattn_require_type(operands[i].rule.element, &arrays[i], x);
        if (status == SOFTATTN_OK) {
            status = fit_operand(operands[i].fit, &arrays[i], x, axis, problem->rows.shape,
                                 operand_of(problem, i));
        }
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    return SOFTATTN_OK;
}

/* y may be x itself; then what holds for y holds for x. */
static int32_t check_overlap(struct softattn_array *arrays) {
    if (arrays[Y].name != NULL && softattn_array_same(&arrays[X], &arrays[Y])) {
        arrays[X].name = NULL;
    }
    return softattn_check_overlap(arrays, OPERANDS);
}

/* ---- Options ---- */

static bool empty_is_zero(const softattn_softmax *softmax, const struct softattn_array *arrays) {
    if (softmax->empty_row != SOFTATTN_EMPTY_ROW_AUTO) {
        return softmax->empty_row == SOFTATTN_EMPTY_ROW_ZERO;
    }
    return softmax->causal != SOFTATTN_CAUSAL_NONE || arrays[BIAS].name != NULL ||
           arrays[KEEP_MASK].name != NULL || arrays[LENGTHS].name != NULL;
}

static int64_t causal_offset(const softattn_softmax *softmax,
                             const struct softattn_softmax_problem *problem) {
    switch (softmax->causal) {
    case SOFTATTN_CAUSAL_BOTTOM_RIGHT:
        return problem->rows.cols - problem->rows.shape[problem->rows.rank - 1];
    case SOFTATTN_CAUSAL_OFFSET: return softmax->causal_offset;
    default: return 0;
    }
}

/* What only exponentials have. */
static int32_t check_softmax_only(const softattn_softmax *softmax, const struct softattn_array *arrays) {
    const char *argument = arrays[LSE].name != NULL                               ? "lse"
                           : arrays[ROW_MAX].name != NULL                         ? "row_max"
                           : softmax->output == SOFTATTN_OUTPUT_LOG_PROBABILITIES ? "output"
                                                                                  : NULL;
    return argument == NULL ? SOFTATTN_OK
                            : softattn_normalizer_require_softmax(&softmax->normalizer, argument);
}

static int32_t set_options(const softattn_softmax *softmax, const struct softattn_array *arrays,
                           struct softattn_softmax_problem *problem) {
    problem->kernels = softattn_context_kernels(softmax->handle.context, arrays[X].element_bytes);
    problem->length_bytes = arrays[LENGTHS].name == NULL ? 0 : arrays[LENGTHS].element_bytes;
    problem->scale = softmax->scale;
    problem->causal_offset = causal_offset(softmax, problem);
    problem->causal =
        softmax->causal != SOFTATTN_CAUSAL_NONE && problem->causal_offset < problem->rows.cols - 1;
    problem->output = softmax->output;
    problem->empty_is_zero = empty_is_zero(softmax, arrays);
    problem->normalizer = softmax->normalizer.kind;
    problem->sigmoid_bias = softmax->normalizer.sigmoid_bias;
    int32_t status =
        softattn_check_scale(SOFTATTN_SCALE_OR_TEMPERATURE, softmax->scale, arrays[X].element_bytes);
    if (status == SOFTATTN_OK) {
        status = softattn_normalizer_check_bias(&softmax->normalizer, arrays[X].element_bytes);
    }
    return status == SOFTATTN_OK ? check_softmax_only(softmax, arrays) : status;
}

/* ---- Stages ---- */

int32_t softattn_softmax_read_args(const softattn_softmax_args *args, softattn_softmax_args *known) {
    const uint64_t first_bytes = offsetof(softattn_softmax_args, row_max) + sizeof args->row_max;
    return softattn_arguments_read("args", args, first_bytes, sizeof *known, known);
}

int32_t softattn_softmax_read_tensors(const softattn_softmax_args *args, struct softattn_array *arrays) {
    for (int32_t i = 0; i < OPERANDS; i++) {
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, true, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    return SOFTATTN_OK;
}

int32_t softattn_softmax_fit(const softattn_softmax *softmax, const struct softattn_array *arrays,
                             int32_t *axis, struct softattn_softmax_problem *problem) {
    struct softattn_row_operand *of_rows[OPERANDS];
    for (int32_t i = 0; i < OPERANDS; i++) {
        of_rows[i] = operand_of(problem, i);
    }
    int32_t status = find_axis(softmax, &arrays[X], axis);
    if (status == SOFTATTN_OK) {
        status = fit_tensors(arrays, *axis, problem);
    }
    if (status == SOFTATTN_OK) {
        status = set_options(softmax, arrays, problem);
    }
    if (status == SOFTATTN_OK) {
        softattn_rows_join(&problem->rows, problem->causal ? 1 : 0, of_rows, OPERANDS);
    }
    return status;
}

/* ---- Running ---- */

int32_t softattn_softmax_solve(const struct softattn_softmax_problem *problem,
                               const softattn_context *context) {
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    if (!softattn_softmax_execute(problem, &runtime)) {
        return softattn_fail_scratch();
    }
    return SOFTATTN_OK;
}

static bool has_elements(const struct softattn_array *array) {
    return array->name != NULL && array->elements > 0;
}

int32_t softattn_softmax_run(const softattn_softmax *softmax, const softattn_softmax_args *args) {
    softattn_softmax_args known;
    struct softattn_array arrays[OPERANDS];
    struct softattn_softmax_problem problem = {0};
    int32_t axis;

    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    int32_t status = softattn_softmax_read_args(args, &known);
    if (status == SOFTATTN_OK) {
        status = softattn_softmax_read_tensors(&known, arrays);
    }
    if (status == SOFTATTN_OK) {
        status = require_output(arrays);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_softmax_fit(softmax, arrays, &axis, &problem);
    }
    if (status == SOFTATTN_OK) {
        status = check_overlap(arrays);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    if (!has_elements(&arrays[Y]) && !has_elements(&arrays[LSE]) && !has_elements(&arrays[ROW_MAX])) {
        return SOFTATTN_OK;
    }
    return softattn_softmax_solve(&problem, softmax->handle.context);
}
