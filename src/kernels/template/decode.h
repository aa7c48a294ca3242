/*
 * Attention of a few query rows (struct softattn_decode_tile): keys in the lanes for scores and weights, value
 * dimensions in the lanes for the weighted sums. The order of arithmetic is that of attention.h, element by element.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_DECODE_H
#define SOFTATTN_KERNELS_TEMPLATE_DECODE_H

#include "kernels/kernels.h"
#include "kernels/template/product.h"
#include "kernels/template/scores.h"
#include "kernels/template/transpose.h"

/* kind: products of any number of rows and columns, in register tiles of DECODE_TILE_ROWS x DECODE_VECTORS. */
#define DEFINE_ROWS_AND_COLUMNS(kind, END, END_PART)                                                               \
    DEFINE_PRODUCT(kind##_rows_wide, DECODE_TILE_ROWS, DECODE_VECTORS, LOAD_WHOLE, END)                            \
    DEFINE_PRODUCT(kind##_row_wide, 1, DECODE_VECTORS, LOAD_WHOLE, END)                                            \
    DEFINE_PRODUCT(kind##_rows_narrow, DECODE_TILE_ROWS, 1, LOAD_WHOLE, END)                                       \
    DEFINE_PRODUCT(kind##_row_narrow, 1, 1, LOAD_WHOLE, END)                                                       \
    DEFINE_PRODUCT(kind##_rows_part, DECODE_TILE_ROWS, 1, LOAD_PART, END_PART)                                     \
    DEFINE_PRODUCT(kind##_row_part, 1, 1, LOAD_PART, END_PART)                                                     \
    DEFINE_COLUMNS(kind, rows)                                                                                     \
    DEFINE_COLUMNS(kind, row)                                                                                      \
    static void kind(int64_t rows, int64_t columns, const real *a, int64_t a_row, int64_t a_col, const real *b,    \
                     int64_t b_stride, int64_t steps, real *c, int64_t c_stride, real *extra) {                    \
        int64_t r = 0;                                                                                             \
        for (; r + DECODE_TILE_ROWS <= rows; r += DECODE_TILE_ROWS) {                                              \
            kind##_rows(columns, a + r * a_row, a_row, a_col, b, b_stride, steps, c + r * c_stride, c_stride,      \
                        extra + r);                                                                                \
        }                                                                                                          \
        for (; r < rows; r++) {                                                                                    \
            kind##_row(columns, a + r * a_row, a_row, a_col, b, b_stride, steps, c + r * c_stride, c_stride,       \
                       extra + r);                                                                                 \
        }                                                                                                          \
    }

#define DEFINE_COLUMNS(kind, height)                                                                               \
    ALWAYS_INLINE void kind##_##height(int64_t columns, const real *a, int64_t a_row, int64_t a_col,               \
                                       const real *b, int64_t b_stride, int64_t steps, real *c, int64_t c_stride,  \
                                       real *extra) {                                                              \
        int64_t j = 0;                                                                                             \
        for (; j + DECODE_VECTORS * LANES <= columns; j += DECODE_VECTORS * LANES) {                               \
            kind##_##height##_wide(a, a_row, a_col, b + j, b_stride, steps, c + j, c_stride, extra, 0);            \
        }                                                                                                          \
        for (; j + LANES <= columns; j += LANES) {                                                                 \
            kind##_##height##_narrow(a, a_row, a_col, b + j, b_stride, steps, c + j, c_stride, extra, 0);          \
        }                                                                                                          \
        if (j < columns) {                                                                                         \
            kind##_##height##_part(a, a_row, a_col, b + j, b_stride, steps, c + j, c_stride, extra, columns - j);  \
        }                                                                                                          \
    }

DEFINE_ROWS_AND_COLUMNS(product_store, END_STORE, END_STORE_PART)
DEFINE_ROWS_AND_COLUMNS(product_fold, END_FOLD_ROWS, END_FOLD_ROWS_PART)

static void multiply(int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col, const void *b,
                     int64_t b_stride, void *c, int64_t c_stride) {
    real unused[1] = {0};
    for (int64_t r = 0; r < m; r += DECODE_TILE_ROWS) {
        const int64_t rows = m - r < DECODE_TILE_ROWS ? m - r : DECODE_TILE_ROWS;
        product_store(rows, n, (const real *)a + r * a_row, a_row, a_col, b, b_stride, k, (real *)c + r * c_stride,
                      c_stride, unused);
    }
}

/* The tile's keys as columns, with the rows that come next asked for meanwhile. */
static void decode_transpose_keys(const struct softattn_decode_tile *tile) {
    const int64_t line = 64 / REAL_BYTES;
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        const int64_t keys = tile->last - j < LANES ? tile->last - j : LANES;
        const real *k = (const real *)tile->k + j * tile->k_stride;
        const real *v = (const real *)tile->v + j * tile->v_stride;
        for (int64_t i = 0; i < keys; i++) {
            for (int64_t d = 0; d < tile->dim_v; d += line) {
                V_PREFETCH(v + i * tile->v_stride + d);
            }
            if (j + i < tile->prefetch_keys) {
                for (int64_t d = 0; d < tile->dim_qk; d += line) {
                    V_PREFETCH(k + (i + SOFTATTN_KEY_TILE) * tile->k_stride + d);
                }
            }
        }
        transpose_padded(keys, tile->dim_qk, k, tile->k_stride, (real *)tile->keys + j, SOFTATTN_KEY_TILE);
    }
}

static void decode_adjust(const struct softattn_decode_tile *tile, int64_t r, real *scores) {
    const vec cap = v_set((real)tile->softcap);
    const vec cap_inverse = v_set(tile->softcap > 0 ? (real)(1 / tile->softcap) : 0);
    real numbers[SOFTATTN_KEY_TILE];
    for (int64_t j = 0; j < SOFTATTN_KEY_TILE; j++) {
        numbers[j] = (real)j;
    }
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        const int64_t part = tile->last - j < LANES ? tile->last - j : LANES;
        const vec key = v_load(numbers + j);
        vec s = v_load_part(scores + j, part, 0);
        if (tile->softcap > 0) {
            s = soft_cap(s, cap, cap_inverse);
        }
        if (tile->addend) {
            s = add_or_mask(s, v_load_part((const real *)tile->addend + r * SOFTATTN_KEY_TILE + j, part, 0));
        }
        if (tile->slope) {
            s = add_alibi(s, v_set(((const real *)tile->slope)[r]),
                          v_sub(v_set(((const real *)tile->position)[r]), key));
        }
        if (tile->masked) {
            s = v_select(visible_keys(key, v_set(((const real *)tile->low)[r]), v_set(((const real *)tile->high)[r])), s,
                         v_set(-REAL_INFINITY));
        }
        v_store_part(scores + j, s, part);
    }
}

/* The tile's sum of weights, in the order of attention.h: four partial sums by key. */
ALWAYS_INLINE real decode_sum(const real *p, int64_t first, int64_t last) {
    real sum[4] = {0, 0, 0, 0};
    int64_t j = first;
    for (; j + 4 <= last; j += 4) {
        for (int i = 0; i < 4; i++) {
            sum[i] += p[j + i];
        }
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
        const int64_t part = tile->last - j < LANES ? tile->last - j : LANES;
        maxima = v_max(v_load_part(scores + j, part, -REAL_INFINITY), maxima);
    }
    const real new_max = v_reduce_max(maxima);
    const vec base = safe_max(v_set(new_max));
    for (int64_t j = tile->first; j < tile->last; j += LANES) {
        const int64_t part = tile->last - j < LANES ? tile->last - j : LANES;
        v_store_part(scores + j, v_exp2(v_sub(v_load_part(scores + j, part, -REAL_INFINITY), base)), part);
    }
    real factor;
    v_store_part(&factor, v_exp2(v_sub(v_set(old_max), base)), 1);
    *sum = real_fma(tile->fresh ? 0 : *sum, factor, decode_sum(scores, tile->first, tile->last));
    *max = new_max;
    return factor;
}

static int decode_visible(const struct softattn_decode_tile *tile, int64_t r, int64_t j) {
    const int inside = !tile->masked || ((real)j >= ((const real *)tile->low)[r] && (real)j < ((const real *)tile->high)[r]);
    const real *addend = tile->addend;
    return inside && !(addend && addend[r * SOFTATTN_KEY_TILE + j] == -REAL_INFINITY);
}

/* The weighted sums with masked keys passed over: only where values are not finite. */
static void decode_values_masked(const struct softattn_decode_tile *tile, const real *alpha) {
    for (int64_t r = 0; r < tile->rows; r++) {
        for (int64_t d = 0; d < tile->dim_v; d++) {
            real *out = (real *)tile->out + r * tile->dim_v + d;
            real sum = 0;
            for (int64_t j = tile->first; j < tile->last; j++) {
                const real p = ((const real *)tile->scores)[r * SOFTATTN_KEY_TILE + j];
                if (decode_visible(tile, r, j)) {
                    sum = real_fma(p, ((const real *)tile->v)[j * tile->v_stride + d], sum);
                }
            }
            *out = tile->fresh ? sum : real_fma(*out, alpha[r], sum);
        }
    }
}

static void decode_values(const struct softattn_decode_tile *tile, real *alpha) {
    const int64_t keys = tile->last - tile->first;
    const real *v = (const real *)tile->v + tile->first * tile->v_stride;
    const real *p = (const real *)tile->scores + tile->first;
    if ((tile->masked || tile->addend) && values_not_finite(v, tile->v_stride, keys, tile->dim_v)) {
        decode_values_masked(tile, alpha);
    } else if (tile->fresh) {
        product_store(tile->rows, tile->dim_v, p, SOFTATTN_KEY_TILE, 1, v, tile->v_stride, keys, tile->out, tile->dim_v,
                      alpha);
    } else {
        product_fold(tile->rows, tile->dim_v, p, SOFTATTN_KEY_TILE, 1, v, tile->v_stride, keys, tile->out, tile->dim_v,
                     alpha);
    }
}

static void decode_tile(const struct softattn_decode_tile *tile) {
    real alpha[SOFTATTN_MAX_DECODE_ROWS];
    const int64_t width = (tile->last - tile->first + LANES - 1) / LANES * LANES;
    decode_transpose_keys(tile);
    product_store(tile->rows, width, tile->q, tile->dim_qk, 1, (const real *)tile->keys + tile->first, SOFTATTN_KEY_TILE,
                  tile->dim_qk, (real *)tile->scores + tile->first, SOFTATTN_KEY_TILE, alpha);
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
    decode_values(tile, alpha);
}

#endif
