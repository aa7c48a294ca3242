/*
 * Test arrays: layouts, element access by row-major index, filling, and what must have stayed as it was.
 */
#include "arrays.h"
#include "halves.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    uint8_t code, bits;
} element_types[] = {
    [ARRAY_F32] = {SOFTATTN_TYPE_FLOAT, 32}, [ARRAY_F64] = {SOFTATTN_TYPE_FLOAT, 64},
    [ARRAY_U8] = {SOFTATTN_TYPE_UINT, 8},    [ARRAY_BOOL] = {SOFTATTN_TYPE_BOOL, 8},
    [ARRAY_I32] = {SOFTATTN_TYPE_INT, 32},   [ARRAY_I64] = {SOFTATTN_TYPE_INT, 64},
    [ARRAY_F16] = {SOFTATTN_TYPE_FLOAT, 16}, [ARRAY_BF16] = {SOFTATTN_TYPE_BFLOAT, 16},
};

size_t array_element_bytes(array_type type) { return element_types[type].bits / 8u; }

const char *array_layout_name(array_layout layout) {
    static const char *const names[ARRAY_LAYOUTS] = {"compact", "padded", "transposed", "spread",
                                                     "backwards"};
    return names[layout];
}

/* Strides of a row-major array whose rows, planes, … are followed by `gap` unused elements, rows, … */
static void row_major_strides(int32_t rank, const int64_t *shape, int64_t gap, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= (shape[axis] > 0 ? shape[axis] : 1) + gap;
    }
}

static void transposed_strides(int32_t rank, const int64_t *shape, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t axis = 0; axis < rank; axis++) {
        strides[axis] = stride;
        stride *= (shape[axis] > 0 ? shape[axis] : 1) + 1;
    }
}

static void scale_strides(int32_t rank, int64_t factor, int64_t *strides) {
    for (int32_t axis = 0; axis < rank; axis++) {
        strides[axis] *= factor;
    }
}

void array_create(test_array *array, array_type type, int32_t rank, const int64_t *shape, array_layout layout,
                  guard_side side) {
    int64_t strides[SOFTATTN_MAX_RANK];
    row_major_strides(rank, shape, layout == ARRAY_PADDED ? 3 : 0, strides);
    if (layout == ARRAY_TRANSPOSED) {
        transposed_strides(rank, shape, strides);
    } else if (layout == ARRAY_SPREAD) {
        scale_strides(rank, 2, strides);
    } else if (layout == ARRAY_BACKWARDS) {
        scale_strides(rank, -1, strides);
    }
    array_create_strided(array, type, rank, shape, strides, side);
    if (layout == ARRAY_COMPACT) {
        array->tensor.strides = NULL;
    }
}

static void describe(test_array *array, array_type type, int32_t rank, const int64_t *shape,
                     const int64_t *strides, void *data) {
    for (int32_t axis = 0; axis < rank; axis++) {
        array->shape[axis] = shape[axis];
        array->strides[axis] = strides[axis];
    }
    array->type = type;
    array->tensor.data = data;
    array->tensor.device.device_type = SOFTATTN_DEVICE_CPU;
    array->tensor.ndim = rank;
    array->tensor.dtype.code = element_types[type].code;
    array->tensor.dtype.bits = element_types[type].bits;
    array->tensor.dtype.lanes = 1;
    array->tensor.shape = array->shape;
    array->tensor.strides = array->strides;
}

void array_create_strided(test_array *array, array_type type, int32_t rank, const int64_t *shape,
                          const int64_t *strides, guard_side side) {
    int64_t lowest = 0, highest = 0, count = 1;
    for (int32_t axis = 0; axis < rank; axis++) {
        const int64_t reach = strides[axis] * (shape[axis] - 1);
        lowest += reach < 0 ? reach : 0;
        highest += reach > 0 ? reach : 0;
        count *= shape[axis];
    }
    const size_t bytes = array_element_bytes(type);
    memset(array, 0, sizeof *array);
    guard_create(&array->block, count > 0 ? (size_t)(highest - lowest + 1) * bytes : 0, bytes, side);
    describe(array, type, rank, shape, strides,
             array->block.data + (count > 0 ? (size_t)-lowest * bytes : 0));
}

void array_create_view(test_array *view, const test_array *base, int32_t rank, const int64_t *shape,
                       const int64_t *strides, int64_t offset) {
    memset(view, 0, sizeof *view);
    const int64_t bytes = (int64_t)array_element_bytes(base->type);
    describe(view, base->type, rank, shape, strides, (unsigned char *)base->tensor.data + offset * bytes);
}

void array_destroy(test_array *array) {
    if (array->block.mapping) {
        guard_destroy(&array->block);
    }
}

int64_t array_count(const test_array *array) {
    int64_t count = 1;
    for (int32_t axis = 0; axis < array->tensor.ndim; axis++) {
        count *= array->shape[axis];
    }
    return count;
}

