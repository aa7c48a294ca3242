/* The public header's constants by name, for callers that cannot read macros. */
#include <stddef.h>
#include <string.h>

#include "api/status.h"
#include "softattn/softattn.h"

#define CONSTANT(name)                                                                                       \
    { #name, name }

static const struct {
    const char *name;
    int32_t value;
} constants[] = {
    CONSTANT(SOFTATTN_VERSION_MAJOR),
    CONSTANT(SOFTATTN_VERSION_MINOR),
    CONSTANT(SOFTATTN_VERSION_PATCH),
    CONSTANT(SOFTATTN_OK),
    CONSTANT(SOFTATTN_ERROR_NULL),
    CONSTANT(SOFTATTN_ERROR_ARGUMENT),
    CONSTANT(SOFTATTN_ERROR_SHAPE),
    CONSTANT(SOFTATTN_ERROR_TYPE),
    CONSTANT(SOFTATTN_ERROR_STRIDE),
    CONSTANT(SOFTATTN_ERROR_OVERLAP),
    CONSTANT(SOFTATTN_ERROR_OVERFLOW),
    CONSTANT(SOFTATTN_ERROR_STRUCT_SIZE),
    CONSTANT(SOFTATTN_ERROR_MEMORY),
    CONSTANT(SOFTATTN_ERROR_THREAD),
    CONSTANT(SOFTATTN_ERROR_UNSUPPORTED),
    CONSTANT(SOFTATTN_DEVICE_CPU),
    CONSTANT(SOFTATTN_TYPE_INT),
    CONSTANT(SOFTATTN_TYPE_UINT),
    CONSTANT(SOFTATTN_TYPE_FLOAT),
    CONSTANT(SOFTATTN_TYPE_BFLOAT),
    CONSTANT(SOFTATTN_TYPE_BOOL),
    CONSTANT(SOFTATTN_MAX_RANK),
    CONSTANT(SOFTATTN_OUTPUT_PROBABILITIES),
    CONSTANT(SOFTATTN_OUTPUT_LOG_PROBABILITIES),
    CONSTANT(SOFTATTN_EMPTY_ROW_AUTO),
    CONSTANT(SOFTATTN_EMPTY_ROW_NAN),
    CONSTANT(SOFTATTN_EMPTY_ROW_ZERO),
    CONSTANT(SOFTATTN_CAUSAL_NONE),
    CONSTANT(SOFTATTN_CAUSAL_TOP_LEFT),
    CONSTANT(SOFTATTN_CAUSAL_BOTTOM_RIGHT),
    CONSTANT(SOFTATTN_CAUSAL_OFFSET),
    CONSTANT(SOFTATTN_REDUCTION_NONE),
    CONSTANT(SOFTATTN_REDUCTION_MEAN),
    CONSTANT(SOFTATTN_REDUCTION_SUM),
    CONSTANT(SOFTATTN_ENGINE_AUTO),
    CONSTANT(SOFTATTN_ENGINE_FUSED),
    CONSTANT(SOFTATTN_ENGINE_BLAS),
    CONSTANT(SOFTATTN_FEATURE_MAP_ELU_PLUS_ONE),
    CONSTANT(SOFTATTN_FEATURE_MAP_IDENTITY),
};

int32_t softattn_constant(const char *name, int32_t *value) {
    if (name == NULL) {
        return softattn_fail_null("name");
    }
    if (value == NULL) {
        return softattn_fail_null("value");
    }
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (strcmp(constants[i].name, name) == 0) {
            *value = constants[i].value;
            return SOFTATTN_OK;
        }
    }
    return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "name: there is no constant \"%.64s\"", name);
}
