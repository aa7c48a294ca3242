/* Conversions of 16-bit floats for AVX-512: 32 at a time, so that a streamed store is a whole cache line. Included by
 * avx512.h. */
#define HALVES 32

ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) {
    const __m512i halves = _mm512_loadu_si512(from);
    v_store(to, _mm512_cvtph_ps(_mm512_castsi512_si256(halves)));
    v_store(to + 16, _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)));
}

ALWAYS_INLINE vec v_widen_bf16(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    const __m512i halves = _mm512_loadu_si512(from);
    v_store(to, v_widen_bf16(_mm512_castsi512_si256(halves)));
    v_store(to + 16, v_widen_bf16(_mm512_extracti64x4_epi64(halves, 1)));
}

ALWAYS_INLINE void store_halves(uint16_t *to, __m256i low, __m256i high, int stream) {
    const __m512i halves = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    if (stream) {
        _mm512_stream_si512((__m512i *)(void *)to, halves);
    } else {
        _mm512_storeu_si512(to, halves);
    }
}

ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int stream) {
    store_halves(to, _mm512_cvtps_ph(v_load(from), _MM_FROUND_TO_NEAREST_INT),
                 _mm512_cvtps_ph(v_load(from + 16), _MM_FROUND_TO_NEAREST_INT), stream);
}

/* In integers: the instruction for bf16 takes subnormal numbers for 0. */
ALWAYS_INLINE __m256i v_narrow_bf16(vec v) {
    const __m512i bits = _mm512_castps_si512(v), upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i half_ulp = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half_ulp), 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40)));
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int stream) {
    store_halves(to, v_narrow_bf16(v_load(from)), v_narrow_bf16(v_load(from + 16)), stream);
}
