/* The attention handle. */
#ifndef SOFTATTN_API_ATTENTION_H
#define SOFTATTN_API_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "api/handle.h"
#include "softattn/softattn.h"

struct softattn_attention {
    struct softattn_handle handle;
    bool has_scale; /* false: 1 / sqrt(dim_qk) */
    double scale;
    int32_t causal;
    int64_t causal_offset;
    int32_t engine;
};

#endif
