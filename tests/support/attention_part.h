/*
 * Some rows of an attention problem as a problem of its own: one batch element, some heads and some queries
 * of it, on the same memory, with options that leave every row what it is.
 */
#ifndef TEST_SUPPORT_ATTENTION_PART_H
#define TEST_SUPPORT_ATTENTION_PART_H

#include "attention_case.h"

/* The problem must not be packed. Heads: of one key/value head, or all of several. Queries of a problem with
 * dropout: all; with a block mask: from a multiple of block_q on. */
typedef struct attention_range {
    int64_t batch, first_head, heads, first_query, queries;
} attention_range;

/* Runs the part into arrays of its own, and returns how many of its results have other bits than the whole's,
 * which has been run; a failed run counts as one. */
int64_t attention_part_differing_bits(const attention_case *whole, const attention_range *range,
                                      const softattn_context *context);

#endif
