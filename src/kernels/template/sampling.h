/*
 * From logits to tokens: argmax, and the passes over a row of logits with which engine/sampling.c chooses a token. What
 * each computes is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SAMPLING_H
#define SOFTATTN_KERNELS_TEMPLATE_SAMPLING_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"

/* The vector at p, or what of it is left; columns beyond the row are -infinity, which is never a token. */
ALWAYS_INLINE vec load_logits(const real *p, int64_t left) {
    return left >= LANES ? v_load(p) : v_load_part(p, left > 0 ? left : 0, -REAL_INFINITY);
}

ALWAYS_INLINE int64_t block_cols(int64_t cols, int64_t first) {
    return cols - first < SOFTATTN_TOKEN_BLOCK ? cols - first : SOFTATTN_TOKEN_BLOCK;
}

/* ---- Maxima ---- */

/* v_max passes over NaN, so they are looked for separately. */
ALWAYS_INLINE real block_maximum(const real *x, int64_t cols) {
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    mask numbers = v_equal(max_0, max_0);
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        const vec x_0 = v_load(x + j), x_1 = v_load(x + j + LANES);
        const vec x_2 = v_load(x + j + 2 * LANES), x_3 = v_load(x + j + 3 * LANES);
        max_0 = v_max(x_0, max_0);
        max_1 = v_max(x_1, max_1);
        max_2 = v_max(x_2, max_2);
        max_3 = v_max(x_3, max_3);
        const mask numbers_0 = v_and(v_equal(x_0, x_0), v_equal(x_1, x_1));
        const mask numbers_1 = v_and(v_equal(x_2, x_2), v_equal(x_3, x_3));
        numbers = v_and(numbers, v_and(numbers_0, numbers_1));
    }
    for (; j < cols; j += LANES) {
        const vec x_0 = load_logits(x + j, cols - j);
        max_0 = v_max(x_0, max_0);
        numbers = v_and(numbers, v_equal(x_0, x_0));
    }
    const vec max = v_max(v_max(max_0, max_1), v_max(max_2, max_3));
    const vec number = v_select(numbers, v_set(1), v_zero());
    return v_any(v_equal(number, v_zero())) ? (real)__builtin_nanf("") : v_reduce_max(max);
}

static void block_maxima(int64_t cols, const void *row, void *maxima) {
    const real *x = row;
    real *to = maxima;
    for (int64_t j = 0; j < cols; j += SOFTATTN_TOKEN_BLOCK) {
        *to++ = block_maximum(x + j, block_cols(cols, j));
    }
}

static int64_t argmax(int64_t cols, const void *row) {
    const real *x = row;
    real best = -REAL_INFINITY;
    int64_t block = -1;
    for (int64_t j = 0; j < cols; j += SOFTATTN_TOKEN_BLOCK) {
        const real max = block_maximum(x + j, block_cols(cols, j));
        if (max != max) {
            return -1;
        }
        if (max > best) {
            best = max;
            block = j;
        }
    }
    for (int64_t j = block; block >= 0 && j < cols; j++) {
        if (x[j] == best) {
            return j;
        }
    }
    return -1;
}

/* ---- Weights ---- */

/* The difference to the maximum that gives the exponent; scaled by factor, anything lower is taken for it. */
ALWAYS_INLINE real difference_at(real exponent, real factor) {
    const real difference = exponent / factor;
    return difference > -REAL_LARGEST ? difference : -REAL_LARGEST;
}

#define WEIGHT_EXPONENT(i) w_##i = v_mul(v_max(v_sub(x_##i, max), lowest), factor);

