/* Of eight signed integers. phminposuw finds the smallest of eight unsigned ones, which these become with their sign turned,
 * and in the opposite order with all other bits turned. Included by avx2_half.h and avx512_half.h. */
ALWAYS_INLINE int16_t eight_reduce_min(__m128i a) {
    const __m128i turned = _mm_xor_si128(a, _mm_set1_epi16(-0x8000));
    return (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned)) ^ 0x8000);
}
ALWAYS_INLINE int16_t eight_reduce_max(__m128i a) {
    const __m128i turned = _mm_xor_si128(a, _mm_set1_epi16(0x7fff));
    return (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned)) ^ 0x7fff);
}
