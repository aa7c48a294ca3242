/* Conversions of 16-bit floats for AVX-512: 32 at a time, so that a streamed store is a whole cache line. Included by
 * avx512.h. */
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

/* A bf16 is the upper half of its float. which: for each lane, in its upper half, the number of its bf16. */
ALWAYS_INLINE vec v_widen_bf16(__m512i halves, __m512i which) {
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, which, halves));
}
ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    const __m512i halves = _mm512_loadu_si512(from);
    const __m512i low =
        _mm512_cvtepu16_epi32(_mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i which = _mm512_slli_epi32(low, 16);
    v_store(to, v_widen_bf16(halves, which));
    v_store(to + 16, v_widen_bf16(halves, _mm512_add_epi32(which, _mm512_set1_epi32(16 << 16))));
}

typedef __m512i orders;
ALWAYS_INLINE orders orders_set(int16_t order) { return _mm512_set1_epi16(order); }
ALWAYS_INLINE orders orders_of(const uint16_t *from) {
    const __m512i halves = _mm512_loadu_si512(from), sign = _mm512_srai_epi16(halves, 15);
    const __m512i all_but_sign = _mm512_set1_epi16(0x7fff);
    return _mm512_ternarylogic_epi32(halves, sign, all_but_sign, 0x78); /* halves ^ (sign & all_but_sign) */
}
ALWAYS_INLINE orders orders_max(orders a, orders b) { return _mm512_max_epi16(a, b); }
/* phminposuw finds the smallest of eight unsigned words: the largest signed one, all bits but the sign's turned. */
ALWAYS_INLINE int16_t orders_largest(orders a) {
    const __m256i b = _mm256_max_epi16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    const __m128i c = _mm_max_epi16(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    const __m128i turned = _mm_xor_si128(c, _mm_set1_epi16(0x7fff));
    return (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned)) ^ 0x7fff);
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

/* The bf16 in the upper halves of the lanes. In integers: the instruction for bf16 takes subnormal numbers for 0. */
ALWAYS_INLINE __m512i v_narrow_bf16(vec v, int has_nan) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_srli_epi32(_mm512_slli_epi32(bits, 15), 31);
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
    if (!has_nan) {
        return rounded;
    }
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    /* the odd 16-bit lanes of the first register, then those of the second */
    const __m512i odd =
        _mm512_cvtepu8_epi16(_mm256_setr_epi8(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33,
                                              35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63));
    const __m512i low = v_narrow_bf16(v_load(from), has_nan);
    const __m512i high = v_narrow_bf16(v_load(from + 16), has_nan);
    store_halves(to, _mm512_permutex2var_epi16(low, odd, high), stream);
}
