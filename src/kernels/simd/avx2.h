/* The vocabulary of simd.h for AVX2 with FMA and F16C. */
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error compile with AVX2, FMA and F16C
#endif
#include <immintrin.h>

#include "kernels/simd/compact.h"
#include "kernels/simd/simd.h"

#define TILE_ROWS            4
#define TILE_VECTORS         3
#define DECODE_TILE_ROWS     4
#define DECODE_TILE_VECTORS  3
#define DECODE_KEY_VECTORS   2
#define DECODE_ROWS          8
#define DECODE_HEADS         32
#define DECODE_BYTES_PER_ASK 0
#define TRANSPOSE_COLUMNS    (LANES / 2) /* which the registers hold beside sums */

#if SOFTATTN_REAL_BITS == 32

#define LANES 8
typedef __m256 vec;
typedef __m256 mask;

ALWAYS_INLINE vec v_set(real x) { return _mm256_set1_ps(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm256_setzero_ps(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm256_loadu_ps(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm256_storeu_ps(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm256_stream_ps(p, v); }
ALWAYS_INLINE __m256i v_first(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    const __m256i first = v_first(n);
    return _mm256_blendv_ps(v_set(fill), _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
}
/* In pieces of sizes that are powers of two: AMD's CPUs take a dozen cycles and more for a masked store. */
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    __m128 rest = _mm256_castps256_ps128(v);
    if (n >= LANES) {
        v_store(p, v);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (n & 1) {
        _mm_store_ss(p, rest);
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm256_div_ps(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm256_andnot_ps(v_set(-0.0f), a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm256_or_ps(v_abs(a), _mm256_and_ps(s, v_set(-0.0f))); }
ALWAYS_INLINE vec v_round(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* n is added to the exponent of p; a NaN converts to 0x80000000, which the shift makes 0. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return _mm256_and_ps(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return _mm256_or_ps(m, n); }
ALWAYS_INLINE int v_any(mask m) { return _mm256_movemask_ps(m) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(bytes, _mm256_setzero_si256()));
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm256_blendv_ps(b, a, m); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm256_and_ps(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return _mm256_andnot_ps(m, v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
/* A half at a time: the second goes behind what the first has kept. */
ALWAYS_INLINE int v_compress_half(real *p, int which, __m128 half) {
    const __m128i order = _mm_loadu_si128((const __m128i *)(const void *)compact_order[which]);
    _mm_storeu_ps(p, _mm_castsi128_ps(_mm_shuffle_epi8(_mm_castps_si128(half), order)));
    return _mm_popcnt_u32((unsigned)which);
}
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    const int which = _mm256_movemask_ps(m);
    const int kept = v_compress_half(p, which & 15, _mm256_castps256_ps128(v));
    return kept + v_compress_half(p + kept, which >> 4, _mm256_extractf128_ps(v, 1));
}

ALWAYS_INLINE real v_reduce_add(vec v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

/* Four elements of rows r and r + 4 meet in each register, and two rounds of unpacking inside its halves turn four such
 * registers into columns. */
ALWAYS_INLINE vec v_gather_parts(const real *p, int64_t stride) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * stride), 1);
}
ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    const vec r0 = v_gather_parts(from, stride);
    const vec r1 = v_gather_parts(from + stride, stride);
    const vec r2 = v_gather_parts(from + 2 * stride, stride);
    const vec r3 = v_gather_parts(from + 3 * stride, stride);
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    v_store(to, v_mul(v_set(factor), _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23))));
    v_store(to + to_stride, v_mul(v_set(factor), _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23))));
    v_store(to + 2 * to_stride, v_mul(v_set(factor), _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23))));
    v_store(to + 3 * to_stride, v_mul(v_set(factor), _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23))));
}

#include "kernels/simd/avx2_half.h"

#else

#define LANES 4
typedef __m256d vec;
typedef __m256d mask;

