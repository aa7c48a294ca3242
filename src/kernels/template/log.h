/*
 * Natural logarithm of one positive real, for log-sum-exp: once per row, so scalar on every instruction set.
 *
 * x = 2^e * m with m in [sqrt(1/2), sqrt(2)); with s = (m - 1) / (m + 1), ln(m) = 2 atanh(s) = 2 s + s^3 * r(s^2), where
 * r is the Taylor series of atanh, long enough for |s| <= 0.1716. NaN and +infinity give themselves, 0 gives -infinity.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_LOG_H
#define SOFTATTN_KERNELS_TEMPLATE_LOG_H

#if SOFTATTN_REAL_BITS == 32
#define MANTISSA_BITS  23
#define EXPONENT_BIAS  127
#define SQRT_HALF_BITS 0x3f3504f3u
#define LN_2_HIGH      0x1.62e4p-1f /* 16 bits, so that e * LN_2_HIGH is exact */
#define LN_2_LOW       0x1.7f7d1cp-20f
typedef uint32_t real_bits;
#else
#define MANTISSA_BITS  52
#define EXPONENT_BIAS  1023
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdull
#define LN_2_HIGH      0x1.62e42feep-1 /* 32 bits */
#define LN_2_LOW       0x1.a39ef35793c76p-33
typedef uint64_t real_bits;
#endif

NEVER_INLINE real real_log(real x) {
    union {
        real value;
        real_bits bits;
    } word;
    if (!(x > 0) || x == REAL_INFINITY) {
        return x == 0 ? -REAL_INFINITY : x;
    }
    word.value = x;
    /* counted from sqrt(1/2): the exponent steps there and the rest of the bits give m */
    const real_bits from_root = word.bits - SQRT_HALF_BITS + ((real_bits)EXPONENT_BIAS << MANTISSA_BITS);
    const int32_t exponent = (int32_t)(from_root >> MANTISSA_BITS) - EXPONENT_BIAS;
    word.bits = (from_root & (((real_bits)1 << MANTISSA_BITS) - 1)) + SQRT_HALF_BITS;
    const real e = (real)exponent;
    const real f = word.value - 1;
    const real s = f / (2 + f);
    const real z = s * s;
#if SOFTATTN_REAL_BITS == 32
    real r = (real)(2.0 / 11);
#else
    real r = (real)(2.0 / 23);
    r = real_fma(r, z, (real)(2.0 / 21));
    r = real_fma(r, z, (real)(2.0 / 19));
    r = real_fma(r, z, (real)(2.0 / 17));
    r = real_fma(r, z, (real)(2.0 / 15));
    r = real_fma(r, z, (real)(2.0 / 13));
    r = real_fma(r, z, (real)(2.0 / 11));
#endif
    r = real_fma(r, z, (real)(2.0 / 9));
    r = real_fma(r, z, (real)(2.0 / 7));
    r = real_fma(r, z, (real)(2.0 / 5));
    r = real_fma(r, z, (real)(2.0 / 3));
    /* ln(m) = f - (f^2 / 2 - s * (f^2 / 2 + z * r)): f is exact, and the rest is small beside it */
    const real half_square = (real)0.5 * f * f;
    const real rest = real_fma(s, real_fma(z, r, half_square), e * LN_2_LOW);
    return real_fma(e, LN_2_HIGH, f - (half_square - rest));
}

#endif
