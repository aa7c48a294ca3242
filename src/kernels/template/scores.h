/*
 * What happens to a vector of scores between the product and the softmax: soft-cap, addend, ALiBi, mask. Written once
 * for both layouts: the lanes are queries in struct softattn_tile and keys in struct softattn_decode_tile.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SCORES_H
#define SOFTATTN_KERNELS_TEMPLATE_SCORES_H

#include "kernels/template/exp2.h"

/*
 * cap * tanh(s / cap) with s and cap in base-2 units (times log2(e)). tanh(x) = e / (e + 2) with e = exp(2 x) - 1, and
 * exp(2 x) - 1 = 2^n * (2^f - 1) + (2^n - 1), which keeps its relative accuracy near 0. Beyond |x| = 30 tanh is 1 in
 * either type; clamping there keeps 2^n normal and lets NaN through.
 */
ALWAYS_INLINE vec soft_cap(vec s, vec cap, vec cap_inverse) {
    const vec x = v_abs(v_mul(s, cap_inverse));
    const vec t = v_mul(v_select(v_less(v_set(30), x), v_set(30), x), v_set((real)2 * LOG2_E));
    const vec n = v_round(t);
    const vec f = v_sub(t, n);
    const vec power = exp2_scaled(exp2_range(t), v_set(1), n);
    const vec e = v_fma(power, v_mul(exp2_quotient(f), f), v_sub(power, v_set(1)));
    return v_mul(cap, v_copysign(v_div(e, v_add(e, v_set(2))), s));
}

/* 1 / cap; without a cap, 0, something finite. No choice of a divisor: compilers divide first and choose then. */
ALWAYS_INLINE real inverse_of_cap(double cap) { return (real)(1 / (cap + (cap == 0))); }

/* An addend of -infinity masks whatever has become of the score: the last step, as a slope may be NaN or infinite. */
ALWAYS_INLINE vec mask_by_addend(vec s, vec addend) {
    return v_select(v_equal(addend, v_set(-REAL_INFINITY)), addend, s);
}

/* s - slope * |distance| */
ALWAYS_INLINE vec add_alibi(vec s, vec slope, vec distance) {
    return v_fma(v_sub(v_zero(), slope), v_abs(distance), s);
}

/* low <= j < high */
ALWAYS_INLINE mask visible_keys(vec j, vec low, vec high) {
    return v_and(v_not_less(j, low), v_less(j, high));
}

/* A running maximum of -infinity, no visible score yet, would make s - max a NaN. */
ALWAYS_INLINE vec safe_max(vec max) { return v_unless_equal(max, v_set(-REAL_INFINITY), max); }

/* True where v holds an infinity or a NaN, which times the 0 of a masked weight would be NaN. */
static int values_not_finite(const real *v, int64_t v_stride, int64_t rows, int64_t dim) {
    vec zeros_0 = v_zero(), zeros_1 = v_zero(), zeros_2 = v_zero(), zeros_3 = v_zero();
    for (int64_t j = 0; j < rows; j++) {
        const real *row = v + j * v_stride;
        int64_t c = 0;
        for (; c + 4 * LANES <= dim; c += 4 * LANES) {
            zeros_0 = v_fma(v_load(row + c), v_zero(), zeros_0);
            zeros_1 = v_fma(v_load(row + c + LANES), v_zero(), zeros_1);
            zeros_2 = v_fma(v_load(row + c + 2 * LANES), v_zero(), zeros_2);
            zeros_3 = v_fma(v_load(row + c + 3 * LANES), v_zero(), zeros_3);
        }
        for (; c + LANES <= dim; c += LANES) {
            zeros_0 = v_fma(v_load(row + c), v_zero(), zeros_0);
        }
        if (c < dim) {
            zeros_1 = v_fma(v_load_part(row + c, dim - c, 0), v_zero(), zeros_1);
        }
    }
    /* sums of zeros, unless a NaN came in between */
    return v_any(v_not_less(v_add(v_add(zeros_0, zeros_1), v_add(zeros_2, zeros_3)), v_set(1)));
}

static int32_t all_finite(int64_t rows, int64_t cols, const void *matrix, int64_t stride) {
    return !values_not_finite(matrix, stride, rows, cols);
}

#endif
