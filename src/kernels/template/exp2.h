/*
 * exp2 for arguments <= 0 (differences to a maximum), and the constants between the bases.
 *
 * 2^t = 2^n * 2^f with n = round(t), f = t - n in [-1/2, 1/2], and 2^f = 1 + f * q(f) evaluated by Horner's rule with
 * fused multiply-add. Results that would be subnormal, t < LOWEST_EXPONENT, become 0. NaN gives NaN.
 * q is the minimax polynomial of (2^f - 1) / f; for float its rounded coefficients were then moved by units in the last
 * place to the smallest error over all f. Errors are in docs/arithmetic.md, measured by tests/kernels/test_exp2.c.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_EXP2_H
#define SOFTATTN_KERNELS_TEMPLATE_EXP2_H

#define LOG2_E ((real)1.44269504088896340735992468100189214)
#define LN_2   ((real)0.693147180559945309417232121458176568)

#if SOFTATTN_REAL_BITS == 32
#define LOWEST_EXPONENT (-126.0f)
#define REAL_LARGEST    0x1.fffffep127f
#else
#define LOWEST_EXPONENT (-1022.0)
#define REAL_LARGEST    0x1.fffffffffffffp1023
#endif

/* The coefficients of q, the highest and then the others. */
#if SOFTATTN_REAL_BITS == 32
#define EXP2_LEADING 0x1.445fbap-13f
#define EXP2_FOLLOWING(STEP)                                                                                 \
    STEP(0x1.5f001ap-10f), STEP(0x1.3b268cp-7f), STEP(0x1.c6af74p-5f), STEP(0x1.ebfbeap-3f),                 \
        STEP(0x1.62e43p-1f)
#else
#define EXP2_LEADING 0x1.ea045a38ec6dcp-32
#define EXP2_FOLLOWING(STEP)                                                                                 \
    STEP(0x1.e60640187df0cp-28), STEP(0x1.b524dcadc1ab9p-24), STEP(0x1.62bfd47718cdbp-20),                   \
        STEP(0x1.ffcbfc7445ee6p-17), STEP(0x1.430913096ffa5p-13), STEP(0x1.5d87fe78a2cb2p-10),               \
        STEP(0x1.3b2ab6fba1ddap-7), STEP(0x1.c6b08d704a0cbp-5), STEP(0x1.ebfbdff82c598p-3),                  \
        STEP(0x1.62e42fefa39efp-1)
#endif

/* (2^f - 1) / f for f in [-1/2, 1/2]. */
ALWAYS_INLINE vec exp2_quotient(vec f) {
    vec q = v_set(EXP2_LEADING);
#define EXP2_STEP(c) q = v_fma(q, f, v_set(c))
    EXP2_FOLLOWING(EXP2_STEP);
    return q;
}

/*
 * Arguments below LOWEST_EXPONENT, whose result is 0, take no part in the arithmetic, where those of -infinity would be invalid
 * operations to hosts that trap them: with quiet masks by a mask; else one that gives 0 stands in for them.
 */
#ifdef HAS_QUIET_MASKS
enum { EXP2_HAS_MASKS = 1 };
typedef mask exp2_mask;
ALWAYS_INLINE vec exp2_bounded(vec t) { return t; }
ALWAYS_INLINE exp2_mask exp2_range(vec t) { return v_not_less(t, v_set(LOWEST_EXPONENT)); }
ALWAYS_INLINE vec exp2_fraction(exp2_mask m, vec t, vec n) { return v_sub_where(m, t, n); }
ALWAYS_INLINE vec exp2_scaled(exp2_mask m, vec p, vec n) { return v_scale_where(m, p, n); }
#else
enum { EXP2_HAS_MASKS = 0 };
typedef int exp2_mask;
ALWAYS_INLINE vec exp2_bounded(vec t) {
    return v_select(v_less(t, v_set(LOWEST_EXPONENT)), v_set(LOWEST_EXPONENT - 1), t);
}
ALWAYS_INLINE exp2_mask exp2_range(vec t) { return (void)t, 1; }
ALWAYS_INLINE vec exp2_fraction(exp2_mask m, vec t, vec n) { return (void)m, v_sub(t, n); }
ALWAYS_INLINE vec exp2_scaled(exp2_mask m, vec p, vec n) { return (void)m, v_scale(p, n); }
#endif