ALWAYS_INLINE vec v_set(real x) { return _mm256_set1_pd(x); }
ALWAYS_INLINE vec v_zero(void) { return _mm256_setzero_pd(); }
ALWAYS_INLINE vec v_load(const real *p) { return _mm256_loadu_pd(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { _mm256_storeu_pd(p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { _mm256_stream_pd(p, v); }
ALWAYS_INLINE __m256i v_first(int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    const __m256i first = v_first(n);
    return _mm256_blendv_pd(v_set(fill), _mm256_maskload_pd(p, first), _mm256_castsi256_pd(first));
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    __m128d rest = _mm256_castpd256_pd128(v);
    if (n >= LANES) {
        v_store(p, v);
        return;
    }
    if (n & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1) {
        _mm_store_sd(p, rest);
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return _mm256_add_pd(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) {
    V_GUARD(b);
    return _mm256_div_pd(a, b);
}
ALWAYS_INLINE vec v_sqrt(vec a) { return _mm256_sqrt_pd(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
ALWAYS_INLINE vec v_max(vec a, vec b) { return _mm256_max_pd(a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return _mm256_andnot_pd(v_set(-0.0), a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return _mm256_or_pd(v_abs(a), _mm256_and_pd(s, v_set(-0.0))); }
ALWAYS_INLINE vec v_round(vec x) { return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* AVX2 converts no double to 64 bits. n + 1.5 * 2^52 + bias has n + bias in its low bits, which shifted into the place
 * of the exponent are 2^n. They are multiplied by, not added: of a NaN they may be anything, and it stays one. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const __m256i biased = _mm256_castpd_si256(v_add(n, v_set(0x1.8p52 + 1023)));
    return v_mul(p, _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52)));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_NLT_UQ); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return _mm256_and_pd(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return _mm256_or_pd(m, n); }
ALWAYS_INLINE int v_any(mask m) { return _mm256_movemask_pd(m) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    int32_t bytes;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    const __m256i wide = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes));
    return _mm256_castsi256_pd(_mm256_cmpgt_epi64(wide, _mm256_setzero_si256()));
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return _mm256_blendv_pd(b, a, m); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return _mm256_and_pd(m, v); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return _mm256_andnot_pd(m, v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b)));
}
/* As for float: a double is a pair of the four parts that compact_order moves. */
ALWAYS_INLINE int v_compress_half(real *p, int which, __m128d half) {
    const __m128i order = _mm_loadu_si128((const __m128i *)(const void *)compact_order[which]);
    _mm_storeu_pd(p, _mm_castsi128_pd(_mm_shuffle_epi8(_mm_castpd_si128(half), order)));
    return _mm_popcnt_u32((unsigned)which) / 2;
}
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    const int which = _mm256_movemask_ps(_mm256_castpd_ps(m));
    const int kept = v_compress_half(p, which & 15, _mm256_castpd256_pd128(v));
    return kept + v_compress_half(p + kept, which >> 4, _mm256_extractf128_pd(v, 1));
}

ALWAYS_INLINE real v_reduce_add(vec v) {
    const __m128d a = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a)));
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    const __m128d a = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(a, _mm_unpackhi_pd(a, a)));
}

/* As for float, with rows r and r + 2 in the halves and one round of unpacking. */
ALWAYS_INLINE vec v_gather_parts(const real *p, int64_t stride) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + 2 * stride), 1);
}
ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    const vec even = v_gather_parts(from, stride);
    const vec odd = v_gather_parts(from + stride, stride);
    v_store(to, v_mul(v_set(factor), _mm256_unpacklo_pd(even, odd)));
    v_store(to + to_stride, v_mul(v_set(factor), _mm256_unpackhi_pd(even, odd)));
}

#endif

/* AMD's CPUs before Zen 4, which go no further than AVX2, take both for the first level. */
#define V_PREFETCH(p)       _mm_prefetch((const char *)(p), _MM_HINT_T0)
#define V_PREFETCH_FAR(p)   _mm_prefetch((const char *)(p), _MM_HINT_T1)
#define ASKING(says)        (says)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           1
#define V_FENCE()           _mm_sfence()
