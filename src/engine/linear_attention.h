/* Linear attention: described once by the API layer, which has checked everything, and run here. */
#ifndef SOFTATTN_ENGINE_LINEAR_ATTENTION_H
#define SOFTATTN_ENGINE_LINEAR_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/attention.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"

/* Keys are counted in chunks from key 0 of a call: part of the arithmetic contract. */
enum { SOFTATTN_LINEAR_CHUNK = 64 };

struct softattn_linear_attention_problem {
    const struct softattn_kernels *kernels;
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    bool maps_features; /* q and k go through elu + 1; else they are features */
    bool normalizes;
    enum softattn_causal causal;
    int64_t causal_offset;                           /* with SOFTATTN_ALIGN_OFFSET */
    struct softattn_view q, k, v, out;               /* row: position, col: dimension */
    struct softattn_view key_lengths;                /* batch: int32; data NULL: whole sequences */
    struct softattn_view initial_state, final_state; /* row: feature, col: dimension of the values */
    struct softattn_view initial_normalizer, final_normalizer; /* row: feature */
};

/* Scratch memory per worker and the number of workers. False when its size leaves int64_t. */
bool softattn_linear_attention_plan(const struct softattn_linear_attention_problem *problem, int32_t threads,
                                    int64_t *workers, int64_t *scratch_bytes);

/* False when scratch memory could not be had; nothing was written then. */
bool softattn_linear_attention_execute(const struct softattn_linear_attention_problem *problem,
                                       const struct softattn_runtime *runtime, int64_t workers,
                                       int64_t scratch_bytes);

#endif
