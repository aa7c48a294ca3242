/* Fitting an array to a shape. */
#ifndef SOFTATTN_API_BROADCAST_H
#define SOFTATTN_API_BROADCAST_H

#include <stdint.h>

#include "api/array.h"

/* Fails unless array's shape is the one given. of: what has that shape, for the message: "x", "x without its
 * axis". */
int32_t softattn_require_shape(const struct softattn_array *array, int32_t rank, const int64_t *shape,
                               const char *of);

/* Strides of array over the shape given: dimensions align at the last, sizes of 1 and missing leading
 * dimensions get stride 0. Fails when another size differs. */
int32_t softattn_broadcast(const struct softattn_array *array, int32_t rank, const int64_t *shape,
                           const char *of, int64_t *stride);

#endif
