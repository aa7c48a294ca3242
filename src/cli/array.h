/* A dense row-major array of float or double: what a .npy file holds and what a tensor of the library
 * views. */
#ifndef CLI_ARRAY_H
#define CLI_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "softattn/softattn.h"

typedef struct array {
    void *data;   /* from malloc; NULL: no array */
    int32_t bits; /* 32: float, 64: double */
    int32_t rank;
    int64_t shape[SOFTATTN_MAX_RANK];
} array;

/* Bytes that the elements take, or -1 when that is more than this machine addresses. */
int64_t array_bytes(const array *a);

/* Elements; only for an array whose array_bytes is known to be no -1. */
int64_t array_count(const array *a);

/* Takes zeroed memory for a's bits, rank and shape. Reports under subject and returns false when there is
 * none. */
bool array_allocate(array *a, const char *subject);
void array_free(array *a);

/* Element index in row-major order, as double. */
double array_at(const array *a, int64_t index);

/* View of the whole array. It borrows data and shape. */
softattn_tensor array_tensor(array *a);

/* Like array_tensor for a view of a part: rank 2, starting at element first. shape must outlive the view. */
softattn_tensor array_matrix(array *a, int64_t first, int64_t shape[2]);

/* The shape as Python writes it, "(1, 12, 14, 32)". */
#define SHAPE_TEXT_BYTES 200
void array_shape_text(const array *a, char text[SHAPE_TEXT_BYTES]);

#endif
