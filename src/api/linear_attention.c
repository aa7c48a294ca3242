/* Creating, configuring and destroying linear attention handles. */
#include "api/linear_attention.h"

#include <stddef.h>

#include "api/options.h"
#include "api/status.h"

int32_t softattn_linear_attention_create(const softattn_context *context, softattn_linear_attention **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_linear_attention *attention = softattn_handle_create(context, sizeof *attention);
    if (attention == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    *out = attention;
    return SOFTATTN_OK;
}

void softattn_linear_attention_destroy(softattn_linear_attention *attention) {
    softattn_handle_destroy(attention);
}

int32_t softattn_linear_attention_set_causal(softattn_linear_attention *attention, int32_t mode,
                                             int64_t offset) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const int32_t status = softattn_check_causal(mode, offset);
    if (status == SOFTATTN_OK) {
        attention->causal = mode;
        attention->causal_offset = offset;
    }
    return status;
}

int32_t softattn_linear_attention_set_feature_map(softattn_linear_attention *attention, int32_t feature_map) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (feature_map < SOFTATTN_FEATURE_MAP_ELU_PLUS_ONE || feature_map > SOFTATTN_FEATURE_MAP_IDENTITY) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "feature_map: %d is none of SOFTATTN_FEATURE_MAP_*",
                             (int)feature_map);
    }
    attention->feature_map = feature_map;
    return SOFTATTN_OK;
}

int32_t softattn_linear_attention_set_normalization(softattn_linear_attention *attention,
                                                    int32_t normalization) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (normalization != 0 && normalization != 1) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "normalization: %d is neither 0 nor 1",
                             (int)normalization);
    }
    attention->skips_normalization = normalization == 0;
    return SOFTATTN_OK;
}
