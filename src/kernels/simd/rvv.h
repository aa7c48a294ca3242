/*
 * The vocabulary of simd.h for the RISC-V vector extension 1.0, whatever the length of its vectors. The overloaded
 * intrinsics serve both types. A vector has LANES elements: those of one register, but at most STRIPES.
 */
#if !defined(__riscv_v)
#error compile with the RISC-V vector extension
#endif
#include <riscv_vector.h>

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

/* An asm without side effects, because compilers merge these and move them out of loops, which they do neither with
 * vsetvl nor with their own intrinsic for this register. */
ALWAYS_INLINE int v_lanes(void) {
    uint64_t register_bytes;
    __asm__("csrr %0, vlenb" : "=r"(register_bytes));
    return register_bytes < STRIPES * REAL_BYTES ? (int)(register_bytes / REAL_BYTES) : STRIPES;
}
#define LANES    v_lanes()
#define V_LENGTH ((size_t)LANES)

#if SOFTATTN_REAL_BITS == 32

typedef vfloat32m1_t vec;
typedef vbool32_t mask;

ALWAYS_INLINE vec v_set(real x) { return __riscv_vfmv_v_f_f32m1(x, V_LENGTH); }
ALWAYS_INLINE vec v_load(const real *p) { return __riscv_vle32_v_f32m1(p, V_LENGTH); }
ALWAYS_INLINE void v_store(real *p, vec v) { __riscv_vse32_v_f32m1(p, v, V_LENGTH); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return __riscv_vle32_v_f32m1_tu(v_set(fill), p, (size_t)n);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) { __riscv_vse32_v_f32m1(p, v, (size_t)n); }
ALWAYS_INLINE vec v_load_column(const real *p, int64_t stride) {
    return __riscv_vlse32_v_f32m1(p, stride * REAL_BYTES, V_LENGTH);
}
ALWAYS_INLINE real v_first(vec v) { return __riscv_vfmv_f_s_f32m1_f32(v); }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    return __riscv_vmsne(__riscv_vle8_v_u8mf4(p, V_LENGTH), 0, V_LENGTH);
}
/* 2^n: n + 1.5 * 2^23 + bias has n + bias in its low bits, which are shifted into the place of the exponent. */
ALWAYS_INLINE vec v_power(vec n) {
    const vuint32m1_t biased =
        __riscv_vreinterpret_v_f32m1_u32m1(__riscv_vfadd(n, 0x1.8p23f + 127, V_LENGTH));
    return __riscv_vreinterpret_v_u32m1_f32m1(__riscv_vsll(biased, 23, V_LENGTH));
}
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return __riscv_vreinterpret_v_u32m1_f32m1(
        __riscv_vadd(__riscv_vreinterpret_v_f32m1_u32m1(a), __riscv_vreinterpret_v_f32m1_u32m1(b), V_LENGTH));
}
#define ROUNDING_BIAS 0x1.8p23f

#else

typedef vfloat64m1_t vec;
typedef vbool64_t mask;

ALWAYS_INLINE vec v_set(real x) { return __riscv_vfmv_v_f_f64m1(x, V_LENGTH); }
ALWAYS_INLINE vec v_load(const real *p) { return __riscv_vle64_v_f64m1(p, V_LENGTH); }
ALWAYS_INLINE void v_store(real *p, vec v) { __riscv_vse64_v_f64m1(p, v, V_LENGTH); }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) {
    return __riscv_vle64_v_f64m1_tu(v_set(fill), p, (size_t)n);
}
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) { __riscv_vse64_v_f64m1(p, v, (size_t)n); }
ALWAYS_INLINE vec v_load_column(const real *p, int64_t stride) {
    return __riscv_vlse64_v_f64m1(p, stride * REAL_BYTES, V_LENGTH);
}
ALWAYS_INLINE real v_first(vec v) { return __riscv_vfmv_f_s_f64m1_f64(v); }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) {
    return __riscv_vmsne(__riscv_vle8_v_u8mf8(p, V_LENGTH), 0, V_LENGTH);
}
ALWAYS_INLINE vec v_power(vec n) {
    const vuint64m1_t biased =
        __riscv_vreinterpret_v_f64m1_u64m1(__riscv_vfadd(n, 0x1.8p52 + 1023, V_LENGTH));
    return __riscv_vreinterpret_v_u64m1_f64m1(__riscv_vsll(biased, 52, V_LENGTH));
}
ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    return __riscv_vreinterpret_v_u64m1_f64m1(
        __riscv_vadd(__riscv_vreinterpret_v_f64m1_u64m1(a), __riscv_vreinterpret_v_f64m1_u64m1(b), V_LENGTH));
}
#define ROUNDING_BIAS 0x1.8p52

