/*
 * The weights of a row of scores, p_j = exp2((s_j - max) * factor), their sum, and what is done for the rows beside it in the
 * same loop, so that none waits for the end of a reduction, and memory not for arithmetic.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/elements.h"
#include "kernels/template/exp2.h"
#include "kernels/template/stream.h"

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

/* The exponents of the next four vectors are computed before the weights of these, whose long chains would keep them waiting:
 * 0.93 of the time with AVX-512. The longer polynomial of doubles leaves no registers for them. */
enum { EXPONENTS_AHEAD = REAL_BYTES == 4 };

enum { MOST_COPIED = 4 * SOFTATTN_MAX_LANES }; /* at least a turn's elements, whatever LANES */

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

/* y = (s - base) - log_sum */
NEVER_INLINE void row_subtract(const real *s, int64_t cols, real base, real log_sum, real *y, int stream) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        store_whole(y + j, v_sub(v_sub(v_load(s + j), v_set(base)), v_set(log_sum)), stream);
    }
    if (j < cols) {
        v_store_part(y + j, v_sub(v_sub(v_load_part(s + j, cols - j, 0), v_set(base)), v_set(log_sum)),
                     cols - j);
    }
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

/* What loops are made for: a constant wherever they use it. */
struct row_kind {
    int32_t format;  /* of the rows in memory */
    int has_special; /* of done */
    int stream;      /* done's results go around the caches, and are aligned */
    int is_log;      /* results are logarithms, made of the scores; reals only, without a special column */
};

/* A row whose weights are known, and what they become. */
struct row_done {
    const real *weights; /* with is_log scores */
    int64_t cols;        /* how many of them are left; 0: none */
    real factor;         /* y is the weights times this: of 16-bit floats numbers all of them, */
    real base;           /* or the scores less this, less factor */
    void *y;
    int64_t
        special_column; /* but for one column, where has_special says so; negative: it is not among those left */
    real special_value;
};

/* What is done for other rows while the weights of one are computed. */
struct row_company {
    struct row_kind kind;
    const void *next; /* a row whose maximum is found; NULL: none */
    real *next_max;
    struct row_done done;
    const void *later; /* what is asked for, from its column j on when column j is at work; NULL: nothing */
    int later_is_near; /* to the first-level cache, else to the second */
};

/* Where weights take the place of those that become results: the stores would otherwise meet in the caches. */
ALWAYS_INLINE int row_shares_weights(struct row_kind kind) { return kind.stream || is_half(kind.format); }

ALWAYS_INLINE vec row_result(struct row_kind kind, vec weights, vec factor, vec base) {
    return kind.is_log ? v_sub(v_sub(weights, base), factor) : v_mul(weights, factor);
}

/* Columns j … j + cols - 1, of any number. */
NEVER_INLINE void row_narrow_few(struct row_kind kind, const struct row_done *done, int64_t j, int64_t cols) {
    real products[STRIPES] = {0};
    for (const int64_t end = j + cols; j < end; j += STRIPES) {
        const int64_t n = end - j < STRIPES ? end - j : STRIPES, special = done->special_column - j;
        for (int64_t i = 0; i < n; i += LANES) {
            const vec weights = load_columns(done->weights + j + i, n - i, 0);
            store_columns(products + i, v_mul(weights, v_set(done->factor)), n - i);
        }
        if (kind.has_special && special >= 0 && special < n) {
            products[special] = done->special_value;
        }
        if (n == STRIPES) {
            put_copy(kind.format, done->y, j, STRIPES, products, 1, kind.stream);
        } else {
            put_few_halves(kind.format, done->y, j, n, products);
        }
    }
}

ALWAYS_INLINE void row_done_few(struct row_kind kind, const struct row_done *done, int64_t j, int64_t cols) {
    real *y = (real *)done->y + j;
    if (is_half(kind.format)) {
        const struct row_done copy = *done; /* what a call gets the address of, loops keep in memory */
        row_narrow_few(kind, &copy, j, cols);
    } else if (kind.has_special) {
        row_multiply_but_one(done->weights + j, cols, done->factor, y, kind.stream, done->special_column - j,
                             done->special_value);
    } else if (kind.is_log) {
        row_subtract(done->weights + j, cols, done->base, done->factor, y, kind.stream);
    } else {
        row_multiply(done->weights + j, cols, done->factor, y, kind.stream);
    }
}

/* Four vectors at column j; what is left, if that is less. */
ALWAYS_INLINE void row_done_four(struct row_kind kind, struct row_done *done, int64_t j) {
    const vec factor = v_set(done->factor), base = v_set(done->base);
    real products[MOST_COPIED];
    if (j + 4 * LANES > done->cols) {
        if (row_shares_weights(kind) && j < done->cols) { /* elsewhere all rows are as long as this one */
            row_done_few(kind, done, j, done->cols - j);
            done->cols = j;
        }
    } else if (kind.has_special && (uint64_t)(done->special_column - j) < (uint64_t)(4 * LANES)) {
        row_done_few(kind, done, j, 4 * LANES);
    } else {
        for (int i = 0; i < 4 * LANES; i += LANES) {
            const vec result = row_result(kind, v_load(done->weights + j + i), factor, base);
            v_put(kind.format, done->y, j, i, products, result, kind.stream);
        }
        put_copy(kind.format, done->y, j, 4 * LANES, products, 0, kind.stream);
    }
}

