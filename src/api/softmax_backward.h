/* What the derivatives of softmax share with their flat functions. */
#ifndef SOFTATTN_API_SOFTMAX_BACKWARD_H
#define SOFTATTN_API_SOFTMAX_BACKWARD_H

#include <stdint.h>

#include "api/array.h"
#include "engine/softmax_backward.h"
#include "softattn/softattn.h"

/* The operands of a product with the Jacobian. */
enum { SOFTATTN_PRODUCT_Y, SOFTATTN_PRODUCT_VECTOR, SOFTATTN_PRODUCT_OUT, SOFTATTN_PRODUCT_OPERANDS };

/* Checks how the arrays, checked each by itself, fit together and overlap; then runs problem, whose scale,
 * output and transposed are set, along the axis. */
int32_t softattn_softmax_product(const softattn_context *context, struct softattn_array *arrays, int32_t axis,
                                 struct softattn_softmax_backward_problem *problem);

#endif
