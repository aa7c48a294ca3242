/*
 * Derivatives of softmax on tensors: backward, forward (Jacobian-vector product) and the Jacobian itself.
 *
 * Checks in order: handle and struct, each tensor by itself in the struct's order, the axis, how the tensors
 * fit together, overlap. The first that fails decides the status.
 */
#include "api/softmax_backward.h"

#include <stdbool.h>
#include <stddef.h>

#include "api/arguments.h"
#include "api/axis.h"
#include "api/context.h"
#include "api/options.h"
#include "api/overlap.h"
#include "api/softmax.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/rows_join.h"

/* One tensor of an arguments struct. */
struct operand {
    struct softattn_tensor_rule rule;
    size_t offset;
};

#define OPERAND(args, element, argument, is_output)                                                          \
    { {#argument, SOFTATTN_ELEMENT_##element, true, is_output}, offsetof(args, argument) }

static int32_t read_tensors(const void *args, const struct operand *operands, int32_t count,
                            struct softattn_array *arrays) {
    int32_t status = SOFTATTN_OK;
    for (int32_t i = 0; i < count && status == SOFTATTN_OK; i++) {
        status = softattn_tensor_read(args, operands[i].offset, &operands[i].rule, true, &arrays[i]);
    }
    return status;
}

/* ---- Products with the Jacobian ---- */

/* The result may be written over the vector; then what holds for the one holds for the other. */
static int32_t check_overlap(struct softattn_array *arrays) {
    struct softattn_array *vector = &arrays[SOFTATTN_PRODUCT_VECTOR];
    if (softattn_array_same(vector, &arrays[SOFTATTN_PRODUCT_OUT])) {
        vector->name = NULL;
    }
    return softattn_check_overlap(arrays, SOFTATTN_PRODUCT_OPERANDS);
}

int32_t softattn_softmax_product(const softattn_context *context, struct softattn_array *arrays, int32_t axis,
                                 struct softattn_softmax_backward_problem *problem) {
    const struct softattn_array *y = &arrays[SOFTATTN_PRODUCT_Y];
    struct softattn_row_operand *operands[] = {&problem->y, &problem->v, &problem->out};
    int32_t status = SOFTATTN_OK;
    for (int32_t i = 0; i < SOFTATTN_PRODUCT_OPERANDS && status == SOFTATTN_OK; i++) {
        status = softattn_require_same_real(&arrays[i], y);
        if (status == SOFTATTN_OK) {
            status = softattn_fit_rows(&arrays[i], y, axis, operands[i]);
        }
    }
    if (status == SOFTATTN_OK) {
        status = softattn_check_scale(SOFTATTN_SCALE_OR_TEMPERATURE, problem->scale, y->element_bytes);
    }
    if (status == SOFTATTN_OK) {
        status = check_overlap(arrays);
    }
    if (status != SOFTATTN_OK || y->elements == 0) {
        return status;
    }
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    problem->kernels = softattn_context_kernels(context, y->element_bytes);
    problem->rows = softattn_rows_of(y, axis);
    softattn_rows_join(&problem->rows, 0, operands, SOFTATTN_PRODUCT_OPERANDS);
    return softattn_softmax_backward_execute(problem, &runtime) ? SOFTATTN_OK : softattn_fail_scratch();
}

static int32_t check_output(const softattn_softmax *softmax) {
    return softmax->output == SOFTATTN_OUTPUT_PROBABILITIES
               ? SOFTATTN_OK
               : softattn_normalizer_require_softmax(&softmax->normalizer, "output");
}

static int32_t run_product(const softattn_softmax *softmax, const void *args, const struct operand *operands,
                           bool transposed) {
    struct softattn_array arrays[SOFTATTN_PRODUCT_OPERANDS];
    struct softattn_softmax_backward_problem problem = {.scale = softmax->scale,
                                                        .output = softmax->output,
                                                        .normalizer = softmax->normalizer.kind,
                                                        .transposed = transposed};
    int32_t axis = 0;
    int32_t status = read_tensors(args, operands, SOFTATTN_PRODUCT_OPERANDS, arrays);
    if (status == SOFTATTN_OK) {
        status = check_output(softmax);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_find_axis(softmax->axis, &arrays[SOFTATTN_PRODUCT_Y], &axis);
    }
    return status != SOFTATTN_OK ? status
                                 : softattn_softmax_product(softmax->handle.context, arrays, axis, &problem);
}

int32_t softattn_softmax_backward(const softattn_softmax *softmax,
                                  const softattn_softmax_backward_args *args) {
    static const struct operand operands[] = {OPERAND(softattn_softmax_backward_args, FLOAT, y, false),
                                              OPERAND(softattn_softmax_backward_args, FLOAT, dy, false),
                                              OPERAND(softattn_softmax_backward_args, FLOAT, dx, true)};
    const uint64_t first_bytes = offsetof(softattn_softmax_backward_args, dx) + sizeof args->dx;
    softattn_softmax_backward_args known;
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    return status != SOFTATTN_OK ? status : run_product(softmax, &known, operands, true);
}

int32_t softattn_softmax_jvp(const softattn_softmax *softmax, const softattn_softmax_jvp_args *args) {
    static const struct operand operands[] = {OPERAND(softattn_softmax_jvp_args, FLOAT, y, false),
                                              OPERAND(softattn_softmax_jvp_args, FLOAT, x_tangent, false),
                                              OPERAND(softattn_softmax_jvp_args, FLOAT, y_tangent, true)};
    const uint64_t first_bytes = offsetof(softattn_softmax_jvp_args, y_tangent) + sizeof args->y_tangent;
    softattn_softmax_jvp_args known;
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    return status != SOFTATTN_OK ? status : run_product(softmax, &known, operands, false);
}

/* ---- The Jacobian ---- */

enum { Y, JACOBIAN, JACOBIAN_OPERANDS };

/* y without the axis, then n x n: as rows, the last row dimension is i of dy_i / dx_j and the axis is j. The
 * problem comes as zeros, so y broadcasts along i. */
static int32_t fit_jacobian(const struct softattn_array *y, int32_t axis,
                            const struct softattn_array *jacobian,
                            struct softattn_jacobian_problem *problem) {
    struct softattn_array expected = {.name = "y without the axis and twice the axis", .rank = y->rank + 1};
    if (y->rank == SOFTATTN_MAX_RANK) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "y: rank %d leaves no rank for the Jacobian",
                             (int)y->rank);
    }
    softattn_without_axis(y->shape, y->rank, axis, expected.shape);
    expected.shape[y->rank - 1] = expected.shape[y->rank] = y->shape[axis];
    int32_t status = softattn_require_same_real(jacobian, y);
    if (status == SOFTATTN_OK) {
        status = softattn_fit_rows(jacobian, &expected, y->rank, &problem->jacobian);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_fit_rows(y, y, axis, &problem->y);
        problem->rows = softattn_rows_of(&expected, y->rank);
    }
    return status;
}

