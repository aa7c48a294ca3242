/* The vocabulary of simd.h for NEON on 64-bit Arm. */
#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error compile for 64-bit Arm with NEON
#endif
#include <arm_neon.h>

#include "kernels/simd/compact.h"
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

#if SOFTATTN_REAL_BITS == 32

#define LANES 4
typedef float32x4_t vec;
typedef uint32x4_t mask;

ALWAYS_INLINE vec v_set(real x) { return vdupq_n_f32(x); }
ALWAYS_INLINE vec v_load(const real *p) { return vld1q_f32(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { vst1q_f32(p, v); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    if (n == LANES) {
        return v_load(p);
    }
    vec v = v_set(fill);
    v = n > 0 ? vld1q_lane_f32(p, v, 0) : v;
    v = n > 1 ? vld1q_lane_f32(p + 1, v, 1) : v;
    return n > 2 ? vld1q_lane_f32(p + 2, v, 2) : v;
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    if (n == LANES) {
        v_store(p, v);
        return;
    }
    if (n > 0) {
        vst1q_lane_f32(p, v, 0);
    }
    if (n > 1) {
        vst1q_lane_f32(p + 1, v, 1);
    }
    if (n > 2) {
        vst1q_lane_f32(p + 2, v, 2);
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return vsubq_f32(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return vdivq_f32(a, b); }
ALWAYS_INLINE vec v_sqrt(vec a) { return vsqrtq_f32(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return vabsq_f32(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return vbslq_f32(vdupq_n_u32(0x80000000), s, a); }
ALWAYS_INLINE vec v_round(vec x) { return vrndnq_f32(x); }
/* n is added to the exponent of p; a NaN converts to 0. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const uint32x4_t exponent = vreinterpretq_u32_s32(vshlq_n_s32(vcvtnq_s32_f32(n), 23));
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), exponent));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return vcltq_f32(a, b); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return vmvnq_u32(vcltq_f32(a, b)); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return vceqq_f32(a, b); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return vandq_u32(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return vorrq_u32(m, n); }
ALWAYS_INLINE int v_any(mask m) { return vmaxvq_u32(m) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    uint32_t bytes;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    const uint32x4_t wide = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
    return vtstq_u32(wide, wide);
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return vbslq_f32(m, a, b); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    const uint32_t which = vaddvq_u32(vandq_u32(m, (uint32x4_t){1, 2, 4, 8}));
    const uint8x16_t order = vld1q_u8(compact_order[which]);
    v_store(p, vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(v), order)));
    return (int)vaddvq_u32(vshrq_n_u32(m, 31));
}

/* Element i of the low half with element i of the high half, then the two that remain. */
ALWAYS_INLINE real v_reduce_add(vec v) { return vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v))); }

#include "kernels/simd/neon_half.h"

#else

#define LANES 2
typedef float64x2_t vec;
typedef uint64x2_t mask;

ALWAYS_INLINE vec v_set(real x) { return vdupq_n_f64(x); }
ALWAYS_INLINE vec v_load(const real *p) { return vld1q_f64(p); }
ALWAYS_INLINE void v_store(real *p, vec v) { vst1q_f64(p, v); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    if (n == LANES) {
        return v_load(p);
    }
    return n > 0 ? vld1q_lane_f64(p, v_set(fill), 0) : v_set(fill);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    if (n == LANES) {
        v_store(p, v);
    } else if (n > 0) {
        vst1q_lane_f64(p, v, 0);
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return vaddq_f64(a, b); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return vsubq_f64(a, b); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return vmulq_f64(a, b); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return vdivq_f64(a, b); }
ALWAYS_INLINE vec v_sqrt(vec a) { return vsqrtq_f64(a); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
ALWAYS_INLINE vec v_abs(vec a) { return vabsq_f64(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return vbslq_f64(vdupq_n_u64(0x8000000000000000), s, a); }
ALWAYS_INLINE vec v_round(vec x) { return vrndnq_f64(x); }
/* n is added to the exponent of p; a NaN converts to 0. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    const uint64x2_t exponent = vreinterpretq_u64_s64(vshlq_n_s64(vcvtnq_s64_f64(n), 52));
    return vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(p), exponent));
}
ALWAYS_INLINE mask v_less(vec a, vec b) { return vcltq_f64(a, b); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) {
    return vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(vcltq_f64(a, b))));
}
ALWAYS_INLINE mask v_equal(vec a, vec b) { return vceqq_f64(a, b); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return vandq_u64(m, n); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return vorrq_u64(m, n); }
ALWAYS_INLINE int v_any(mask m) { return vmaxvq_u32(vreinterpretq_u32_u64(m)) != 0; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    const uint64x2_t wide = vcombine_u64(vcreate_u64(p[0]), vcreate_u64(p[1]));
    return vtstq_u64(wide, wide);
}
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return vbslq_f64(m, a, b); }
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)));
}
/* As for float: a double is a pair of the four parts that compact_order moves. */
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    const uint64_t which = vaddvq_u64(vandq_u64(m, (uint64x2_t){3, 12}));
    const uint8x16_t order = vld1q_u8(compact_order[which]);
    v_store(p, vreinterpretq_f64_u8(vqtbl1q_u8(vreinterpretq_u8_f64(v), order)));
    return (int)vaddvq_u64(vshrq_n_u64(m, 63));
}

ALWAYS_INLINE real v_reduce_add(vec v) { return vpaddd_f64(v); }

#endif

ALWAYS_INLINE vec v_zero(void) { return v_set(0); }
ALWAYS_INLINE void v_stream(real *p, vec v) { v_store(p, v); }
/* The instructions for a maximum treat NaN in other ways. */
ALWAYS_INLINE vec v_max(vec a, vec b) { return v_select(v_less(b, a), a, b); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return v_select(m, v, v_zero()); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE real v_reduce_max(vec v) {
    real lane[LANES];
    v_store(lane, v);
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
        }
    }
    return lane[0];
}
ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    neon_transpose(from, stride, to, to_stride, factor);
}

#define V_PREFETCH(p)       __builtin_prefetch((p), 0, 3)
#define V_PREFETCH_FAR(p)   __builtin_prefetch((p), 0, 2)
#define ASKING(says)        ((void)(says), SOFTATTN_ASKING_TWICE)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           0
#define V_FENCE()           ((void)0)
