/*
 * The row-wise softmax engine: walks the rows of a strided problem and hands each to the row kernel.
 * Everything was checked by the API layer.
 */
#ifndef SOFTATTN_ENGINE_SOFTMAX_H
#define SOFTATTN_ENGINE_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rows.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"

struct softattn_softmax_problem {
    const struct softattn_kernels *kernels;
    struct softattn_rows rows;
    struct softattn_row_operand x, y, bias, keep, lengths, lse, row_max;
    int32_t length_bytes; /* 4 or 8: element size of lengths */
    double scale;
    /* row i of the last row dimension sees columns <= i + causal_offset, which is less than cols - 1 */
    bool causal;
    int64_t causal_offset;
    int32_t output; /* SOFTATTN_ROW_PROBABILITIES or _LOG_PROBABILITIES */
    /* SOFTATTN_NORMALIZE_*; lse, row_max and log-probabilities are softmax's and plus-one's */
    int32_t normalizer;
    double sigmoid_bias; /* with the sigmoid */
    bool empty_is_zero;
    struct softattn_diagnosis_of_row *diagnoses; /* one per row, to be filled instead of y; NULL: a softmax */
};

/* False when scratch memory could not be had; nothing was written then. */
bool softattn_softmax_execute(const struct softattn_softmax_problem *problem,
                              const struct softattn_runtime *runtime);

#endif
