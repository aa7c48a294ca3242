/* The one-call softmax functions. */
#include <inttypes.h>
#include <stddef.h>

#include "api/array.h"
#include "api/context.h"
#include "api/overlap.h"
#include "api/softmax.h"
#include "api/status.h"
#include "engine/softmax.h"

/* The element type of a call: its bytes, and which of the 16-bit floats it is (SOFTATTN_FORMAT_*). */
struct type {
    int32_t bytes, format;
};

static int32_t check_rows(const char *name, const void *data, struct type type, bool is_output, int64_t rows,
                          int64_t cols, int64_t row_stride, struct softattn_array *array) {
    *array = (struct softattn_array){.name = name,
                                     .data = (char *)data,
                                     .rank = 2,
                                     .element_bytes = type.bytes,
                                     .format = type.format,
                                     .is_output = is_output,
                                     .shape = {rows, cols},
                                     .stride = {row_stride, 1}};
    return softattn_array_check(array, true);
}

static struct softattn_row_operand rows_of(const struct softattn_array *array) {
    return (struct softattn_row_operand){
        .data = array->data, .stride = {array->stride[0]}, .axis_stride = 1, .format = array->format};
}

static int32_t softmax(const softattn_context *context, struct type type, int64_t rows, int64_t cols,
                       const void *x, int64_t x_stride, void *y, int64_t y_stride) {
    struct softattn_array arrays[2];
    if (rows < 0 || cols < 0) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: is %" PRId64, rows < 0 ? "rows" : "cols",
                             rows < 0 ? rows : cols);
    }
    int32_t status = check_rows("x", x, type, false, rows, cols, x_stride, &arrays[0]);
    if (status == SOFTATTN_OK) {
        status = check_rows("y", y, type, true, rows, cols, y_stride, &arrays[1]);
    }
    if (status == SOFTATTN_OK && !softattn_array_same(&arrays[0], &arrays[1])) {
        status = softattn_check_overlap(arrays, 2);
    }
    if (status != SOFTATTN_OK || arrays[1].elements == 0) {
        return status;
    }
    const struct softattn_softmax_problem problem = {.kernels = softattn_context_kernels(context, type.bytes),
                                                     .rank = 1,
                                                     .shape = {rows},
                                                     .cols = cols,
                                                     .x = rows_of(&arrays[0]),
                                                     .y = rows_of(&arrays[1]),
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
