/*
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and the
 * dropout mask that the comment of softattn_attention_set_dropout makes of it. Written from these two texts.
 */
#ifndef TEST_SUPPORT_PHILOX_H
#define TEST_SUPPORT_PHILOX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct philox_block {
    uint32_t word[4];
} philox_block;

/* The output words of one counter under one key. */
philox_block philox4x32_10(philox_block counter, uint32_t key_low, uint32_t key_high);

typedef struct dropout_mask {
    double probability;
    uint64_t seed, offset;
} dropout_mask;

/* The random number 0 … 2^32 - 1 of a weight. head: batch * heads_q + head. */
uint32_t dropout_mask_word(const dropout_mask *mask, int64_t head, int64_t query, int64_t key);

/* Whether the weight is kept. */
bool dropout_mask_keeps(const dropout_mask *mask, int64_t head, int64_t query, int64_t key);

#endif
