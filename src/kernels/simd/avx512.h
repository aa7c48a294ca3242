/* The vocabulary of simd.h for AVX-512 (F, VL, DQ, BW). */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error compile with AVX-512 F, VL, DQ and BW
#endif
#include <immintrin.h>

#include "kernels/simd/simd.h"

#define TILE_ROWS            8
#define TILE_VECTORS         3
#define DECODE_TILE_ROWS     4
#define DECODE_TILE_VECTORS  4
#define DECODE_KEY_VECTORS   1
#define DECODE_ROWS          8
#define DECODE_HEADS         32
#define DECODE_BYTES_PER_ASK 2048
#define TRANSPOSE_COLUMNS    8
#define HAS_QUIET_MASKS

#if SOFTATTN_REAL_BITS == 32

#define LANES 16
typedef __m512 vec;
typedef __mmask16 mask;

ALWAYS_INLINE vec v_set(real x) { return _mm512_set1_ps(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm512_setzero_ps(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm512_loadu_ps(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm512_storeu_ps(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm512_stream_ps(p, v); }
ALWAYS_INLINE mask v_first(int64_t n) { return (mask)((1u << n) - 1); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return _mm512_mask_loadu_ps(v_set(fill), v_first(n), p);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, v_first(n), v); }
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
ALWAYS_INLINE vec v_sub_where(mask m, vec a, vec b) { return _mm512_maskz_sub_ps(m, a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm512_div_ps(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm512_abs_ps(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm512_or_ps(v_abs(a), _mm512_and_ps(s, v_set(-0.0f))); }
ALWAYS_INLINE vec v_round(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return _mm512_maskz_scalef_ps(m, p, n); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm_test_epi8_mask(bytes, bytes);
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm512_maskz_mov_ps(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ), v);
}
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    v_store(p, _mm512_maskz_compress_ps(m, v));
    return _mm_popcnt_u32(m);
}

ALWAYS_INLINE real v_reduce_add(vec v) {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* Rows r and r + 8, eight elements of each, in the halves of a register. */
ALWAYS_INLINE vec v_row_pair(const real *p, int64_t stride) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(p + 8 * stride), 1);
}
ALWAYS_INLINE vec v_pairs_low(vec a, vec b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
ALWAYS_INLINE vec v_pairs_high(vec a, vec b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
/* Parts 0 0 2 2 (or 1 1 3 3) of a and b, theirs in turn: a 128-bit column of each half beside the other's. */
ALWAYS_INLINE vec v_parts_even(vec a, vec b) {
    const __m512i order = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    return _mm512_castpd_ps(_mm512_permutex2var_pd(_mm512_castps_pd(a), order, _mm512_castps_pd(b)));
}
ALWAYS_INLINE vec v_parts_odd(vec a, vec b) {
    const __m512i order = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    return _mm512_castpd_ps(_mm512_permutex2var_pd(_mm512_castps_pd(a), order, _mm512_castps_pd(b)));
}
/* Eight columns at a time: an 8 x 8 transpose in each half of the registers. */
ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    const real *lower = from + 4 * stride;
    const vec r0 = v_row_pair(from, stride), r1 = v_row_pair(from + stride, stride);
    const vec r2 = v_row_pair(from + 2 * stride, stride), r3 = v_row_pair(from + 3 * stride, stride);
    const vec r4 = v_row_pair(lower, stride), r5 = v_row_pair(lower + stride, stride);
    const vec r6 = v_row_pair(lower + 2 * stride, stride), r7 = v_row_pair(lower + 3 * stride, stride);
    const vec a0 = _mm512_unpacklo_ps(r0, r1), a1 = _mm512_unpackhi_ps(r0, r1);
    const vec a2 = _mm512_unpacklo_ps(r2, r3), a3 = _mm512_unpackhi_ps(r2, r3);
    const vec a4 = _mm512_unpacklo_ps(r4, r5), a5 = _mm512_unpackhi_ps(r4, r5);
    const vec a6 = _mm512_unpacklo_ps(r6, r7), a7 = _mm512_unpackhi_ps(r6, r7);
    /* columns c and c + 4 of rows 0 … 3 and of rows 4 … 7 */
    const vec b0 = v_pairs_low(a0, a2), b1 = v_pairs_high(a0, a2), b2 = v_pairs_low(a1, a3),
              b3 = v_pairs_high(a1, a3);
    const vec b4 = v_pairs_low(a4, a6), b5 = v_pairs_high(a4, a6), b6 = v_pairs_low(a5, a7),
              b7 = v_pairs_high(a5, a7);
    v_store(to, v_mul(v_set(factor), v_parts_even(b0, b4)));
    v_store(to + to_stride, v_mul(v_set(factor), v_parts_even(b1, b5)));
    v_store(to + 2 * to_stride, v_mul(v_set(factor), v_parts_even(b2, b6)));
    v_store(to + 3 * to_stride, v_mul(v_set(factor), v_parts_even(b3, b7)));
    v_store(to + 4 * to_stride, v_mul(v_set(factor), v_parts_odd(b0, b4)));
    v_store(to + 5 * to_stride, v_mul(v_set(factor), v_parts_odd(b1, b5)));
    v_store(to + 6 * to_stride, v_mul(v_set(factor), v_parts_odd(b2, b6)));
    v_store(to + 7 * to_stride, v_mul(v_set(factor), v_parts_odd(b3, b7)));
}

#include "kernels/simd/avx512_half.h"

#else

#define LANES 8
typedef __m512d vec;
typedef __mmask8 mask;

ALWAYS_INLINE vec v_set(real x) { return _mm512_set1_pd(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm512_setzero_pd(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm512_loadu_pd(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm512_storeu_pd(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm512_stream_pd(p, v); }
ALWAYS_INLINE mask v_first(int64_t n) { return (mask)((1u << n) - 1); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return _mm512_mask_loadu_pd(v_set(fill), v_first(n), p);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) { _mm512_mask_storeu_pd(p, v_first(n), v); }
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm512_add_pd(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm512_sub_pd(a, b); }
ALWAYS_INLINE vec v_sub_where(mask m, vec a, vec b) { return _mm512_maskz_sub_pd(m, a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm512_div_pd(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm512_sqrt_pd(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm512_max_pd(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm512_abs_pd(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm512_or_pd(v_abs(a), _mm512_and_pd(s, v_set(-0.0))); }
ALWAYS_INLINE vec v_round(vec x) {
    return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return _mm512_maskz_scalef_pd(m, p, n); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return (mask)_mm_test_epi8_mask(bytes, bytes);
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm512_maskz_mov_pd(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ), v);
}
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b)));
}
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    v_store(p, _mm512_maskz_compress_pd(m, v));
    return _mm_popcnt_u32(m);
}

ALWAYS_INLINE real v_reduce_add(vec v) {
    const __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    const __m256d a = _mm256_max_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d b = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_max_sd(b, _mm_unpackhi_pd(b, b)));
}

/* Rows r, r + 2, r + 4, r + 6, two elements of each, in the parts of a register. */
ALWAYS_INLINE vec v_gather_parts(const real *p, int64_t stride) {
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(p));
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 2 * stride), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 4 * stride), 2);
    return _mm512_insertf64x2(v, _mm_loadu_pd(p + 6 * stride), 3);
}
ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    for (int64_t c = 0; c < 8; c += 2) {
        const vec even = v_gather_parts(from + c, stride);
        const vec odd = v_gather_parts(from + c + stride, stride);
        v_store(to + (c + 0) * to_stride, v_mul(v_set(factor), _mm512_unpacklo_pd(even, odd)));
        v_store(to + (c + 1) * to_stride, v_mul(v_set(factor), _mm512_unpackhi_pd(even, odd)));
    }
}

#endif

ALWAYS_INLINE mask v_and(mask m, mask n) { return m & n; }
ALWAYS_INLINE mask v_or(mask m, mask n) { return m | n; }
ALWAYS_INLINE int v_any(mask m) { return m != 0; }

#define V_PREFETCH(p)       _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define V_PREFETCH_FAR(p)   _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define ASKING(says)        (says)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           1
#define V_FENCE()           _mm_sfence()
