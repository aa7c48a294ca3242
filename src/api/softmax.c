/* Creating, configuring and destroying softmax handles. */
#include "api/softmax.h"

#include <stddef.h>

#include "api/diagnosis.h"
#include "api/options.h"
#include "api/status.h"

int32_t softattn_softmax_create(const softattn_context *context, softattn_softmax **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_softmax *softmax = softattn_handle_create(context, sizeof *softmax);
    if (softmax == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    softmax->axis = -1;
    softmax->scale = 1;
    softmax->saturation = SOFTATTN_DEFAULT_SATURATION;
    *out = softmax;
    return SOFTATTN_OK;
}

void softattn_softmax_destroy(softattn_softmax *softmax) { softattn_handle_destroy(softmax); }

int32_t softattn_softmax_set_axis(softattn_softmax *softmax, int32_t axis) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    if (axis < -SOFTATTN_MAX_RANK || axis >= SOFTATTN_MAX_RANK) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "axis: %d is outside %d ... %d", (int)axis,
                             -SOFTATTN_MAX_RANK, SOFTATTN_MAX_RANK - 1);
    }
    softmax->axis = axis;
    return SOFTATTN_OK;
}

int32_t softattn_softmax_set_scale(softattn_softmax *softmax, double scale) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_check_finite("scale", scale);
    if (status == SOFTATTN_OK) {
        softmax->scale = scale;
    }
    return status;
}

int32_t softattn_softmax_set_temperature(softattn_softmax *softmax, double temperature) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_check_temperature(temperature);
    if (status == SOFTATTN_OK) {
        softmax->scale = 1 / temperature;
    }
    return status;
}

int32_t softattn_softmax_set_causal(softattn_softmax *softmax, int32_t mode, int64_t offset) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_check_causal(mode, offset);
    if (status == SOFTATTN_OK) {
        softmax->causal = mode;
        softmax->causal_offset = offset;
    }
    return status;
}

int32_t softattn_softmax_set_output(softattn_softmax *softmax, int32_t output) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    if (output != SOFTATTN_OUTPUT_PROBABILITIES && output != SOFTATTN_OUTPUT_LOG_PROBABILITIES) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "output: %d is none of SOFTATTN_OUTPUT_*", (int)output);
    }
    softmax->output = output;
    return SOFTATTN_OK;
}

int32_t softattn_softmax_set_normalizer(softattn_softmax *softmax, int32_t normalizer) {
    return softmax == NULL ? softattn_fail_null("softmax")
                           : softattn_normalizer_set_kind(&softmax->normalizer, normalizer);
}

int32_t softattn_softmax_set_sigmoid_bias(softattn_softmax *softmax, double bias) {
    return softmax == NULL ? softattn_fail_null("softmax")
                           : softattn_normalizer_set_sigmoid_bias(&softmax->normalizer, bias);
}

int32_t softattn_softmax_set_empty_row(softattn_softmax *softmax, int32_t policy) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    if (policy < SOFTATTN_EMPTY_ROW_AUTO || policy > SOFTATTN_EMPTY_ROW_ZERO) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "policy: %d is none of SOFTATTN_EMPTY_ROW_*",
                             (int)policy);
    }
    softmax->empty_row = policy;
    return SOFTATTN_OK;
}

int32_t softattn_softmax_set_saturation(softattn_softmax *softmax, double probability) {
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const int32_t status = softattn_check_fraction("probability", probability);
    if (status == SOFTATTN_OK) {
        softmax->saturation = probability;
    }
    return status;
}
