/* Finding the axis of an operation, and the rows of arrays along it. */
#include "api/axis.h"

#include <stdio.h>
#include <string.h>

#include "api/broadcast.h"
#include "api/status.h"

_Static_assert((int)SOFTATTN_ROW_RANK == SOFTATTN_MAX_RANK - 1,
               "every dimension but the axis is a row dimension");

int32_t softattn_find_axis(int32_t axis_as_set, const struct softattn_array *array, int32_t *axis) {
    const int32_t rank = array->rank;
    if (rank == 0) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: rank 0 has no axis", array->name);
    }
    if (axis_as_set < -rank || axis_as_set >= rank) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "axis: %d is outside %d ... %d of %s, whose rank is %d",
                             (int)axis_as_set, (int)-rank, (int)(rank - 1), array->name, (int)rank);
    }
    *axis = axis_as_set < 0 ? axis_as_set + rank : axis_as_set;
    return SOFTATTN_OK;
}

void softattn_without_axis(const int64_t *from, int32_t rank, int32_t axis, int64_t *to) {
    memcpy(to, from, (size_t)axis * sizeof to[0]);
    memcpy(to + axis, from + axis + 1, (size_t)(rank - 1 - axis) * sizeof to[0]);
}

struct softattn_rows softattn_rows_of(const struct softattn_array *array, int32_t axis) {
    struct softattn_rows rows = {.rank = array->rank - 1, .cols = array->shape[axis]};
    softattn_without_axis(array->shape, array->rank, axis, rows.shape);
    return rows;
}

int32_t softattn_fit_rows(const struct softattn_array *array, const struct softattn_array *reference,
                          int32_t axis, struct softattn_row_operand *operand) {
    const int32_t status = softattn_require_shape(array, reference->rank, reference->shape, reference->name);
    if (status == SOFTATTN_OK) {
        operand->data = array->data;
        operand->axis_stride = array->stride[axis];
        operand->format = array->format;
        softattn_without_axis(array->stride, array->rank, axis, operand->stride);
    }
    return status;
}

int32_t softattn_fit_row_values(const struct softattn_array *array, const struct softattn_array *reference,
                                int32_t axis, struct softattn_row_operand *operand) {
    const struct softattn_rows rows = softattn_rows_of(reference, axis);
    char of[64];
    (void)snprintf(of, sizeof of, "%s without the axis", reference->name);
    const int32_t status = softattn_require_shape(array, rows.rank, rows.shape, of);
    if (status == SOFTATTN_OK) {
        operand->data = array->data;
        memcpy(operand->stride, array->stride, (size_t)rows.rank * sizeof operand->stride[0]);
    }
    return status;
}
