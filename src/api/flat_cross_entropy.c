/* The one-call cross-entropy functions. */
#include <stddef.h>
#include <stdint.h>

#include "api/cross_entropy.h"
#include "api/matrix.h"
#include "api/status.h"
#include "softattn/softattn.h"

/* One element per row, next to each other. */
static int32_t row_list(const char *name, void *data, int32_t element_bytes, bool is_output, int64_t rows,
                        struct softattn_array *array) {
    const int32_t status = softattn_matrix(name, data, element_bytes, is_output, rows, 1, 1, array);
    array->rank = 1;
    return status;
}

/* format: SOFTATTN_FORMAT_*; the losses of 16-bit logits are floats */
static int32_t cross_entropy(const softattn_context *context, int32_t element_bytes, int32_t format,
                             int64_t rows, int64_t classes, const void *logits, int64_t logits_stride,
                             const int64_t *targets, void *losses, void *gradient, int64_t gradient_stride) {
    const int32_t real_bytes = format == SOFTATTN_FORMAT_REAL ? element_bytes : (int32_t)sizeof(float);
    struct softattn_array arrays[SOFTATTN_ENTROPY_OPERANDS] = {{.name = NULL}};
    struct softattn_cross_entropy_problem problem = {
        .ignore_index = SOFTATTN_DEFAULT_IGNORE_INDEX, .scale = 1, .reduction = SOFTATTN_ROWS_MEAN};
    int32_t status = softattn_check_matrix_sizes("rows", rows, "classes", classes);
    if (status == SOFTATTN_OK && rows > 0 && losses == NULL && gradient == NULL) {
        status = softattn_fail(SOFTATTN_ERROR_NULL, "losses: is NULL, and so is gradient");
    }
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("logits", (void *)logits, element_bytes, false, rows, classes, logits_stride,
                                 &arrays[SOFTATTN_ENTROPY_LOGITS]);
    }
    if (status == SOFTATTN_OK) {
        status = row_list("targets", (void *)targets, (int32_t)sizeof *targets, false, rows,
                          &arrays[SOFTATTN_ENTROPY_TARGETS]);
    }
    if (status == SOFTATTN_OK && losses != NULL) {
        status = row_list("losses", losses, real_bytes, true, rows, &arrays[SOFTATTN_ENTROPY_LOSSES]);
    }
    if (status == SOFTATTN_OK && gradient != NULL) {
        status = softattn_matrix("gradient", gradient, element_bytes, true, rows, classes, gradient_stride,
                                 &arrays[SOFTATTN_ENTROPY_GRADIENT]);
    }
    arrays[SOFTATTN_ENTROPY_LOGITS].format = arrays[SOFTATTN_ENTROPY_GRADIENT].format = format;
    return status != SOFTATTN_OK ? status : softattn_cross_entropy_solve(context, arrays, &problem);
}

int32_t softattn_cross_entropy_f32(const softattn_context *context, int64_t rows, int64_t classes,
                                   const float *logits, int64_t logits_stride, const int64_t *targets,
                                   float *losses, float *gradient, int64_t gradient_stride) {
    return cross_entropy(context, (int32_t)sizeof *logits, SOFTATTN_FORMAT_REAL, rows, classes, logits,
                         logits_stride, targets, losses, gradient, gradient_stride);
}

int32_t softattn_cross_entropy_f64(const softattn_context *context, int64_t rows, int64_t classes,
                                   const double *logits, int64_t logits_stride, const int64_t *targets,
                                   double *losses, double *gradient, int64_t gradient_stride) {
    return cross_entropy(context, (int32_t)sizeof *logits, SOFTATTN_FORMAT_REAL, rows, classes, logits,
                         logits_stride, targets, losses, gradient, gradient_stride);
}

int32_t softattn_cross_entropy_f16(const softattn_context *context, int64_t rows, int64_t classes,
                                   const uint16_t *logits, int64_t logits_stride, const int64_t *targets,
                                   float *losses, uint16_t *gradient, int64_t gradient_stride) {
    return cross_entropy(context, (int32_t)sizeof *logits, SOFTATTN_FORMAT_F16, rows, classes, logits,
                         logits_stride, targets, losses, gradient, gradient_stride);
}

int32_t softattn_cross_entropy_bf16(const softattn_context *context, int64_t rows, int64_t classes,
                                    const uint16_t *logits, int64_t logits_stride, const int64_t *targets,
                                    float *losses, uint16_t *gradient, int64_t gradient_stride) {
    return cross_entropy(context, (int32_t)sizeof *logits, SOFTATTN_FORMAT_BF16, rows, classes, logits,
                         logits_stride, targets, losses, gradient, gradient_stride);
}
