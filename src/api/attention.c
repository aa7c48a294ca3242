/* Creating, configuring and destroying attention handles. */
#include "api/attention.h"

#include <stddef.h>

#include "api/options.h"
#include "api/status.h"

int32_t softattn_attention_create(const softattn_context *context, softattn_attention **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_attention *attention = softattn_handle_create(context, sizeof *attention);
    if (attention == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    *out = attention;
    return SOFTATTN_OK;
}

void softattn_attention_destroy(softattn_attention *attention) { softattn_handle_destroy(attention); }

int32_t softattn_attention_set_scale(softattn_attention *attention, double scale) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const int32_t status = softattn_check_finite("scale", scale);
    if (status == SOFTATTN_OK) {
        attention->has_scale = true;
        attention->scale = scale;
    }
    return status;
}

int32_t softattn_attention_use_default_scale(softattn_attention *attention) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    attention->has_scale = false;
    return SOFTATTN_OK;
}

int32_t softattn_attention_set_causal(softattn_attention *attention, int32_t mode, int64_t offset) {
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

int32_t softattn_attention_set_engine(softattn_attention *attention, int32_t engine) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (engine < SOFTATTN_ENGINE_AUTO || engine > SOFTATTN_ENGINE_BLAS) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "engine: %d is none of SOFTATTN_ENGINE_*", (int)engine);
    }
    attention->engine = engine;
    return SOFTATTN_OK;
}
