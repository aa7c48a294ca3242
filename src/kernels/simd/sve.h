/*
 * The vocabulary of simd.h for SVE, whatever the length of its vectors. The type-generic intrinsics serve both types.
 *
 * A vector has LANES elements: those of the register, but at most STRIPES, and a power of two. Where the register has
 * more, the ones beyond hold anything: loads, stores and v_any pass over them.
 */
#if !defined(__ARM_FEATURE_SVE)
#error compile with SVE
#endif
#include <arm_sve.h>

#include "kernels/simd/neon_square.h"
#include "kernels/simd/simd.h"

#define TILE_ROWS            8
#define TILE_VECTORS         3
#define DECODE_TILE_ROWS     4
#define DECODE_TILE_VECTORS  4
#define DECODE_KEY_VECTORS   2
#define DECODE_ROWS          4
#define DECODE_HEADS         32
#define DECODE_BYTES_PER_ASK 0
#define TRANSPOSE_COLUMNS    LANES
#define HAS_QUIET_MASKS

typedef svbool_t mask;

#if SOFTATTN_REAL_BITS == 32

typedef svfloat32_t vec;

ALWAYS_INLINE int v_register_lanes(void) { return (int)svcntw_pat(SV_POW2); }
ALWAYS_INLINE mask v_true(void) { return svptrue_b32(); }
ALWAYS_INLINE mask v_first(int64_t n) { return svwhilelt_b32_s64(0, n); }
ALWAYS_INLINE vec v_set(real x) { return svdup_n_f32(x); }
ALWAYS_INLINE int v_count(mask m) { return (int)svcntp_b32(v_true(), m); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return svreinterpret_f32_u32(svadd_x(v_true(), svreinterpret_u32(a), svreinterpret_u32(b)));
}
ALWAYS_INLINE vec v_lanes_from(vec v, int first) { return svtbl_f32(v, svindex_u32((uint32_t)first, 1)); }
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return svscale_z(m, p, svcvt_s32_x(m, n)); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) {
    const svuint32_t sign = svand_x(v_true(), svreinterpret_u32(s), 0x80000000);
    return svreinterpret_f32(svorr_x(v_true(), svreinterpret_u32(svabs_x(v_true(), a)), sign));
}

#include "kernels/simd/neon_half.h"

#else

typedef svfloat64_t vec;

ALWAYS_INLINE int v_register_lanes(void) { return (int)svcntd_pat(SV_POW2); }
ALWAYS_INLINE mask v_true(void) { return svptrue_b64(); }
ALWAYS_INLINE mask v_first(int64_t n) { return svwhilelt_b64_s64(0, n); }
ALWAYS_INLINE vec v_set(real x) { return svdup_n_f64(x); }
ALWAYS_INLINE int v_count(mask m) { return (int)svcntp_b64(v_true(), m); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return svreinterpret_f64_u64(svadd_x(v_true(), svreinterpret_u64(a), svreinterpret_u64(b)));
}
ALWAYS_INLINE vec v_lanes_from(vec v, int first) { return svtbl_f64(v, svindex_u64((uint64_t)first, 1)); }
ALWAYS_INLINE vec v_scale_where(mask m, vec p, vec n) { return svscale_z(m, p, svcvt_s64_x(m, n)); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) {
    const svuint64_t sign = svand_x(v_true(), svreinterpret_u64(s), 0x8000000000000000);
    return svreinterpret_f64(svorr_x(v_true(), svreinterpret_u64(svabs_x(v_true(), a)), sign));
}

#endif

ALWAYS_INLINE int v_lanes(void) { return v_register_lanes() < STRIPES ? v_register_lanes() : STRIPES; }
#define LANES v_lanes()

ALWAYS_INLINE mask v_all(void) { return v_first(LANES); }
ALWAYS_INLINE vec v_zero(void) { return v_set(0); }
ALWAYS_INLINE vec v_load(const real *p) { return svld1(v_all(), p); }
ALWAYS_INLINE void v_store(real *p, vec v) { svst1(v_all(), p, v); }
ALWAYS_INLINE void v_stream(real *p, vec v) { svstnt1(v_all(), p, v); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return svsel(v_first(n), svld1(v_first(n), p), v_set(fill));
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) { svst1(v_first(n), p, v); }
ALWAYS_INLINE vec v_add(vec a, vec b) { return svadd_x(v_true(), a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return svsub_x(v_true(), a, b); }
ALWAYS_INLINE vec v_sub_where(mask m, vec a, vec b) { return svsub_z(m, a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return svmul_x(v_true(), a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return svdiv_x(v_true(), a, b); }
ALWAYS_INLINE vec v_sqrt(vec a) { return svsqrt_x(v_true(), a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return svmla_x(v_true(), c, a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return svabs_x(v_true(), a); }
ALWAYS_INLINE vec v_round(vec x) { return svrintn_x(v_true(), x); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return svcmplt(v_true(), a, b); }
/* Not beyond the LANES, so that exp2 leaves out what lies there, too. */
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return svnot_z(v_all(), v_less(a, b)); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return svcmpeq(v_true(), a, b); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return svand_z(v_true(), m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return svorr_z(v_true(), m, n); }
ALWAYS_INLINE int v_any(mask m) { return svptest_any(v_all(), m); }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
#if SOFTATTN_REAL_BITS == 32
    return svcmpne(v_all(), svld1ub_u32(v_all(), p), 0);
#else
    return svcmpne(v_all(), svld1ub_u64(v_all(), p), 0);
#endif
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return svsel(m, a, b); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return v_select(m, v, v_zero()); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    v_store(p, svcompact(v_and(m, v_all()), v));
    return v_count(v_and(m, v_all()));
}
/* The instructions for a maximum treat NaN in other ways. */
ALWAYS_INLINE vec v_max(vec a, vec b) { return v_select(v_less(b, a), a, b); }

ALWAYS_INLINE real v_reduce_add(vec v) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        v = v_add(v, v_lanes_from(v, width));
    }
    return svlasta(svpfalse_b(), v); /* lane 0 */
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        v = v_max(v, v_lanes_from(v, width));
    }
    return svlasta(svpfalse_b(), v);
}

ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    for (int64_t r = 0; r < LANES; r += NEON_SQUARE) {
        for (int64_t c = 0; c < LANES; c += NEON_SQUARE) {
            neon_transpose(from + r * stride + c, stride, to + c * to_stride + r, to_stride, factor);
        }
    }
}

#define V_PREFETCH(p)       __builtin_prefetch((p), 0, 3)
#define V_PREFETCH_FAR(p)   __builtin_prefetch((p), 0, 2)
#define ASKING(says)        ((void)(says), SOFTATTN_ASKING_TWICE)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           1
#define V_FENCE()           ((void)0)
