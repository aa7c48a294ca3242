/*
 * From logits to tokens: argmax, and the passes over a row of logits of which engine/sampling.c makes the choice of a
 * token. What each computes is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SAMPLING_H
#define SOFTATTN_KERNELS_TEMPLATE_SAMPLING_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"

/* The vector at p, or what of it is left; columns beyond the row are -infinity, which is never a token. */
ALWAYS_INLINE vec load_logits(const real *p, int64_t left) {
    if (left >= LANES) {
        return v_load(p);
    }
    return v_load_part(p, left > 0 ? left : 0, -REAL_INFINITY);
}

/* ---- Maxima ---- */

/* NaN where a column is. v_max passes over those, so they are looked for separately. */
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
        const mask pair_0 = v_and(v_equal(x_0, x_0), v_equal(x_1, x_1));
        const mask pair_1 = v_and(v_equal(x_2, x_2), v_equal(x_3, x_3));
        numbers = v_and(numbers, v_and(pair_0, pair_1));
    }
    for (; j < cols; j += LANES) {
        const vec x_0 = load_logits(x + j, cols - j);
        max_0 = v_max(x_0, max_0);
        numbers = v_and(numbers, v_equal(x_0, x_0));
    }
    const vec max = v_max(v_max(max_0, max_1), v_max(max_2, max_3));
    const vec is_number = v_select(numbers, v_set(1), v_zero());
    return v_any(v_equal(is_number, v_zero())) ? (real)__builtin_nanf("") : v_reduce_max(max);
}

static int64_t block_cols(int64_t cols, int64_t first) {
    return cols - first < SOFTATTN_TOKEN_BLOCK ? cols - first : SOFTATTN_TOKEN_BLOCK;
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

/* ---- Weights and their masses ---- */

/* Differences to the maximum below this one have weight 0 whatever they are; the bound keeps v_exp2 in its range. */
ALWAYS_INLINE real lowest_difference(real factor) {
    const real lowest = (LOWEST_EXPONENT - 1) / factor;
    return lowest > -REAL_LARGEST ? lowest : -REAL_LARGEST;
}

#define WEIGH(i) w_##i = v_mul(v_max(v_sub(w_##i, max), lowest), factor);

/* Four vectors of logits become weights. */
#define WEIGH_FOUR()                                                                                         \
    EXP2_EACH(WEIGH)                                                                                         \
    v_exp2_four(&w_0, &w_1, &w_2, &w_3, 0);

static void token_weights(int64_t cols, const void *row, double max_value, double factor_value, void *weights) {
    const real *x = row;
    real *to = weights;
    const vec max = v_set((real)max_value), factor = v_set((real)factor_value);
    const vec lowest = v_set(lowest_difference((real)factor_value));
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        vec w_0 = v_load(x + j), w_1 = v_load(x + j + LANES);
        vec w_2 = v_load(x + j + 2 * LANES), w_3 = v_load(x + j + 3 * LANES);
        WEIGH_FOUR()
        v_store(to + j, w_0);
        v_store(to + j + LANES, w_1);
        v_store(to + j + 2 * LANES, w_2);
        v_store(to + j + 3 * LANES, w_3);
    }
    for (; j < cols; j += LANES) {
        const int64_t rest = cols - j < LANES ? cols - j : LANES;
        const vec w = v_mul(v_max(v_sub(load_logits(x + j, rest), max), lowest), factor);
        v_store_part(to + j, v_exp2(w), rest);
    }
}

/*
 * Sums of masses, without rounding and so in any order. A weight plus MASS_BASE is a number whose lowest bit is worth the
 * unit of mass, or 2^18 of them for float, which has too few bits and gets a second sum for what that leaves. The bit
 * patterns of such numbers are added as integers: each adds the base's pattern, subtracted at the end, and its units.
 * A block has too few columns to overflow the sums.
 */
#if SOFTATTN_REAL_BITS == 32
#define MASS_BASE 48.0f            /* 1.5 * 2^5: units of 2^-18 */
#define MASS_REST_BASE 0x1.8p-13f  /* units of 2^-36 */
#define MASS_BASE_BITS 0x42400000
#define MASS_REST_BASE_BITS 0x39400000
typedef int32_t mass_part;
#else
#define MASS_BASE 0x1.8p16
#define MASS_BASE_BITS 0x40f8000000000000
typedef int64_t mass_part;
#endif

/* The sum of the units that `columns` columns have added to the lanes of sums. */
ALWAYS_INLINE int64_t mass_units(vec sums, real_bits base, int64_t columns) {
    real lane[STRIPES];
    real_bits bits[STRIPES];
    v_store(lane, sums);
    __builtin_memcpy(bits, lane, sizeof bits);
    int64_t units = 0;
    for (int i = 0; i < LANES; i++) {
        units += (mass_part)(bits[i] - base * (real_bits)(columns / LANES));
    }
    return units;
}

