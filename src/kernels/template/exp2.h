/*
 * exp2 for arguments <= 0 (differences to a maximum), natural log, and the constants between the bases.
 *
 * 2^t = 2^n * 2^f with n = round(t), f = t - n in [-1/2, 1/2], and 2^f = 1 + f * q(f) evaluated by Horner's rule with
 * fused multiply-add. Results that would be subnormal, t < LOWEST_EXPONENT, become 0. NaN gives NaN.
 * q is the minimax polynomial of (2^f - 1) / f; for float its rounded coefficients were then moved by units in the last
 * place to the smallest error over all f. Errors are in docs/arithmetic.md, measured by tests/kernels/test_exp2.c.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_EXP2_H
#define SOFTATTN_KERNELS_TEMPLATE_EXP2_H

#define LOG2_E ((real)1.44269504088896340735992468100189214)
#define LN_2 ((real)0.693147180559945309417232121458176568)

#if SOFTATTN_REAL_BITS == 32
#define LOWEST_EXPONENT (-126.0f)
#define REAL_LARGEST 0x1.fffffep127f
#else
#define LOWEST_EXPONENT (-1022.0)
#define REAL_LARGEST 0x1.fffffffffffffp1023
#endif

/* (2^f - 1) / f for f in [-1/2, 1/2]. */
ALWAYS_INLINE vec exp2_quotient(vec f) {
#if SOFTATTN_REAL_BITS == 32
    vec q = v_set(0x1.445fbap-13f);
    q = v_fma(q, f, v_set(0x1.5f001ap-10f));
    q = v_fma(q, f, v_set(0x1.3b268cp-7f));
    q = v_fma(q, f, v_set(0x1.c6af74p-5f));
    q = v_fma(q, f, v_set(0x1.ebfbeap-3f));
    q = v_fma(q, f, v_set(0x1.62e43p-1f));
#else
    vec q = v_set(0x1.ea045a38ec6dcp-32);
    q = v_fma(q, f, v_set(0x1.e60640187df0cp-28));
    q = v_fma(q, f, v_set(0x1.b524dcadc1ab9p-24));
    q = v_fma(q, f, v_set(0x1.62bfd47718cdbp-20));
    q = v_fma(q, f, v_set(0x1.ffcbfc7445ee6p-17));
    q = v_fma(q, f, v_set(0x1.430913096ffa5p-13));
    q = v_fma(q, f, v_set(0x1.5d87fe78a2cb2p-10));
    q = v_fma(q, f, v_set(0x1.3b2ab6fba1ddap-7));
    q = v_fma(q, f, v_set(0x1.c6b08d704a0cbp-5));
    q = v_fma(q, f, v_set(0x1.ebfbdff82c598p-3));
    q = v_fma(q, f, v_set(0x1.62e42fefa39efp-1));
#endif
    return q;
}

/* The clamp keeps -infinity - -infinity, an invalid operation to hosts that trap those, out of f. */
ALWAYS_INLINE vec v_exp2(vec argument) {
    const vec t = v_max(v_set(LOWEST_EXPONENT - 1), argument);
    const vec n = v_round(t);
    const vec f = v_sub(t, n);
    const vec p = v_fma(exp2_quotient(f), f, v_set(1));
    return v_scale_where(v_not_less(t, v_set(LOWEST_EXPONENT)), p, n);
}

#endif
