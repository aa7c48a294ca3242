/* Joins attention over several parts of the keys into attention over all of them. */
#ifndef SOFTATTN_ENGINE_MERGE_H
#define SOFTATTN_ENGINE_MERGE_H

#include <stdbool.h>

#include "engine/attention.h"

struct softattn_merge_problem {
    const struct softattn_kernels *kernels;
    int64_t batch, heads, seq, dim;
    int64_t parts;
    const struct softattn_view *outs, *lses; /* [parts] */
    struct softattn_view out, lse;           /* lse.data NULL: not wanted */
};

/* False when scratch memory could not be had; nothing was written then. */
bool softattn_merge_execute(const struct softattn_merge_problem *problem,
                            const struct softattn_runtime *runtime);

#endif
