/* The cross-entropy handle, and what its run shares with the flat functions. */
#ifndef SOFTATTN_API_CROSS_ENTROPY_H
#define SOFTATTN_API_CROSS_ENTROPY_H

#include <stdint.h>

#include "api/array.h"
#include "api/handle.h"
#include "engine/cross_entropy.h"
#include "softattn/softattn.h"

struct softattn_cross_entropy {
    struct softattn_handle handle;
    int64_t ignore_index;
    double label_smoothing, z_loss, scale;
    int32_t reduction;
};

enum { SOFTATTN_DEFAULT_IGNORE_INDEX = -100 };

/* The operands, in the order of the arguments struct. */
enum {
    SOFTATTN_ENTROPY_LOGITS,
    SOFTATTN_ENTROPY_TARGETS,
    SOFTATTN_ENTROPY_PROBABILITIES,
    SOFTATTN_ENTROPY_CLASS_WEIGHTS,
    SOFTATTN_ENTROPY_LOSSES,
    SOFTATTN_ENTROPY_TOTAL,
    SOFTATTN_ENTROPY_GRADIENT,
    SOFTATTN_ENTROPY_LSE,
    SOFTATTN_ENTROPY_COUNTED,
    SOFTATTN_ENTROPY_OPERANDS
};

/* Checks how the arrays, checked each by itself, fit together and overlap, and the targets' values; then runs
 * problem, whose options are set. */
int32_t softattn_cross_entropy_solve(const softattn_context *context, struct softattn_array *arrays,
                                     struct softattn_cross_entropy_problem *problem);

#endif