static void token_weights(int64_t cols, const void *row, double row_max, double row_factor, void *weights) {
    const real *x = row;
    real *to = weights;
    const vec max = v_set((real)row_max), factor = v_set((real)row_factor);
    const vec lowest = v_set(difference_at(LOWEST_EXPONENT - 1, (real)row_factor));
    vec w_0, w_1, w_2, w_3;
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        const vec x_0 = v_load(x + j), x_1 = v_load(x + j + LANES);
        const vec x_2 = v_load(x + j + 2 * LANES), x_3 = v_load(x + j + 3 * LANES);
        EXP2_EACH(WEIGHT_EXPONENT)
        v_exp2_four(&w_0, &w_1, &w_2, &w_3, 0);
        v_store(to + j, w_0);
        v_store(to + j + LANES, w_1);
        v_store(to + j + 2 * LANES, w_2);
        v_store(to + j + 3 * LANES, w_3);
    }
    for (; j < cols; j += LANES) {
        const int64_t rest = cols - j < LANES ? cols - j : LANES;
        const vec x_0 = load_logits(x + j, rest);
        WEIGHT_EXPONENT(0)
        v_store_part(to + j, v_exp2(w_0), rest);
    }
}

/* ---- Masses ---- */

/*
 * Sums of masses, without rounding. A weight plus MASS_BASE is a number whose lowest bit is worth a unit of mass or, for
 * float, 2^18 of them; then what that leaves of the weight, plus REST_BASE, has a lowest bit worth a unit. The bit patterns
 * of these numbers are added as integers: each adds the pattern of its base, subtracted at the end, and its units. A block
 * has too few columns for the units to overflow.
 */
#if SOFTATTN_REAL_BITS == 32
#define MASS_BASE      48.0f /* 1.5 * 2^5 */
#define MASS_BASE_BITS 0x42400000
#define MASS_UNITS     (1 << 18)
#define REST_BASE      0x1.8p-13f
#define REST_BASE_BITS 0x39400000
#define REST_HOLDS     (-14.5f) /* base-2 logarithm of weights for which the second sum is enough */
typedef int32_t signed_bits;
#else
#define MASS_BASE      0x1.8p16
#define MASS_BASE_BITS 0x40f8000000000000
#define MASS_UNITS     1
typedef int64_t signed_bits;
#endif

/* Weights below this power of two have no mass: enough for the passes that sum masses. */
#define MASSLESS_EXPONENT (-40)

/* What `columns` columns have added to sums. */
ALWAYS_INLINE int64_t units_of(vec sums, real_bits base, int64_t columns) {
    real lane[STRIPES];
    real_bits bits[STRIPES], sum = 0;
    v_store(lane, sums);
    __builtin_memcpy(bits, lane, sizeof bits);
    for (int i = 0; i < LANES; i++) {
        sum += bits[i];
    }
    return (signed_bits)(sum - base * (real_bits)columns);
}

#define WEIGHT_ROUND(i)    const vec n_##i = v_round(w_##i);
#define WEIGHT_FRACTION(i) const vec f_##i = v_sub(w_##i, n_##i);
#define WEIGHT_QUOTIENT(i) const vec q_##i = exp2_quotient(f_##i);
#define WEIGHT_SCALE(i)    w_##i = v_scale_where(always, v_fma(q_##i, f_##i, v_set(1)), n_##i);

/* v_exp2_four without its lower bound, which the exponents keep already. */
#define WEIGH_FOUR()                                                                                         \
    EXP2_EACH(WEIGHT_EXPONENT)                                                                               \
    EXP2_EACH(WEIGHT_ROUND)                                                                                  \
    EXP2_EACH(WEIGHT_FRACTION)                                                                               \
    EXP2_EACH(WEIGHT_QUOTIENT)                                                                               \
    EXP2_EACH(WEIGHT_SCALE)

#define LOAD_COLUMNS(i) const vec x_##i = load_logits(x + j + i * LANES, cols - j - i * LANES);

/* What a lane's column adds: sum_i and, for float, rest_i. */
#if SOFTATTN_REAL_BITS == 32
#define MASS_PARTS(i)                                                                                        \
    const vec sum_##i = v_add(w_##i, v_set(MASS_BASE));                                                      \
    const vec rest_##i = v_add(w_##i, v_sub(v_set(MASS_BASE + REST_BASE), sum_##i));
