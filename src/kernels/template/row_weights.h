/*
 * The weights of a row of scores, p_j = exp2((s_j - max) * factor), their sum, and what is done for the rows beside it in the
 * same loop, so that none waits for the end of a reduction, and memory not for arithmetic.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/convert.h"
#include "kernels/template/exp2.h"
#include "kernels/template/stream.h"

/* Loops that each kind of row gets of its own, unless the code is to be small. */
#ifdef __OPTIMIZE_SIZE__
#define ROW_INLINE NEVER_INLINE
#else
#define ROW_INLINE ALWAYS_INLINE
#endif

/* In place where rows may be short, so that calls would show; elsewhere row_max, which is one function for all. */
ALWAYS_INLINE real short_row_max(const real *s, int64_t cols) {
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        max_0 = v_max(v_load(s + j), max_0);
        max_1 = v_max(v_load(s + j + LANES), max_1);
        max_2 = v_max(v_load(s + j + 2 * LANES), max_2);
        max_3 = v_max(v_load(s + j + 3 * LANES), max_3);
    }
    for (; j + LANES <= cols; j += LANES) {
        max_0 = v_max(v_load(s + j), max_0);
    }
    if (j < cols) {
        max_1 = v_max(v_load_part(s + j, cols - j, -REAL_INFINITY), max_1);
    }
    return v_reduce_max(v_max(v_max(max_0, max_1), v_max(max_2, max_3)));
}

NEVER_INLINE real row_max(const real *s, int64_t cols) { return short_row_max(s, cols); }

/* factor: log2(e), or that times a positive scale of the scores */
ALWAYS_INLINE vec row_exponent(vec s, vec max, vec factor) { return v_mul(v_sub(s, max), factor); }

#define STRIPE_VECTORS (STRIPES / LANES)
/* Vectors per turn of the loop: whole fours, for v_exp2_four, and whole stripes. */
#define TURN_VECTORS (STRIPE_VECTORS < 4 ? 4 : STRIPE_VECTORS)

/* As short_row_max and row_max. */
ALWAYS_INLINE void short_row_multiply(const real *p, int64_t cols, real factor, real *y, int stream) {
    int64_t j = stream ? stream_head(y, cols) : 0;
    if (j > 0) { /* an empty store would still touch the line, and stall those that go around the caches */
        v_store_part(y, v_mul(v_load_part(p, j, 0), v_set(factor)), j);
    }
    for (; j + LANES <= cols; j += LANES) {
        store_whole(y + j, v_mul(v_load(p + j), v_set(factor)), stream);
    }
    if (j < cols) {
        v_store_part(y + j, v_mul(v_load_part(p + j, cols - j, 0), v_set(factor)), cols - j);
    }
}

NEVER_INLINE void row_multiply(const real *p, int64_t cols, real factor, real *y, int stream) {
    short_row_multiply(p, cols, factor, y, stream);
}

/* Where `column` is one of them, its product is replaced by value before it is stored: another store to the same line after
 * that was streamed would wait for memory. With stream, y is aligned. */
NEVER_INLINE void row_multiply_but_one(const real *p, int64_t cols, real factor, real *y, int stream,
                                       int64_t column, real value) {
    real numbers[STRIPES];
    for (int i = 0; i < LANES; i++) {
        numbers[i] = (real)i;
    }
    const vec lane = v_load(numbers);
    for (int64_t j = 0; j < cols; j += LANES) {
        const int64_t left = cols - j, at = column - j;
        const mask is_special = v_equal(lane, v_set((real)(at >= 0 && at < LANES ? at : -1)));
        const vec product = v_mul(load_columns(p + j, left, 0), v_set(factor));
        const vec result = v_select(is_special, v_set(value), product);
        if (left < LANES) {
            v_store_part(y + j, result, left);
        } else {
            store_whole(y + j, result, stream);
        }
    }
}

/* A row whose weights are known, and what they become. */
struct row_done {
    const real *weights;
    int64_t cols; /* how many of them are left; 0: none */
    real factor;  /* y is the weights times this, */
    real *y;
    int64_t
        special_column; /* but for one column, where has_special says so; negative: it is not among those left */
    real special_value;
    uint16_t
        *halves; /* of floats only: in the place of y, what the products become in the company's format */
};

