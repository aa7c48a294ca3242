/*
 * Attention of a few query rows (struct softattn_decode_tile): keys in the lanes for scores and weights, value
 * dimensions in the lanes for the weighted sums. The order of arithmetic is that of attention.h, element by element.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_DECODE_H
#define SOFTATTN_KERNELS_TEMPLATE_DECODE_H

#include "kernels/kernels.h"
#include "kernels/template/asking.h"
#include "kernels/template/columns.h"
#include "kernels/template/product.h"
#include "kernels/template/scores.h"
#include "kernels/template/stream.h"
#include "kernels/template/transpose.h"

/*
 * kind: products of any number of rows and columns, in register tiles of DECODE_TILE_ROWS rows or one, of as many vectors as
 * COLUMNS lists.
 */
#define DEFINE_ROWS_AND_COLUMNS(kind, START, START_PART, LOAD, COLUMNS)                                      \
    DEFINE_PRODUCT(kind##_rows_most, DECODE_TILE_ROWS, DECODE_TILE_VECTORS, ONCE, START, LOAD, END_STORE)    \
    DEFINE_PRODUCT(kind##_rows_2, DECODE_TILE_ROWS, 2, ONCE, START, LOAD, END_STORE)                         \
    DEFINE_PRODUCT(kind##_rows_1, DECODE_TILE_ROWS, 1, ONCE, START, LOAD, END_STORE)                         \
    DEFINE_PRODUCT(kind##_rows_part, DECODE_TILE_ROWS, 1, ONCE, START_PART, LOAD_PART, END_STORE_PART)       \
    DEFINE_PRODUCT(kind##_row_8, 1, 8, ONCE, START, LOAD, END_STORE)                                         \
    DEFINE_PRODUCT(kind##_row_4, 1, 4, ONCE, START, LOAD, END_STORE)                                         \
    DEFINE_PRODUCT(kind##_row_2, 1, 2, ONCE, START, LOAD, END_STORE)                                         \
    DEFINE_PRODUCT(kind##_row_1, 1, 1, ONCE, START, LOAD, END_STORE)                                         \
    DEFINE_PRODUCT(kind##_row_part, 1, 1, ONCE, START_PART, LOAD_PART, END_STORE_PART)                       \
    DEFINE_COLUMNS(kind##_rows, COLUMNS##_OF_ROWS(kind##_rows))                                              \
    DEFINE_COLUMNS(kind##_row, COLUMNS##_OF_ROW(kind##_row))                                                 \
    NEVER_INLINE void kind(int64_t rows, int64_t columns, const real *a, int64_t a_row, int64_t a_col,       \
                           const real *b, int64_t b_stride, int64_t steps, real *c, int64_t c_stride,        \
                           real *extra, int64_t ahead) {                                                     \
        int64_t r = 0;                                                                                       \
        for (; r + DECODE_TILE_ROWS <= rows; r += DECODE_TILE_ROWS) {                                        \
            kind##_rows(columns, a + r * a_row, a_row, a_col, b, b_stride, steps, c + r * c_stride,          \
                        c_stride, extra ? extra + r : 0, ahead);                                             \
        }                                                                                                    \
        for (; r < rows; r++) {                                                                              \
            kind##_row(columns, a + r * a_row, a_row, a_col, b, b_stride, steps, c + r * c_stride, c_stride, \
                       extra ? extra + r : 0, ahead);                                                        \
        }                                                                                                    \
    }

/* What memory gives in time is worth many tiles, one row x 8 vectors among them, which has as many independent chains. */
#define MANY_OF_ROWS(name)                                                                                   \
    WHOLE_COLUMNS(name, most, DECODE_TILE_VECTORS) WHOLE_COLUMNS(name, 2, 2) WHOLE_COLUMNS(name, 1, 1)
#define MANY_OF_ROW(name)                                                                                    \
    WHOLE_COLUMNS(name, 8, 8) WHOLE_COLUMNS(name, 4, 4) WHOLE_COLUMNS(name, 2, 2) WHOLE_COLUMNS(name, 1, 1)
#define FEW_OF_ROWS(name) WHOLE_COLUMNS(name, most, DECODE_TILE_VECTORS) WHOLE_COLUMNS(name, 1, 1)
#define FEW_OF_ROW(name)  WHOLE_COLUMNS(name, 4, 4) WHOLE_COLUMNS(name, 1, 1)

#define DEFINE_COLUMNS(name, WHOLE)                                                                          \
    ALWAYS_INLINE void name(int64_t columns, const real *a, int64_t a_row, int64_t a_col, const real *b,     \
                            int64_t b_stride, int64_t steps, real *c, int64_t c_stride, real *extra,         \
                            int64_t ahead) {                                                                 \
        int64_t j = 0;                                                                                       \
        WHOLE                                                                                                \
        if (j < columns) {                                                                                   \
            name##_part(a, a_row, a_col, b + j, b_stride, steps, c + j, c_stride, extra, columns - j);       \
        }                                                                                                    \
    }
#define WHOLE_COLUMNS(name, tile, vectors)                                                                   \
    for (; j + (vectors)*LANES <= columns; j += (vectors)*LANES) {                                           \
        name##_##tile(a, a_row, a_col, b + j, b_stride, steps, c + j, c_stride, extra, ahead);               \
    }

DEFINE_ROWS_AND_COLUMNS(product_store, START_ZERO, START_ZERO, LOAD_WHOLE, FEW)
DEFINE_ROWS_AND_COLUMNS(values_rows, START_TIMES_ROW, START_TIMES_ROW_PART, LOAD_AHEAD, MANY)

NEVER_INLINE void multiply(int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col,
                           const void *b, int64_t b_stride, void *c, int64_t c_stride) {
    for (int64_t r = 0; r < m; r += DECODE_TILE_ROWS) {
        const int64_t rows = m - r < DECODE_TILE_ROWS ? m - r : DECODE_TILE_ROWS;
        product_store(rows, n, (const real *)a + r * a_row, a_row, a_col, b, b_stride, k,
                      (real *)c + r * c_stride, c_stride, 0, 0);
    }
}

/* What is asked for beside scores: the keys that come after the tile and the values of this one, where they come from memory. */
struct decode_far {
    struct two_places keys, values;
    int64_t
        columns; /* of the keys beside which a share of it is asked for, a power of two; read by far_columns */
    int has_again; /* the next keys of this tile, too, once more: */
    const real *again;
    int64_t again_left; /* elements */
};

static int keys_have_gaps(const struct softattn_decode_tile *tile) { return tile->k_stride != tile->dim_qk; }

/* One row or two, by wide vectors, which wait for little but memory. */
ALWAYS_INLINE int is_swift(const struct softattn_decode_tile *tile) {
    return DECODE_BYTES_PER_ASK > 0 && tile->rows <= 2;
}

/*
 * Where code is small it has no part for that; nor where vectors are longer than rows. Rows with gaps, often by a power of two,
 * would crowd each other out of a first-level cache (Zen 3). Asking for a line beside each column, as from caches, is enough
 * where the CPU remembers many misses and reaches the next ones soon: asking a tile ahead takes 1.04 to 1.15 of the time (Zen 5).
 */
ALWAYS_INLINE int asks_far(const struct softattn_decode_tile *tile) {
    if (IS_SMALL || !tile->from_memory || tile->dim_qk < TRANSPOSE_COLUMNS) {
        return 0;
    }
    switch (ASKING(tile->asking)) {
    case SOFTATTN_ASKING_ALIKE: return !keys_have_gaps(tile) && tile->v_stride == tile->dim_v;
    case SOFTATTN_ASKING_ONCE: return !is_swift(tile);
    default: return 1;
    }
}

/* Beside so many columns of a vector of keys: twice as many take as long, half of them 1.05 of the time (Zen 3). */
#define COLUMNS_PER_ASK (TRANSPOSE_COLUMNS < 8 ? 8 : TRANSPOSE_COLUMNS)
ALWAYS_INLINE int64_t far_columns(const struct decode_far *far) {
    return DECODE_BYTES_PER_ASK > 0 ? far->columns : COLUMNS_PER_ASK;
}

ALWAYS_INLINE struct decode_far far_places(const struct softattn_decode_tile *tile) {
    const real *values = (const real *)tile->v + tile->first * tile->v_stride;
    return (struct decode_far){
        .keys = two_places_of(tile->next_k, tile->k_stride, tile->next_keys, tile->dim_qk, tile->asking),
        .values = two_places_of(values, tile->v_stride, tile->last - tile->first, tile->dim_v, tile->asking),
        .columns = COLUMNS_PER_ASK,
        .has_again = is_swift(tile) && tile->from_memory > 1 && !keys_have_gaps(tile)};
}

/*
 * Beside keys that DEFINE_KEY_SCORES reads: some lines of the values, and half as many of the keys after the tile, one after the
 * other, as both by themselves take 1.02 to 1.1 of the time. No part of the loops, which have no register left for it.
 */
NEVER_INLINE void ask_beside_keys(struct decode_far *far, int64_t lines) {
    ROLLED for (int64_t i = 0; i < lines; i++) {
        if (far->values.lines % 2 == 0) {
            ask_in_two_places(&far->keys);
        }
        ask_in_two_places(&far->values);
    }
    if (DECODE_BYTES_PER_ASK > 0 && far->again_left > 0) {
        prefetch_bytes(far->again, lines * (2 * LINE_BYTES), 0);
        far->again += lines * (2 * LINE);
        far->again_left -= lines * (2 * LINE);
    }
}

/* Asks for so many elements of the keys at a place, and moves it past them. */
ALWAYS_INLINE void ask_for_keys(struct row_column *place, int has_gaps, int64_t elements) {
    const int64_t step = elements < LINE ? elements : LINE;
    if (!has_gaps) {
        prefetch_bytes(place->row, elements * REAL_BYTES, 1);
        place->row += elements;
        return;
    }
    for (int64_t i = 0; i < elements; i += step) {
        ask_for_line(place, step);
    }
}

/*
 * What is asked for at once of as many keys as a vector's columns are transposed of: all, if that is no more than two lines; else
 * about a line beside each column, as two at a time take 1.15 of the time with AVX-512 (Zen 4). A power of two.
 */
ALWAYS_INLINE int64_t elements_per_ask(void) {
    const int64_t all = TRANSPOSE_COLUMNS * LANES, column = LANES < LINE ? LINE : LANES;
    return all <= 2 * LINE ? all : column;
}

/* Fewer than TRANSPOSE_COLUMNS columns of a vector of keys are left: as many as that are transposed again, or all of shorter
 * keys, so that those that are left come last. */
NEVER_INLINE void transpose_last_columns(const real *keys, int64_t stride, int64_t dim, real *columns) {
    if (dim < TRANSPOSE_COLUMNS) {
        transpose(LANES, dim, 1, keys, stride, columns + (TRANSPOSE_COLUMNS - dim) * LANES, LANES);
    } else {
        v_transpose_columns(keys + (dim - TRANSPOSE_COLUMNS), stride, columns, LANES, 1);
    }
}

/*
 * DEFINE_KEY_SCORES(name, rows, vectors): scores of `rows` query rows and so many vectors of keys from key j on. A few columns of
 * the keys at a time are turned into lanes and used at once, so they stay near. If has_next says that there are any, as many keys
 * that come next are asked for between the multiply-adds, but for their last columns, and, where far is not NULL, what that says.
 */
#define MULTIPLY_ROW_AT_0(X, r) LOAD_A(r, 0) MULTIPLY_CELL(r, 0)
#define MULTIPLY_ROW_AT_1(X, r) LOAD_A(r, 0) MULTIPLY_CELL(r, 1)
#define TRANSPOSE_NEXT          v_transpose_columns(keys + d, stride, columns, LANES, 1);
#define TRANSPOSE_LAST          transpose_last_columns(keys, stride, dim, columns);
/* Vector v of the keys: the columns that TRANSPOSE makes but the first `passed` ones, which are columns d and following. */
#define KEY_STEP(v, rows, TRANSPOSE, passed, asks)                                                           \
    {                                                                                                        \
        const real *keys = k + (v)*LANES * stride, *q_now = q + d;                                           \
        if ((rows) > 1) {                                                                                    \
            FORGET(q_now);                                                                                   \
        }                                                                                                    \
        VECTOR_ALIGNED real columns[TRANSPOSE_COLUMNS * LANES];                                              \
        TRANSPOSE for (int64_t i = (passed); i < TRANSPOSE_COLUMNS; i++) {                                   \
            if ((asks) && ((i * LANES) & (elements_per_ask() - 1)) == 0) {                                   \
                ask_for_keys(&next, stride != dim, elements_per_ask());                                      \
            }                                                                                                \
            const real *a_now = q_now + (i - (passed));                                                      \
            const vec b_##v = v_load(columns + i * LANES);                                                   \
            ROWS_##rows(MULTIPLY_ROW_AT_##v, ~)                                                              \
        }                                                                                                    \
    }
/* One vector after the other, not column after column: the columns of both would not fit the registers. */
#define KEY_STEPS_1(rows, TRANSPOSE, passed, asks) KEY_STEP(0, rows, TRANSPOSE, passed, asks)
#define KEY_STEPS_2(rows, TRANSPOSE, passed, asks)                                                           \
    KEY_STEP(0, rows, TRANSPOSE, passed, asks) KEY_STEP(1, rows, TRANSPOSE, passed, asks)
#define DEFINE_KEY_SCORES(name, rows, vectors) DEFINE_KEY_SCORES_(name, rows, vectors)
#define DEFINE_KEY_SCORES_(name, rows, vectors)                                                              \
    NEVER_INLINE void name(const struct softattn_decode_tile *tile, int64_t first_row, int64_t j,            \
                           int has_next, struct decode_far *far) {                                           \
        const int64_t stride = tile->k_stride, dim = tile->dim_qk, a_row = dim;                              \
        const real *k = (const real *)tile->k + j * stride;                                                  \
        const real *q = (const real *)tile->q + first_row * dim;                                             \
        real *c = (real *)tile->scores + first_row * SOFTATTN_KEY_TILE + j;                                  \
        const int64_t c_stride = SOFTATTN_KEY_TILE;                                                          \
        struct row_column next = {k + (vectors)*LANES * stride, stride, 0, dim};                             \
        int64_t d = 0;                                                                                       \
        ROWS_##rows(COLUMNS_##vectors, DECLARE);                                                             \
        ROWS_##rows(COLUMNS_##vectors, START_ZERO);                                                          \
        for (; d + TRANSPOSE_COLUMNS <= dim; d += TRANSPOSE_COLUMNS) {                                       \
            if (!IS_SMALL && far && (d & (far_columns(far) - 1)) == 0) {                                     \
                ask_beside_keys(far, (far_columns(far) * (vectors)*LANES + 2 * LINE - 1) / (2 * LINE));      \
            }                                                                                                \
            KEY_STEPS_##vectors(rows, TRANSPOSE_NEXT, 0, has_next)                                           \
        }                                                                                                    \
        if (d < dim) {                                                                                       \
            const int64_t passed = TRANSPOSE_COLUMNS - (dim - d);                                            \
            KEY_STEPS_##vectors(rows, TRANSPOSE_LAST, passed, 0)                                             \
        }                                                                                                    \
        ROWS_##rows(COLUMNS_##vectors, END_STORE)                                                            \
    }

DEFINE_KEY_SCORES(four_rows, 4, DECODE_KEY_VECTORS)
DEFINE_KEY_SCORES(two_rows, 2, 2)
DEFINE_KEY_SCORES(one_row, 1, 2)
DEFINE_KEY_SCORES(one_row_of_few_keys, 1, 1)

/*
 * DEFINE_SCORES(name, ONE, TWO, FOUR, vectors, four_vectors): scores of all rows and so many vectors of keys from key j on, by what
 * DEFINE_KEY_SCORES defines; FOUR takes four_vectors of them at a time. Turning the keys is shared by up to four rows, and the last
 * rows may be computed twice.
 */
#define DEFINE_SCORES(name, ONE, TWO, FOUR, vectors, four_vectors)                                           \
    static void name(const struct softattn_decode_tile *tile, int64_t j, int has_next,                       \
                     struct decode_far *far) {                                                               \
        const int64_t rows = tile->rows;                                                                     \
        if (rows == 1) {                                                                                     \
            ONE(tile, 0, j, has_next, far);                                                                  \
        } else if (rows < 4) {                                                                               \
            TWO(tile, 0, j, has_next, far);                                                                  \
            if (rows == 3) {                                                                                 \
                TWO(tile, 1, j, has_next, far);                                                              \
            }                                                                                                \
        } else {                                                                                             \
            for (int64_t end = j + (vectors)*LANES; j < end; j += (four_vectors)*LANES) {                    \
                for (int64_t r = 0; r + 4 <= rows; r += 4) {                                                 \
                    FOUR(tile, r, j, has_next, far);                                                         \
                }                                                                                            \
                if (rows % 4 != 0) {                                                                         \
                    FOUR(tile, rows - 4, j, has_next, far);                                                  \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_SCORES(score_two_vectors, one_row, two_rows, four_rows, 2, DECODE_KEY_VECTORS)

/* Scores of all rows and less than a vector of keys. */
static void score_last_keys(const struct softattn_decode_tile *tile, int64_t first, int64_t last) {
    transpose_padded(last - first, tile->dim_qk, (const real *)tile->k + first * tile->k_stride,
                     tile->k_stride, tile->keys, LANES);
    multiply(tile->rows, last - first, tile->dim_qk, tile->q, tile->dim_qk, 1, tile->keys, LANES,
             (real *)tile->scores + first, SOFTATTN_KEY_TILE);
}

/*
 * How the loop over so many vectors of keys from key j on asks for as many that come next. Returned is whether it does so a line
 * at a time, into the first-level cache. Where has_again says so they are asked for along with what is far, more at once and into
 * the second-level cache: of one row 0.84 to 0.94 of the time, of two 0.93 to 1.0, of four 1.0 to 1.05, and 1.0 to 1.1 where the
 * third-level cache holds a part of the keys (AVX-512 on Zen 4).
 */
ALWAYS_INLINE int plan_next_keys(const struct softattn_decode_tile *tile, int64_t j, int64_t vectors,
                                 struct decode_far *far) {
    const int64_t next = j + vectors * LANES;
    const int has_next = next + vectors * LANES <= tile->last + tile->prefetch_keys;
    if (DECODE_BYTES_PER_ASK == 0 || !far || !far->has_again) {
        return has_next;
    }
    far->columns = DECODE_BYTES_PER_ASK / (vectors * LANES * REAL_BYTES);
    far->again = (const real *)tile->k + next * tile->k_stride;
    far->again_left = has_next ? vectors * LANES * tile->dim_qk : 0;
    return 0;
}

/*
 * scores[r][j] of all rows and keys. Each row has one chain of multiply-adds per vector of keys, and waits for it less with
 * two of them. But as many keys again are on their way, all of which the first-level cache should hold, where keys far apart,
 * often by a power of two, crowd each other out.
 */
enum { KEYS_AT_ONCE = 8192 / REAL_BYTES };
static void decode_scores(const struct softattn_decode_tile *tile, struct decode_far *far) {
    const int64_t last = tile->last;
    int64_t j = tile->first;
    const int in_twos = tile->rows > 1 || (!keys_have_gaps(tile) && 2 * LANES * tile->dim_qk <= KEYS_AT_ONCE);
    for (; in_twos && j + 2 * LANES <= last; j += 2 * LANES) {
        score_two_vectors(tile, j, plan_next_keys(tile, j, 2, far), far);
    }
    for (; j + LANES <= last; j += LANES) {
        for (int64_t r = 0; r < tile->rows; r++) {
            one_row_of_few_keys(tile, r, j, plan_next_keys(tile, j, 1, far), far);
        }
    }
    if (j < last) {
        score_last_keys(tile, j, last);
    }
}

static void decode_adjust(const struct softattn_decode_tile *tile, int64_t r, real *scores) {
    const vec cap = v_set((real)tile->softcap);
    const vec cap_inverse = v_set(inverse_of_cap(tile->softcap));
    VECTOR_ALIGNED real numbers[SOFTATTN_KEY_TILE];
    for (int64_t j = 0; j < SOFTATTN_KEY_TILE; j++) {
        numbers[j] = (real)j;
    }
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        const int64_t left = tile->last - j;
        const vec key = load_columns(numbers + j, left, 0);
        vec s = load_columns(scores + j, left, 0);
        if (tile->softcap > 0) {
            s = soft_cap(s, cap, cap_inverse);
        }
        const vec addend = tile->addend
                               ? load_columns((const real *)tile->addend + r * SOFTATTN_KEY_TILE + j, left, 0)
                               : v_zero();
        if (tile->addend) {
            s = v_add(s, addend);
        }
        if (tile->slope) {
            s = add_alibi(s, v_set(((const real *)tile->slope)[r]),
                          v_sub(v_set(((const real *)tile->position)[r]), key));
        }
        if (tile->addend) {
            s = mask_by_addend(s, addend);
        }
        if (tile->masked) {
            s = v_select(
                visible_keys(key, v_set(((const real *)tile->low)[r]), v_set(((const real *)tile->high)[r])),
                s, v_set(-REAL_INFINITY));
        }
        store_columns(scores + j, s, left);
    }
}

/* The tile's sum of weights, in the order of attention.h: four partial sums by key, side by side in a vector of four. */
typedef real four_sums __attribute__((vector_size(4 * REAL_BYTES)));
ALWAYS_INLINE real decode_sum(const real *p, int64_t first, int64_t last) {
    four_sums sum = {0, 0, 0, 0}, weights;
    int64_t j = first;
    for (; j + 4 <= last; j += 4) {
        __builtin_memcpy(&weights, p + j, sizeof weights);
        sum += weights;
    }
    for (int i = 0; j + i < last; i++) {
        sum[i] += p[j + i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Scores of row r to weights in place, its running maximum and sum; returns the factor of what was summed before. */
static real decode_softmax(const struct softattn_decode_tile *tile, int64_t r, real *scores) {
    real *max = (real *)tile->max + r;
    real *sum = (real *)tile->sum + r;
    const real old_max = tile->fresh ? -REAL_INFINITY : *max;
    vec maxima = v_set(old_max);
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        maxima = v_max(load_scores(scores + j, tile->last - j), maxima);
    }
    const real new_max = v_reduce_max(maxima);
    const vec base = safe_max(v_set(new_max));
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        const int64_t left = tile->last - j;
        store_columns(scores + j, v_exp2(v_sub(load_scores(scores + j, left), base)), left);
    }
    real factor;
    v_store_part(&factor, v_exp2_apart(v_sub(v_set(old_max), base)), 1);
    *sum = real_fma(tile->fresh ? 0 : *sum, factor, decode_sum(scores, tile->first, tile->last));
    *max = new_max;
    return factor;
}

static int decode_visible(const struct softattn_decode_tile *tile, int64_t r, int64_t j) {
    const int inside =
        !tile->masked || ((real)j >= ((const real *)tile->low)[r] && (real)j < ((const real *)tile->high)[r]);
    const real *addend = tile->addend;
    return inside && !(addend && addend[r * SOFTATTN_KEY_TILE + j] == -REAL_INFINITY);
}

/* The weighted sums with masked keys passed over: only where values are not finite. */
NEVER_INLINE void decode_values_masked(const struct softattn_decode_tile *tile, const real *alpha) {
    for (int64_t r = 0; r < tile->rows; r++) {
        for (int64_t d = 0; d < tile->dim_v; d++) {
            real *out = (real *)tile->out + r * tile->dim_v + d;
            real sum = tile->fresh ? 0 : *out * alpha[r];
            for (int64_t j = tile->first; j < tile->last; j++) {
                const real p = ((const real *)tile->scores)[r * SOFTATTN_KEY_TILE + j];
                if (decode_visible(tile, r, j)) {
                    sum = real_fma(p, ((const real *)tile->v)[j * tile->v_stride + d], sum);
                }
            }
            *out = sum;
        }
    }
}

/* factors: of the sums before the first of these keys; NULL: there are none. ahead: how far each line is asked for. */
ALWAYS_INLINE void sum_values(const struct softattn_decode_tile *tile, int64_t first, int64_t last,
                              real *factors, int64_t ahead) {
    values_rows(tile->rows, tile->dim_v, (const real *)tile->scores + first, SOFTATTN_KEY_TILE, 1,
                (const real *)tile->v + first * tile->v_stride, tile->v_stride, last - first, tile->out,
                tile->dim_v, factors, ahead);
}

/* The sums so far are made up for: times 1 changes none. */
ALWAYS_INLINE real *no_factors(const struct softattn_decode_tile *tile, real *alpha) {
    ROLLED for (int64_t r = 0; r < tile->rows; r++) { alpha[r] = 1; }
    return alpha;
}

ALWAYS_INLINE int64_t values_ahead(const struct softattn_decode_tile *tile) {
    return LOAD_ROWS_AHEAD * tile->v_stride;
}

/*
 * A few keys at a time, and in between what is left of the keys that come next is asked for. Where caches are asked alike, 2 KiB
 * for each query row, as more rows have more sums to load: more at a time takes 1.02 to 1.1 of the time, less 1.05 (Zen 3). Else
 * 8 KiB: into the second-level cache less takes 1.03 to 1.1, more 1.25 (Zen 4).
 */
ALWAYS_INLINE int64_t bytes_per_asking(const struct softattn_decode_tile *tile) {
    return ASKING(tile->asking) == SOFTATTN_ASKING_ALIKE ? tile->rows * 2048 : 8192;
}

NEVER_INLINE void sum_values_asking(const struct softattn_decode_tile *tile, real *alpha,
                                    struct decode_far *far) {
    real *factors = tile->fresh ? 0 : alpha;
    const int64_t keys = bytes_per_asking(tile) / (tile->dim_v * REAL_BYTES + 1) + 1;
    for (int64_t j = tile->first; j < tile->last; j += keys) {
        const int64_t shares = (tile->last - j + keys - 1) / keys;
        ask_for_share(&far->keys, (far->keys.lines + shares - 1) / shares);
        sum_values(tile, j, shares > 1 ? j + keys : tile->last, factors, values_ahead(tile));
        factors = no_factors(tile, alpha);
    }
}

/* Whether masked values of these keys must be passed over one by one. */
static int passes_over(const struct softattn_decode_tile *tile, int64_t first, int64_t last) {
    return (tile->masked || tile->addend) && values_not_finite((const real *)tile->v + first * tile->v_stride,
                                                               tile->v_stride, last - first, tile->dim_v);
}

/* Scores to weights; alpha: the factors of what was summed before. */
static void decode_weights(const struct softattn_decode_tile *tile, real *alpha) {
    for (int64_t r = 0; r < tile->rows; r++) {
        real *scores = (real *)tile->scores + r * SOFTATTN_KEY_TILE;
        if (tile->masked || tile->addend || tile->slope || tile->softcap > 0) {
            decode_adjust(tile, r, scores);
        }
        alpha[r] = decode_softmax(tile, r, scores);
        for (int64_t j = tile->first; tile->drop && j < tile->last; j++) {
            scores[j] *= ((const real *)tile->drop)[r * SOFTATTN_KEY_TILE + j];
        }
    }
}

static void decode_tile(const struct softattn_decode_tile *tile) {
    VECTOR_ALIGNED real alpha[SOFTATTN_MAX_DECODE_ROWS];
    struct decode_far places, *far = 0;
    if (asks_far(tile)) {
        places = far_places(tile);
        far = &places;
    }
    decode_scores(tile, far);
    decode_weights(tile, alpha);
    if (passes_over(tile, tile->first, tile->last)) {
        decode_values_masked(tile, alpha);
    } else if (far) {
        sum_values_asking(tile, alpha, far);
    } else {
        sum_values(tile, tile->first, tile->last, tile->fresh ? 0 : alpha, values_ahead(tile));
    }
}

#endif
