/*
 * Derivatives of row-wise softmax: products of each row's Jacobian with vectors, and the Jacobians
 * themselves. Everything was checked by the API layer.
 */
#ifndef SOFTATTN_ENGINE_SOFTMAX_BACKWARD_H
#define SOFTATTN_ENGINE_SOFTMAX_BACKWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rows.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"

struct softattn_softmax_backward_problem {
    const struct softattn_kernels *kernels;
    struct softattn_rows rows;
    struct softattn_row_operand y, v, out; /* out may be v */
    double scale;
    int32_t output;     /* SOFTATTN_ROW_*: what y is */
    int32_t normalizer; /* SOFTATTN_NORMALIZE_*: what made y; plus-one has softmax's derivatives */
    bool transposed;    /* J^T v, the backward pass; else J v */
};

/* Both: false when scratch memory could not be had; nothing was written then. */
bool softattn_softmax_backward_execute(const struct softattn_softmax_backward_problem *problem,
                                       const struct softattn_runtime *runtime);

struct softattn_jacobian_problem {
    const struct softattn_kernels *kernels;
    struct softattn_rows
        rows; /* of y, and below them the rows of each Jacobian: the last dimension is as long as the axis */
    struct softattn_row_operand y, jacobian; /* y broadcasts along the last dimension */
    double scale;
    int32_t output;     /* SOFTATTN_ROW_*: what y is */
    int32_t normalizer; /* as above */
};

bool softattn_jacobian_execute(const struct softattn_jacobian_problem *problem,
                               const struct softattn_runtime *runtime);

#endif
