/* The vocabulary of simd.h for AVX-512 (F, VL, DQ, BW). */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error compile with AVX-512 F, VL, DQ and BW
#endif
#include <immintrin.h>

#include "kernels/simd/simd.h"

#define TILE_ROWS 8
#define TILE_VECTORS 3
#define DECODE_TILE_ROWS 4
#define DECODE_VECTORS 4
#define DECODE_ROWS 8
#define V_HAS_TRANSPOSE

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
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm512_abs_ps(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) {
    return _mm512_or_ps(v_abs(a), _mm512_and_ps(s, v_set(-0.0f)));
}
ALWAYS_INLINE vec v_round(vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return _mm512_maskz_scalef_ps(m, p, n); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }

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

/* Four rows of four elements meet in each register (rows r, r+4, r+8, r+12 in its 128-bit parts), which two rounds of
 * unpacking inside the parts turn into columns. */
ALWAYS_INLINE vec v_gather_parts(const real *p, int64_t stride) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * stride), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * stride), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * stride), 3);
}
ALWAYS_INLINE void v_transpose(const real *from, int64_t stride, real *to, int64_t to_stride, real factor) {
    for (int64_t c = 0; c < 16; c += 4) {
        const vec r0 = v_gather_parts(from + c, stride);
        const vec r1 = v_gather_parts(from + c + stride, stride);
        const vec r2 = v_gather_parts(from + c + 2 * stride, stride);
        const vec r3 = v_gather_parts(from + c + 3 * stride, stride);
        const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
        const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
        const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
        const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
        const vec f = v_set(factor);
        v_store(to + (c + 0) * to_stride, v_mul(f, _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23))));
        v_store(to + (c + 1) * to_stride, v_mul(f, _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23))));
        v_store(to + (c + 2) * to_stride, v_mul(f, _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23))));
        v_store(to + (c + 3) * to_stride, v_mul(f, _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23))));
    }
}

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
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return _mm512_div_pd(a, b); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm512_max_pd(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm512_abs_pd(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm512_or_pd(v_abs(a), _mm512_and_pd(s, v_set(-0.0))); }
ALWAYS_INLINE vec v_round(vec x) { return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return _mm512_maskz_scalef_pd(m, p, n); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); }

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

/* As for float, with rows r, r+2, r+4, r+6 in the parts of a register and one round of unpacking. */
ALWAYS_INLINE vec v_gather_parts(const real *p, int64_t stride) {
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(p));
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 2 * stride), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 4 * stride), 2);
    return _mm512_insertf64x2(v, _mm_loadu_pd(p + 6 * stride), 3);
}
ALWAYS_INLINE void v_transpose(const real *from, int64_t stride, real *to, int64_t to_stride, real factor) {
    for (int64_t c = 0; c < 8; c += 2) {
        const vec even = v_gather_parts(from + c, stride);
        const vec odd = v_gather_parts(from + c + stride, stride);
        v_store(to + (c + 0) * to_stride, v_mul(v_set(factor), _mm512_unpacklo_pd(even, odd)));
        v_store(to + (c + 1) * to_stride, v_mul(v_set(factor), _mm512_unpackhi_pd(even, odd)));
    }
}

#endif

ALWAYS_INLINE mask v_and(mask m, mask n) { return m & n; }
ALWAYS_INLINE int v_any(mask m) { return m != 0; }

#define V_PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define V_PREFETCH_FAR(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define V_FENCE() _mm_sfence()
