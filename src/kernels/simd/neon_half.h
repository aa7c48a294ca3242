/* Conversions of 16-bit floats for 64-bit Arm, whose Advanced SIMD every processor with SVE has, too. Included by neon.h
 * and sve.h. */
#define HALVES 8

ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(from));
    vst1q_f32(to, vcvt_f32_f16(vget_low_f16(halves)));
    vst1q_f32(to + 4, vcvt_high_f32_f16(halves));
}

ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) {
    const uint16x8_t halves = vld1q_u16(from);
    vst1q_f32(to, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(halves), 16)));
    vst1q_f32(to + 4, vreinterpretq_f32_u32(vshll_high_n_u16(halves, 16)));
}

typedef int16x8_t half_vec;
ALWAYS_INLINE half_vec halves_set(int16_t bits) { return vdupq_n_s16(bits); }
ALWAYS_INLINE half_vec halves_load(const uint16_t *from) { return vreinterpretq_s16_u16(vld1q_u16(from)); }
ALWAYS_INLINE half_vec halves_max(half_vec a, half_vec b) { return vmaxq_s16(a, b); }
ALWAYS_INLINE half_vec halves_min(half_vec a, half_vec b) { return vminq_s16(a, b); }
ALWAYS_INLINE int16_t halves_reduce_max(half_vec a) { return vmaxvq_s16(a); }
ALWAYS_INLINE int16_t halves_reduce_min(half_vec a) { return vminvq_s16(a); }

ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan, (void)stream;
    const float16x4_t low = vcvt_f16_f32(vld1q_f32(from));
    vst1q_u16(to, vreinterpretq_u16_f16(vcvt_high_f16_f32(low, vld1q_f32(from + 4))));
}

ALWAYS_INLINE uint16x4_t v_narrow_bf16(float32x4_t v, int has_nan) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v), upper = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    if (!has_nan) {
        return vmovn_u32(vshrq_n_u32(rounded, 16));
    }
    const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(v, v), vshrq_n_u32(rounded, 16), quiet));
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)stream;
    vst1q_u16(to, vcombine_u16(v_narrow_bf16(vld1q_f32(from), has_nan),
                               v_narrow_bf16(vld1q_f32(from + 4), has_nan)));
}
