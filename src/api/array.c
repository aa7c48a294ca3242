/* Sizes, strides and extents of one array. All arithmetic on the caller's numbers is checked. */
#include "api/array.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/status.h"
#include "platform/checked.h"

static int32_t fail_overflow(const struct softattn_array *array, const char *what) {
    return softattn_fail(SOFTATTN_ERROR_OVERFLOW, "%s: shape %s %s", array->name,
                         softattn_shape_text(array->rank, array->shape).text, what);
}

/* ---- Sizes ---- */

/*
 * Sizes whose product is beyond any memory are refused even where broadcasting or a size of 0 keeps the
 * memory small: the layers below multiply them without asking again.
 */
#define MAX_BYTES (INT64_C(1) << 46)

static int32_t count_elements(struct softattn_array *array) {
    int64_t bytes = array->element_bytes;
    bool empty = false;
    for (int32_t i = 0; i < array->rank; i++) {
        if (array->shape[i] < 0) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: shape[%d] is %" PRId64, array->name, (int)i,
                                 array->shape[i]);
        }
    }
    for (int32_t i = 0; i < array->rank; i++) {
        empty = empty || array->shape[i] == 0;
        if (array->shape[i] != 0 &&
            (!softattn_mul_i64(bytes, array->shape[i], &bytes) || bytes > MAX_BYTES)) {
            return fail_overflow(array, "makes more than 2^46 bytes");
        }
    }
    array->elements = empty ? 0 : bytes / array->element_bytes;
    return SOFTATTN_OK;
}

/* Sizes 0 and 1 make a stride meaningless. */
static void drop_idle_strides(struct softattn_array *array) {
    for (int32_t i = 0; i < array->rank; i++) {
        if (array->elements == 0 || array->shape[i] == 1) {
            array->stride[i] = 0;
        }
    }
}

/* ---- Memory ---- */

static int32_t check_data(const struct softattn_array *array) {
    if (array->elements == 0) {
        return SOFTATTN_OK;
    }
    if (array->data == NULL) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "%s: its data is NULL, but shape %s has elements",
                             array->name, softattn_shape_text(array->rank, array->shape).text);
    }
    if ((uintptr_t)array->data % (uintptr_t)array->element_bytes != 0) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: its data is not aligned to its elements' %d bytes",
                             array->name, (int)array->element_bytes);
    }
    return SOFTATTN_OK;
}

/* Bytes that the array reaches below its first element (<= 0) and above that element's start. False on
 * overflow. */
static bool reach(const struct softattn_array *array, int64_t *below, int64_t *above) {
    int64_t low = 0, high = 0, span;
    for (int32_t i = 0; i < array->rank && array->elements > 0; i++) {
        int64_t distance;
        if (!softattn_mul_i64(array->shape[i] - 1, array->stride[i], &distance) ||
            !softattn_mul_i64(distance, array->element_bytes, &distance) ||
            !softattn_add_i64(distance < 0 ? low : high, distance, distance < 0 ? &low : &high)) {
            return false;
        }
    }
    *below = low;
    *above = high;
    return softattn_add_i64(high, array->element_bytes, &high) && low >= -INT64_MAX &&
           softattn_add_i64(high, -low, &span);
}

static int32_t measure(struct softattn_array *array, bool with_memory) {
    int64_t below, above;
    array->low = array->high = 0;
    if (!reach(array, &below, &above)) {
        return fail_overflow(array, "and its strides reach beyond the address range");
    }
    if (!with_memory || array->elements == 0) {
        return SOFTATTN_OK;
    }
    const uint64_t first = (uintptr_t)array->data;
    const uint64_t last = first + (uint64_t)above + (uint64_t)array->element_bytes - 1;
    if ((uint64_t)-below > first || last < first || last >= UINTPTR_MAX) {
        return fail_overflow(array, "and its strides reach beyond the address range from its data on");
    }
    array->low = first - (uint64_t)-below;
    array->high = last + 1;
    return SOFTATTN_OK;
}

/* ---- Outputs ---- */

static int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

/* Order of the dimensions by growing |stride|. */
static void sort_dimensions(const struct softattn_array *array, int32_t *order) {
    for (int32_t i = 0; i < array->rank; i++) {
        int32_t place = i;
        for (; place > 0 && magnitude(array->stride[order[place - 1]]) > magnitude(array->stride[i]);
             place--) {
            order[place] = order[place - 1];
        }
        order[place] = i;
    }
}

/* Enough for distinct elements: each stride steps over all that the smaller ones reach. */
static int32_t check_distinct(const struct softattn_array *array) {
    int32_t order[SOFTATTN_MAX_RANK];
    int64_t smaller_reach = 0;
    if (array->elements <= 1) {
        return SOFTATTN_OK;
    }
    sort_dimensions(array, order);
    for (int32_t i = 0; i < array->rank; i++) {
        const int32_t dimension = order[i];
        if (array->shape[dimension] == 1) {
            continue;
        }
        if (magnitude(array->stride[dimension]) <= smaller_reach) {
            return softattn_fail(SOFTATTN_ERROR_STRIDE,
                                 "%s: stride[%d] is %" PRId64
                                 ", so elements of shape %s share memory or interleave",
                                 array->name, (int)dimension, array->stride[dimension],
                                 softattn_shape_text(array->rank, array->shape).text);
        }
        smaller_reach += (array->shape[dimension] - 1) * magnitude(array->stride[dimension]);
    }
    return SOFTATTN_OK;
}

/* ---- The interface ---- */

int32_t softattn_array_check(struct softattn_array *array, bool with_memory) {
    int32_t status = count_elements(array);
    if (status == SOFTATTN_OK && with_memory) {
        status = check_data(array);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    drop_idle_strides(array);
    status = measure(array, with_memory);
    if (status == SOFTATTN_OK && array->is_output) {
        status = check_distinct(array);
    }
    return status;
}

void softattn_array_make_compact(struct softattn_array *array) {
    int64_t stride = 1;
    for (int32_t i = array->rank - 1; i >= 0; i--) {
        array->stride[i] = stride;
        /* Where this overflows, the array is empty or has too many elements, and the check says so. */
        (void)softattn_mul_i64(stride, array->shape[i], &stride);
    }
}

bool softattn_array_same(const struct softattn_array *a, const struct softattn_array *b) {
    if (a->data != b->data || a->rank != b->rank || a->element_bytes != b->element_bytes ||
        a->format != b->format) {
        return false;
    }
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->shape[i] != b->shape[i] || a->stride[i] != b->stride[i]) {
            return false;
        }
    }
    return true;
}

struct softattn_shape_text softattn_shape_text(int32_t rank, const int64_t *shape) {
    struct softattn_shape_text out = {"["};
    size_t length = 1;
    for (int32_t i = 0; i < rank; i++) {
        length += (size_t)snprintf(out.text + length, sizeof out.text - length, "%s%" PRId64,
                                   i == 0 ? "" : ", ", shape[i]);
    }
    out.text[length] = ']';
    out.text[length + 1] = '\0';
    return out;
}
