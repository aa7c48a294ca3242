/* Setting and checking the normalizer of a handle. */
#include "api/normalizer.h"

#include <float.h>
#include <math.h>

#include "api/options.h"
#include "api/status.h"
#include "kernels/kernels.h"
#include "softattn/softattn.h"

_Static_assert((int)SOFTATTN_NORMALIZE_SOFTMAX == SOFTATTN_NORMALIZER_SOFTMAX &&
                   (int)SOFTATTN_NORMALIZE_NONE == SOFTATTN_NORMALIZER_NONE &&
                   (int)SOFTATTN_NORMALIZE_RELU == SOFTATTN_NORMALIZER_RELU &&
                   (int)SOFTATTN_NORMALIZE_RELU_SQUARED == SOFTATTN_NORMALIZER_RELU_SQUARED &&
                   (int)SOFTATTN_NORMALIZE_SIGMOID == SOFTATTN_NORMALIZER_SIGMOID &&
                   (int)SOFTATTN_NORMALIZE_SOFTMAX_PLUS_ONE == SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE &&
                   (int)SOFTATTN_NORMALIZE_SPARSEMAX == SOFTATTN_NORMALIZER_SPARSEMAX &&
                   (int)SOFTATTN_NORMALIZE_ENTMAX == SOFTATTN_NORMALIZER_ENTMAX,
               "the kernels number normalizers as the public header does");

static const char *const names[] = {"SOFTMAX",          "NONE",      "RELU",  "RELU_SQUARED", "SIGMOID",
                                    "SOFTMAX_PLUS_ONE", "SPARSEMAX", "ENTMAX"};

int32_t softattn_normalizer_set_kind(struct softattn_normalizer *normalizer, int32_t kind) {
    if (kind < SOFTATTN_NORMALIZER_SOFTMAX || kind > SOFTATTN_NORMALIZER_ENTMAX) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "normalizer: %d is none of SOFTATTN_NORMALIZER_*",
                             (int)kind);
    }
    normalizer->kind = kind;
    return SOFTATTN_OK;
}

int32_t softattn_normalizer_set_sigmoid_bias(struct softattn_normalizer *normalizer, double bias) {
    const int32_t status = softattn_check_finite("bias", bias);
    if (status == SOFTATTN_OK) {
        normalizer->sigmoid_bias = bias;
    }
    return status;
}

int32_t softattn_normalizer_require_softmax(const struct softattn_normalizer *normalizer,
                                            const char *argument) {
    if (!softattn_normalize_is_softmax(normalizer->kind)) {
        return softattn_fail(SOFTATTN_ERROR_UNSUPPORTED,
                             "%s: SOFTATTN_NORMALIZER_%s has none; _SOFTMAX and _SOFTMAX_PLUS_ONE do",
                             argument, names[normalizer->kind]);
    }
    return SOFTATTN_OK;
}

int32_t softattn_normalizer_check_bias(const struct softattn_normalizer *normalizer, int32_t element_bytes) {
    const double limit = element_bytes == 8 ? DBL_MAX : (double)FLT_MAX;
    if (normalizer->kind == SOFTATTN_NORMALIZER_SIGMOID && fabs(normalizer->sigmoid_bias) > limit) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "sigmoid_bias: %g overflows float32",
                             normalizer->sigmoid_bias);
    }
    return SOFTATTN_OK;
}