ALWAYS_INLINE vec v_exp2(vec argument) {
    const vec t = exp2_bounded(argument), n = v_round(t);
    const exp2_mask m = exp2_range(t);
    const vec f = exp2_fraction(m, t, n);
    return exp2_scaled(m, v_fma(exp2_quotient(f), f, v_set(1)), n);
}

/* Where a call does not show. */
NEVER_INLINE vec v_exp2_apart(vec argument) { return v_exp2(argument); }

/* What v_exp2_two and v_exp2_four are given: arguments of any kind; of exp2_bounded; or none of -infinity, which saves the mask
 * for f. */
enum exp2_arguments { EXP2_ANY, EXP2_BOUNDED, EXP2_FINITE };

/* The same of several vectors at once, step by step: written out breadth first because the out-of-order window of a CPU holds too
 * few of the long dependent chains otherwise. */
#define EXP2_PAIR(STEP) STEP(0) STEP(1)
#define EXP2_EACH(STEP) EXP2_PAIR(STEP) STEP(2) STEP(3)
#define EXP2_BOUND(i)   const vec t_##i = kind == EXP2_BOUNDED ? *p_##i : exp2_bounded(*p_##i);
#define EXP2_ROUND(i)   const vec n_##i = v_round(t_##i);
#define EXP2_RANGE(i)   const exp2_mask m_##i = exp2_range(t_##i);
#define EXP2_FRACTION(i)                                                                                     \
    const vec f_##i = kind == EXP2_FINITE ? v_sub(t_##i, n_##i) : exp2_fraction(m_##i, t_##i, n_##i);
#define EXP2_START(i)       vec q_##i = v_set(EXP2_LEADING);
#define EXP2_STEP_OF_TWO(c) q_0 = v_fma(q_0, f_0, v_set(c)), q_1 = v_fma(q_1, f_1, v_set(c))
#define EXP2_STEP_OF_FOUR(c)                                                                                 \
    EXP2_STEP_OF_TWO(c), q_2 = v_fma(q_2, f_2, v_set(c)), q_3 = v_fma(q_3, f_3, v_set(c))
#define EXP2_SCALE(i) *p_##i = exp2_scaled(m_##i, v_fma(q_##i, f_##i, v_set(1)), n_##i);
#define EXP2_ALL_STEPS(EACH, POLYNOMIAL_STEP)                                                                \
    EACH(EXP2_BOUND)                                                                                         \
    EACH(EXP2_ROUND)                                                                                         \
    EACH(EXP2_RANGE)                                                                                         \
    EACH(EXP2_FRACTION)                                                                                      \
    EACH(EXP2_START)                                                                                         \
    EXP2_FOLLOWING(POLYNOMIAL_STEP);                                                                         \
    EACH(EXP2_SCALE)

/* Whether two at a time are better: in 16 registers four have no room beside a loop, but the longer chains of doubles would wait
 * for each other. */
enum { EXP2_IN_PAIRS = VECTOR_REGISTERS < 32 && REAL_BYTES == 4 && !IS_SMALL };

ALWAYS_INLINE void v_exp2_two(vec *p_0, vec *p_1, enum exp2_arguments kind) {
    EXP2_ALL_STEPS(EXP2_PAIR, EXP2_STEP_OF_TWO);
}
ALWAYS_INLINE void v_exp2_four(vec *p_0, vec *p_1, vec *p_2, vec *p_3, enum exp2_arguments kind) {
    EXP2_ALL_STEPS(EXP2_EACH, EXP2_STEP_OF_FOUR);
}

/* For loops that have so much else to do that a call does not show. */
SPEED_INLINE void v_exp2_four_apart(vec *p_0, vec *p_1, vec *p_2, vec *p_3, enum exp2_arguments kind) {
    v_exp2_four(p_0, p_1, p_2, p_3, IS_SMALL ? EXP2_ANY : kind);
}

#endif