/* What one column of each lane adds to the sums of all, and of those above: its mass where `above`, nothing elsewhere. */
#if SOFTATTN_REAL_BITS == 32
#define MASS_SUMS(name) vec name##_sum = v_zero(), name##_rest = v_zero()
#define MASS_TOTAL(name, columns)                                                                            \
    (mass_units(name##_sum, MASS_BASE_BITS, columns) * (1 << 18) +                                           \
     mass_units(name##_rest, MASS_REST_BASE_BITS, columns))
#define MASS_ADD(i)                                                                                          \
    const vec high_##i = v_add(w_##i, v_set(MASS_BASE));                                                     \
    const vec low_##i = v_add(v_sub(w_##i, v_sub(high_##i, v_set(MASS_BASE))), v_set(MASS_REST_BASE));       \
    all_sum = v_add_bits(all_sum, high_##i);                                                                 \
    all_rest = v_add_bits(all_rest, low_##i);                                                                \
    above_sum = v_add_bits(above_sum, v_select(above_##i, high_##i, v_set(MASS_BASE)));                      \
    above_rest = v_add_bits(above_rest, v_select(above_##i, low_##i, v_set(MASS_REST_BASE)));
#else
#define MASS_SUMS(name) vec name##_sum = v_zero()
#define MASS_TOTAL(name, columns) mass_units(name##_sum, MASS_BASE_BITS, columns)
#define MASS_ADD(i)                                                                                          \
    const vec high_##i = v_add(w_##i, v_set(MASS_BASE));                                                     \
    all_sum = v_add_bits(all_sum, high_##i);                                                                 \
    above_sum = v_add_bits(above_sum, v_select(above_##i, high_##i, v_set(MASS_BASE)));
#endif

/* ---- The pass ---- */

/* LANES integers from 0 on, as bit patterns. */
ALWAYS_INLINE vec lane_numbers(void) {
    real_bits number[STRIPES];
    real lane[STRIPES];
    for (int i = 0; i < STRIPES; i++) {
        number[i] = (real_bits)i;
    }
    __builtin_memcpy(lane, number, sizeof lane);
    return v_load(lane);
}

ALWAYS_INLINE vec bits_set(int64_t integer) {
    const real_bits bits = (real_bits)integer;
    real value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return v_set(value);
}

/* Where a pass writes its candidates. */
struct candidates {
    real *values, *tokens;
    int64_t count;
};

/* Numbers of the LANES tokens at column j. */
ALWAYS_INLINE vec tokens_at(const struct softattn_token_pass *pass, int64_t j, int64_t left) {
    if (pass->tokens) {
        return load_logits((const real *)pass->tokens + j, left);
    }
    return v_add_bits(lane_numbers(), bits_set(j));
}

ALWAYS_INLINE void keep_candidates(struct candidates *to, mask kept, vec x, vec tokens) {
    v_compress(to->tokens + to->count, kept, tokens);
    to->count += v_compress(to->values + to->count, kept, x);
}

#define COLUMNS(i)                                                                                           \
    const vec x_##i = load_logits(x + j + i * LANES, end - j - i * LANES);                                   \
    vec w_##i = x_##i;
#define ABOVE(i)                                                                                             \
    const mask above_##i = v_and(v_less(high, x_##i), v_not_less(w_##i, least_weight));
#define CANDIDATE(i)                                                                                         \
    const mask candidate_##i = v_and(v_less(low, x_##i), v_not_less(high, x_##i));
#define KEEP(i)                                                                                              \
    keep_candidates(to, candidate_##i, x_##i, tokens_at(pass, j + i * LANES, end - j - i * LANES));

/* Columns first … end - 1. */
ALWAYS_INLINE void pass_block(struct softattn_token_pass *pass, int64_t first, int64_t end, int64_t *above_mass,
                              struct candidates *to) {
    const real *x = pass->x;
    const vec max = v_set((real)pass->max), factor = v_set((real)pass->factor);
    const vec lowest = v_set(lowest_difference((real)pass->factor));
    const vec low = v_set((real)pass->low), high = v_set((real)pass->high);
    const vec least_weight = v_set((real)pass->least_weight);
    MASS_SUMS(all);
    MASS_SUMS(above);
    int64_t j = first;
    for (; j < end; j += 4 * LANES) {
        EXP2_EACH(COLUMNS)
        WEIGH_FOUR()
        EXP2_EACH(ABOVE)
        EXP2_EACH(MASS_ADD)
        EXP2_EACH(CANDIDATE)
        EXP2_EACH(KEEP)
    }
    *above_mass = MASS_TOTAL(above, j - first);
    pass->total += MASS_TOTAL(all, j - first);
}

static void token_pass(struct softattn_token_pass *pass) {
    struct candidates to = {pass->candidate_values, pass->candidate_tokens, 0};
    pass->total = 0;
    for (int64_t first = 0, block = 0; first < pass->cols; first += SOFTATTN_TOKEN_BLOCK, block++) {
        pass_block(pass, first, first + block_cols(pass->cols, first), &pass->above[block], &to);
    }
    pass->candidates = to.count;
}

#endif