int32_t softattn_softmax_jacobian(const softattn_softmax *softmax,
                                  const softattn_softmax_jacobian_args *args) {
    static const struct operand operands[] = {OPERAND(softattn_softmax_jacobian_args, REAL, y, false),
                                              OPERAND(softattn_softmax_jacobian_args, REAL, jacobian, true)};
    const uint64_t first_bytes = offsetof(softattn_softmax_jacobian_args, jacobian) + sizeof args->jacobian;
    softattn_softmax_jacobian_args known;
    struct softattn_array arrays[JACOBIAN_OPERANDS];
    struct softattn_jacobian_problem problem = {0};
    int32_t axis = 0;
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    if (status == SOFTATTN_OK) {
        status = read_tensors(&known, operands, JACOBIAN_OPERANDS, arrays);
    }
    if (status == SOFTATTN_OK) {
        status = check_output(softmax);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_find_axis(softmax->axis, &arrays[Y], &axis);
    }
    if (status == SOFTATTN_OK) {
        status = fit_jacobian(&arrays[Y], axis, &arrays[JACOBIAN], &problem);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_check_scale(SOFTATTN_SCALE_OR_TEMPERATURE, softmax->scale, arrays[Y].element_bytes);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_check_overlap(arrays, JACOBIAN_OPERANDS);
    }
    if (status != SOFTATTN_OK || arrays[JACOBIAN].elements == 0) {
        return status;
    }
    const struct softattn_runtime runtime = softattn_context_runtime(softmax->handle.context);
    problem.kernels = softattn_context_kernels(softmax->handle.context, arrays[Y].element_bytes);
    problem.scale = softmax->scale;
    problem.output = softmax->output;
    problem.normalizer = softmax->normalizer.kind;
    return softattn_jacobian_execute(&problem, &runtime) ? SOFTATTN_OK : softattn_fail_scratch();
}
