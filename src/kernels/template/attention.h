/*
 * Attention with queries in the lanes (struct softattn_tile), after the formulation S^T = K Q^T, O^T = V^T P^T:
 * K and V are read as scalars in their own layout, and nothing is ever summed across lanes.
 *
 * Order of arithmetic, the same for every lane whatever else the tile holds:
 *   score      one fma chain over dim_qk ascending from 0
 *   max        of the tile's visible scores and the running max m
 *   p          exp2(score - max); 0 where masked
 *   sum        fma(sum, exp2(m - max), (s0 + s1) + (s2 + s3)), s_i adding p of keys j = i mod 4 ascending from 0
 *   out        one fma chain of p * v over keys ascending, begun with out * exp2(m - max)
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ATTENTION_H
#define SOFTATTN_KERNELS_TEMPLATE_ATTENTION_H

#include "kernels/kernels.h"
#include "kernels/template/asking.h"
#include "kernels/template/product.h"
#include "kernels/template/scores.h"

#define HALF_ROWS_8      4
#define HALF_ROWS_4      2
#define HALF_ROWS_1      1 /* never multiplied */
#define HALF_ROWS_(rows) HALF_ROWS_##rows
#define HALF_ROWS(rows)  HALF_ROWS_(rows)

/*
 * DEFINE_ROWS(kind, vectors, has_half, A_ROW, A_COL, START, END): kind_vectors multiplies any number of rows, in register
 * tiles of TILE_ROWS, with has_half of half as many, and of one. A_ROW and A_COL are the strides of A, `stride` or the
 * constant 1; rows of B and C are `block` apart, a constant in the widest blocks: addresses then take no registers. Not
 * inlined: beside other code the compiler runs out of registers and spills in the innermost loop.
 */
#define DEFINE_ROWS(kind, vectors, has_half, A_ROW, A_COL, START, END)                                       \
    DEFINE_PRODUCT(kind##_full_##vectors, TILE_ROWS, vectors, TWICE, START, LOAD_WHOLE, END)                 \
    DEFINE_PRODUCT(kind##_half_##vectors, HALF_ROWS(TILE_ROWS), vectors, ONCE, START, LOAD_WHOLE, END)       \
    DEFINE_PRODUCT(kind##_one_##vectors, 1, vectors, ONCE, START, LOAD_WHOLE, END)                           \
    NEVER_INLINE void kind##_##vectors(int64_t rows, const real *a, int64_t stride, const real *b,           \
                                       int64_t any_block, int64_t steps, real *c, real *extra) {             \
        const int64_t block = (vectors) == TILE_VECTORS ? (vectors)*LANES : any_block;                       \
        int64_t r = 0;                                                                                       \
        for (; r + TILE_ROWS <= rows; r += TILE_ROWS) {                                                      \
            kind##_full_##vectors(a + r * A_ROW, A_ROW, A_COL, b, block, steps, c + r * block, block, extra, \
                                  0);                                                                        \
        }                                                                                                    \
        for (; has_half && TILE_ROWS > 1 && r + TILE_ROWS / 2 <= rows; r += TILE_ROWS / 2) {                 \
            kind##_half_##vectors(a + r * A_ROW, A_ROW, A_COL, b, block, steps, c + r * block, block, extra, \
                                  0);                                                                        \
        }                                                                                                    \
        for (; r < rows; r++) {                                                                              \
            kind##_one_##vectors(a + r * A_ROW, A_ROW, A_COL, b, block, steps, c + r * block, block, extra,  \
                                 0);                                                                         \
        }                                                                                                    \
    }

/* Values of an odd size for a single vector of queries are too rare for tiles of their own. */
#define DEFINE_WIDTH(vectors)                                                                                \
    DEFINE_ROWS(scores, vectors, 1, stride, 1, START_ZERO, END_STORE_AND_MAX)                                \
    DEFINE_ROWS(values, vectors, (vectors) > 1, 1, stride, START_TIMES_LANES, END_STORE)

DEFINE_WIDTH(1)
DEFINE_WIDTH(2)
DEFINE_WIDTH(3)
#if TILE_VECTORS == 4
DEFINE_WIDTH(4)
#endif

/* Chooses by the width of the block; the widths are constants inside each case. */
#if TILE_VECTORS == 4
#define BY_VECTORS(kind, vectors, ...)                                                                       \
    switch (vectors) {                                                                                       \
    case 1: kind##_1(__VA_ARGS__); break;                                                                    \
    case 2: kind##_2(__VA_ARGS__); break;                                                                    \
    case 3: kind##_3(__VA_ARGS__); break;                                                                    \
    default: kind##_4(__VA_ARGS__); break;                                                                   \
    }
