/* Creating, configuring and destroying cross-entropy handles. */
#include "api/cross_entropy.h"

#include <stddef.h>

#include "api/options.h"
#include "api/status.h"

int32_t softattn_cross_entropy_create(const softattn_context *context, softattn_cross_entropy **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_cross_entropy *cross_entropy = softattn_handle_create(context, sizeof *cross_entropy);
    if (cross_entropy == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    cross_entropy->ignore_index = SOFTATTN_DEFAULT_IGNORE_INDEX;
    cross_entropy->scale = 1;
    cross_entropy->reduction = SOFTATTN_REDUCTION_MEAN;
    *out = cross_entropy;
    return SOFTATTN_OK;
}

void softattn_cross_entropy_destroy(softattn_cross_entropy *cross_entropy) {
    softattn_handle_destroy(cross_entropy);
}

int32_t softattn_cross_entropy_set_ignore_index(softattn_cross_entropy *cross_entropy, int64_t ignore_index) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    cross_entropy->ignore_index = ignore_index;
    return SOFTATTN_OK;
}

int32_t softattn_cross_entropy_set_label_smoothing(softattn_cross_entropy *cross_entropy, double smoothing) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    const int32_t status = softattn_check_fraction("smoothing", smoothing);
    if (status == SOFTATTN_OK) {
        cross_entropy->label_smoothing = smoothing;
    }
    return status;
}

int32_t softattn_cross_entropy_set_z_loss(softattn_cross_entropy *cross_entropy, double factor) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    const int32_t status = softattn_check_finite("factor", factor);
    if (status == SOFTATTN_OK && factor < 0) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "factor: %g is below 0", factor);
    }
    if (status == SOFTATTN_OK) {
        cross_entropy->z_loss = factor;
    }
    return status;
}

int32_t softattn_cross_entropy_set_scale(softattn_cross_entropy *cross_entropy, double scale) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    const int32_t status = softattn_check_finite("scale", scale);
    if (status == SOFTATTN_OK) {
        cross_entropy->scale = scale;
    }
    return status;
}

int32_t softattn_cross_entropy_set_temperature(softattn_cross_entropy *cross_entropy, double temperature) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    const int32_t status = softattn_check_temperature(temperature);
    if (status == SOFTATTN_OK) {
        cross_entropy->scale = 1 / temperature;
    }
    return status;
}

int32_t softattn_cross_entropy_set_reduction(softattn_cross_entropy *cross_entropy, int32_t reduction) {
    if (cross_entropy == NULL) {
        return softattn_fail_null("cross_entropy");
    }
    if (reduction < SOFTATTN_REDUCTION_NONE || reduction > SOFTATTN_REDUCTION_SUM) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "reduction: %d is none of SOFTATTN_REDUCTION_*",
                             (int)reduction);
    }
    cross_entropy->reduction = reduction;
    return SOFTATTN_OK;
}