void *array_at(const test_array *array, int64_t index) {
    int64_t offset = 0;
    for (int32_t axis = array->tensor.ndim - 1; axis >= 0; axis--) {
        offset += index % array->shape[axis] * array->strides[axis];
        index /= array->shape[axis];
    }
    return (unsigned char *)array->tensor.data + offset * (int64_t)array_element_bytes(array->type);
}

static double read_element(array_type type, const void *at) {
    switch (type) {
    case ARRAY_F32: return (double)*(const float *)at;
    case ARRAY_F64: return *(const double *)at;
    case ARRAY_I32: return (double)*(const int32_t *)at;
    case ARRAY_I64: return (double)*(const int64_t *)at;
    case ARRAY_F16: return half_value(&half_f16, *(const uint16_t *)at);
    case ARRAY_BF16: return half_value(&half_bf16, *(const uint16_t *)at);
    default: return (double)*(const uint8_t *)at;
    }
}

double array_get(const test_array *array, int64_t index) {
    return read_element(array->type, array_at(array, index));
}

void array_set(test_array *array, int64_t index, double value) {
    void *const at = array_at(array, index);
    switch (array->type) {
    case ARRAY_F32: *(float *)at = (float)value; break;
    case ARRAY_F64: *(double *)at = value; break;
    case ARRAY_I32: *(int32_t *)at = (int32_t)value; break;
    case ARRAY_I64: *(int64_t *)at = (int64_t)value; break;
    case ARRAY_F16: *(uint16_t *)at = half_nearest(&half_f16, value); break;
    case ARRAY_BF16: *(uint16_t *)at = half_nearest(&half_bf16, value); break;
    default: *(uint8_t *)at = (uint8_t)value; break;
    }
}

void array_fill(test_array *array, double value) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, value);
    }
}

void array_fill_uniform(test_array *array, random_source *random, double low, double high) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, random_uniform(random, low, high));
    }
}

void array_fill_normal(test_array *array, random_source *random, double deviation) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, deviation * random_normal(random));
    }
}

void array_fill_keep(test_array *array, random_source *random, double probability) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, random_uniform(random, 0.0, 1.0) < probability ? 1.0 : 0.0);
    }
}

void array_fill_integers(test_array *array, random_source *random, int64_t low, int64_t high) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, (double)random_between(random, low, high));
    }
}

void array_forget(test_array *array) {
    if (array->block.bytes > 0) {
        memset(array->block.data, GUARD_SENTINEL, array->block.bytes);
    }
}

void array_copy(test_array *to, const test_array *from) {
    for (int64_t i = 0; i < array_count(to); i++) {
        memcpy(array_at(to, i), array_at(from, i), array_element_bytes(to->type));
    }
}

/* Offset in elements of the broadcast array's element with this row-major index of `shape`. */
static int64_t broadcast_offset(const test_array *array, int32_t rank, const int64_t *shape, int64_t index) {
    int64_t offset = 0;
    const int32_t missing = rank - array->tensor.ndim;
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        const int64_t position = index % shape[axis];
        index /= shape[axis];
        if (axis >= missing && array->shape[axis - missing] > 1) {
            offset += position * array->strides[axis - missing];
        }
    }
    return offset;
}

double *array_read(const test_array *array, int32_t rank, const int64_t *shape) {
    int64_t count = 1;
    for (int32_t axis = 0; axis < rank; axis++) {
        count *= shape[axis];
    }
    double *const values = malloc((size_t)(count > 0 ? count : 1) * sizeof *values);
    if (!values) {
        abort();
    }
    const int64_t bytes = (int64_t)array_element_bytes(array->type);
    for (int64_t i = 0; i < count; i++) {
        const int64_t offset = broadcast_offset(array, rank, shape, i);
        values[i] = read_element(array->type, (const unsigned char *)array->tensor.data + offset * bytes);
    }
    return values;
}

static bool bytes_are_sentinels(const guard_block *block, const unsigned char *is_element) {
    for (size_t i = 0; i < block->bytes; i++) {
        if (block->data[i] != GUARD_SENTINEL && !(is_element && is_element[i])) {
            return false;
        }
    }
    return guard_surroundings_untouched(block);
}

bool array_untouched(const test_array *array) { return bytes_are_sentinels(&array->block, NULL); }

bool array_gaps_untouched(const test_array *array) {
    unsigned char *const is_element = calloc(array->block.bytes + 1, 1);
    if (!is_element) {
        abort();
    }
    for (int64_t i = 0; i < array_count(array); i++) {
        const unsigned char *const at = array_at(array, i);
        memset(is_element + (at - array->block.data), 1, array_element_bytes(array->type));
    }
    const bool untouched = bytes_are_sentinels(&array->block, is_element);
    free(is_element);
    return untouched;
}