/* What is done for other rows while the weights of one are computed. */
struct row_company {
    const real *next; /* a row whose maximum is found; NULL: none */
    real *next_max;
    struct row_done done;
    int has_special;   /* of done */
    int stream;        /* done's results go around the caches, and are aligned */
    const real *later; /* what is asked for, from later + j on when column j is at work; NULL: nothing */
    int later_is_near; /* to the first-level cache, else to the second */
    /* of floats only: rows that lie in memory as 16-bit floats of a format */
    int32_t format;
    const uint16_t *next_halves;  /* what becomes the floats at next meanwhile; NULL: they are there */
    const uint16_t *later_halves; /* in the place of later, to the first-level cache */
};

#if SOFTATTN_REAL_BITS == 32

/* Four vectors of the next row at column j become floats. */
ALWAYS_INLINE void row_widen_four(const struct row_company *company, int64_t j) {
    V_PREFETCH(company->later_halves + j);
    if (4 * LANES > 32) { /* a cache line of 16-bit floats */
        V_PREFETCH(company->later_halves + j + 32);
    }
    for (int i = 0; i < 4 * LANES; i += HALVES) {
        widen_block(company->format, company->next_halves + j + i, (real *)company->next + j + i);
    }
}

/* HALVES weights times factor, numbers all of them, as 16-bit floats. */
ALWAYS_INLINE void multiply_block(int32_t format, const real *weights, vec factor, uint16_t *to, int stream) {
    real products[HALVES];
    for (int i = 0; i < HALVES; i += LANES) {
        const int64_t left = HALVES - i;
        store_columns(products + i, v_mul(load_columns(weights + i, left, 0), factor), left);
    }
    narrow_block(format, products, to, 0, stream);
}

/* The columns from j on. */
NEVER_INLINE void row_widen_rest(const struct row_company *company, int64_t j, int64_t cols) {
    widen(company->format, cols - j, company->next_halves + j, (real *)company->next + j);
}

/* stream: they are aligned. */
NEVER_INLINE void row_narrow_rest(int32_t format, const struct row_done *done, int64_t j, int stream) {
    real products[HALVES];
    for (; j < done->cols; j += HALVES) {
        const int64_t left = done->cols - j, count = left < HALVES ? left : HALVES;
        row_multiply(done->weights + j, count, done->factor, products, 0);
        narrow(format, count, products, done->halves + j, stream);
    }
}

/* As row_done_four. */
ALWAYS_INLINE void row_narrow_four(struct row_company *company, int64_t j) {
    if (j + 4 * LANES <= company->done.cols) {
        for (int i = 0; i < 4 * LANES; i += HALVES) {
            multiply_block(company->format, company->done.weights + j + i, v_set(company->done.factor),
                           company->done.halves + j + i, company->stream);
        }
    } else if (j < company->done.cols) {
        row_narrow_rest(company->format, &company->done, j, company->stream);
        company->done.cols = j;
    }
}

#else
ALWAYS_INLINE void row_widen_four(const struct row_company *company, int64_t j) { (void)company, (void)j; }
ALWAYS_INLINE void row_narrow_four(struct row_company *company, int64_t j) { (void)company, (void)j; }
ALWAYS_INLINE void row_widen_rest(const struct row_company *company, int64_t j, int64_t cols) {
    (void)company, (void)j, (void)cols;
}
ALWAYS_INLINE void row_narrow_rest(int32_t format, const struct row_done *done, int64_t j, int stream) {
    (void)format, (void)done, (void)j, (void)stream;
}
#endif

/* Columns j … j + cols - 1. has_special and stream, here and below, are constants where they are used. */
ALWAYS_INLINE void row_done_few(const struct row_done *done, int64_t j, int64_t cols, int has_special,
                                int stream) {
    if (has_special) {
        row_multiply_but_one(done->weights + j, cols, done->factor, done->y + j, stream,
                             done->special_column - j, done->special_value);
    } else {
        row_multiply(done->weights + j, cols, done->factor, done->y + j, stream);
    }
}

/* Four vectors at column j; what is left, if that is less. */
ALWAYS_INLINE void row_done_four(struct row_done *done, int64_t j, int has_special, int stream) {
    const vec factor = v_set(done->factor);
    if (j + 4 * LANES > done->cols) {
        if (stream && j < done->cols) { /* elsewhere all rows are as long as this one */
            row_done_few(done, j, done->cols - j, has_special, stream);
            done->cols = j;
        }
    } else if (has_special && (uint64_t)(done->special_column - j) < (uint64_t)(4 * LANES)) {
        row_done_few(done, j, 4 * LANES, has_special, stream);
    } else {
        for (int i = 0; i < 4 * LANES; i += LANES) {
            store_whole(done->y + j + i, v_mul(v_load(done->weights + j + i), factor), stream);
        }
    }
}