#else
#define BY_VECTORS(kind, vectors, ...)                                                                       \
    switch (vectors) {                                                                                       \
    case 1: kind##_1(__VA_ARGS__); break;                                                                    \
    case 2: kind##_2(__VA_ARGS__); break;                                                                    \
    default: kind##_3(__VA_ARGS__); break;                                                                   \
    }
#endif

/* Whether scores are not final as they come out of the product, even where no key is masked. */
ALWAYS_INLINE int reshapes(const struct softattn_tile *tile) {
    return tile->addend || tile->slope || tile->softcap > 0;
}

struct key_range {
    int64_t first, last;
};

/* Scores of a part, and the maximum of them and of what max holds. */
static void part_scores(const struct softattn_tile *tile, const struct softattn_tile_part *part,
                        int64_t block, real *max) {
    const int64_t lane = part->vector * LANES;
    const real *q = (const real *)tile->q + lane;
    const real *k = (const real *)tile->k + part->first * tile->k_stride;
    real *scores = (real *)tile->scores + part->first * block + lane;
    BY_VECTORS(scores, part->vectors, part->last - part->first, k, tile->k_stride, q, block, tile->dim_qk,
               scores, max + lane)
}

/* Soft-cap, addend, ALiBi and mask on the scores of a part; their maximum joins max. */
static void part_adjust(const struct softattn_tile *tile, const struct softattn_tile_part *part,
                        int64_t block, real *tile_max) {
    const vec cap = v_set((real)tile->softcap);
    const vec cap_inverse = v_set(inverse_of_cap(tile->softcap));
    const int64_t end = (part->vector + part->vectors) * LANES;
    for (int64_t c = part->vector * LANES; c < end; c += LANES) {
        const vec slope = tile->slope ? v_load((const real *)tile->slope + c) : v_zero();
        const vec position = tile->slope ? v_load((const real *)tile->position + c) : v_zero();
        const vec low = part->clear ? v_zero() : v_load((const real *)tile->low + c);
        const vec high = part->clear ? v_zero() : v_load((const real *)tile->high + c);
        vec max = v_load(tile_max + c);
        for (int64_t j = part->first; j < part->last; j++) {
            real *at = (real *)tile->scores + j * block + c;
            const vec key = v_set((real)j);
            vec s = v_load(at);
            if (tile->softcap > 0) {
                s = soft_cap(s, cap, cap_inverse);
            }
            const vec addend = tile->addend ? v_load((const real *)tile->addend + j * block + c) : v_zero();
            if (tile->addend) {
                s = v_add(s, addend);
            }
            if (tile->slope) {
                s = add_alibi(s, slope, v_sub(position, key));
            }
            if (tile->addend) {
                s = mask_by_addend(s, addend);
            }
            if (!part->clear) {
                s = v_select(visible_keys(key, low, high), s, v_set(-REAL_INFINITY));
            }
            v_store(at, s);
            max = v_max(s, max);
        }
        v_store(tile_max + c, max);
    }
}

/* All scores of the tile as the softmax wants them, and their maximum. */
static void tile_scores(const struct softattn_tile *tile, int64_t block, real *tile_max) {
    /* The maximum of what is not final yet: never looked at. */
    VECTOR_ALIGNED real passed_over[SOFTATTN_MAX_QUERY_BLOCK];
    for (int64_t c = 0; c < block; c += LANES) {
        v_store(tile_max + c, v_set(-REAL_INFINITY));
        v_store(passed_over + c, v_set(-REAL_INFINITY));
    }
    for (int64_t i = 0; i < tile->parts; i++) {
        const struct softattn_tile_part *part = &tile->part[i];
        if (part->clear && !reshapes(tile)) {
            part_scores(tile, part, block, tile_max);
        } else {
            part_scores(tile, part, block, passed_over);
            part_adjust(tile, part, block, tile_max);
        }
    }
}

/* The keys of all parts that hold the vector at lane c: neighbours. */
NEVER_INLINE struct key_range keys_of_vector(const struct softattn_tile *tile, int64_t c) {
    struct key_range keys = {0, 0};
    for (int64_t i = 0; i < tile->parts; i++) {
        const struct softattn_tile_part *part = &tile->part[i];
        if (part->vector * LANES <= c && c < (part->vector + part->vectors) * LANES) {
            keys.first = keys.first < keys.last ? keys.first : part->first;
            keys.last = part->last;
        }
    }
    return keys;
}

/* The exponents of two keys, which in pairs are computed before the weights of the two before them, whose long chains would keep
 * them waiting. */
ALWAYS_INLINE void tile_exponents(const real *at, int64_t block, vec base, vec *e_0, vec *e_1) {
    *e_0 = v_sub(v_load(at), base);
    *e_1 = v_sub(v_load(at + block), base);
    if (EXP2_IN_PAIRS) {
        *e_0 = exp2_bounded(*e_0), *e_1 = exp2_bounded(*e_1);
    }
}

