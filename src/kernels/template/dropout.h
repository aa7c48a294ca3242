/*
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) on many counters at
 * once, and the decisions of dropout made of its words.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_DROPOUT_H
#define SOFTATTN_KERNELS_TEMPLATE_DROPOUT_H

#include "kernels/kernels.h"
#include "kernels/simd/words.h"

/* Multipliers and key increments (Weyl constants), from the paper. */
#define PHILOX_MULTIPLIER_0 0xD2511F53u
#define PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define PHILOX_WEYL_0       0x9E3779B9u
#define PHILOX_WEYL_1       0xBB67AE85u

enum { PHILOX_ROUNDS = 10 };

/* What each round adds to the first and third word. */
struct philox_keys {
    words first[PHILOX_ROUNDS], third[PHILOX_ROUNDS];
};

ALWAYS_INLINE void philox_schedule(const uint32_t key[2], struct philox_keys *keys) {
    for (uint32_t round = 0; round < PHILOX_ROUNDS; round++) {
        keys->first[round] = words_set(key[0] + round * PHILOX_WEYL_0);
        keys->third[round] = words_set(key[1] + round * PHILOX_WEYL_1);
    }
}

ALWAYS_INLINE void philox(words counter[4], const struct philox_keys *keys) {
    const words multiplier_0 = words_set(PHILOX_MULTIPLIER_0), multiplier_1 = words_set(PHILOX_MULTIPLIER_1);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const words product_0 = words_product(counter[0], multiplier_0);
        const words product_1 = words_product(counter[2], multiplier_1);
        counter[0] = product_1 >> 32 ^ counter[1] ^ keys->first[round];
        counter[2] = product_0 >> 32 ^ counter[3] ^ keys->third[round];
        counter[1] = product_1;
        counter[3] = product_0;
    }
}

/* Words as the bits of the reals 1 and 0. */
typedef real_bits kept_bits __attribute__((vector_size(WORDS * REAL_BYTES)));
ALWAYS_INLINE kept_bits kept_where(words word, int64_t threshold) {
    const real one = 1;
    real_bits one_bits;
    __builtin_memcpy(&one_bits, &one, sizeof one_bits);
    const words kept = (words)((signed_words)(word & UINT32_MAX) >= threshold);
    return __builtin_convertvector(kept, kept_bits) & one_bits;
}

/* The decisions of `count` counters, one after another. */
NEVER_INLINE void put_kept(const real *kept, int64_t count, int64_t stride, real *to) {
    for (int64_t n = 0; n < count; n++) {
        to[n * stride] = kept[n];
    }
}

static void keep_weights(const struct softattn_keep_weights *keep) {
    const int64_t threshold = keep->threshold, counters = keep->counters;
    const int64_t stride = keep->counter_stride, word_stride = keep->word_stride;
    struct philox_keys keys;
    words ascending = {0};
    philox_schedule(keep->key, &keys);
    for (uint64_t n = 0; n < WORDS; n++) {
        ascending[n] = n;
    }
    words counter_0 = words_set(keep->counter[0]) + (keep->step[0] ? ascending : words_set(0));
    words counter_1 = words_set(keep->counter[1]) + (keep->step[1] ? ascending : words_set(0));
    const words step_0 = words_set(keep->step[0] * WORDS), step_1 = words_set(keep->step[1] * WORDS);
    for (int64_t i = 0; i < counters; i += WORDS) {
        real *to = (real *)keep->to + i * stride;
        words word[4] = {counter_0, counter_1, words_set(keep->counter[2]), words_set(keep->counter[3])};
        philox(word, &keys);
        for (int w = 0; w < 4; w++) {
            const kept_bits kept = kept_where(word[w], threshold);
            if (stride == 1 && i + WORDS <= counters) {
                __builtin_memcpy(to + w * word_stride, &kept, sizeof kept);
            } else {
                VECTOR_ALIGNED real each[WORDS];
                __builtin_memcpy(each, &kept, sizeof kept);
                put_kept(each, counters - i < WORDS ? counters - i : WORDS, stride, to + w * word_stride);
            }
        }
        counter_0 += step_0;
        counter_1 += step_1;
    }
}

#endif
