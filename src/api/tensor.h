/* Reads a caller's softattn_tensor into a checked array. */
#ifndef SOFTATTN_API_TENSOR_H
#define SOFTATTN_API_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/array.h"
#include "softattn/softattn.h"

enum softattn_element {
    SOFTATTN_ELEMENT_REAL,    /* float32 or float64 */
    SOFTATTN_ELEMENT_FLOAT,   /* these, float16 or bfloat16 */
    SOFTATTN_ELEMENT_BYTE,    /* bool or uint8 */
    SOFTATTN_ELEMENT_INTEGER, /* int32 or int64 */
    SOFTATTN_ELEMENT_INT32
};

/* What an operation expects of one of its tensors. */
struct softattn_tensor_rule {
    const char *name;
    enum softattn_element element;
    bool required, is_output;
};

/* Reads the tensor that an arguments struct points to at `offset`. Where that is NULL and not required,
 * array->name becomes NULL. with_memory: see softattn_array_check. */
int32_t softattn_tensor_read(const void *arguments, size_t offset, const struct softattn_tensor_rule *rule,
                             bool with_memory, struct softattn_array *array);

/* Fails unless two arrays of floats have one type. */
int32_t softattn_require_same_real(const struct softattn_array *array,
                                   const struct softattn_array *reference);

/* Fails unless an array has the type that its rule and the reference's ask of it: elements of SOFTATTN_ELEMENT_FLOAT the
 * same, those of SOFTATTN_ELEMENT_REAL that of the arithmetic on the reference, float32 for 16-bit floats. */
int32_t softattn_require_type(enum softattn_element element, const struct softattn_array *array,
                              const struct softattn_array *reference);

#endif