/* All that is left from column j on. */
ALWAYS_INLINE void row_done_rest(struct row_kind kind, const struct row_done *done, int64_t j) {
    if (kind.has_special || kind.is_log || is_half(kind.format)) {
        row_done_few(kind, done, j, done->cols - j);
    } else {
        short_row_multiply(done->weights + j, done->cols - j, done->factor, (real *)done->y + j, kind.stream);
    }
}

/* Four vectors at column j, as exponents that v_exp2_four need not clamp. */
ALWAYS_INLINE void row_exponents(int32_t format, const void *s, int64_t j, vec max, vec factor, vec *e_0,
                                 vec *e_1, vec *e_2, vec *e_3) {
    const vec least = v_set(LOWEST_EXPONENT - 1);
    real copy[MOST_COPIED];
    const real *from = as_reals(format, s, j, 4 * LANES, copy);
    *e_0 = v_max(least, row_exponent(v_load(from), max, factor));
    *e_1 = v_max(least, row_exponent(v_load(from + LANES), max, factor));
    *e_2 = v_max(least, row_exponent(v_load(from + 2 * LANES), max, factor));
    *e_3 = v_max(least, row_exponent(v_load(from + 3 * LANES), max, factor));
}

/* What row_weights does, in the columns from j on, less than a turn. */
ALWAYS_INLINE void row_weights_rest(int32_t format, const void *s, int64_t j, int64_t cols, vec max,
                                    vec factor, real *to, real *sums) {
    real copy[MOST_COPIED];
    const real *rest = few_as_reals(format, s, j, cols - j, copy);
    for (int64_t i = 0; i < cols - j; i += LANES) {
        const int64_t n = cols - j - i < LANES ? cols - j - i : LANES;
        const vec p = v_exp2(row_exponent(v_load_part(rest + i, n, -REAL_INFINITY), max, factor));
        if (to) {
            v_store_part(to + j + i, p, n);
        }
        stripe_add(sums, i, p);
    }
}

ALWAYS_INLINE real row_max_rest(int32_t format, const void *row, int64_t j, int64_t cols) {
    real copy[MOST_COPIED];
    return short_row_max(few_as_reals(format, row, j, cols - j, copy), cols - j);
}

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; s may be `to`. The sums stay in memory because scalable
 * vectors cannot be array elements; it costs nothing measurable. */
SPEED_INLINE void row_weights(const void *s, int64_t cols, real max_value, real factor_value, real *to,
                              real *sums, struct row_company company) {
    const vec max = v_set(max_value), factor = v_set(factor_value);
    const struct row_kind kind = company.kind;
    const int32_t format = kind.format;
    vec largest = v_set(-REAL_INFINITY); /* one is enough: registers are scarcer than time between them */
    orders most = orders_start(format);
    stripes_start(sums);
    int64_t j = 0;
    const int64_t whole = cols / (TURN_VECTORS * LANES) * (TURN_VECTORS * LANES);
    vec e_0 = v_zero(), e_1 = e_0, e_2 = e_0, e_3 = e_0;
    if (EXPONENTS_AHEAD && whole > 0) {
        row_exponents(format, s, 0, max, factor, &e_0, &e_1, &e_2, &e_3);
    }
    for (; j < whole; j += TURN_VECTORS * LANES) {
        if (company.later) {
            prefetch_elements(format, company.later, j, TURN_VECTORS * LANES, company.later_is_near);
        }
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            const int64_t at = j + v * LANES;
            if (!EXPONENTS_AHEAD) {
                row_exponents(format, s, at, max, factor, &e_0, &e_1, &e_2, &e_3);
            }
            vec p_0 = e_0, p_1 = e_1, p_2 = e_2, p_3 = e_3;
            if (EXPONENTS_AHEAD && at + 4 * LANES < whole) {
                row_exponents(format, s, at + 4 * LANES, max, factor, &e_0, &e_1, &e_2, &e_3);
            }
            v_exp2_four(&p_0, &p_1, &p_2, &p_3, 0);
            if (company.next && is_half(format)) {
                most = orders_add(company.next, at, 4 * LANES, most);
            } else if (company.next) {
                const real *next = (const real *)company.next + at;
                largest = v_max(v_load(next), largest);
                largest = v_max(v_load(next + LANES), largest);
                largest = v_max(v_load(next + 2 * LANES), largest);
                largest = v_max(v_load(next + 3 * LANES), largest);
            }
            if (row_shares_weights(kind)) {
                row_done_four(kind, &company.done, at);
            }
            if (to) {
                v_store(to + at, p_0);
                v_store(to + at + LANES, p_1);
                v_store(to + at + 2 * LANES, p_2);
                v_store(to + at + 3 * LANES, p_3);
            }
            stripe_add(sums, v * LANES, p_0);
            stripe_add(sums, (v + 1) * LANES, p_1);
            stripe_add(sums, (v + 2) * LANES, p_2);
            stripe_add(sums, (v + 3) * LANES, p_3);
            if (!row_shares_weights(kind)) {
                row_done_four(kind, &company.done, at);
            }
        }
    }
    if (j < company.done.cols) {
        row_done_rest(kind, &company.done, j);
    }
    if (j < cols) {
        row_weights_rest(format, s, j, cols, max, factor, to, sums);
    }
    if (company.next) {
        const real turns = is_half(format) ? orders_value(format, most) : v_reduce_max(largest);
        const real rest = j < cols ? row_max_rest(format, company.next, j, cols) : turns;
        *company.next_max = (turns > rest ? turns : rest) + 0; /* of -0 and +0, +0 */
    }
}

#endif