#endif

ALWAYS_INLINE vec v_zero(void) { return v_set(0); }
ALWAYS_INLINE void v_stream(real *p, vec v) { v_store(p, v); }
ALWAYS_INLINE vec v_add(vec a, vec b) { return __riscv_vfadd(a, b, V_LENGTH); }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return __riscv_vfsub(a, b, V_LENGTH); }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return __riscv_vfmul(a, b, V_LENGTH); }
ALWAYS_INLINE vec v_div(vec a, vec b) { return __riscv_vfdiv(a, b, V_LENGTH); }
ALWAYS_INLINE vec v_sqrt(vec a) { return __riscv_vfsqrt(a, V_LENGTH); }
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return __riscv_vfmacc(c, a, b, V_LENGTH); }
ALWAYS_INLINE vec v_abs(vec a) { return __riscv_vfabs(a, V_LENGTH); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return __riscv_vfsgnj(a, s, V_LENGTH); }
/* Adding and taking away 1.5 * 2^23 (2^52) leaves the nearest integer, and NaN as it is. */
ALWAYS_INLINE vec v_round(vec x) { return v_sub(v_add(x, v_set(ROUNDING_BIAS)), v_set(ROUNDING_BIAS)); }
ALWAYS_INLINE mask v_less(vec a, vec b) { return __riscv_vmflt(a, b, V_LENGTH); }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return __riscv_vmnot(v_less(a, b), V_LENGTH); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return __riscv_vmfeq(a, b, V_LENGTH); }
ALWAYS_INLINE mask v_and(mask m, mask n) { return __riscv_vmand(m, n, V_LENGTH); }
ALWAYS_INLINE mask v_or(mask m, mask n) { return __riscv_vmor(m, n, V_LENGTH); }
ALWAYS_INLINE int v_any(mask m) { return __riscv_vcpop(m, V_LENGTH) != 0; }
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return __riscv_vmerge(b, a, m, V_LENGTH); }
ALWAYS_INLINE vec v_where(mask m, vec v) { return v_select(m, v, v_zero()); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE vec v_scale(vec p, vec n) { return v_mul(p, v_power(n)); }
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    v_store(p, __riscv_vcompress(v, m, V_LENGTH));
    return (int)__riscv_vcpop(m, V_LENGTH);
}
/* The instruction for a maximum treats NaN in another way. */
ALWAYS_INLINE vec v_max(vec a, vec b) { return v_select(v_less(b, a), a, b); }

ALWAYS_INLINE real v_reduce_add(vec v) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        v = v_add(v, __riscv_vslidedown(v, (size_t)width, V_LENGTH));
    }
    return v_first(v);
}
ALWAYS_INLINE real v_reduce_max(vec v) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        v = v_max(v, __riscv_vslidedown(v, (size_t)width, V_LENGTH));
    }
    return v_first(v);
}

ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    for (int64_t c = 0; c < LANES; c++) {
        v_store(to + c * to_stride, v_mul(v_set(factor), v_load_column(from + c, stride)));
    }
}

#define V_PREFETCH(p)       __builtin_prefetch((p), 0, 3)
#define V_PREFETCH_FAR(p)   __builtin_prefetch((p), 0, 2)
#define ASKING(says)        ((void)(says), SOFTATTN_ASKING_TWICE)
#define V_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define V_STREAMS           0
#define V_FENCE()           ((void)0)
