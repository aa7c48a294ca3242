/* Conversions of 16-bit floats for SSE2, which has no instructions for them: the integer arithmetic of
 * template/convert.h, with its cases computed side by side and selected. Included by sse2.h. */
#define HALVES 8

ALWAYS_INLINE __m128i select_bits(__m128i where, __m128i a, __m128i b) {
    return _mm_or_si128(_mm_and_si128(where, a), _mm_andnot_si128(where, b));
}

/* halves: in the low halves of the lanes, zero above */
ALWAYS_INLINE vec v_widen_f16(__m128i halves) {
    const __m128i rebias = _mm_set1_epi32(112 << 23), one = _mm_set1_epi32(113 << 23);
    const __m128i infinite = _mm_set1_epi32(0x0f800000), quiet_nan = _mm_set1_epi32(0x7fc00000);
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(halves, _mm_set1_epi32(0x8000)), 16);
    const __m128i shifted = _mm_slli_epi32(_mm_and_si128(halves, _mm_set1_epi32(0x7fff)), 13);
    const __m128i is_nan = _mm_cmpgt_epi32(shifted, infinite);
    const __m128i is_infinite = _mm_cmpeq_epi32(shifted, infinite);
    const __m128i is_small = _mm_cmplt_epi32(shifted, _mm_set1_epi32(0x00800000));
    const vec small = v_sub(_mm_castsi128_ps(_mm_add_epi32(shifted, one)), _mm_castsi128_ps(one));
    __m128i magnitude = _mm_add_epi32(shifted, rebias);
    magnitude = select_bits(is_small, _mm_castps_si128(small), magnitude);
    magnitude = select_bits(is_infinite, _mm_set1_epi32(0x7f800000), magnitude);
    magnitude = select_bits(is_nan, _mm_or_si128(shifted, quiet_nan), magnitude);
    return _mm_castsi128_ps(_mm_or_si128(sign, magnitude));
}
ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) {
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)from);
    v_store(to, v_widen_f16(_mm_unpacklo_epi16(halves, _mm_setzero_si128())));
    v_store(to + 4, v_widen_f16(_mm_unpackhi_epi16(halves, _mm_setzero_si128())));
}

ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)from);
    v_store(to, _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves)));
    v_store(to + 4, _mm_castsi128_ps(_mm_unpackhi_epi16(_mm_setzero_si128(), halves)));
}

typedef __m128i half_vec;
ALWAYS_INLINE half_vec halves_set(int16_t bits) { return _mm_set1_epi16(bits); }
ALWAYS_INLINE half_vec halves_load(const uint16_t *from) {
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}
ALWAYS_INLINE half_vec halves_max(half_vec a, half_vec b) { return _mm_max_epi16(a, b); }
ALWAYS_INLINE half_vec halves_min(half_vec a, half_vec b) { return _mm_min_epi16(a, b); }
ALWAYS_INLINE int16_t halves_reduce_max(half_vec a) {
    a = _mm_max_epi16(a, _mm_srli_si128(a, 8));
    a = _mm_max_epi16(a, _mm_srli_si128(a, 4));
    return (int16_t)_mm_cvtsi128_si32(_mm_max_epi16(a, _mm_srli_si128(a, 2)));
}
ALWAYS_INLINE int16_t halves_reduce_min(half_vec a) {
    a = _mm_min_epi16(a, _mm_srli_si128(a, 8));
    a = _mm_min_epi16(a, _mm_srli_si128(a, 4));
    return (int16_t)_mm_cvtsi128_si32(_mm_min_epi16(a, _mm_srli_si128(a, 2)));
}

/* The low halves of the lanes: packing saturates signed numbers, so they are made such before it. */
ALWAYS_INLINE void store_halves(uint16_t *to, __m128i low, __m128i high, int stream) {
    low = _mm_srai_epi32(_mm_slli_epi32(low, 16), 16);
    high = _mm_srai_epi32(_mm_slli_epi32(high, 16), 16);
    const __m128i halves = _mm_packs_epi32(low, high);
    if (stream) {
        _mm_stream_si128((__m128i *)(void *)to, halves);
    } else {
        _mm_storeu_si128((__m128i *)(void *)to, halves);
    }
}

ALWAYS_INLINE __m128i v_narrow_f16(vec v) {
    const __m128i bits = _mm_castps_si128(v), magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7fffffff));
    const __m128i sign = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(0x8000));
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(1));
    const __m128i offset = _mm_add_epi32(odd, _mm_set1_epi32(0xfff - (112 << 23)));
    const __m128i fraction = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(0x3ff));
    const vec small = v_add(_mm_castsi128_ps(magnitude), v_set(0.5f));
    const __m128i is_nan = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7f800000));
    const __m128i is_large = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x477fffff));
    const __m128i is_small = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(0x38800000));
    __m128i half = _mm_srli_epi32(_mm_add_epi32(magnitude, offset), 13);
    half = select_bits(is_small, _mm_sub_epi32(_mm_castps_si128(small), _mm_set1_epi32(0x3f000000)), half);
    half = select_bits(is_large, _mm_set1_epi32(0x7c00), half);
    half = select_bits(is_nan, _mm_or_si128(fraction, _mm_set1_epi32(0x7e00)), half);
    return _mm_or_si128(sign, half);
}
ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan;
    store_halves(to, v_narrow_f16(v_load(from)), v_narrow_f16(v_load(from + 4)), stream);
}

ALWAYS_INLINE __m128i v_narrow_bf16(vec v, int has_nan) {
    const __m128i bits = _mm_castps_si128(v), upper = _mm_srli_epi32(bits, 16);
    const __m128i odd = _mm_and_si128(upper, _mm_set1_epi32(1));
    const __m128i half_ulp = _mm_add_epi32(odd, _mm_set1_epi32(0x7fff));
    const __m128i rounded = _mm_srli_epi32(_mm_add_epi32(bits, half_ulp), 16);
    if (!has_nan) {
        return rounded;
    }
    const __m128i is_nan = _mm_castps_si128(_mm_cmpunord_ps(v, v));
    return select_bits(is_nan, _mm_or_si128(upper, _mm_set1_epi32(0x40)), rounded);
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    store_halves(to, v_narrow_bf16(v_load(from), has_nan), v_narrow_bf16(v_load(from + 4), has_nan), stream);
}
