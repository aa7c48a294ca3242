/* The softmax handle, and what its run shares with the flat functions. */
#ifndef SOFTATTN_API_SOFTMAX_H
#define SOFTATTN_API_SOFTMAX_H

#include <stdint.h>

#include "api/array.h"
#include "api/handle.h"
#include "api/normalizer.h"
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
    double saturation;
    struct softattn_normalizer normalizer;
};

/* Tensors of a run, in the order of the arguments; x is the first. */
enum { SOFTATTN_SOFTMAX_X = 0, SOFTATTN_SOFTMAX_TENSORS = 7 };

/* The stages of a run's checks, each of which may fail: the struct, each tensor by itself, how they fit together and to the
 * options. Tensors that are NULL in args are left out. */
int32_t softattn_softmax_read_args(const softattn_softmax_args *args, softattn_softmax_args *known);
int32_t softattn_softmax_read_tensors(const softattn_softmax_args *args, struct softattn_array *arrays);
int32_t softattn_softmax_fit(const softattn_softmax *softmax, const struct softattn_array *arrays,
                             int32_t *axis, struct softattn_softmax_problem *problem);

/* Runs a checked problem, which has something to write, on context (NULL: the defaults). */
int32_t softattn_softmax_solve(const struct softattn_softmax_problem *problem,
                               const softattn_context *context);

#endif