/* All that is left from column j on. */
ALWAYS_INLINE void row_done_rest(const struct row_company *company, int64_t j) {
    const struct row_done *done = &company->done;
    if (company->format != SOFTATTN_FORMAT_REAL) {
        row_narrow_rest(company->format, done, j, company->stream);
    } else if (company->has_special) {
        row_done_few(done, j, done->cols - j, 1, company->stream);
    } else {
        short_row_multiply(done->weights + j, done->cols - j, done->factor, done->y + j, company->stream);
    }
}

ALWAYS_INLINE void row_ask_turn(const struct row_company *company, int64_t j) {
    for (int i = 0; i < TURN_VECTORS * LANES; i += LINE) {
        prefetch_line(company->later + j + i, company->later_is_near);
    }
}

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; s may be `to`. The sums stay in memory because scalable
 * vectors cannot be array elements; it costs nothing measurable. */
ROW_INLINE void row_weights(const real *s, int64_t cols, real max_value, real factor_value, real *to,
                            real *sums, struct row_company company) {
    const vec max = v_set(max_value), factor = v_set(factor_value);
    const int is_half = company.format != SOFTATTN_FORMAT_REAL;
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    stripes_start(sums);
    int64_t j = 0;
    for (; j + TURN_VECTORS * LANES <= cols; j += TURN_VECTORS * LANES) {
        if (company.later) {
            row_ask_turn(&company, j);
        }
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            const real *from = s + j + v * LANES;
            vec p_0 = row_exponent(v_load(from), max, factor);
            vec p_1 = row_exponent(v_load(from + LANES), max, factor);
            vec p_2 = row_exponent(v_load(from + 2 * LANES), max, factor);
            vec p_3 = row_exponent(v_load(from + 3 * LANES), max, factor);
            v_exp2_four(&p_0, &p_1, &p_2, &p_3, 1);
            if (is_half) { /* the next row may take the place of this one */
                row_widen_four(&company, j + v * LANES);
            }
            if (is_half || company.next) {
                const real *next = company.next + j + v * LANES;
                max_0 = v_max(v_load(next), max_0);
                max_1 = v_max(v_load(next + LANES), max_1);
                max_2 = v_max(v_load(next + 2 * LANES), max_2);
                max_3 = v_max(v_load(next + 3 * LANES), max_3);
            }
            if (is_half) {
                row_narrow_four(&company, j + v * LANES);
            } else if (company.stream) { /* the new weights may take their place */
                row_done_four(&company.done, j + v * LANES, company.has_special, company.stream);
            }
            if (to) {
                real *at = to + j + v * LANES;
                v_store(at, p_0);
                v_store(at + LANES, p_1);
                v_store(at + 2 * LANES, p_2);
                v_store(at + 3 * LANES, p_3);
            }
            stripe_add(sums, v * LANES, p_0);
            stripe_add(sums, (v + 1) * LANES, p_1);
            stripe_add(sums, (v + 2) * LANES, p_2);
            stripe_add(sums, (v + 3) * LANES, p_3);
            if (!company.stream && !is_half) {
                row_done_four(&company.done, j + v * LANES, company.has_special, company.stream);
            }
        }
    }
    if (j < company.done.cols) {
        row_done_rest(&company, j);
    }
    for (int64_t at = j; at < cols; at += LANES) {
        const int64_t rest = cols - at < LANES ? cols - at : LANES;
        const vec p = v_exp2(row_exponent(v_load_part(s + at, rest, -REAL_INFINITY), max, factor));
        if (to) {
            v_store_part(to + at, p, rest);
        }
        stripe_add(sums, at, p);
    }
    if (is_half) {
        row_widen_rest(&company, j, cols);
    }
    if (company.next) {
        const real turns = v_reduce_max(v_max(v_max(max_0, max_1), v_max(max_2, max_3)));
        const real rest = j < cols ? short_row_max(company.next + j, cols - j) : turns;
        *company.next_max = (turns > rest ? turns : rest) + 0; /* of -0 and +0, +0 */
    }
}

#endif
