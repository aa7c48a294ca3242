/* Creating, configuring and destroying sampler handles. */
#include "api/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "api/options.h"
#include "api/status.h"

int32_t softattn_sampler_create(const softattn_context *context, softattn_sampler **out) {
    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_sampler *sampler = softattn_handle_create(context, sizeof *sampler);
    if (sampler == NULL) {
        return SOFTATTN_ERROR_MEMORY;
    }
    sampler->temperature = 1;
    sampler->top_p = 1;
    *out = sampler;
    return SOFTATTN_OK;
}

void softattn_sampler_destroy(softattn_sampler *sampler) { softattn_handle_destroy(sampler); }

int32_t softattn_sampler_set_temperature(softattn_sampler *sampler, double temperature) {
    if (sampler == NULL) {
        return softattn_fail_null("sampler");
    }
    if (!(temperature >= 0) || !isfinite(temperature)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "temperature: %g is not at least 0 and finite",
                             temperature);
    }
    sampler->temperature = temperature;
    return SOFTATTN_OK;
}

int32_t softattn_sampler_set_top_k(softattn_sampler *sampler, int64_t k) {
    if (sampler == NULL) {
        return softattn_fail_null("sampler");
    }
    if (k < 0) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "k: %" PRId64 " is below 0", k);
    }
    sampler->top_k = k;
    return SOFTATTN_OK;
}

/* Both fractions are of the same range. */
static int32_t set_fraction(softattn_sampler *sampler, double fraction, double *option) {
    if (sampler == NULL) {
        return softattn_fail_null("sampler");
    }
    const int32_t status = softattn_check_fraction("p", fraction);
    if (status == SOFTATTN_OK) {
        *option = fraction;
    }
    return status;
}

int32_t softattn_sampler_set_top_p(softattn_sampler *sampler, double p) {
    return set_fraction(sampler, p, sampler == NULL ? NULL : &sampler->top_p);
}

int32_t softattn_sampler_set_min_p(softattn_sampler *sampler, double p) {
    return set_fraction(sampler, p, sampler == NULL ? NULL : &sampler->min_p);
}
