/* The vocabulary of simd.h in scalar C: one lane, fused multiply-add from the C library. The executable specification. */
#include <math.h>

#include "kernels/simd/simd.h"

typedef real vec;
typedef int mask;

#define LANES                1
#define TILE_ROWS            1
#define TILE_VECTORS         4
#define DECODE_TILE_ROWS     1
#define DECODE_TILE_VECTORS  4
#define DECODE_KEY_VECTORS   2
#define TRANSPOSE_COLUMNS    1
#define DECODE_ROWS          4
#define DECODE_HEADS         1
#define DECODE_BYTES_PER_ASK 0

ALWAYS_INLINE vec v_set(real x) { return x; }
ALWAYS_INLINE vec v_zero(void) { return 0; }
ALWAYS_INLINE vec v_load(const real *p) { return *p; }
ALWAYS_INLINE void v_store(real *p, vec v) { *p = v; }
ALWAYS_INLINE void v_stream(real *p, vec v) { *p = v; }
ALWAYS_INLINE vec v_load_part(const real *p, int64_t n, real fill) { return n > 0 ? *p : fill; }
ALWAYS_INLINE void v_store_part(real *p, vec v, int64_t n) {
    if (n > 0) {
        *p = v;
    }
}
ALWAYS_INLINE vec v_add(vec a, vec b) { return a + b; }
ALWAYS_INLINE vec v_sub(vec a, vec b) { return a - b; }
ALWAYS_INLINE vec v_mul(vec a, vec b) { return a * b; }
ALWAYS_INLINE vec v_div(vec a, vec b) { return a / b; }
ALWAYS_INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
ALWAYS_INLINE mask v_less(vec a, vec b) { return a < b; }
ALWAYS_INLINE mask v_not_less(vec a, vec b) { return !(a < b); }
ALWAYS_INLINE mask v_equal(vec a, vec b) { return a == b; }
ALWAYS_INLINE mask v_and(mask m, mask n) { return m & n; }
ALWAYS_INLINE mask v_or(mask m, mask n) { return m | n; }
ALWAYS_INLINE int v_any(mask m) { return m; }
ALWAYS_INLINE mask v_nonzero(const uint8_t *p) { return *p != 0; }
ALWAYS_INLINE vec v_select(mask m, vec a, vec b) { return m ? a : b; }
ALWAYS_INLINE vec v_where(mask m, vec v) { return v_select(m, v, v_zero()); }
ALWAYS_INLINE vec v_unless(mask m, vec v) { return v_select(m, v_zero(), v); }
ALWAYS_INLINE vec v_unless_equal(vec a, vec b, vec v) { return v_unless(v_equal(a, b), v); }
ALWAYS_INLINE int v_compress(real *p, mask m, vec v) {
    *p = v;
    return m;
}
ALWAYS_INLINE real v_reduce_add(vec v) { return v; }
ALWAYS_INLINE real v_reduce_max(vec v) { return v; }

#if SOFTATTN_REAL_BITS == 32
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return fmaf(a, b, c); }
ALWAYS_INLINE vec v_sqrt(vec a) { return sqrtf(a); }
ALWAYS_INLINE vec v_abs(vec a) { return fabsf(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return copysignf(a, s); }
/* Adding and taking away 1.5 * 2^23 leaves the nearest integer. */
ALWAYS_INLINE vec v_round(vec x) { return (x + 0x1.8p23f) - 0x1.8p23f; }
#else
ALWAYS_INLINE vec v_fma(vec a, vec b, vec c) { return fma(a, b, c); }
ALWAYS_INLINE vec v_sqrt(vec a) { return sqrt(a); }
ALWAYS_INLINE vec v_abs(vec a) { return fabs(a); }
ALWAYS_INLINE vec v_copysign(vec a, vec s) { return copysign(a, s); }
ALWAYS_INLINE vec v_round(vec x) { return (x + 0x1.8p52) - 0x1.8p52; }
#endif

ALWAYS_INLINE vec v_add_bits(vec a, vec b) {
    union {
        real value;
#if SOFTATTN_REAL_BITS == 32
        uint32_t bits;
#else
        uint64_t bits;
#endif
    } x = {a}, y = {b};
    x.bits += y.bits;
    return x.value;
}

/* 2^n by its exponent bits. */
ALWAYS_INLINE vec v_scale(vec p, vec n) {
    union {
        real value;
#if SOFTATTN_REAL_BITS == 32
        uint32_t bits;
    } power;
    if (n != n) {
        return n;
    }
    power.bits = (uint32_t)((int32_t)n + 127) << 23;
#else
        uint64_t bits;
    } power;
    if (n != n) {
        return n;
    }
    power.bits = (uint64_t)((int64_t)n + 1023) << 52;
#endif
    return p * power.value;
}

ALWAYS_INLINE void v_transpose_columns(const real *from, int64_t stride, real *to, int64_t to_stride,
                                       real factor) {
    (void)stride, (void)to_stride;
    *to = factor * *from;
}

#define V_PREFETCH(p)       ((void)(p))
#define V_PREFETCH_FAR(p)   ((void)(p))
#define ASKING(says)        ((void)(says), SOFTATTN_ASKING_ALIKE)
#define V_PREFETCH_WRITE(p) ((void)(p))
#define V_STREAMS           0
#define V_FENCE()           ((void)0)
