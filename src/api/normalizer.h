/* The choice of what turns scores into weights, which softmax and attention handles have. */
#ifndef SOFTATTN_API_NORMALIZER_H
#define SOFTATTN_API_NORMALIZER_H

#include <stdint.h>

/* As set; all zero is softmax. */
struct softattn_normalizer {
    int32_t kind; /* SOFTATTN_NORMALIZER_* */
    double sigmoid_bias;
};

/* The setters of both handles. */
int32_t softattn_normalizer_set_kind(struct softattn_normalizer *normalizer, int32_t kind);
int32_t softattn_normalizer_set_sigmoid_bias(struct softattn_normalizer *normalizer, double bias);

/* Runs' checks: that the normalizer is a softmax, with or without the one more, as `argument` needs; that the bias is
 * one in the element type. */
int32_t softattn_normalizer_require_softmax(const struct softattn_normalizer *normalizer,
                                            const char *argument);
int32_t softattn_normalizer_check_bias(const struct softattn_normalizer *normalizer, int32_t element_bytes);

#endif
