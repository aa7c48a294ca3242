/*
 * 16-bit floats to floats and back: IEEE binary16 (f16: 5 bits of exponent, 10 of fraction) and bfloat16 (the upper half of
 * a float). One element in integer arithmetic, which every instruction set's own conversions equal; those take HALVES
 * elements at a time.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CONVERT_H
#define SOFTATTN_KERNELS_TEMPLATE_CONVERT_H

#include "kernels/kernels.h"

#ifndef HALVES
#define HALVES 1
typedef int16_t half_vec;
ALWAYS_INLINE half_vec halves_set(int16_t bits) { return bits; }
ALWAYS_INLINE half_vec halves_load(const uint16_t *from) { return (int16_t)*from; }
ALWAYS_INLINE half_vec halves_max(half_vec a, half_vec b) { return a > b ? a : b; }
ALWAYS_INLINE half_vec halves_min(half_vec a, half_vec b) { return a < b ? a : b; }
ALWAYS_INLINE int16_t halves_reduce_max(half_vec a) { return a; }
ALWAYS_INLINE int16_t halves_reduce_min(half_vec a) { return a; }
#endif

/* Never reached. */
#ifndef SPLITS_BF16
#define SPLITS_BF16 0
ALWAYS_INLINE void split_bf16(const uint16_t *from, real *to) { (void)from, (void)to; }
ALWAYS_INLINE void join_bf16(const real *from, uint16_t *to, int stream) {
    (void)from, (void)to, (void)stream;
}
ALWAYS_INLINE void order_split(real *reals) { (void)reals; }
#endif

#if SOFTATTN_REAL_BITS == 32

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

static float bf16_to_float(uint16_t half) { return float_of((uint32_t)half << 16); }

/* of a constant format */
ALWAYS_INLINE float half_value(int32_t format, uint16_t half) {
    return format == SOFTATTN_FORMAT_F16 ? f16_to_float(half) : bf16_to_float(half);
}

#if HALVES == 1

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

static uint16_t float_to_bf16(float value) {
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

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
SPEED_INLINE void widen_block(int32_t format, const uint16_t *from, float *to) {
    if (format == SOFTATTN_FORMAT_F16) {
        widen_f16(from, to);
    } else {
        widen_bf16(from, to);
    }
}

SPEED_INLINE void narrow_block(int32_t format, const float *from, uint16_t *to, int has_nan, int stream) {
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

/* count < HALVES elements of 2 or 4 bytes, in pieces of constant size: cheaper than a call. */
ALWAYS_INLINE void copy_few(const void *from, void *to, int64_t count, int64_t bytes) {
    const char *in = from;
    char *out = to;
    for (int64_t piece = HALVES / 2; piece > 0; piece /= 2) {
        if (count & piece) {
            __builtin_memcpy(out, in, (uint64_t)(piece * bytes));
            in += piece * bytes;
            out += piece * bytes;
        }
    }
}

/* Fewer than HALVES elements, among others that nobody uses. */
static void widen_few(int32_t format, int64_t count, const uint16_t *from, float *to) {
    VECTOR_ALIGNED uint16_t halves[HALVES] = {0};
    VECTOR_ALIGNED float floats[HALVES];
    copy_few(from, halves, count, sizeof *halves);
    widen_block(format, halves, floats);
    copy_few(floats, to, count, sizeof *floats);
}

/* from: HALVES elements, of which the others are not used. */
static void narrow_few(int32_t format, int64_t count, const float *from, uint16_t *to) {
    VECTOR_ALIGNED uint16_t halves[HALVES];
    narrow_block(format, from, halves, 1, 0);
    copy_few(halves, to, count, sizeof *halves);
}

enum { AHEAD = 4096 }; /* elements: of long runs, what comes that much later is asked for meanwhile */

NEVER_INLINE void widen(int32_t format, int64_t count, const uint16_t *from, void *to) {
    float *out = to;
    int64_t i = 0;
    for (; i + HALVES <= count; i += HALVES) {
        V_PREFETCH_FAR(from + i + AHEAD);
        widen_block(format, from + i, out + i);
    }
    if (i < count) {
        widen_few(format, count - i, from + i, out + i);
    }
}

NEVER_INLINE void narrow(int32_t format, int64_t count, const void *from, uint16_t *to, int32_t stream) {
    const float *in = from;
    int64_t i = stream ? halves_head(to, count) : 0;
    VECTOR_ALIGNED float rest[HALVES] = {0};
    if (i > 0) {
        copy_few(in, rest, i, sizeof *rest);
        narrow_few(format, i, rest, to);
    }
    for (; i + HALVES <= count; i += HALVES) {
        narrow_block(format, in + i, to + i, 1, stream);
    }
    if (i < count) {
        copy_few(in + i, rest, count - i, sizeof *rest);
        narrow_few(format, count - i, rest, to + i);
    }
}

static void finish_narrowing(void) { V_FENCE(); }

#else

/* Doubles have no 16-bit floats that stand for them; what templates do with those is never reached. */
SPEED_INLINE void widen_block(int32_t format, const uint16_t *from, real *to) {
    (void)format, (void)from, (void)to;
}
SPEED_INLINE void narrow_block(int32_t format, const real *from, uint16_t *to, int has_nan, int stream) {
    (void)format, (void)from, (void)to, (void)has_nan, (void)stream;
}
ALWAYS_INLINE int64_t halves_head(const uint16_t *to, int64_t count) { return (void)to, count; }
ALWAYS_INLINE real half_value(int32_t format, uint16_t half) { return (void)format, half; }
ALWAYS_INLINE void widen(int32_t format, int64_t count, const uint16_t *from, void *to) {
    (void)format, (void)count, (void)from, (void)to;
}
ALWAYS_INLINE void narrow(int32_t format, int64_t count, const void *from, uint16_t *to, int32_t stream) {
    (void)format, (void)count, (void)from, (void)to, (void)stream;
}
ALWAYS_INLINE void narrow_few(int32_t format, int64_t count, const real *from, uint16_t *to) {
    (void)format, (void)count, (void)from, (void)to;
}

#endif

#endif
