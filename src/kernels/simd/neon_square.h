/* The transpose of a small square by NEON: 4 x 4 floats or 2 x 2 doubles. For neon.h and for sve.h, whose CPUs have NEON. */
#ifndef SOFTATTN_KERNELS_SIMD_NEON_SQUARE_H
#define SOFTATTN_KERNELS_SIMD_NEON_SQUARE_H

#include <arm_neon.h>

#include "kernels/simd/simd.h"

#if SOFTATTN_REAL_BITS == 32

#define NEON_SQUARE 4

ALWAYS_INLINE void neon_transpose(const real *from, int64_t stride, real *to, int64_t to_stride,
                                  real factor) {
    const float32x4_t r0 = vld1q_f32(from);
    const float32x4_t r1 = vld1q_f32(from + stride);
    const float32x4_t r2 = vld1q_f32(from + 2 * stride);
    const float32x4_t r3 = vld1q_f32(from + 3 * stride);
    const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1));
    const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
    const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3));
    const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
    const float32x4_t f = vdupq_n_f32(factor);
    vst1q_f32(to, vmulq_f32(f, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23))));
    vst1q_f32(to + to_stride, vmulq_f32(f, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23))));
    vst1q_f32(to + 2 * to_stride, vmulq_f32(f, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23))));
    vst1q_f32(to + 3 * to_stride, vmulq_f32(f, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23))));
}

#else

#define NEON_SQUARE 2

ALWAYS_INLINE void neon_transpose(const real *from, int64_t stride, real *to, int64_t to_stride,
                                  real factor) {
    const float64x2_t r0 = vld1q_f64(from);
    const float64x2_t r1 = vld1q_f64(from + stride);
    const float64x2_t f = vdupq_n_f64(factor);
    vst1q_f64(to, vmulq_f64(f, vtrn1q_f64(r0, r1)));
    vst1q_f64(to + to_stride, vmulq_f64(f, vtrn2q_f64(r0, r1)));
}

#endif

#endif
