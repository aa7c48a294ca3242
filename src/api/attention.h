/* The attention handle. */
#ifndef SOFTATTN_API_ATTENTION_H
#define SOFTATTN_API_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "api/handle.h"
#include "api/normalizer.h"
#include "softattn/softattn.h"

struct softattn_attention {
    struct softattn_handle handle;
    bool has_scale; /* false: 1 / sqrt(dim_qk) */
    double scale;
    int32_t causal;
    int64_t causal_offset;
    int32_t alignment;
    int64_t alignment_offset;
    int64_t window_left, window_right;
    double softcap;
    double dropout;
    int64_t block_q, block_k;
    int32_t engine;
    double saturation;
    struct softattn_normalizer normalizer;
};

/* Sets every option of a handle to its default. */
void softattn_attention_reset(softattn_attention *attention);

#endif
