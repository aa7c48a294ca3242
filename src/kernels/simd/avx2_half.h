/* Conversions of 16-bit floats for AVX2 with F16C. Included by avx2.h. */
#include "kernels/simd/minpos.h"

#define HALVES 16

ALWAYS_INLINE __m128i load_eight(const uint16_t *from) {
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

/* Its origin is hidden: what clang knows to come from an f16 it compares as such, one lane after another. */
ALWAYS_INLINE vec v_widen_f16(const uint16_t *from) {
    vec v = _mm256_cvtph_ps(load_eight(from));
    __asm__("" : "+x"(v));
    return v;
}
ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) {
    v_store(to, v_widen_f16(from));
    v_store(to + 8, v_widen_f16(from + 8));
}

ALWAYS_INLINE __m256 v_widen_bf16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    v_store(to, v_widen_bf16(load_eight(from)));
    v_store(to + 8, v_widen_bf16(load_eight(from + 8)));
}

typedef __m256i half_vec;
ALWAYS_INLINE half_vec halves_set(int16_t bits) { return _mm256_set1_epi16(bits); }
ALWAYS_INLINE half_vec halves_load(const uint16_t *from) {
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}
ALWAYS_INLINE half_vec halves_max(half_vec a, half_vec b) { return _mm256_max_epi16(a, b); }
ALWAYS_INLINE half_vec halves_min(half_vec a, half_vec b) { return _mm256_min_epi16(a, b); }
ALWAYS_INLINE int16_t halves_reduce_max(half_vec a) {
    return eight_reduce_max(_mm_max_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}
ALWAYS_INLINE int16_t halves_reduce_min(half_vec a) {
    return eight_reduce_min(_mm_min_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}

ALWAYS_INLINE void store_halves(uint16_t *to, __m256i halves, int stream) {
    if (stream) {
        _mm256_stream_si256((__m256i *)(void *)to, halves);
    } else {
        _mm256_storeu_si256((__m256i *)(void *)to, halves);
    }
}

ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan;
    const __m128i low = _mm256_cvtps_ph(v_load(from), _MM_FROUND_TO_NEAREST_INT);
    const __m128i high = _mm256_cvtps_ph(v_load(from + 8), _MM_FROUND_TO_NEAREST_INT);
    store_halves(to, _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), stream);
}

ALWAYS_INLINE __m256i both_places(__m256i even, __m256i odd) { return _mm256_blend_epi16(even, odd, 0xaa); }
/* Of the halves of floats, in 16-bit lanes, as avx512_half.h explains it. */
ALWAYS_INLINE __m256i round_bf16(__m256i upper, __m256i lower) {
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi16(1));
    const __m256i addend = _mm256_or_si256(odd, _mm256_set1_epi16(0x7ffe));
    return _mm256_add_epi16(upper, _mm256_srli_epi16(_mm256_avg_epu16(lower, addend), 15));
}
/* Packing works in each half of the registers by itself. */
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    const vec first = v_load(from), second = v_load(from + 8);
    const __m256i first_bits = _mm256_castps_si256(first), second_bits = _mm256_castps_si256(second);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i upper =
        _mm256_packus_epi32(_mm256_srli_epi32(first_bits, 16), _mm256_srli_epi32(second_bits, 16));
    const __m256i lower = _mm256_packus_epi32(both_places(first_bits, zero), both_places(second_bits, zero));
    __m256i halves = round_bf16(upper, lower);
    if (has_nan && __builtin_expect(v_any(_mm256_cmp_ps(first, second, _CMP_UNORD_Q)), 0)) {
        const __m256 first_is_nan = _mm256_cmp_ps(first, first, _CMP_UNORD_Q);
        const __m256 second_is_nan = _mm256_cmp_ps(second, second, _CMP_UNORD_Q);
        const __m256i is_nan =
            _mm256_packs_epi32(_mm256_castps_si256(first_is_nan), _mm256_castps_si256(second_is_nan));
        halves = _mm256_blendv_epi8(halves, _mm256_or_si256(upper, _mm256_set1_epi16(0x40)), is_nan);
    }
    store_halves(to, _mm256_permute4x64_epi64(halves, 0xd8), stream);
}

/* The even places are the low halves of 32-bit lanes, the odd ones the high halves. */
#define SPLITS_BF16 1
ALWAYS_INLINE void split_bf16(const uint16_t *from, float *to) {
    __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)from);
    __asm__("" : "+x"(pairs)); /* else it is loaded twice, which takes long across two lines */
    v_store(to, _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)));
    v_store(to + 8, _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-0x10000))));
}
ALWAYS_INLINE void join_bf16(const float *from, uint16_t *to, int stream) {
    const __m256i even = _mm256_castps_si256(v_load(from)), odd = _mm256_castps_si256(v_load(from + 8));
    const __m256i upper = both_places(_mm256_srli_epi32(even, 16), odd);
    const __m256i lower = both_places(even, _mm256_slli_epi32(odd, 16));
    store_halves(to, round_bf16(upper, lower), stream);
}
ALWAYS_INLINE void order_split(float *reals) {
    const vec even = v_load(reals), odd = v_load(reals + 8);
    const vec low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    v_store(reals, _mm256_permute2f128_ps(low, high, 0x20));
    v_store(reals + 8, _mm256_permute2f128_ps(low, high, 0x31));
}
