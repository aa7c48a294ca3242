/* The softmax handle, and what its run shares with the flat functions. */
#ifndef SOFTATTN_API_SOFTMAX_H
#define SOFTATTN_API_SOFTMAX_H

#include <stdint.h>

#include "api/handle.h"
#include "engine/softmax.h"
#include "softattn/softattn.h"

struct softattn_softmax {
    struct softattn_handle handle;
    int32_t axis; /* as set: may be negative */
    double scale;
    int32_t causal;
    int64_t causal_offset;
    int32_t output;
    int32_t empty_row;
};

/* Runs a checked problem, which has something to write, on context (NULL: the defaults). */
int32_t softattn_softmax_solve(const struct softattn_softmax_problem *problem,
                               const softattn_context *context);

#endif
