/*
 * softattn_cross_entropy_run: from the caller's tensors to a checked problem for the cross-entropy engine.
 *
 * Checks in order: handle and struct, each tensor by itself in the struct's order, how the tensors fit
 * together, the options against them, overlap, the targets' values. The first that fails decides the status.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/arguments.h"
#include "api/axis.h"
#include "api/broadcast.h"
#include "api/context.h"
#include "api/cross_entropy.h"
#include "api/options.h"
#include "api/overlap.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/rows_join.h"

_Static_assert((int)SOFTATTN_ROWS_NONE == SOFTATTN_REDUCTION_NONE &&
                   (int)SOFTATTN_ROWS_MEAN == SOFTATTN_REDUCTION_MEAN &&
                   (int)SOFTATTN_ROWS_SUM == SOFTATTN_REDUCTION_SUM,
               "the engine numbers reductions as the public header does");

/* How an operand's shape follows from that of the logits. */
enum fit { AS_LOGITS, PER_ROW, PER_CLASS, ONE_ELEMENT };

static const struct {
    struct softattn_tensor_rule rule;
    enum fit fit;
    size_t argument; /* where softattn_cross_entropy_args has its tensor */
    size_t operand;  /* where the problem has its struct softattn_row_operand; of one element: its pointer */
} operands[SOFTATTN_ENTROPY_OPERANDS] = {
#define OPERAND(element, required, is_output, fit, argument, field)                                          \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, is_output}, fit,                                   \
            offsetof(softattn_cross_entropy_args, argument),                                                 \
            offsetof(struct softattn_cross_entropy_problem, field)                                           \
    }
    [SOFTATTN_ENTROPY_LOGITS] = OPERAND(FLOAT, true, false, AS_LOGITS, logits, logits),
    [SOFTATTN_ENTROPY_TARGETS] = OPERAND(INTEGER, false, false, PER_ROW, targets, targets),
    [SOFTATTN_ENTROPY_PROBABILITIES] =
        OPERAND(FLOAT, false, false, AS_LOGITS, target_probabilities, probabilities),
    [SOFTATTN_ENTROPY_CLASS_WEIGHTS] = OPERAND(REAL, false, false, PER_CLASS, class_weights, class_weights),
    [SOFTATTN_ENTROPY_LOSSES] = OPERAND(REAL, false, true, PER_ROW, losses, losses),
    [SOFTATTN_ENTROPY_TOTAL] = OPERAND(REAL, false, true, ONE_ELEMENT, total, total),
    [SOFTATTN_ENTROPY_GRADIENT] = OPERAND(FLOAT, false, true, AS_LOGITS, gradient, gradient),
    [SOFTATTN_ENTROPY_LSE] = OPERAND(REAL, false, true, PER_ROW, lse, lse),
    [SOFTATTN_ENTROPY_COUNTED] = OPERAND(INTEGER, false, true, ONE_ELEMENT, counted, counted),
#undef OPERAND
};

static bool is_given(const struct softattn_array *arrays, int32_t which) {
    return arrays[which].name != NULL;
}

static int32_t read_tensors(const softattn_cross_entropy_args *args, struct softattn_array *arrays) {
    bool has_output = false;
    for (int32_t i = 0; i < SOFTATTN_ENTROPY_OPERANDS; i++) {
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, true, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
        has_output = has_output || (is_given(arrays, i) && operands[i].rule.is_output);
    }
    const bool has_targets = is_given(arrays, SOFTATTN_ENTROPY_TARGETS);
    if (has_targets && is_given(arrays, SOFTATTN_ENTROPY_PROBABILITIES)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "target_probabilities: targets are given, too");
    }
    if (!has_targets && !is_given(arrays, SOFTATTN_ENTROPY_PROBABILITIES)) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "targets: is NULL, and so is target_probabilities");
    }
    if (!has_output) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "losses: is NULL, and so is every other output");
    }
    return SOFTATTN_OK;
}

/* ---- Fitting the tensors together ---- */

static int32_t fit_one_element(const struct softattn_array *array, char **pointer) {
    for (int32_t i = 0; i < array->rank; i++) {
        if (array->shape[i] != 1) {
            return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: shape %s is not one element", array->name,
                                 softattn_shape_text(array->rank, array->shape).text);
        }
    }
    *pointer = array->data;
    return SOFTATTN_OK;
}

static int32_t fit_class_weights(const struct softattn_array *array, int64_t classes,
                                 struct softattn_row_operand *operand) {
    const int32_t status = softattn_require_shape(array, 1, &classes, "the classes");
    operand->data = array->data;
    operand->axis_stride = array->stride[0];
    return status;
}

static int32_t fit_operand(int32_t which, const struct softattn_array *arrays,
                           struct softattn_cross_entropy_problem *problem) {
    const struct softattn_array *logits = &arrays[SOFTATTN_ENTROPY_LOGITS], *array = &arrays[which];
    void *field = (char *)problem + operands[which].operand;
    const int32_t axis = logits->rank - 1;
    const int32_t status = softattn_require_type(operands[which].rule.element, array, logits);
    if (status != SOFTATTN_OK) {
        return status;
    }
    switch (operands[which].fit) {
    case AS_LOGITS: return softattn_fit_rows(array, logits, axis, field);
    case PER_ROW: return softattn_fit_row_values(array, logits, axis, field);
    case PER_CLASS: return fit_class_weights(array, logits->shape[axis], field);
    default: return fit_one_element(array, field);
    }
}

