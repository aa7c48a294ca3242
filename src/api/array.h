/*
 * An argument that is an array, checked by itself: the API layer's own form of softattn_tensor and of the
 * flat functions' pointers.
 */
#ifndef SOFTATTN_API_ARRAY_H
#define SOFTATTN_API_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "softattn/softattn.h"

struct softattn_array {
    const char *name; /* the argument's, for messages; NULL: not given */
    char *data;       /* first element */
    int32_t rank;
    int32_t element_bytes;
    int32_t format; /* SOFTATTN_FORMAT_*: which of the 16-bit floats it holds, if any */
    bool is_output;
    int64_t shape[SOFTATTN_MAX_RANK];
    /* in elements; 0 along sizes 0 and 1, and everywhere in an empty array */
    int64_t stride[SOFTATTN_MAX_RANK];
    int64_t elements;
    uint64_t low, high; /* addresses of the first byte and after the last one; equal in an empty array */
};

/* Strides of a compact row-major array of array's shape. */
void softattn_array_make_compact(struct softattn_array *array);

/*
 * Checks what name, data, rank, element_bytes, is_output, shape and stride say, in this order: sizes, data
 * and its alignment, extent, and that an output's elements are distinct. Fills the rest. with_memory false:
 * data is not looked at, and low and high stay 0.
 */
int32_t softattn_array_check(struct softattn_array *array, bool with_memory);

/* Whether two arrays are the same elements in the same order. */
bool softattn_array_same(const struct softattn_array *a, const struct softattn_array *b);

/* The shape as text, "[2, 3]". */
struct softattn_shape_text {
    char text[SOFTATTN_MAX_RANK * 22 + 3];
};
struct softattn_shape_text softattn_shape_text(int32_t rank, const int64_t *shape);

#endif
