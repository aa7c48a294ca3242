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
#include "kernels/template/stream.h"

/* The vector at p, or what of it is left; columns beyond the row are -infinity, which is never a token. */
ALWAYS_INLINE vec load_logits(const real *p, int64_t left) {
    return left >= LANES ? v_load(p) : v_load_part(p, left > 0 ? left : 0, -REAL_INFINITY);
}

ALWAYS_INLINE int64_t block_cols(int64_t cols, int64_t first) {
    return cols - first < SOFTATTN_TOKEN_BLOCK ? cols - first : SOFTATTN_TOKEN_BLOCK;
}

/* ---- Maxima ---- */

/* Whether a NaN is among the columns. */
NEVER_INLINE int has_nan(const real *x, int64_t cols) {
    int64_t numbers = 0;
    for (int64_t j = 0; j < cols; j++) {
        numbers += x[j] == x[j];
    }
    return numbers < cols;
}

/* v_max passes over NaN. They are looked for together with infinity, which takes fewer operations, and then told apart. */
#define MAXIMUM_OF(i)                                                                                        \
    const vec x_##i = v_load(x + j + i * LANES);                                                             \
    max_##i = v_max(x_##i, max_##i);                                                                         \
    const mask odd_##i = v_not_less(x_##i, infinity);

/* How far ahead logits are asked for: beside this work the hardware alone fetches half as fast as memory could give. */
#define MAXIMUM_AHEAD (8192 / REAL_BYTES)

ALWAYS_INLINE real block_maximum(const real *x, int64_t cols) {
    const vec infinity = v_set(REAL_INFINITY);
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    mask odd = v_less(max_0, max_0);
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        for (int64_t i = 0; i < 4 * LANES; i += LINE) {
            V_PREFETCH(x + j + i + MAXIMUM_AHEAD);
        }
        EXP2_EACH(MAXIMUM_OF)
        odd = v_or(odd, v_or(v_or(odd_0, odd_1), v_or(odd_2, odd_3)));
    }
    for (; j < cols; j += LANES) {
        const vec rest = load_logits(x + j, cols - j);
        max_0 = v_max(rest, max_0);
        odd = v_or(odd, v_not_less(rest, infinity));
    }
    if (v_any(odd) && has_nan(x, cols)) {
        return (real)__builtin_nanf("");
    }
    return v_reduce_max(v_max(v_max(max_0, max_1), v_max(max_2, max_3)));
}

