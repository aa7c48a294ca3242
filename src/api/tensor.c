/* Checks of a tensor's description; what its numbers mean is array.c's business. */
#include "api/tensor.h"

#include <inttypes.h>
#include <string.h>

#include "api/status.h"
#include "kernels/kernels.h"

static const char *const accepted_names[] = {
    [SOFTATTN_ELEMENT_REAL] = "float32 or float64",
    [SOFTATTN_ELEMENT_FLOAT] = "float16, bfloat16, float32 or float64",
    [SOFTATTN_ELEMENT_BYTE] = "bool or uint8",
    [SOFTATTN_ELEMENT_INTEGER] = "int32 or int64",
    [SOFTATTN_ELEMENT_INT32] = "int32",
};

/* The 16-bit float that a type is; SOFTATTN_FORMAT_REAL where it is none. */
static int32_t half_format(uint8_t code, uint8_t bits) {
    const bool is_f16 = code == SOFTATTN_TYPE_FLOAT && bits == 16;
    const bool is_bf16 = code == SOFTATTN_TYPE_BFLOAT && bits == 16;
    return is_f16 ? SOFTATTN_FORMAT_F16 : is_bf16 ? SOFTATTN_FORMAT_BF16 : SOFTATTN_FORMAT_REAL;
}

static bool is_real(uint8_t code, uint8_t bits) {
    return code == SOFTATTN_TYPE_FLOAT && (bits == 32 || bits == 64);
}

static bool accepts(enum softattn_element element, uint8_t code, uint8_t bits) {
    switch (element) {
    case SOFTATTN_ELEMENT_REAL: return is_real(code, bits);
    case SOFTATTN_ELEMENT_FLOAT:
        return is_real(code, bits) || half_format(code, bits) != SOFTATTN_FORMAT_REAL;
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
    array->format = half_format(tensor->dtype.code, tensor->dtype.bits);
    array->is_output = rule->is_output;
    copy_layout(tensor, array);
    status = softattn_array_check(array, with_memory);
    if (status == SOFTATTN_OK && array->data == NULL) {
        array->data = (char *)&nowhere;
    }
    return status;
}

static const char *type_name(int32_t element_bytes, int32_t format) {
    if (format != SOFTATTN_FORMAT_REAL) {
        return format == SOFTATTN_FORMAT_F16 ? "float16" : "bfloat16";
    }
    return element_bytes == 4 ? "float32" : "float64";
}

static int32_t fail_type(const struct softattn_array *array, const struct softattn_array *reference) {
    return softattn_fail(SOFTATTN_ERROR_TYPE, "%s: %s, but %s is %s", array->name,
                         type_name(array->element_bytes, array->format), reference->name,
                         type_name(reference->element_bytes, reference->format));
}

int32_t softattn_require_same_real(const struct softattn_array *array,
                                   const struct softattn_array *reference) {
    const bool is_same =
        array->element_bytes == reference->element_bytes && array->format == reference->format;
    return is_same ? SOFTATTN_OK : fail_type(array, reference);
}

int32_t softattn_require_type(enum softattn_element element, const struct softattn_array *array,
                              const struct softattn_array *reference) {
    if (element == SOFTATTN_ELEMENT_REAL && reference->format != SOFTATTN_FORMAT_REAL) {
        return array->element_bytes == 4 ? SOFTATTN_OK : fail_type(array, reference);
    }
    const bool is_float = element == SOFTATTN_ELEMENT_REAL || element == SOFTATTN_ELEMENT_FLOAT;
    return is_float ? softattn_require_same_real(array, reference) : SOFTATTN_OK;
}
