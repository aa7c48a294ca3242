/*
 * The vocabulary of simd.h for SSE2, which has no fused multiply-add: v_fma rounds twice, so this is the one instruction
 * set whose results differ from the others'.
 */
#if !defined(__SSE2__)
#error compile with SSE2
#endif
#include <emmintrin.h>

#define V_FMA_ROUNDS_TWICE
#include "kernels/simd/simd.h"

#define TILE_ROWS            4
#define TILE_VECTORS         3
#define DECODE_TILE_ROWS     2
#define DECODE_TILE_VECTORS  4
#define DECODE_KEY_VECTORS   2
#define DECODE_ROWS          6
#define DECODE_HEADS         1
#define DECODE_BYTES_PER_ASK 0
#define TRANSPOSE_COLUMNS    LANES

#if SOFTATTN_REAL_BITS == 32

#define LANES 4
typedef __m128 vec;
typedef __m128 mask;

ALWAYS_INLINE vec v_set(real x) { return _mm_set1_ps(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm_setzero_ps(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm_loadu_ps(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm_storeu_ps(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm_stream_ps(p, v); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    if (n == LANES) {
        return v_load(p);
    }
    return _mm_setr_ps(n > 0 ? p[0] : fill, n > 1 ? p[1] : fill, n > 2 ? p[2] : fill, fill);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    if (n == LANES) {
        v_store(p, v);
        return;
    }
    if (n > 0) {
        p[0] = _mm_cvtss_f32(v);
    }
    if (n > 1) {
        p[1] = _mm_cvtss_f32(_mm_shuffle_ps(v, v, 1));
    }
    if (n > 2) {
        p[2] = _mm_cvtss_f32(_mm_movehl_ps(v, v));
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm_add_ps(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm_sub_ps(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm_mul_ps(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm_div_ps(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm_sqrt_ps(a); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm_max_ps(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm_andnot_ps(v_set(-0.0f), a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm_or_ps(v_abs(a), _mm_and_ps(s, v_set(-0.0f))); }
/* Adding and taking away 1.5 * 2^23 leaves the nearest integer. */
ALWAYS_INLINE vec v_round(vec x) { return v_sub(v_add(x, v_set(0x1.8p23f)), v_set(0x1.8p23f)); }
/* n is added to the exponent of p; a NaN converts to 0x80000000, which the shift makes 0. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const __m128i exponent = _mm_slli_epi32(_mm_cvtps_epi32(n), 23);
    return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(p), exponent));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm_cmplt_ps(a, b); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm_cmpnlt_ps(a, b); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm_cmpeq_ps(a, b); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return _mm_and_ps(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return _mm_or_ps(m, n); }
ALWAYS_INLINE int v_any(mask m) { return _mm_movemask_ps(m) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    const __m128i zero = _mm_setzero_si128();
    int32_t bytes;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    const __m128i wider = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero);
    return _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_unpacklo_epi16(wider, zero), zero));
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm_and_ps(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return _mm_andnot_ps(m, v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(a), _mm_castps_si128(b)));
}
ALWAYS_INLINE int v_mask_bits(mask m) { return _mm_movemask_ps(m); }

ALWAYS_INLINE real v_reduce_add(vec v) {
    const vec a = v_add(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    const vec a = v_max(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    vec r0 = v_load(from);
    vec r1 = v_load(from + stride);
    vec r2 = v_load(from + 2 * stride);
    vec r3 = v_load(from + 3 * stride);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    v_store(to, v_mul(v_set(factor), r0));
    v_store(to + to_stride, v_mul(v_set(factor), r1));
    v_store(to + 2 * to_stride, v_mul(v_set(factor), r2));
    v_store(to + 3 * to_stride, v_mul(v_set(factor), r3));
}

#include "kernels/simd/sse2_half.h"

#else

#define LANES 2
typedef __m128d vec;
typedef __m128d mask;

ALWAYS_INLINE vec v_set(real x) { return _mm_set1_pd(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm_setzero_pd(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm_loadu_pd(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm_storeu_pd(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm_stream_pd(p, v); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return n == LANES ? v_load(p) : _mm_setr_pd(n > 0 ? p[0] : fill, fill);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    if (n == LANES) {
        v_store(p, v);
    } else if (n > 0) {
        p[0] = _mm_cvtsd_f64(v);
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm_add_pd(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm_sub_pd(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm_mul_pd(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm_div_pd(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm_sqrt_pd(a); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm_max_pd(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm_andnot_pd(v_set(-0.0), a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm_or_pd(v_abs(a), _mm_and_pd(s, v_set(-0.0))); }
ALWAYS_INLINE vec v_round(vec x) { return v_sub(v_add(x, v_set(0x1.8p52)), v_set(0x1.8p52)); }
/* SSE2 converts no double to 64 bits. n + 1.5 * 2^52 + bias has n + bias in its low bits, which shifted into the place of
 * the exponent are 2^n. They are multiplied by, not added: of a NaN they may be anything, and it stays one. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const __m128i biased = _mm_castpd_si128(v_add(n, v_set(0x1.8p52 + 1023)));
    return v_mul(p, _mm_castsi128_pd(_mm_slli_epi64(biased, 52)));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm_cmplt_pd(a, b); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm_cmpnlt_pd(a, b); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm_cmpeq_pd(a, b); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return _mm_and_pd(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return _mm_or_pd(m, n); }
ALWAYS_INLINE int v_any(mask m) { return _mm_movemask_pd(m) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    return _mm_castsi128_pd(_mm_set_epi64x(p[1] != 0 ? -1 : 0, p[0] != 0 ? -1 : 0));
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm_or_pd(_mm_and_pd(m, a), _mm_andnot_pd(m, b)); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm_and_pd(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return _mm_andnot_pd(m, v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm_castsi128_pd(_mm_add_epi64(_mm_castpd_si128(a), _mm_castpd_si128(b)));
}
ALWAYS_INLINE int v_mask_bits(mask m) { return _mm_movemask_pd(m); }

ALWAYS_INLINE real v_reduce_add(vec v) { return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v))); }
ALWAYS_INLINE real v_reduce_max(vec v) { return _mm_cvtsd_f64(_mm_max_sd(v, _mm_unpackhi_pd(v, v))); }

ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    const vec r0 = v_load(from);
    const vec r1 = v_load(from + stride);
    v_store(to, v_mul(v_set(factor), _mm_unpacklo_pd(r0, r1)));
    v_store(to + to_stride, v_mul(v_set(factor), _mm_unpackhi_pd(r0, r1)));
}

#endif

ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return v_add(v_mul(a, b), c); }
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    const int bits = v_mask_bits(m);
    real lane[LANES];
    int kept = 0;
    v_store(lane, v);
    for (int i = 0; i < LANES; i++) {
        p[kept] = lane[i];
        kept += bits >> i & 1;
    }
    return kept;
}

#define V_PREFETCH(p)       _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define V_PREFETCH_FAR(p)   _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define ASKING(says)        ((void)(says), SOFTATTN_ASKING_ALIKE)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           1
#define V_FENCE()           _mm_sfence()
