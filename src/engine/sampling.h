/*
 * From rows of logits to tokens: temperature, top-k, top-p, min-p, and the choice by a caller's number in [0, 1).
 * docs/semantics.md says what is chosen. Everything was checked by the API layer.
 */
#ifndef SOFTATTN_ENGINE_SAMPLING_H
#define SOFTATTN_ENGINE_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rows.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"

struct softattn_sampling_problem {
    const struct softattn_kernels *kernels;
    struct softattn_rows rows; /* cols at most SOFTATTN_MAX_TOKENS but at temperature 0 */
    struct softattn_row_operand logits, probabilities; /* of the kernels' type */
    struct softattn_row_operand uniform; /* one per row; unused with temperature 0 or without tokens */
    struct softattn_row_operand tokens;  /* one integer of token_bytes per row */
    struct softattn_row_operand keep;    /* bytes */
    int32_t token_bytes;                 /* 4 or 8 */
    double temperature;                  /* 0: argmax; the filters then mean nothing */
    int64_t top_k;                       /* 0: off */
    double top_p;                        /* 1: off */
    double min_p;                        /* 0: off */
};

/* False when scratch memory could not be had; nothing was written then. */
bool softattn_sampling_execute(const struct softattn_sampling_problem *problem,
                               const struct softattn_runtime *runtime);

#endif
