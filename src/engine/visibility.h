/*
 * Which keys a query may see. Causal order, windows, lengths and packing all leave one interval of keys per query; the
 * keep mask, the bias and the block map then take single keys out of it (tile_masks.c).
 */
#ifndef SOFTATTN_ENGINE_VISIBILITY_H
#define SOFTATTN_ENGINE_VISIBILITY_H

#include "engine/attention.h"

/* One sequence of the batch: its part of the tensors, and how positions of queries and keys correspond. */
struct softattn_sequence {
    int64_t batch;                /* index into the tensors' batch axis */
    int64_t query_base, key_base; /* its first query and key in the seq axes */
    int64_t queries, keys;        /* its lengths */
    int64_t rows;                 /* queries, and those after its length, which see nothing */
    int64_t key_start;            /* keys before it are padding */
    int64_t offset;               /* query i stands at position i + offset */
};

struct softattn_interval {
    int64_t low, high; /* keys low <= j < high; low >= high: none */
};

/* Most queries, padding included, and keys of a sequence, and those of all, which of packed sequences may be too many for
 * integers: what the lists of offsets and key lengths say, or the axes. */
struct softattn_extent {
    int64_t queries, keys;
    double all_queries, all_keys;
};
struct softattn_extent softattn_extent_of_axes(const struct softattn_attention_problem *problem);
struct softattn_extent softattn_longest_sequence(const struct softattn_attention_problem *problem);

/* index: 0 … batch - 1 (with packed sequences, their number). */
struct softattn_sequence softattn_sequence_at(const struct softattn_attention_problem *problem,
                                              int64_t index);

/* Within 0 … sequence->keys. */
struct softattn_interval softattn_visible_keys(const struct softattn_attention_problem *problem,
                                               const struct softattn_sequence *sequence, int64_t query);
/* The same of queries query … query + count - 1. */
void softattn_visible_intervals(const struct softattn_attention_problem *problem,
                                const struct softattn_sequence *sequence, int64_t query, int64_t count,
                                struct softattn_interval *intervals);

#endif
