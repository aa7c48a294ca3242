/*
 * Test arrays: a softattn_tensor over guarded memory in any layout, seen as a row-major list of numbers
 * whatever the strides are.
 */
#ifndef TEST_SUPPORT_ARRAYS_H
#define TEST_SUPPORT_ARRAYS_H

#include "guard.h"
#include "random.h"

#include <softattn/softattn.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum array_type {
    ARRAY_F32,
    ARRAY_F64,
    ARRAY_U8,
    ARRAY_BOOL,
    ARRAY_I32,
    ARRAY_I64,
    ARRAY_F16,
    ARRAY_BF16
} array_type;

typedef enum array_layout {
    ARRAY_COMPACT,    /* row-major, strides NULL */
    ARRAY_PADDED,     /* row-major with gaps after each row, plane, … */
    ARRAY_TRANSPOSED, /* the last axis has the largest stride */
    ARRAY_SPREAD,     /* row-major, every stride doubled */
    ARRAY_BACKWARDS,  /* row-major, every stride negative */
    ARRAY_LAYOUTS
} array_layout;

typedef struct test_array {
    softattn_tensor tensor; /* points into this struct, so the struct must stay where it was created */
    int64_t shape[SOFTATTN_MAX_RANK];
    int64_t strides[SOFTATTN_MAX_RANK];
    array_type type;
    guard_block block;
} test_array;

/* All memory holds sentinels. shape may be NULL when rank is 0. */
void array_create(test_array *array, array_type type, int32_t rank, const int64_t *shape, array_layout layout,
                  guard_side side);
void array_create_strided(test_array *array, array_type type, int32_t rank, const int64_t *shape,
                          const int64_t *strides, guard_side side);
/* A view of another array's memory from element `offset` on; its base must outlive it. */
void array_create_view(test_array *view, const test_array *base, int32_t rank, const int64_t *shape,
                       const int64_t *strides, int64_t offset);
/* A zeroed array and a view may be destroyed too. */
void array_destroy(test_array *array);

const char *array_layout_name(array_layout layout);
size_t array_element_bytes(array_type type);
int64_t array_count(const test_array *array);

/* Address of the element with this row-major index. */
void *array_at(const test_array *array, int64_t index);
double array_get(const test_array *array, int64_t index);
void array_set(test_array *array, int64_t index, double value);

void array_fill(test_array *array, double value);
void array_fill_uniform(test_array *array, random_source *random, double low, double high);
void array_fill_normal(test_array *array, random_source *random, double deviation);
/* Each element 1 with the given probability, otherwise 0. */
void array_fill_keep(test_array *array, random_source *random, double probability);
void array_fill_integers(test_array *array, random_source *random, int64_t low, int64_t high);

/* All memory holds sentinels again. */
void array_forget(test_array *array);

/* Copies the numbers of one array to another of the same shape. */
void array_copy(test_array *to, const test_array *from);

/* The numbers in row-major order of `shape`, to which the array is broadcast as in NumPy. Freed by free(). */
double *array_read(const test_array *array, int32_t rank, const int64_t *shape);

/* Whether all memory, or all but the elements, holds sentinels still. */
bool array_untouched(const test_array *array);
bool array_gaps_untouched(const test_array *array);

#endif
