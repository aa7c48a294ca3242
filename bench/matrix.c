/*
 * Matrices as tensors, and handles with a normalizer.
 */
#include "matrix.h"

#include <stddef.h>

const softattn_tensor *bench_matrix_of(struct bench_matrix *matrix, void *data, enum bench_type type,
                                       int64_t rows, int64_t cols) {
    *matrix = (struct bench_matrix){.shape = {rows, cols}};
    matrix->tensor.data = data;
    matrix->tensor.device.device_type = SOFTATTN_DEVICE_CPU;
    matrix->tensor.ndim = 2;
    matrix->tensor.dtype.code = type == BENCH_BF16 ? SOFTATTN_TYPE_BFLOAT : SOFTATTN_TYPE_FLOAT;
    matrix->tensor.dtype.bits = (uint8_t)(8 * bench_type_bytes(type));
    matrix->tensor.dtype.lanes = 1;
    matrix->tensor.shape = matrix->shape;
    return &matrix->tensor;
}

int32_t bench_normalizer_handle(int32_t normalizer, const softattn_context *context,
                                softattn_softmax **softmax) {
    *softmax = NULL;
    if (normalizer == SOFTATTN_NORMALIZER_SOFTMAX)
        return SOFTATTN_OK;
    const int32_t status = softattn_softmax_create(context, softmax);
    return status == SOFTATTN_OK ? softattn_softmax_set_normalizer(*softmax, normalizer) : status;
}
