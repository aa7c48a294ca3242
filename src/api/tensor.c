/* Checks of a tensor's description; what its numbers mean is array.c's business. */
#include "api/tensor.h"

#include <inttypes.h>
#include <string.h>

#include "api/status.h"

static const char *const accepted_names[] = {
    [SOFTATTN_ELEMENT_REAL] = "float32 or float64",
    [SOFTATTN_ELEMENT_BYTE] = "bool or uint8",
    [SOFTATTN_ELEMENT_INTEGER] = "int32 or int64",
    [SOFTATTN_ELEMENT_INT32] = "int32",
};

static bool accepts(enum softattn_element element, uint8_t code, uint8_t bits) {
    switch (element) {
    case SOFTATTN_ELEMENT_REAL: return code == SOFTATTN_TYPE_FLOAT && (bits == 32 || bits == 64);
    case SOFTATTN_ELEMENT_BYTE:
        return (code == SOFTATTN_TYPE_BOOL || code == SOFTATTN_TYPE_UINT) && bits == 8;
    case SOFTATTN_ELEMENT_INTEGER: return code == SOFTATTN_TYPE_INT && (bits == 32 || bits == 64);
    case SOFTATTN_ELEMENT_INT32: return code == SOFTATTN_TYPE_INT && bits == 32;
    }
    return false;
}

static int32_t check_type(const softattn_tensor *tensor, const struct softattn_tensor_rule *rule) {
    if (tensor->device.device_type != SOFTATTN_DEVICE_CPU) {
        return softattn_fail(SOFTATTN_ERROR_TYPE, "%s: device type %d is not the CPU's %d", rule->name,
                             (int)tensor->device.device_type, SOFTATTN_DEVICE_CPU);
    }
    if (tensor->dtype.lanes != 1) {
        return softattn_fail(SOFTATTN_ERROR_TYPE, "%s: %d lanes instead of 1", rule->name,
                             (int)tensor->dtype.lanes);
    }
    if (!accepts(rule->element, tensor->dtype.code, tensor->dtype.bits)) {
        return softattn_fail(SOFTATTN_ERROR_TYPE, "%s: type code %d of %d bits instead of %s", rule->name,
                             (int)tensor->dtype.code, (int)tensor->dtype.bits, accepted_names[rule->element]);
    }
    return SOFTATTN_OK;
}

static int32_t check_rank(const softattn_tensor *tensor, const char *name) {
    if (tensor->ndim < 0 || tensor->ndim > SOFTATTN_MAX_RANK) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: ndim %d is outside 0 ... %d", name,
                             (int)tensor->ndim, SOFTATTN_MAX_RANK);
    }
    if (tensor->ndim > 0 && tensor->shape == NULL) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "%s: its shape is NULL with ndim %d", name,
                             (int)tensor->ndim);
    }
    return SOFTATTN_OK;
}

/* Where a given tensor without memory is: below this layer NULL says that an operand is not given. */
static const char nowhere;

/* data + byte_offset. A NULL stays one: the offset of no memory is none. */
static int32_t locate(const softattn_tensor *tensor, const char *name, char **data) {
    const uintptr_t base = (uintptr_t)tensor->data;
    if (base != 0 && tensor->byte_offset > UINTPTR_MAX - base) {
        return softattn_fail(SOFTATTN_ERROR_OVERFLOW, "%s: byte_offset %" PRIu64 " leaves the address range",
                             name, tensor->byte_offset);
    }
    *data = base == 0 ? NULL : (char *)(base + (uintptr_t)tensor->byte_offset);
    return SOFTATTN_OK;
}

static void copy_layout(const softattn_tensor *tensor, struct softattn_array *array) {
    for (int32_t i = 0; i < tensor->ndim; i++) {
        array->shape[i] = tensor->shape[i];
        array->stride[i] = tensor->strides == NULL ? 0 : tensor->strides[i];
    }
    if (tensor->strides == NULL) {
        softattn_array_make_compact(array);
    }
}

int32_t softattn_tensor_read(const void *arguments, size_t offset, const struct softattn_tensor_rule *rule,
                             bool with_memory, struct softattn_array *array) {
    const softattn_tensor *tensor;
    memcpy(&tensor, (const char *)arguments + offset, sizeof tensor);
    array->name = NULL;
    if (tensor == NULL) {
        return rule->required ? softattn_fail_null(rule->name) : SOFTATTN_OK;
    }
    int32_t status = check_rank(tensor, rule->name);
    if (status == SOFTATTN_OK) {
        status = check_type(tensor, rule);
    }
    if (status == SOFTATTN_OK) {
        status = locate(tensor, rule->name, &array->data);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    array->name = rule->name;
    array->rank = tensor->ndim;
    array->element_bytes = tensor->dtype.bits / 8;
    array->is_output = rule->is_output;
    copy_layout(tensor, array);
    status = softattn_array_check(array, with_memory);
    if (status == SOFTATTN_OK && array->data == NULL) {
        array->data = (char *)&nowhere;
    }
    return status;
}

int32_t softattn_require_same_real(const struct softattn_array *array,
                                   const struct softattn_array *reference) {
    if (array->element_bytes != reference->element_bytes) {
        return softattn_fail(SOFTATTN_ERROR_TYPE, "%s: float%d, but %s is float%d", array->name,
                             (int)array->element_bytes * 8, reference->name,
                             (int)reference->element_bytes * 8);
    }
    return SOFTATTN_OK;
}
