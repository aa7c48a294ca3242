/* The linear attention handle. */
#ifndef SOFTATTN_API_LINEAR_ATTENTION_H
#define SOFTATTN_API_LINEAR_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "api/handle.h"
#include "softattn/softattn.h"

struct softattn_linear_attention {
    struct softattn_handle handle;
    int32_t causal;
    int64_t causal_offset;
    int32_t feature_map;
    bool skips_normalization; /* the default, false, is that of zeroed memory */
};

#endif
