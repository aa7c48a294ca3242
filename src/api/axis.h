/* Arrays seen row by row along an axis. */
#ifndef SOFTATTN_API_AXIS_H
#define SOFTATTN_API_AXIS_H

#include <stdint.h>

#include "api/array.h"
#include "engine/rows.h"

/* The axis as set (-rank … rank - 1) as an index into array's dimensions. Fails when the array has no such
 * axis. */
int32_t softattn_find_axis(int32_t axis_as_set, const struct softattn_array *array, int32_t *axis);

/* The rows of an array along its axis. */
struct softattn_rows softattn_rows_of(const struct softattn_array *array, int32_t axis);

/* An array that has the axis, and one that has a value per row; both fail unless the shapes agree with those
 * of reference. */
int32_t softattn_fit_rows(const struct softattn_array *array, const struct softattn_array *reference,
                          int32_t axis, struct softattn_row_operand *operand);
int32_t softattn_fit_row_values(const struct softattn_array *array, const struct softattn_array *reference,
                                int32_t axis, struct softattn_row_operand *operand);

/* The elements of a list of rank but the one at axis. */
void softattn_without_axis(const int64_t *from, int32_t rank, int32_t axis, int64_t *to);

#endif
