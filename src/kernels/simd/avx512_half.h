/* Conversions of 16-bit floats for AVX-512: 32 at a time, so that a streamed store is a whole cache line. Included by
 * avx512.h. */
#include "kernels/simd/minpos.h"

#define HALVES 32

/* Its origin is hidden: what clang knows to come from an f16 it compares as such, one lane after another. */
ALWAYS_INLINE vec v_widen_f16(const uint16_t *from) {
    vec v = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
    __asm__("" : "+v"(v));
    return v;
}
ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) {
    v_store(to, v_widen_f16(from));
    v_store(to + 16, v_widen_f16(from + 16));
}

ALWAYS_INLINE vec v_widen_bf16(const uint16_t *from) {
    const __m256i some = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(some), 16));
}
ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    v_store(to, v_widen_bf16(from));
    v_store(to + 16, v_widen_bf16(from + 16));
}

typedef __m512i half_vec;
ALWAYS_INLINE half_vec halves_set(int16_t bits) { return _mm512_set1_epi16(bits); }
ALWAYS_INLINE half_vec halves_load(const uint16_t *from) { return _mm512_loadu_si512(from); }
ALWAYS_INLINE half_vec halves_max(half_vec a, half_vec b) { return _mm512_max_epi16(a, b); }
ALWAYS_INLINE half_vec halves_min(half_vec a, half_vec b) { return _mm512_min_epi16(a, b); }
ALWAYS_INLINE int16_t halves_reduce_max(half_vec a) {
    const __m256i b = _mm256_max_epi16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return eight_reduce_max(_mm_max_epi16(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1)));
}
ALWAYS_INLINE int16_t halves_reduce_min(half_vec a) {
    const __m256i b = _mm256_min_epi16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return eight_reduce_min(_mm_min_epi16(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1)));
}

ALWAYS_INLINE void store_halves(uint16_t *to, __m512i halves, int stream) {
    if (stream) {
        _mm512_stream_si512((__m512i *)(void *)to, halves);
    } else {
        _mm512_storeu_si512(to, halves);
    }
}

ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan;
    const __m256i low = _mm512_cvtps_ph(v_load(from), _MM_FROUND_TO_NEAREST_INT);
    const __m256i high = _mm512_cvtps_ph(v_load(from + 16), _MM_FROUND_TO_NEAREST_INT);
    store_halves(to, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), stream);
}

/*
 * In integers, as the instruction for bf16 takes subnormal numbers for 0. A bf16 is the upper half of its float, one more
 * where the lower half is above a half of its unit, or is that half and the upper half odd: where lower + 0x7fff + odd
 * carries, which the average of lower and 0x7ffe + odd, half of that sum, has in its highest bit.
 */
ALWAYS_INLINE __m512i round_bf16(__m512i upper, __m512i lower) {
    const __m512i all_but_ends = _mm512_set1_epi16(0x7ffe), highest = _mm512_set1_epi16(-0x8000);
    /* all_but_ends | (upper & ~highest) */
    const __m512i addend = _mm512_ternarylogic_epi32(upper, all_but_ends, highest, 0xdc);
    return _mm512_add_epi16(upper, _mm512_srli_epi16(_mm512_avg_epu16(lower, addend), 15));
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    /* the odd 16-bit lanes of the first register, then those of the second */
    const __m512i odd =
        _mm512_cvtepu8_epi16(_mm256_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33,
                                              35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63));
    const __m512i even =
        _mm512_cvtepu8_epi16(_mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32,
                                              34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62));
    const vec low = v_load(from), high = v_load(from + 16);
    const __m512i low_bits = _mm512_castps_si512(low), high_bits = _mm512_castps_si512(high);
    const __m512i upper = _mm512_permutex2var_epi16(low_bits, odd, high_bits);
    const __m512i lower = _mm512_permutex2var_epi16(low_bits, even, high_bits);
    __m512i halves = round_bf16(upper, lower);
    if (has_nan) {
        const __mmask32 is_nan = _mm512_kunpackw(_mm512_cmp_ps_mask(high, high, _CMP_UNORD_Q),
                                                 _mm512_cmp_ps_mask(low, low, _CMP_UNORD_Q));
        const __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi16(0x40));
        halves = _mm512_mask_mov_epi16(halves, is_nan, quiet);
    }
    store_halves(to, halves, stream);
}

/* The even places are the low halves of 32-bit lanes, the odd ones the high halves. */
#define SPLITS_BF16 1
ALWAYS_INLINE void split_bf16(const uint16_t *from, float *to) {
    __m512i pairs = _mm512_loadu_si512(from);
    __asm__("" : "+v"(pairs)); /* else it is loaded twice, which takes long across two lines */
    v_store(to, _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)));
    v_store(to + 16, _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-0x10000))));
}
ALWAYS_INLINE void join_bf16(const float *from, uint16_t *to, int stream) {
    const __mmask32 odd_places = 0xaaaaaaaa;
    const __m512i even = _mm512_castps_si512(v_load(from)), odd = _mm512_castps_si512(v_load(from + 16));
    const __m512i upper = _mm512_mask_mov_epi16(_mm512_srli_epi32(even, 16), odd_places, odd);
    const __m512i lower = _mm512_mask_mov_epi16(even, odd_places, _mm512_slli_epi32(odd, 16));
    store_halves(to, round_bf16(upper, lower), stream);
}
ALWAYS_INLINE void order_split(float *reals) {
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    const vec even = v_load(reals), odd = v_load(reals + 16);
    v_store(reals, _mm512_permutex2var_ps(even, first, odd));
    v_store(reals + 16, _mm512_permutex2var_ps(even, second, odd));
}
