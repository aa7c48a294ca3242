/* The one-call softmax backward functions. */
#include <stdint.h>

#include "api/matrix.h"
#include "api/softmax_backward.h"
#include "softattn/softattn.h"

/* format: SOFTATTN_FORMAT_* */
static int32_t softmax_backward(const softattn_context *context, int32_t element_bytes, int32_t format,
                                int64_t rows, int64_t cols, const void *y, int64_t y_stride, const void *dy,
                                int64_t dy_stride, void *dx, int64_t dx_stride) {
    struct softattn_array arrays[SOFTATTN_PRODUCT_OPERANDS];
    struct softattn_softmax_backward_problem problem = {
        .scale = 1, .output = SOFTATTN_ROW_PROBABILITIES, .transposed = true};
    int32_t status = softattn_check_matrix_sizes("rows", rows, "cols", cols);
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("y", (void *)y, element_bytes, false, rows, cols, y_stride, &arrays[0]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("dy", (void *)dy, element_bytes, false, rows, cols, dy_stride, &arrays[1]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("dx", dx, element_bytes, true, rows, cols, dx_stride, &arrays[2]);
    }
    for (int32_t i = 0; i < SOFTATTN_PRODUCT_OPERANDS; i++) {
        arrays[i].format = format;
    }
    return status != SOFTATTN_OK ? status : softattn_softmax_product(context, arrays, 1, &problem);
}

int32_t softattn_softmax_backward_f32(const softattn_context *context, int64_t rows, int64_t cols,
                                      const float *y, int64_t y_stride, const float *dy, int64_t dy_stride,
                                      float *dx, int64_t dx_stride) {
    return softmax_backward(context, (int32_t)sizeof *y, SOFTATTN_FORMAT_REAL, rows, cols, y, y_stride, dy,
                            dy_stride, dx, dx_stride);
}

int32_t softattn_softmax_backward_f64(const softattn_context *context, int64_t rows, int64_t cols,
                                      const double *y, int64_t y_stride, const double *dy, int64_t dy_stride,
                                      double *dx, int64_t dx_stride) {
    return softmax_backward(context, (int32_t)sizeof *y, SOFTATTN_FORMAT_REAL, rows, cols, y, y_stride, dy,
                            dy_stride, dx, dx_stride);
}

int32_t softattn_softmax_backward_f16(const softattn_context *context, int64_t rows, int64_t cols,
                                      const uint16_t *y, int64_t y_stride, const uint16_t *dy,
                                      int64_t dy_stride, uint16_t *dx, int64_t dx_stride) {
    return softmax_backward(context, (int32_t)sizeof *y, SOFTATTN_FORMAT_F16, rows, cols, y, y_stride, dy,
                            dy_stride, dx, dx_stride);
}

int32_t softattn_softmax_backward_bf16(const softattn_context *context, int64_t rows, int64_t cols,
                                       const uint16_t *y, int64_t y_stride, const uint16_t *dy,
                                       int64_t dy_stride, uint16_t *dx, int64_t dx_stride) {
    return softmax_backward(context, (int32_t)sizeof *y, SOFTATTN_FORMAT_BF16, rows, cols, y, y_stride, dy,
                            dy_stride, dx, dx_stride);
}
