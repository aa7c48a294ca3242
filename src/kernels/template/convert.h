/*
 * 16-bit floats to floats and back: IEEE binary16 (f16: 5 bits of exponent, 10 of fraction) and bfloat16 (the upper half of
 * a float). One element in integer arithmetic, which every instruction set's own conversions equal; those take HALVES
 * elements at a time.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CONVERT_H
#define SOFTATTN_KERNELS_TEMPLATE_CONVERT_H

#if SOFTATTN_REAL_BITS == 32

#include "kernels/kernels.h"

/* ---- One element ---- */

static float float_of(uint32_t bits) {
    const union {
        uint32_t bits;
        float value;
    } both = {bits};
    return both.value;
}

static uint32_t bits_of(float value) {
    const union {
        float value;
        uint32_t bits;
    } both = {value};
    return both.bits;
}

/* A float's exponent has a bias of 127, that of an f16 one of 15. */
#define F16_REBIAS (UINT32_C(112) << 23)

static float f16_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, shifted = (uint32_t)(half & 0x7fff) << 13;
    uint32_t magnitude;
    if (shifted > 0x0f800000) {
        magnitude = shifted | 0x7fc00000; /* NaN, made quiet */
    } else if (shifted == 0x0f800000) {
        magnitude = 0x7f800000;
    } else if (shifted >= 0x00800000) {
        magnitude = shifted + F16_REBIAS;
    } else { /* subnormal: below an implicit 1 of the smallest normal number, which is taken away */
        const uint32_t one = F16_REBIAS + 0x00800000;
        magnitude = bits_of(float_of(shifted + one) - float_of(one));
    }
    return float_of(sign | magnitude);
}

static uint16_t float_to_f16(float value) {
    const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffff;
    uint32_t half;
    if (magnitude > 0x7f800000) {
        half = 0x7e00 | (magnitude >> 13 & 0x3ff);
    } else if (magnitude >= 0x47800000) { /* 2^16 */
        half = 0x7c00;
    } else if (magnitude < 0x38800000) { /* 2^-14: with 0.5 added, the last bit is that of a subnormal f16 */
        half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
    } else {
        half = (magnitude - F16_REBIAS + 0xfff + (magnitude >> 13 & 1)) >> 13;
    }
    return (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)half;
}

static float bf16_to_float(uint16_t half) { return float_of((uint32_t)half << 16); }

static uint16_t float_to_bf16(float value) {
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- Many ---- */

#ifndef HALVES
#define HALVES 1
ALWAYS_INLINE void widen_f16(const uint16_t *from, float *to) { *to = f16_to_float(*from); }
ALWAYS_INLINE void widen_bf16(const uint16_t *from, float *to) { *to = bf16_to_float(*from); }
ALWAYS_INLINE void narrow_f16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan, (void)stream;
    *to = float_to_f16(*from);
}
ALWAYS_INLINE void narrow_bf16(const float *from, uint16_t *to, int has_nan, int stream) {
    (void)has_nan, (void)stream;
    *to = float_to_bf16(*from);
}
#endif

/* HALVES elements; as the functions that simd.h describes. */
ALWAYS_INLINE void widen_block(int32_t format, const uint16_t *from, float *to) {
    if (format == SOFTATTN_FORMAT_F16) {
        widen_f16(from, to);
    } else {
        widen_bf16(from, to);
    }
}

ALWAYS_INLINE void narrow_block(int32_t format, const float *from, uint16_t *to, int has_nan, int stream) {
    if (format == SOFTATTN_FORMAT_F16) {
        narrow_f16(from, to, has_nan, stream);
    } else {
        narrow_bf16(from, to, has_nan, stream);
    }
}

/* Elements of `to` before the first that streamed stores can begin at; at most count. */
ALWAYS_INLINE int64_t halves_head(const uint16_t *to, int64_t count) {
    const int64_t head = (int64_t)((0 - (uintptr_t)to / sizeof *to) % HALVES);
    return head < count ? head : count;
}

enum { AHEAD = 4096 }; /* elements: of long runs, what comes that much later is asked for meanwhile */

static void widen(int32_t format, int64_t count, const uint16_t *from, void *to) {
    const int is_f16 = format == SOFTATTN_FORMAT_F16;
    float *out = to;
    int64_t i = 0;
    for (; i + HALVES <= count; i += HALVES) {
        V_PREFETCH_FAR(from + i + AHEAD);
        widen_block(format, from + i, out + i);
    }
    for (; i < count; i++) {
        out[i] = is_f16 ? f16_to_float(from[i]) : bf16_to_float(from[i]);
    }
}

static void narrow(int32_t format, int64_t count, const void *from, uint16_t *to, int32_t stream) {
    const int is_f16 = format == SOFTATTN_FORMAT_F16;
    const int64_t head = stream ? halves_head(to, count) : 0;
    const float *in = from;
    int64_t i = 0;
    for (; i < head; i++) {
        to[i] = is_f16 ? float_to_f16(in[i]) : float_to_bf16(in[i]);
    }
    for (; i + HALVES <= count; i += HALVES) {
        narrow_block(format, in + i, to + i, 1, stream);
    }
    for (; i < count; i++) {
        to[i] = is_f16 ? float_to_f16(in[i]) : float_to_bf16(in[i]);
    }
}

static void finish_narrowing(void) { V_FENCE(); }

#endif

#endif