static double block_maxima(int64_t cols, const void *row, void *maxima) {
    const real *x = row;
    real *to = maxima, largest = -REAL_INFINITY;
    for (int64_t j = 0; j < cols; j += SOFTATTN_TOKEN_BLOCK) {
        const real max = block_maximum(x + j, block_cols(cols, j));
        largest = largest > max || largest != largest ? largest : max;
        *to++ = max;
    }
    return (double)largest;
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

/* ---- The k-th largest ---- */

/* Bit patterns of reals, as integers in the order of the reals, and back. */
#define ORDER_SIGN ((real_bits)1 << (8 * REAL_BYTES - 1))
ALWAYS_INLINE real_bits order_of(real value) {
    real_bits bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits & ORDER_SIGN ? ~bits : bits | ORDER_SIGN;
}

ALWAYS_INLINE real at_order(real_bits order) {
    const real_bits bits = order & ORDER_SIGN ? order ^ ORDER_SIGN : ~order;
    real value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

/* The real whose bit pattern is 1. */
#if SOFTATTN_REAL_BITS == 32
#define REAL_OF_BIT 0x1p-149f
#else
#define REAL_OF_BIT 0x1p-1074
#endif

/* How many columns are above low. The lanes count in their bit patterns: a float that counts by ones ends at 2^24. */
ALWAYS_INLINE int64_t count_above(const real *x, int64_t cols, real low) {
    VECTOR_ALIGNED real lane[STRIPES];
    real_bits counts[STRIPES];
    vec count = v_zero();
    int64_t sum = 0;
    for (int64_t j = 0; j < cols; j += LANES) {
        const mask above = v_less(v_set(low), load_logits(x + j, cols - j));
        count = v_add_bits(count, v_where(above, v_set(REAL_OF_BIT)));
    }
    v_store(lane, count);
    __builtin_memcpy(counts, lane, sizeof counts);
    for (int i = 0; i < LANES; i++) {
        sum += (int64_t)counts[i];
    }
    return sum;
}

/* The least value that fewer than k columns are above, between all reals by halving. */
static double kth_largest(int64_t cols, const void *row, int64_t k) {
    real_bits low = order_of(-REAL_INFINITY), high = order_of(REAL_INFINITY);
    while (low < high) {
        const real_bits middle = low + (high - low) / 2;
        if (count_above(row, cols, at_order(middle)) < k) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (double)at_order(low);
}

/* ---- Weights ---- */

ALWAYS_INLINE vec weight_exponent(vec x, vec max, vec factor) {
    return exp2_bounded(row_exponent(x, max, factor));
}
#define WEIGHT_EXPONENT(i) e_##i = weight_exponent(v_load(x + j + i * LANES), max, factor);

/* Weights of columns, which are fewer than those of four vectors: whole vectors of them are written, the last ones 0. */
ALWAYS_INLINE void weigh_rest(const real *x, int64_t cols, vec max, vec factor, real *weights) {
    for (int64_t j = 0; j < cols; j += LANES) {
        v_store(weights + j, v_exp2_apart(row_exponent(load_logits(x + j, cols - j), max, factor)));
    }
}

/* Weights of whole groups of four vectors among the columns; returns how many columns that are. */
ALWAYS_INLINE int64_t weigh_groups(const real *x, int64_t cols, vec max, vec factor, real *weights) {
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        vec e_0, e_1, e_2, e_3;
        EXP2_EACH(WEIGHT_EXPONENT)
        v_exp2_four(&e_0, &e_1, &e_2, &e_3, EXP2_BOUNDED);
        v_store(weights + j, e_0);
        v_store(weights + j + LANES, e_1);
        v_store(weights + j + 2 * LANES, e_2);
        v_store(weights + j + 3 * LANES, e_3);
    }
    return j;
}

static void token_weights(int64_t cols, const void *row, double row_max, double row_factor, void *weights) {
    const real *x = row;
    VECTOR_ALIGNED real rest[4 * STRIPES];
    real *to = weights;
    const vec max = v_set((real)row_max), factor = v_set((real)row_factor);
    const int64_t j = weigh_groups(x, cols, max, factor, to);
    weigh_rest(x + j, cols - j, max, factor, rest);
    __builtin_memcpy(to + j, rest, (uint64_t)(cols - j) * sizeof(real));
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
#define SMALL_EXPONENT (-14.5f) /* weights up to 2^this need no sum but that of the rests */
typedef int32_t signed_bits;
#else
#define MASS_BASE      0x1.8p16
#define MASS_BASE_BITS 0x40f8000000000000
#define SMALL_EXPONENT 1
typedef int64_t signed_bits;
#endif

/* What `columns` columns have added to sums. */
ALWAYS_INLINE int64_t units_of(vec sums, real_bits base, int64_t columns) {
    VECTOR_ALIGNED real lane[STRIPES];
    real_bits bits[STRIPES], sum = 0;
    v_store(lane, sums);
    __builtin_memcpy(bits, lane, sizeof bits);
    for (int i = 0; i < LANES; i++) {
        sum += bits[i];
    }
    return (signed_bits)(sum - base * (real_bits)columns);
}

#define LOAD_COLUMNS(i)                                                                                      \
    const vec x_##i = load_logits(x + j + i * LANES, cols - j - i * LANES);                                  \
    const vec w_##i = v_load(weights + j + i * LANES);

/* What a column adds to the sums of all, and of those above. */
#if SOFTATTN_REAL_BITS == 32
#define ADD_MASS(i)                                                                                          \
    const vec sum_##i = v_add(w_##i, v_set(MASS_BASE));                                                      \
    const vec rest_##i = v_add(w_##i, v_sub(v_set(MASS_BASE + REST_BASE), sum_##i));                         \
    all = v_add_bits(all, sum_##i);                                                                          \
    all_rest = v_add_bits(all_rest, rest_##i);                                                               \
    above = v_add_bits(above, v_select(above_##i, sum_##i, v_set(MASS_BASE)));                               \
    above_rest = v_add_bits(above_rest, v_select(above_##i, rest_##i, v_set(REST_BASE)));
#define MASS_OF(name, columns)                                                                               \
    (units_of(name, MASS_BASE_BITS, columns) * MASS_UNITS + units_of(name##_rest, REST_BASE_BITS, columns))
#define SMALL_BASE      REST_BASE
#define SMALL_BASE_BITS REST_BASE_BITS
#else
#define ADD_MASS(i)                                                                                          \
    const vec sum_##i = v_add(w_##i, v_set(MASS_BASE));                                                      \
    all = v_add_bits(all, sum_##i);                                                                          \
    above = v_add_bits(above, v_select(above_##i, sum_##i, v_set(MASS_BASE)));
#define MASS_OF(name, columns) units_of(name, MASS_BASE_BITS, columns)
#define SMALL_BASE             MASS_BASE
#define SMALL_BASE_BITS        MASS_BASE_BITS
#endif

#define IS_ABOVE(i)                                                                                          \
    const mask above_##i = has_least_weight ? v_and(v_less(high, x_##i), v_not_less(w_##i, least_weight))    \
                                            : v_less(high, x_##i);
#define IS_INSIDE(i)   const mask inside_##i = v_and(v_less(low, x_##i), v_not_less(high, x_##i));
#define KEEP_INSIDE(i) count += v_compress(values + count, inside_##i, x_##i);
#define ANY_INSIDE()   v_any(v_or(v_or(inside_0, inside_1), v_or(inside_2, inside_3)))

/* Four vectors of the next row, which its first pass would wait for; NULL: there is none. */
ALWAYS_INLINE void ask_for_columns(const real *next, int64_t first) {
    for (int64_t i = 0; next && i < 4 * LANES; i += LINE) {
        V_PREFETCH(next + first + i);
    }
}

/* Masses and candidates of a block. Where candidates overlay x, they never get ahead of the columns already read. */
ALWAYS_INLINE void pass_block(struct softattn_token_pass *pass, const real *x, int64_t cols,
                              const real *weights, int has_least_weight, const real *next,
                              int64_t *above_mass) {
    const vec low = v_set((real)pass->low), high = v_set((real)pass->high);
    const vec least_weight = v_set((real)pass->least_weight);
    real *values = pass->candidate_values;
    int64_t j = 0, count = pass->candidates;
    vec all = v_zero(), above = v_zero();
#if SOFTATTN_REAL_BITS == 32
    vec all_rest = v_zero(), above_rest = v_zero();
#endif
    for (; j < cols; j += 4 * LANES) {
        ask_for_columns(next, j);
        EXP2_EACH(LOAD_COLUMNS)
        EXP2_EACH(IS_ABOVE)
        EXP2_EACH(ADD_MASS)
        EXP2_EACH(IS_INSIDE)
        if (ANY_INSIDE()) {
            EXP2_EACH(KEEP_INSIDE)
        }
    }
    *above_mass = MASS_OF(above, j);
    pass->total += MASS_OF(all, j);
    pass->candidates = count;
}

#define SMALL_MASS(i) sum_##i = v_add_bits(sum_##i, v_add(w_##i, v_set(SMALL_BASE)));

/* Mass of a block with small weights only, of which none is above or a candidate. */
ALWAYS_INLINE int64_t small_mass(const real *x, int64_t cols, double row_max, double row_factor,
                                 const real *next) {
    const vec max = v_set((real)row_max), factor = v_set((real)row_factor);
    vec sum_0 = v_zero(), sum_1 = sum_0, sum_2 = sum_0, sum_3 = sum_0;
    VECTOR_ALIGNED real rest[4 * STRIPES];
    int64_t j = 0;
    vec e_0 = v_zero(), e_1 = e_0, e_2 = e_0, e_3 = e_0;
    if (4 * LANES <= cols) {
        EXP2_EACH(WEIGHT_EXPONENT)
    }
    while (j + 4 * LANES <= cols) { /* exponents ahead, as in row_weights */
        vec w_0 = e_0, w_1 = e_1, w_2 = e_2, w_3 = e_3;
        ask_for_columns(next, j);
        j += 4 * LANES;
        if (j + 4 * LANES <= cols) {
            EXP2_EACH(WEIGHT_EXPONENT)
        }
        v_exp2_four(&w_0, &w_1, &w_2, &w_3, EXP2_BOUNDED);
        EXP2_EACH(SMALL_MASS)
    }
    weigh_rest(x + j, cols - j, max, factor, rest);
    for (int64_t i = 0; j < cols; i += LANES, j += LANES) {
        const vec w_0 = v_load(rest + i);
        SMALL_MASS(0)
    }
    const vec sums = v_add_bits(v_add_bits(sum_0, sum_1), v_add_bits(sum_2, sum_3));
    return units_of(sums, SMALL_BASE_BITS, j);
}

/* Weights of a block, 0 behind them up to a multiple of four vectors. */
NEVER_INLINE void weigh_block(const real *x, int64_t cols, double row_max, double row_factor, real *weights) {
    const vec max = v_set((real)row_max), factor = v_set((real)row_factor);
    int64_t j = weigh_groups(x, cols, max, factor, weights);
    weigh_rest(x + j, cols - j, max, factor, weights + j);
    for (j = (cols + LANES - 1) / LANES * LANES; j % (4 * LANES) != 0; j += LANES) {
        v_store(weights + j, v_zero());
    }
}

static void token_pass(struct softattn_token_pass *pass) {
    const real *x = pass->x, *maxima = pass->maxima;
    const real low = (real)pass->low, max = (real)pass->max, factor = (real)pass->factor;
    VECTOR_ALIGNED real weights[SOFTATTN_TOKEN_BLOCK];
    int64_t before = 0;
    pass->total = 0;
    pass->candidates = 0;
    for (int64_t first = 0, block = 0; first < pass->cols; first += SOFTATTN_TOKEN_BLOCK, block++) {
        const int64_t cols = block_cols(pass->cols, first);
        int64_t *above = &pass->above[block];
        const real *next = pass->next ? (const real *)pass->next + first : 0;
        if (maxima && maxima[block] <= low && (maxima[block] - max) * factor < SMALL_EXPONENT) {
            *above = 0;
            pass->total += small_mass(x + first, cols, pass->max, pass->factor, next);
        } else {
            weigh_block(x + first, cols, pass->max, pass->factor, weights);
            if (IS_SMALL || pass->least_weight > 0) {
                pass_block(pass, x + first, cols, weights, 1, next, above);
            } else {
                pass_block(pass, x + first, cols, weights, 0, next, above);
            }
        }
        if (pass->block_candidates) {
            pass->block_candidates[block] = pass->candidates - before;
            before = pass->candidates;
        }
    }
}

/* ---- Collecting and writing ---- */

#define LOAD_LOGITS(i) const vec x_##i = load_logits(x + j + i * LANES, cols - j - i * LANES);

static int64_t token_collect(const struct softattn_token_range *range, void *to, int64_t *block_counts) {
    const real *maxima = range->maxima;
    const vec low = v_set((real)range->low), high = v_set((real)range->high);
    real *values = to;
    int64_t count = 0;
    for (int64_t first = 0, block = 0; first < range->cols; first += SOFTATTN_TOKEN_BLOCK, block++) {
        const real *x = (const real *)range->x + first;
        const int64_t before = count, cols = block_cols(range->cols, first);
        const int has_some = !maxima || maxima[block] > (real)range->low;
        for (int64_t j = 0; j < cols && has_some; j += 4 * LANES) {
            EXP2_EACH(LOAD_LOGITS)
            EXP2_EACH(IS_INSIDE)
            if (ANY_INSIDE()) {
                EXP2_EACH(KEEP_INSIDE)
            }
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
    VECTOR_ALIGNED real bound[STRIPES];
    if (j + LANES <= choice->split || j >= choice->split) {
        return v_set(j < choice->split ? below : value);
    }
    for (int i = 0; i < LANES; i++) {
        bound[i] = j + i < choice->split ? below : value;
    }
    return v_load(bound);
}

/* A block of the choice: its columns' probabilities, still without the division by the sum, and their keep bytes. */
ALWAYS_INLINE void choose_block(const struct softattn_token_choice *choice, int64_t first, int64_t cols,
                                const real *weights, real *sums) {
    const real *x = (const real *)choice->x + first;
    const vec least_weight = v_set((real)choice->least_weight);
    VECTOR_ALIGNED real kept[STRIPES];
    for (int64_t j = 0; j < cols; j += LANES) {
        const int64_t rest = cols - j < LANES ? cols - j : LANES;
        const vec w = v_load(weights + j);
        const mask above = v_less(kept_bound(choice, first + j), load_logits(x + j, rest));
        const mask keep = v_and(above, v_not_less(w, least_weight));
        const vec p = v_where(keep, w);
        if (choice->probabilities) {
            store_columns((real *)choice->probabilities + first + j, p, rest);
            v_store(sums + j % STRIPES, v_add(v_load(sums + j % STRIPES), p));
        }
        if (choice->keep) {
            v_store(kept, v_where(keep, v_set(1)));
            for (int64_t i = 0; i < rest; i++) {
                choice->keep[(first + j + i) * choice->keep_stride] = kept[i] > 0;
            }
        }
    }
}

static void token_choice(const struct softattn_token_choice *choice) {
    real *y = choice->probabilities;
    VECTOR_ALIGNED real weights[SOFTATTN_TOKEN_BLOCK], sums[STRIPES];
    stripes_start(sums);
    for (int64_t first = 0; first < choice->cols; first += SOFTATTN_TOKEN_BLOCK) {
        const int64_t cols = block_cols(choice->cols, first);
        weigh_block((const real *)choice->x + first, cols, choice->max, choice->factor, weights);
        choose_block(choice, first, cols, weights, sums);
    }
    if (y) {
        row_multiply(y, choice->cols, 1 / stripe_sum(sums), y, 0, 0);
    }
}

#endif
