/*
 * Vectors of 32-bit words for random numbers: each word is the low half of a 64-bit lane, and what the high half holds does
 * not matter, for the one multiplication that is needed, 32 x 32 to 64 bits, looks at low halves only. Written with the
 * vector types of gcc and clang, whose operators ^ and >> take them; only the product has names of its own.
 */
#ifndef SOFTATTN_KERNELS_SIMD_WORDS_H
#define SOFTATTN_KERNELS_SIMD_WORDS_H

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "kernels/simd/simd.h"

#if defined(__AVX512F__)
#define WORDS_BYTES 64
#elif defined(__AVX2__)
#define WORDS_BYTES 32
#else
#define WORDS_BYTES 16
#endif

enum { WORDS = WORDS_BYTES / 8 };

typedef uint64_t words __attribute__((vector_size(WORDS_BYTES)));
typedef int64_t signed_words __attribute__((vector_size(WORDS_BYTES)));

ALWAYS_INLINE words words_set(uint32_t word) { return (words){0} + word; }

/* The low halves' product. */
ALWAYS_INLINE words words_product(words a, words b) {
#if defined(__AVX512F__)
    return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
    return (words)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
    return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

#endif
