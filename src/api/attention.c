/* Creating, configuring and destroying attention handles. */
#include "api/attention.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "api/diagnosis.h"
#include "api/options.h"
#include "api/status.h"

enum { DEFAULT_BLOCK = 64 };

void softattn_attention_reset(softattn_attention *attention) {
    *attention = (softattn_attention){.handle = attention->handle,
                                      .window_left = -1,
                                      .window_right = -1,
                                      .block_q = DEFAULT_BLOCK,
                                      .block_k = DEFAULT_BLOCK,
                                      .saturation = SOFTATTN_DEFAULT_SATURATION};
}

int32_t softattn_attention_create(const softattn_context *context, softattn_attention **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_attention *attention = softattn_handle_create(context, sizeof *attention);
    if (attention == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    softattn_attention_reset(attention);
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

int32_t softattn_attention_set_alignment(softattn_attention *attention, int32_t mode, int64_t offset) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const int32_t status = softattn_check_causal(mode, offset);
    if (status == SOFTATTN_OK) {
        attention->alignment = mode;
        attention->alignment_offset = offset;
    }
    return status;
}

int32_t softattn_attention_set_window(softattn_attention *attention, int64_t left, int64_t right) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (left < -1 || right < -1) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: %" PRId64 " is below -1",
                             left < -1 ? "left" : "right", left < -1 ? left : right);
    }
    attention->window_left = left;
    attention->window_right = right;
    return SOFTATTN_OK;
}

int32_t softattn_attention_set_softcap(softattn_attention *attention, double cap) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (!(cap >= 0) || !isfinite(cap)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "cap: %g is neither 0 nor positive and finite", cap);
    }
    attention->softcap = cap;
    return SOFTATTN_OK;
}

int32_t softattn_attention_set_normalizer(softattn_attention *attention, int32_t normalizer) {
    return attention == NULL ? softattn_fail_null("attention")
                             : softattn_normalizer_set_kind(&attention->normalizer, normalizer);
}

int32_t softattn_attention_set_sigmoid_bias(softattn_attention *attention, double bias) {
    return attention == NULL ? softattn_fail_null("attention")
                             : softattn_normalizer_set_sigmoid_bias(&attention->normalizer, bias);
}

int32_t softattn_attention_set_dropout(softattn_attention *attention, double probability) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const int32_t status = softattn_check_fraction("probability", probability);
    if (status == SOFTATTN_OK) {
        attention->dropout = probability;
    }
    return status;
}

int32_t softattn_attention_set_saturation(softattn_attention *attention, double probability) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const int32_t status = softattn_check_fraction("probability", probability);
    if (status == SOFTATTN_OK) {
        attention->saturation = probability;
    }
    return status;
}

int32_t softattn_attention_set_block_size(softattn_attention *attention, int64_t block_q, int64_t block_k) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    if (block_q < 1 || block_k < 1) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: %" PRId64 " is below 1",
                             block_q < 1 ? "block_q" : "block_k", block_q < 1 ? block_q : block_k);
    }
    attention->block_q = block_q;
    attention->block_k = block_k;
    return SOFTATTN_OK;
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