#define MASS_ALL(i)                                                                                          \
    all = v_add_bits(all, sum_##i);                                                                          \
    all_rest = v_add_bits(all_rest, rest_##i);
#define MASS_ABOVE(i)                                                                                        \
    above = v_add_bits(above, v_select(above_##i, sum_##i, v_set(MASS_BASE)));                               \
    above_rest = v_add_bits(above_rest, v_select(above_##i, rest_##i, v_set(REST_BASE)));
#define MASS_OF(name, columns)                                                                               \
    (units_of(name, MASS_BASE_BITS, columns) * MASS_UNITS + units_of(name##_rest, REST_BASE_BITS, columns))
#else
#define MASS_PARTS(i)          const vec sum_##i = v_add(w_##i, v_set(MASS_BASE));
#define MASS_ALL(i)            all = v_add_bits(all, sum_##i);
#define MASS_ABOVE(i)          above = v_add_bits(above, v_select(above_##i, sum_##i, v_set(MASS_BASE)));
#define MASS_OF(name, columns) units_of(name, MASS_BASE_BITS, columns)
#endif

#define IS_ABOVE(i)                                                                                          \
    const mask above_##i = has_least_weight ? v_and(v_less(high, x_##i), v_not_less(w_##i, least_weight))    \
                                            : v_less(high, x_##i);
#define IS_CANDIDATE(i) const mask candidate_##i = v_and(v_less(low, x_##i), v_not_less(high, x_##i));
#define KEEP_CANDIDATES(i)                                                                                   \
    pass->candidates += v_compress(candidates + pass->candidates, candidate_##i, x_##i);

/* A block of columns. Where candidates may overlay x, they never get ahead of the columns already read. */
ALWAYS_INLINE void pass_block(struct softattn_token_pass *pass, const real *x, int64_t cols,
                              int has_least_weight, int64_t *above_mass) {
    const vec max = v_set((real)pass->max), factor = v_set((real)pass->factor);
    const vec lowest = v_set(difference_at(MASSLESS_EXPONENT, (real)pass->factor));
    const vec low = v_set((real)pass->low), high = v_set((real)pass->high);
    const vec least_weight = v_set((real)pass->least_weight);
    const mask always = v_equal(max, max);
    real *candidates = pass->candidate_values;
    vec w_0, w_1, w_2, w_3, all = v_zero(), above = v_zero();
#if SOFTATTN_REAL_BITS == 32
    vec all_rest = v_zero(), above_rest = v_zero();
#endif
    int64_t j = 0;
    for (; j < cols; j += 4 * LANES) {
        EXP2_EACH(LOAD_COLUMNS)
        WEIGH_FOUR()
        EXP2_EACH(IS_ABOVE)
        EXP2_EACH(MASS_PARTS)
        EXP2_EACH(MASS_ALL)
        EXP2_EACH(MASS_ABOVE)
        EXP2_EACH(IS_CANDIDATE)
        if (v_any(v_or(v_or(candidate_0, candidate_1), v_or(candidate_2, candidate_3)))) {
            EXP2_EACH(KEEP_CANDIDATES)
        }
    }
    *above_mass = MASS_OF(above, j);
    pass->total += MASS_OF(all, j);
}

#if SOFTATTN_REAL_BITS == 32
#define TAIL_MASS(i)   all_rest = v_add_bits(all_rest, v_add(w_##i, v_set(REST_BASE)));
#define TAIL_BASE_BITS REST_BASE_BITS
#define TAIL_HOLDS     REST_HOLDS
#else
#define TAIL_MASS(i)   all_rest = v_add_bits(all_rest, v_add(w_##i, v_set(MASS_BASE)));
#define TAIL_BASE_BITS MASS_BASE_BITS
#define TAIL_HOLDS     1
#endif

/* Mass of a block of columns of which none is above or a candidate, and all weights are small. */
ALWAYS_INLINE int64_t tail_mass(const struct softattn_token_pass *pass, const real *x, int64_t cols) {
    const vec max = v_set((real)pass->max), factor = v_set((real)pass->factor);
    const vec lowest = v_set(difference_at(MASSLESS_EXPONENT, (real)pass->factor));
    const mask always = v_equal(max, max);
    vec w_0, w_1, w_2, w_3, all_rest = v_zero();
    int64_t j = 0;
    for (; j < cols; j += 4 * LANES) {
        EXP2_EACH(LOAD_COLUMNS)
        WEIGH_FOUR()
        EXP2_EACH(TAIL_MASS)
    }
    return units_of(all_rest, TAIL_BASE_BITS, j);
}

static void token_pass(struct softattn_token_pass *pass) {
    const real *x = pass->x, *maxima = pass->maxima;
    const real low = (real)pass->low, max = (real)pass->max, factor = (real)pass->factor;
    int64_t before = 0;
    pass->total = 0;
    pass->candidates = 0;
    for (int64_t first = 0, block = 0; first < pass->cols; first += SOFTATTN_TOKEN_BLOCK, block++) {
        const int64_t cols = block_cols(pass->cols, first);
        int64_t *above = &pass->above[block];
        if (maxima && maxima[block] <= low && (maxima[block] - max) * factor < TAIL_HOLDS) {
            *above = 0;
            pass->total += tail_mass(pass, x + first, cols);
        } else if (pass->least_weight > 0) {
            pass_block(pass, x + first, cols, 1, above);
        } else {
            pass_block(pass, x + first, cols, 0, above);
        }
        if (pass->block_candidates) {
            pass->block_candidates[block] = pass->candidates - before;
            before = pass->candidates;
        }
    }
}
/* ---- Collecting and writing ---- */

static int64_t token_collect(const struct softattn_token_range *range, void *values, int64_t *block_counts) {
    const real *maxima = range->maxima;
    const vec low = v_set((real)range->low), high = v_set((real)range->high);
    real *to = values;
    int64_t count = 0;
    for (int64_t first = 0, block = 0; first < range->cols; first += SOFTATTN_TOKEN_BLOCK, block++) {
        const real *x = (const real *)range->x + first;
        const int64_t cols = block_cols(range->cols, first), before = count;
        for (int64_t j = 0; j < cols && !(maxima && maxima[block] <= (real)range->low); j += LANES) {
            const vec x_0 = load_logits(x + j, cols - j);
            const mask inside = v_and(v_less(low, x_0), v_not_less(high, x_0));
            count += v_compress(to + count, inside, x_0);
        }
        if (block_counts) {
            block_counts[block] = count - before;
        }
    }
    return count;
}

/* Per column, the bound that logits of kept columns are above: ties with `value` are kept before column `split`. */
ALWAYS_INLINE vec kept_bound(const struct softattn_token_choice *choice, int64_t j) {
    const real value = (real)choice->value, below = (real)choice->below_value;
    real bound[STRIPES];
    if (j + LANES <= choice->split || j >= choice->split) {
        return v_set(j < choice->split ? below : value);
    }
    for (int i = 0; i < LANES; i++) {
        bound[i] = j + i < choice->split ? below : value;
    }
    return v_load(bound);
}

static void token_choice(const struct softattn_token_choice *choice) {
    const real *x = choice->x;
    real *y = choice->probabilities;
    const vec max = v_set((real)choice->max), factor = v_set((real)choice->factor);
    const vec lowest = v_set(difference_at(LOWEST_EXPONENT - 1, (real)choice->factor));
    const vec least_weight = v_set((real)choice->least_weight);
    real sums[STRIPES], kept[STRIPES];
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(sums + i, v_zero());
    }
    for (int64_t j = 0; j < choice->cols; j += LANES) {
        const int64_t rest = choice->cols - j < LANES ? choice->cols - j : LANES;
        const vec x_0 = load_logits(x + j, rest);
        vec w_0;
        WEIGHT_EXPONENT(0)
        w_0 = v_exp2(w_0);
        const mask keep = v_and(v_less(kept_bound(choice, j), x_0), v_not_less(w_0, least_weight));
        w_0 = v_select(keep, w_0, v_zero());
        if (y) {
            v_store_part(y + j, w_0, rest);
        }
        v_store(sums + j % STRIPES, v_add(v_load(sums + j % STRIPES), w_0));
        if (choice->keep) {
            v_store(kept, v_select(keep, v_set(1), v_zero()));
            for (int64_t i = 0; i < rest; i++) {
                choice->keep[(j + i) * choice->keep_stride] = kept[i] > 0;
            }
        }
    }
    if (y) {
        row_multiply(y, choice->cols, 1 / stripe_sum(sums), y, 0);
    }
}

#endif
