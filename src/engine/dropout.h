/*
 * Dropout of attention weights by a counter-based generator, so that the mask depends on nothing but
 * (seed, offset, batch, head, query, key) and anyone can compute it again.
 *
 * The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
 *   key     = (low 32 bits of seed, high 32 bits of seed)
 *   counter = (key index / 4, query index, batch * heads_q + head, offset), each taken modulo 2^32, the high half of
 *             offset added to the third word
 *   output word (key index mod 4), divided by 2^32, is u in [0, 1); the weight is dropped when u < probability.
 */
#ifndef SOFTATTN_ENGINE_DROPOUT_H
#define SOFTATTN_ENGINE_DROPOUT_H

#include <stdint.h>

#include "kernels/kernels.h"

struct softattn_dropout {
    uint64_t seed, offset;
    uint64_t threshold; /* probability * 2^32, rounded up; words below it are dropped */
};

struct softattn_dropout softattn_dropout_make(double probability, uint64_t seed, uint64_t offset);

/* Queries and keys of one head; first_key is a multiple of 4. */
struct softattn_dropout_part {
    int64_t head_index; /* batch * heads_q + head */
    int64_t first_query, queries, first_key, keys;
};

/* to[i * query_stride + j * key_stride] = 1 or 0, reals, for query first_query + i and key first_key + j, where j goes on up
 * to a multiple of 4. */
void softattn_dropout_keep(const struct softattn_dropout *dropout, const struct softattn_kernels *kernels,
                           const struct softattn_dropout_part *part, void *to, int64_t query_stride,
                           int64_t key_stride);

/* What the weights that are kept are multiplied by; 0 where all are dropped. The divisor is never 0, not even where a
 * compiler divides before it chooses. */
static inline double softattn_kept_scale(double probability) {
    return probability < 1 ? 1 / (1 - (probability < 1 ? probability : 0)) : 0;
}

#endif