/* Two keys' weights, into the place of their scores, and added to their sums. */
ALWAYS_INLINE void keep_two_weights(real *at, int64_t block, vec p_0, vec p_1, vec *sum_0, vec *sum_1) {
    v_store(at, p_0);
    v_store(at + block, p_1);
    *sum_0 = v_add(*sum_0, p_0);
    *sum_1 = v_add(*sum_1, p_1);
}

/* Scores to weights p in place; running max and sum; alpha = exp2(old max - new max) for the values. */
ALWAYS_INLINE void weigh_tile(const struct softattn_tile *tile, int64_t block, const real *tile_max,
                              real *alpha, enum exp2_arguments kind) {
    struct asking asking = begin_asking(tile);
    for (int64_t c = 0; c < block; c += LANES) {
        const struct key_range keys = keys_of_vector(tile, c);
        real *max = (real *)tile->max + c;
        real *sum = (real *)tile->sum + c;
        const vec old_max = tile->fresh ? v_set(-REAL_INFINITY) : v_load(max);
        const vec new_max = v_max(v_load(tile_max + c), old_max);
        const vec base = safe_max(new_max);
        const vec factor = v_exp2_apart(v_sub(old_max, base));
        vec sum_0 = v_zero(), sum_1 = v_zero(), sum_2 = v_zero(), sum_3 = v_zero();
        real *at = (real *)tile->scores + keys.first * block + c;
        int64_t j = keys.first;
        vec next_0 = v_zero(), next_1 = next_0;
        if (EXP2_IN_PAIRS && j + 4 <= keys.last) {
            tile_exponents(at, block, base, &next_0, &next_1);
        }
        for (; j + 4 <= keys.last; j += 4, at += 4 * block) {
            if (j % KEYS_PER_SHARE == 0) {
                ask_for_lines(&asking, asking.share);
            }
            vec p_0 = next_0, p_1 = next_1, p_2, p_3;
            tile_exponents(at + 2 * block, block, base, &p_2, &p_3);
            if (EXP2_IN_PAIRS) {
                v_exp2_two(&p_0, &p_1, EXP2_BOUNDED);
            } else {
                tile_exponents(at, block, base, &p_0, &p_1);
                v_exp2_four_apart(&p_0, &p_1, &p_2, &p_3, kind);
            }
            keep_two_weights(at, block, p_0, p_1, &sum_0, &sum_1);
            if (EXP2_IN_PAIRS) {
                if (j + 8 <= keys.last) {
                    tile_exponents(at + 4 * block, block, base, &next_0, &next_1);
                }
                v_exp2_two(&p_2, &p_3, EXP2_BOUNDED);
            }
            keep_two_weights(at + 2 * block, block, p_2, p_3, &sum_2, &sum_3);
        }
        for (; j < keys.last; j++, at += block) {
            const vec p = v_exp2_apart(v_sub(v_load(at), base));
            v_store(at, p);
            sum_0 = (j & 3) == 0 ? v_add(sum_0, p) : sum_0;
            sum_1 = (j & 3) == 1 ? v_add(sum_1, p) : sum_1;
            sum_2 = (j & 3) == 2 ? v_add(sum_2, p) : sum_2;
        }
        const vec old_sum = tile->fresh ? v_zero() : v_load(sum);
        v_store(sum, v_fma(old_sum, factor, v_add(v_add(sum_0, sum_1), v_add(sum_2, sum_3))));
        v_store(max, new_max);
        v_store(alpha + c, factor);
    }
    ask_for_lines(&asking, INT64_MAX);
}

/* Scores are -infinity where they are masked. One that infinities in Q, K or slopes make -infinity gets the weight 0 from
 * weigh_full_tile, too, by an invalid operation. */
NEVER_INLINE void weigh_masked_tile(const struct softattn_tile *tile, int64_t block, const real *tile_max,
                                    real *alpha) {
    weigh_tile(tile, block, tile_max, alpha, EXP2_ANY);
}
NEVER_INLINE void weigh_full_tile(const struct softattn_tile *tile, int64_t block, const real *tile_max,
                                  real *alpha) {
    weigh_tile(tile, block, tile_max, alpha, EXP2_FINITE);
}

static void tile_softmax(const struct softattn_tile *tile, int64_t block, const real *tile_max, real *alpha) {
    if (tile->low || tile->addend || !EXP2_HAS_MASKS || IS_SMALL) { /* which treat every argument alike */
        weigh_masked_tile(tile, block, tile_max, alpha);
    } else {
        weigh_full_tile(tile, block, tile_max, alpha);
    }
}

