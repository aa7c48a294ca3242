/* The tensors of an attention run: what each must look like, and where it goes in the engines' problem. */
#ifndef SOFTATTN_API_ATTENTION_OPERANDS_H
#define SOFTATTN_API_ATTENTION_OPERANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/array.h"
#include "engine/attention.h"
#include "softattn/softattn.h"

/* In the order of the checks, which is that of the arguments struct. The workspace comes last: it is memory
 * that a run writes, so it takes part in the check for overlap. */
enum softattn_attention_operand {
    SOFTATTN_OPERAND_Q,
    SOFTATTN_OPERAND_K,
    SOFTATTN_OPERAND_V,
    SOFTATTN_OPERAND_OUT,
    SOFTATTN_OPERAND_BIAS,
    SOFTATTN_OPERAND_KEEP_MASK,
    SOFTATTN_OPERAND_LSE,
    SOFTATTN_OPERAND_WEIGHTS,
    SOFTATTN_OPERAND_ALIBI_SLOPES,
    SOFTATTN_OPERAND_SINK,
    SOFTATTN_OPERAND_QUERY_LENGTHS,
    SOFTATTN_OPERAND_KEY_LENGTHS,
    SOFTATTN_OPERAND_KEY_STARTS,
    SOFTATTN_OPERAND_QUERY_OFFSETS,
    SOFTATTN_OPERAND_KEY_OFFSETS,
    SOFTATTN_OPERAND_BLOCK_MASK,
    SOFTATTN_OPERAND_WORKSPACE,
    SOFTATTN_OPERANDS
};

/* Reads and checks each tensor by itself. with_memory: see softattn_array_check. */
int32_t softattn_attention_read_operands(const softattn_attention_args *args, bool with_memory,
                                         struct softattn_array *arrays);

/* The same of the tensors that decide the scores; v, the outputs and the workspace are left out. */
int32_t softattn_attention_read_score_operands(const softattn_attention_args *args,
                                               struct softattn_array *arrays);

/* Checks how the arrays fit together; fills the problem's sizes, views and lists of lengths. The problem's
 * block_q and block_k are set already. */
int32_t softattn_attention_fit_operands(const struct softattn_array *arrays,
                                        struct softattn_attention_problem *problem);

#endif
