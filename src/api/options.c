/* Range checks of the options that softmax and attention share. */
#include "api/options.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "api/status.h"
#include "softattn/softattn.h"

int32_t softattn_check_finite(const char *argument, double value) {
    if (!isfinite(value)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: %g is not finite", argument, value);
    }
    return SOFTATTN_OK;
}

int32_t softattn_check_fraction(const char *argument, double value) {
    if (!(value >= 0 && value <= 1)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: %g is outside 0 ... 1", argument, value);
    }
    return SOFTATTN_OK;
}

int32_t softattn_check_causal(int32_t mode, int64_t offset) {
    if (mode < SOFTATTN_CAUSAL_NONE || mode > SOFTATTN_CAUSAL_OFFSET) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "mode: %d is outside %d ... %d", (int)mode,
                             SOFTATTN_CAUSAL_NONE, SOFTATTN_CAUSAL_OFFSET);
    }
    if (mode == SOFTATTN_CAUSAL_OFFSET && (offset < -SOFTATTN_MAX_OFFSET || offset > SOFTATTN_MAX_OFFSET)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "offset: %" PRId64 " is outside -2^53 ... 2^53",
                             offset);
    }
    return SOFTATTN_OK;
}

int32_t softattn_check_temperature(double temperature) {
    if (!(temperature > 0) || !isfinite(temperature) || !isfinite(1 / temperature)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                             "temperature: %g is not above 0 and finite, its reciprocal included",
                             temperature);
    }
    return SOFTATTN_OK;
}

int32_t softattn_check_scale(const char *argument, double scale, int32_t element_bytes) {
    const double limit = (element_bytes == 8 ? DBL_MAX : (double)FLT_MAX) / 2; /* log2(e) < 2 */
    if (fabs(scale) > limit) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: %g overflows %s", argument, scale,
                             element_bytes == 8   ? "float64"
                             : element_bytes == 4 ? "float32"
                                                  : "16-bit floats");
    }
    return SOFTATTN_OK;
}

int32_t softattn_check_softcap(double cap, int32_t real_bytes) {
    const double least = real_bytes == 4 ? (double)FLT_MIN : DBL_MIN;
    const double most = (real_bytes == 4 ? (double)FLT_MAX : DBL_MAX) / 2;
    if (cap != 0 && (cap < least || cap > most)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                             "softcap: %g or its reciprocal is out of the range of %s", cap,
                             real_bytes == 4 ? "float32" : "float64");
    }
    return SOFTATTN_OK;
}
