/* The one-call softmax functions. */
#include <stdint.h>

#include "api/context.h"
#include "api/matrix.h"
#include "api/overlap.h"
#include "api/softmax.h"
#include "engine/softmax.h"

/* The element type of a call: its bytes, and which of the 16-bit floats it is (SOFTATTN_FORMAT_*). */
struct type {
    int32_t bytes, format;
};

static struct softattn_row_operand rows_of(const struct softattn_array *array, int32_t format) {
    return (struct softattn_row_operand){
        .data = array->data, .stride = {array->stride[0]}, .axis_stride = 1, .format = format};
}

static int32_t softmax(const softattn_context *context, struct type type, int64_t rows, int64_t cols,
                       const void *x, int64_t x_stride, void *y, int64_t y_stride) {
    struct softattn_array arrays[2];
    int32_t status = softattn_check_matrix_sizes("rows", rows, "cols", cols);
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("x", (void *)x, type.bytes, false, rows, cols, x_stride, &arrays[0]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("y", y, type.bytes, true, rows, cols, y_stride, &arrays[1]);
    }
    if (status == SOFTATTN_OK && !softattn_array_same(&arrays[0], &arrays[1])) {
        status = softattn_check_overlap(arrays, 2);
    }
    if (status != SOFTATTN_OK || arrays[1].elements == 0) {
        return status;
    }
    const struct softattn_softmax_problem problem = {.kernels = softattn_context_kernels(context, type.bytes),
                                                     .rows = {.rank = 1, .shape = {rows}, .cols = cols},
                                                     .x = rows_of(&arrays[0], type.format),
                                                     .y = rows_of(&arrays[1], type.format),
                                                     .scale = 1,
                                                     .output = SOFTATTN_ROW_PROBABILITIES};
    return softattn_softmax_solve(&problem, context);
}

int32_t softattn_softmax_f32(const softattn_context *context, int64_t rows, int64_t cols, const float *x,
                             int64_t x_stride, float *y, int64_t y_stride) {
    return softmax(context, (struct type){(int32_t)sizeof *x, SOFTATTN_FORMAT_REAL}, rows, cols, x, x_stride,
                   y, y_stride);
}

int32_t softattn_softmax_f64(const softattn_context *context, int64_t rows, int64_t cols, const double *x,
                             int64_t x_stride, double *y, int64_t y_stride) {
    return softmax(context, (struct type){(int32_t)sizeof *x, SOFTATTN_FORMAT_REAL}, rows, cols, x, x_stride,
                   y, y_stride);
}

int32_t softattn_softmax_f16(const softattn_context *context, int64_t rows, int64_t cols, const uint16_t *x,
                             int64_t x_stride, uint16_t *y, int64_t y_stride) {
    return softmax(context, (struct type){(int32_t)sizeof *x, SOFTATTN_FORMAT_F16}, rows, cols, x, x_stride,
                   y, y_stride);
}

int32_t softattn_softmax_bf16(const softattn_context *context, int64_t rows, int64_t cols, const uint16_t *x,
                              int64_t x_stride, uint16_t *y, int64_t y_stride) {
    return softmax(context, (struct type){(int32_t)sizeof *x, SOFTATTN_FORMAT_BF16}, rows, cols, x, x_stride,
                   y, y_stride);
}
