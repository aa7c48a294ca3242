/* A dense row-major array, see array.h. */
#include "array.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "report.h"

int64_t array_count(const array *a) {
    int64_t count = 1;
    for (int32_t axis = 0; axis < a->rank; axis++) {
        if (a->shape[axis] == 0) {
            return 0;
        }
    }
    for (int32_t axis = 0; axis < a->rank; axis++) {
        count *= a->shape[axis];
    }
    return count;
}

int64_t array_bytes(const array *a) {
    int64_t limit = PTRDIFF_MAX / (a->bits / 8); /* no object is larger than PTRDIFF_MAX */
    for (int32_t axis = 0; axis < a->rank; axis++) {
        if (a->shape[axis] == 0) {
            return 0;
        }
    }
    for (int32_t axis = 0; axis < a->rank; axis++) {
        limit /= a->shape[axis]; /* floor(floor(n / a) / b) == floor(n / (a * b)), so no product is needed */
    }
    return limit == 0 ? -1 : array_count(a) * (a->bits / 8);
}

bool array_allocate(array *a, const char *subject) {
    const int64_t bytes = array_bytes(a);
    char shape[SHAPE_TEXT_BYTES];
    a->data = bytes < 0 ? NULL : calloc(bytes > 0 ? (size_t)bytes : 1, 1);
    if (a->data == NULL) {
        array_shape_text(a, shape);
        return report(subject, "no memory for an array of shape %s", shape);
    }
    return true;
}

void array_free(array *a) {
    free(a->data);
    a->data = NULL;
}

double array_at(const array *a, int64_t index) {
    return a->bits == 32 ? (double)((const float *)a->data)[index] : ((const double *)a->data)[index];
}

softattn_tensor array_tensor(array *a) {
    softattn_tensor tensor = {.data = a->data, .ndim = a->rank, .shape = a->shape};
    tensor.device.device_type = SOFTATTN_DEVICE_CPU;
    tensor.dtype.code = SOFTATTN_TYPE_FLOAT;
    tensor.dtype.bits = (uint8_t)a->bits;
    tensor.dtype.lanes = 1;
    return tensor;
}

softattn_tensor array_matrix(array *a, int64_t first, int64_t shape[2]) {
    softattn_tensor tensor = array_tensor(a);
    tensor.ndim = 2;
    tensor.shape = shape;
    tensor.byte_offset = (uint64_t)first * (uint64_t)(a->bits / 8);
    return tensor;
}

void array_shape_text(const array *a, char text[SHAPE_TEXT_BYTES]) {
    int length = snprintf(text, SHAPE_TEXT_BYTES, "(");
    for (int32_t axis = 0; axis < a->rank; axis++) {
        /* SHAPE_TEXT_BYTES holds 8 sizes of 19 digits with their separators. */
        length += snprintf(text + length, (size_t)(SHAPE_TEXT_BYTES - length), "%s%" PRId64,
                           axis > 0 ? ", " : "", a->shape[axis]);
    }
    snprintf(text + length, (size_t)(SHAPE_TEXT_BYTES - length), a->rank == 1 ? ",)" : ")");
}
