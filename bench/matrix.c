/*
 * Matrices as tensors, and handles with options.
 */
#include "matrix.h"

#include <stddef.h>

const softattn_tensor *bench_matrix_of(struct bench_matrix *matrix, void *data,
                                       const struct bench_problem *problem) {
    const enum bench_type type = problem->type;
    *matrix = (struct bench_matrix){.shape = {problem->rows, problem->cols}, .strides = {problem->cols, 1}};
    if (problem->side_by_side) {
        matrix->strides[0] = 1;
        matrix->strides[1] = problem->rows;
    }
    matrix->tensor.data = data;
    matrix->tensor.device.device_type = SOFTATTN_DEVICE_CPU;
    matrix->tensor.ndim = 2;
    matrix->tensor.dtype.code = type == BENCH_BF16 ? SOFTATTN_TYPE_BFLOAT : SOFTATTN_TYPE_FLOAT;
    matrix->tensor.dtype.bits = (uint8_t)(8 * bench_type_bytes(type));
    matrix->tensor.dtype.lanes = 1;
    matrix->tensor.shape = matrix->shape;
    matrix->tensor.strides = matrix->strides;
    return &matrix->tensor;
}

static int32_t set_options(softattn_softmax *softmax, const struct bench_problem *problem) {
    int32_t status = softattn_softmax_set_normalizer(softmax, problem->normalizer);
    if (status == SOFTATTN_OK) {
        status = softattn_softmax_set_scale(softmax, problem->scale);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_softmax_set_causal(softmax, problem->attention.causal, 0);
    }
    if (status == SOFTATTN_OK && problem->is_log) {
        status = softattn_softmax_set_output(softmax, SOFTATTN_OUTPUT_LOG_PROBABILITIES);
    }
    return status;
}

int32_t bench_softmax_handle(const struct bench_problem *problem, const softattn_context *context,
                             softattn_softmax **softmax) {
    const int is_plain = problem->normalizer == SOFTATTN_NORMALIZER_SOFTMAX && problem->scale == 1 &&
                         problem->attention.causal == SOFTATTN_CAUSAL_NONE && !problem->is_log &&
                         !problem->side_by_side;
    *softmax = NULL;
    if (is_plain) {
        return SOFTATTN_OK;
    }
    const int32_t status = softattn_softmax_create(context, softmax);
    return status == SOFTATTN_OK ? set_options(*softmax, problem) : status;
}