static void tile_drop(const struct softattn_tile *tile, int64_t block) {
    for (int64_t c = 0; c < block; c += LANES) {
        const struct key_range keys = keys_of_vector(tile, c);
        for (int64_t j = keys.first; j < keys.last; j++) {
            real *at = (real *)tile->scores + j * block + c;
            v_store(at, v_mul(v_load(at), v_load((const real *)tile->drop + j * block + c)));
        }
    }
}

ALWAYS_INLINE mask tile_visible(const struct softattn_tile *tile, int64_t block, int64_t j, int64_t c) {
    mask visible = v_equal(v_zero(), v_zero());
    if (tile->low) {
        visible = visible_keys(v_set((real)j), v_load((const real *)tile->low + c),
                               v_load((const real *)tile->high + c));
    }
    if (tile->addend) {
        const vec addend = v_load((const real *)tile->addend + j * block + c);
        visible = v_and(visible, v_not_less(addend, v_set(-REAL_LARGEST)));
    }
    return visible;
}

/* The same sums of values with the masked keys passed over: only for tiles whose masked values are not finite. */
static void tile_values_masked(const struct softattn_tile *tile, int64_t block, const real *alpha) {
    for (int64_t c = 0; c < block; c += LANES) {
        const struct key_range keys = keys_of_vector(tile, c);
        for (int64_t d = 0; d < tile->dim_v; d++) {
            real *out = (real *)tile->out + d * block + c;
            vec acc = tile->fresh ? v_zero() : v_mul(v_load(out), v_load(alpha + c));
            for (int64_t j = keys.first; j < keys.last; j++) {
                const vec p = v_load((const real *)tile->scores + j * block + c);
                const vec v = v_set(((const real *)tile->v)[j * tile->v_stride + d]);
                acc = v_select(tile_visible(tile, block, j, c), v_fma(v, p, acc), acc);
            }
            v_store(out, acc);
        }
    }
}

/* Whether values that some lane must not see are infinite or NaN. */
static int tile_masks_infinities(const struct softattn_tile *tile) {
    for (int64_t i = 0; i < tile->parts; i++) {
        const struct softattn_tile_part *part = &tile->part[i];
        const real *v = (const real *)tile->v + part->first * tile->v_stride;
        if ((tile->addend || !part->clear) &&
            values_not_finite(v, tile->v_stride, part->last - part->first, tile->dim_v)) {
            return 1;
        }
    }
    return 0;
}

/* What vectors first … last - 1 begin with, where the first part, which would do it, does not hold them. */
static void begin_values(const struct softattn_tile *tile, int64_t block, int64_t first, int64_t last,
                         const real *alpha) {
    for (int64_t c = first * LANES; c < last * LANES; c += LANES) {
        const vec factor = v_load(alpha + c);
        real *out = (real *)tile->out + c;
        for (int64_t d = 0; d < tile->dim_v; d++, out += block) {
            v_store(out, tile->fresh ? v_zero() : v_mul(v_load(out), factor));
        }
    }
}

ALWAYS_INLINE void set_to_one(real *alpha, int64_t block) {
    for (int64_t c = 0; c < block; c += LANES) {
        v_store(alpha + c, v_set(1));
    }
}

static void tile_values_finite(const struct softattn_tile *tile, int64_t block, real *alpha) {
    const struct softattn_tile_part *head = &tile->part[0];
    begin_values(tile, block, 0, head->vector, alpha);
    begin_values(tile, block, head->vector + head->vectors, tile->vectors, alpha);
    for (int64_t i = 0; i < tile->parts; i++) {
        const struct softattn_tile_part *part = &tile->part[i];
        const int64_t lane = part->vector * LANES, keys = part->last - part->first;
        const real *v = (const real *)tile->v + part->first * tile->v_stride;
        const real *p = (const real *)tile->scores + part->first * block + lane;
        real *out = (real *)tile->out + lane;
        BY_VECTORS(values, part->vectors, tile->dim_v, v, tile->v_stride, p, block, keys, out,
                   i == 0 && tile->fresh ? 0 : alpha + lane)
        if (i == 0) {
            set_to_one(alpha, block); /* further parts add to this one; times 1 is the same bits */
        }
    }
}

static void tile_values(const struct softattn_tile *tile, int64_t block, real *alpha) {
    if (tile_masks_infinities(tile)) {
        tile_values_masked(tile, block, alpha);
    } else {
        tile_values_finite(tile, block, alpha);
    }
}

static void attention_tile(const struct softattn_tile *tile) {
    const int64_t block = tile->vectors * LANES;
    VECTOR_ALIGNED real tile_max[SOFTATTN_MAX_QUERY_BLOCK];
    VECTOR_ALIGNED real alpha[SOFTATTN_MAX_QUERY_BLOCK];
    tile_scores(tile, block, tile_max);
    tile_softmax(tile, block, tile_max, alpha);
    if (tile->drop) {
        tile_drop(tile, block);
    }
    tile_values(tile, block, alpha);
}

#endif