static int32_t fit_tensors(const struct softattn_array *arrays,
                           struct softattn_cross_entropy_problem *problem) {
    const struct softattn_array *logits = &arrays[SOFTATTN_ENTROPY_LOGITS];
    int32_t axis = 0;
    int32_t status = softattn_find_axis(-1, logits, &axis);
    for (int32_t i = 0; i < SOFTATTN_ENTROPY_OPERANDS && status == SOFTATTN_OK; i++) {
        if (is_given(arrays, i)) {
            status = fit_operand(i, arrays, problem);
        }
    }
    if (status == SOFTATTN_OK) {
        struct softattn_row_operand *of_rows[] = {&problem->logits,   &problem->probabilities,
                                                  &problem->gradient, &problem->targets,
                                                  &problem->losses,   &problem->lse};
        problem->rows = softattn_rows_of(logits, axis);
        softattn_rows_join(&problem->rows, 0, of_rows, (int32_t)(sizeof of_rows / sizeof of_rows[0]));
    }
    return status;
}

/* ---- Options against tensors ---- */

static int32_t set_options(const struct softattn_array *arrays,
                           struct softattn_cross_entropy_problem *problem) {
    const int64_t rows = softattn_rows_count(&problem->rows);
    problem->target_bytes = arrays[SOFTATTN_ENTROPY_TARGETS].element_bytes;
    problem->counted_bytes = arrays[SOFTATTN_ENTROPY_COUNTED].element_bytes;
    if (is_given(arrays, SOFTATTN_ENTROPY_TOTAL) && problem->reduction == SOFTATTN_ROWS_NONE) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "total: there is none with SOFTATTN_REDUCTION_NONE");
    }
    if (is_given(arrays, SOFTATTN_ENTROPY_COUNTED) && problem->counted_bytes == 4 && rows > INT32_MAX) {
        return softattn_fail(SOFTATTN_ERROR_TYPE,
                             "counted: int32 does not hold the number of %" PRId64 " rows", rows);
    }
    return softattn_check_scale(SOFTATTN_SCALE_OR_TEMPERATURE, problem->scale,
                                arrays[SOFTATTN_ENTROPY_LOGITS].element_bytes);
}

/* The gradient may be written over the logits; then what holds for the one holds for the other. */
static int32_t check_overlap(struct softattn_array *arrays) {
    struct softattn_array *logits = &arrays[SOFTATTN_ENTROPY_LOGITS];
    const struct softattn_array *gradient = &arrays[SOFTATTN_ENTROPY_GRADIENT];
    if (gradient->name != NULL && softattn_array_same(logits, gradient)) {
        logits->name = NULL;
    }
    return softattn_check_overlap(arrays, SOFTATTN_ENTROPY_OPERANDS);
}

static int32_t check_targets(const struct softattn_cross_entropy_problem *problem) {
    const int64_t rows = problem->targets.data == NULL ? 0 : softattn_rows_count(&problem->rows);
    const int64_t classes = problem->rows.cols;
    struct softattn_row_place place = {{0}};
    for (int64_t row = 0; row < rows; row++, softattn_row_step(&problem->rows, &place)) {
        const int64_t target = softattn_cross_entropy_target(problem, &place);
        if (target != problem->ignore_index && (target < 0 || target >= classes)) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                                 "targets: row %" PRId64 " has class %" PRId64
                                 ", which is not below the %" PRId64
                                 " classes and at least 0, nor the ignore_index %" PRId64,
                                 row, target, classes, problem->ignore_index);
        }
    }
    return SOFTATTN_OK;
}

/* ---- Running ---- */

int32_t softattn_cross_entropy_solve(const softattn_context *context, struct softattn_array *arrays,
                                     struct softattn_cross_entropy_problem *problem) {
    const int32_t real_bytes = arrays[SOFTATTN_ENTROPY_LOGITS].element_bytes;
    int32_t status = fit_tensors(arrays, problem);
    if (status == SOFTATTN_OK) {
        status = set_options(arrays, problem);
    }
    if (status == SOFTATTN_OK) {
        status = check_overlap(arrays);
    }
    if (status == SOFTATTN_OK) {
        status = check_targets(problem);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    problem->kernels = softattn_context_kernels(context, real_bytes);
    if (!softattn_cross_entropy_execute(problem, &runtime)) {
        return softattn_fail_scratch();
    }
    return SOFTATTN_OK;
}

int32_t softattn_cross_entropy_run(const softattn_cross_entropy *cross_entropy,
                                   const softattn_cross_entropy_args *args) {
    const uint64_t first_bytes = offsetof(softattn_cross_entropy_args, counted) + sizeof args->counted;
    softattn_cross_entropy_args known;
    struct softattn_array arrays[SOFTATTN_ENTROPY_OPERANDS] = {{.name = NULL}};
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    if (status == SOFTATTN_OK) {
        status = read_tensors(&known, arrays);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    struct softattn_cross_entropy_problem problem = {.ignore_index = cross_entropy->ignore_index,
                                                     .scale = cross_entropy->scale,
                                                     .smoothing = cross_entropy->label_smoothing,
                                                     .z_loss = cross_entropy->z_loss,
                                                     .reduction = cross_entropy->reduction};
    return softattn_cross_entropy_solve(cross_entropy->handle.context, arrays, &problem);
}
