/*
 * The weights of a row of scores, p_j = exp2((s_j - max) * factor), their sum, and what is done for the rows beside it in the
 * same loop, so that none waits for the end of a reduction, and memory access overlaps arithmetic.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_WEIGHTS_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/elements.h"
#include "kernels/template/exp2.h"
#include "kernels/template/seam.h"
#include "kernels/template/stream.h"

NEVER_INLINE real row_max(const real *s, int64_t cols) {
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

/* (s - max) * factor; both signs are turned because it is the subtrahend that can be taken from memory. factor: log2(e), or that
 * times a positive scale of the scores. */
ALWAYS_INLINE vec row_exponent(vec s, vec max, vec factor) {
    return v_mul(v_sub(max, s), v_sub(v_set((real)-0.0), factor));
}

#define STRIPE_VECTORS (STRIPES / LANES)
/* Vectors per turn of the loop: whole fours, for v_exp2_four, and whole stripes. */
#define TURN_VECTORS (STRIPE_VECTORS < 4 ? 4 : STRIPE_VECTORS)

enum { MOST_COPIED = 4 * SOFTATTN_MAX_LANES }; /* at least a turn's elements, whatever LANES */

/* In place where rows may be short, so that calls would show; elsewhere row_multiply, which is one function for all. With stream, y
 * is aligned, here and below; kept: see store_end. */
ALWAYS_INLINE void short_row_multiply(const real *p, int64_t cols, real factor, real *y, int stream,
                                      real *kept) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        store_whole(y + j, v_mul(v_load(p + j), v_set(factor)), stream);
    }
    if (j < cols) {
        store_end(y + j, v_mul(v_load_part(p + j, cols - j, 0), v_set(factor)), cols - j, kept);
    }
}

NEVER_INLINE void row_multiply(const real *p, int64_t cols, real factor, real *y, int stream, real *kept) {
    short_row_multiply(p, cols, factor, y, stream, kept);
}

/* (scale * x - base) - log_sum */
ALWAYS_INLINE vec log_probability(vec x, real scale, real base, real log_sum) {
    return v_sub(v_sub(v_mul(x, v_set(scale)), v_set(base)), v_set(log_sum));
}
NEVER_INLINE void row_subtract(const real *x, int64_t cols, real scale, real base, real log_sum, real *y,
                               int stream, real *kept) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        store_whole(y + j, log_probability(v_load(x + j), scale, base, log_sum), stream);
    }
    if (j < cols) {
        const vec rest = v_load_part(x + j, cols - j, 0);
        store_end(y + j, log_probability(rest, scale, base, log_sum), cols - j, kept);
    }
}

/* Where `column` is one of them, its product is replaced by value before it is stored: another store to the same line after
 * that was streamed would wait for memory. */
NEVER_INLINE void row_multiply_but_one(const real *p, int64_t cols, real factor, real *y, int stream,
                                       int64_t column, real value, real *kept) {
    const vec lane = lane_numbers();
    for (int64_t j = 0; j < cols; j += LANES) {
        const int64_t left = cols - j, at = column - j;
        const mask is_special = v_equal(lane, v_set((real)(at >= 0 && at < LANES ? at : -1)));
        const vec product = v_mul(load_columns(p + j, left, 0), v_set(factor));
        const vec result = v_select(is_special, v_set(value), product);
        if (left < LANES) {
            store_end(y + j, result, left, kept);
        } else {
            store_whole(y + j, result, stream);
        }
    }
}

/* What loops are made for: a constant wherever they use it, but for stream and is_log where is_general. */
struct row_kind {
    int32_t format;  /* of the rows in memory */
    int has_special; /* of done */
    int stream;      /* done's results go around the caches, and are aligned */
    int is_general;  /* scores are x times a scale, rows of different lengths; no special column */
    int is_log;      /* of rows that are general: results are logarithms, made of x and not of weights */
};

/* A row whose weights are known, and what they become. */
struct row_done {
    const void *from; /* its weights; where results are logarithms, its x */
    int64_t cols;     /* how many of them are left; 0: none */
    real factor;      /* y is the weights times this: of 16-bit floats numbers all of them, */
    void *y;
    /* but for one column, where has_special says so; negative: it is not among those left */
    int64_t special_column;
    real special_value;
    real base;  /* where results are logarithms; factor is that of the sum then */
    real *kept; /* of a seam after the row, its last columns; NULL: there is none */
};

/* What is done for other rows while the weights of one are computed. */
struct row_company {
    struct row_kind kind;
    real scale; /* of rows that are general */
    /* a row, not shorter than this one, whose maximum is found, before it is scaled; NULL: none */
    const void *next;
    int64_t next_cols;
    real *next_max;
    struct row_done done;
    /* What is asked for, from its column j on when column j is at work: into the second-level cache, NULL unless
     * row_run_may_ask_twice; and into the first, NULL if nothing. */
    const void *later, *soon;
};

/*
 * Whether the exponents of the next four vectors are computed before the weights of these, whose long chains would keep them
 * waiting: 0.93 of the time with AVX-512. The longer polynomial of doubles leaves no registers for them. Nor does that of floats
 * where there are 16, but storing them costs less than waiting (0.92 to 0.97 with AVX2), except beside stores around the caches.
 */
ALWAYS_INLINE int row_exponents_ahead(struct row_kind kind) {
    const int is_crowded = VECTOR_REGISTERS < 32 && kind.stream && !kind.is_general && !is_half(kind.format);
    return REAL_BYTES == 4 && !is_crowded;
}

/* Whether exponentials are computed two at a time: 0.96 to 0.99 of the time with AVX2, where rows that are general take 1.01 to
 * 1.05. */
ALWAYS_INLINE int row_exponentials_by_two(struct row_kind kind) { return EXP2_IN_PAIRS && !kind.is_general; }

/* Whether what comes may be asked for early, too, into the second-level cache. What binds 16-bit floats is arithmetic. */
ALWAYS_INLINE int row_may_ask_twice(struct row_kind kind) { return !IS_SMALL && !is_half(kind.format); }

/* Where weights take the place of those that become results: the stores would otherwise meet in the caches. */
ALWAYS_INLINE int row_shares_weights(struct row_kind kind) {
    return kind.is_general || kind.stream || is_half(kind.format);
}

/* Whether rows may share a vector that is streamed when both are there. */
ALWAYS_INLINE int row_may_have_seams(struct row_kind kind) {
    return STREAMS_ACROSS_ROWS && kind.stream && !is_half(kind.format);
}

ALWAYS_INLINE int is_row_of_logs(struct row_kind kind) { return kind.is_general && kind.is_log; }

/* Of what results are made of. */
ALWAYS_INLINE int32_t row_done_format(struct row_kind kind) {
    return is_row_of_logs(kind) ? kind.format : SOFTATTN_FORMAT_REAL;
}

ALWAYS_INLINE vec row_result(struct row_kind kind, const struct row_done *done, real scale, vec from) {
    return is_row_of_logs(kind) ? log_probability(from, scale, done->base, done->factor)
                                : v_mul(from, v_set(done->factor));
}

/* Columns j … j + cols - 1, of any number. */
NEVER_INLINE void row_narrow_few(struct row_kind kind, const struct row_done *done, real scale, int64_t j,
                                 int64_t cols) {
    VECTOR_ALIGNED real results[STRIPES] = {0}, copy[STRIPES];
    for (const int64_t end = j + cols; j < end; j += STRIPES) {
        const int64_t n = end - j < STRIPES ? end - j : STRIPES, special = done->special_column - j;
        const real *from = few_as_reals(row_done_format(kind), done->from, j, n, copy);
        for (int64_t i = 0; i < n; i += LANES) {
            store_columns(results + i, row_result(kind, done, scale, load_columns(from + i, n - i, 0)),
                          n - i);
        }
        if (kind.has_special && special >= 0 && special < n) {
            results[special] = done->special_value;
        }
        if (n == STRIPES && kind.stream) {
            put_copy(kind.format, done->y, j, STRIPES, results, 1, 1);
        } else {
            put_few_halves(kind.format, done->y, j, n, results);
        }
    }
}

ALWAYS_INLINE void row_done_few(struct row_kind kind, const struct row_done *done, real scale, int64_t j,
                                int64_t cols) {
    const real *from = (const real *)done->from + j;
    real *y = (real *)done->y + j, *kept = row_may_have_seams(kind) ? done->kept : 0;
    if (is_half(kind.format)) {
        const struct row_done copy = *done; /* what a call gets the address of, loops keep in memory */
        row_narrow_few(kind, &copy, scale, j, cols);
    } else if (kind.has_special) {
        row_multiply_but_one(from, cols, done->factor, y, kind.stream, done->special_column - j,
                             done->special_value, kept);
    } else if (is_row_of_logs(kind)) {
        row_subtract(from, cols, scale, done->base, done->factor, y, kind.stream, kept);
    } else {
        row_multiply(from, cols, done->factor, y, kind.stream, kept);
    }
}

/* Four vectors that are aligned where stream says so, which here need not be a constant. */
ALWAYS_INLINE void store_four(real *y, vec y_0, vec y_1, vec y_2, vec y_3, int stream) {
    if (stream) {
        v_stream(y, y_0);
        v_stream(y + LANES, y_1);
        v_stream(y + 2 * LANES, y_2);
        v_stream(y + 3 * LANES, y_3);
    } else {
        v_store(y, y_0);
        v_store(y + LANES, y_1);
        v_store(y + 2 * LANES, y_2);
        v_store(y + 3 * LANES, y_3);
    }
}

/* row_done_four of rows that are general. */
ALWAYS_INLINE void row_done_general_four(struct row_kind kind, const struct row_done *done, real scale,
                                         int64_t j) {
    VECTOR_ALIGNED real copy[MOST_COPIED];
    const real *from = as_reals(row_done_format(kind), done->from, j, 4 * LANES, copy);
    vec y_0 = v_load(from), y_1 = v_load(from + LANES), y_2 = v_load(from + 2 * LANES),
        y_3 = v_load(from + 3 * LANES);
    y_0 = row_result(kind, done, scale, y_0);
    y_1 = row_result(kind, done, scale, y_1);
    y_2 = row_result(kind, done, scale, y_2);
    y_3 = row_result(kind, done, scale, y_3);
    if (is_half(kind.format)) {
        store_four(copy, y_0, y_1, y_2, y_3, 0);
        put_copy(kind.format, done->y, j, 4 * LANES, copy, 0, kind.stream);
    } else {
        store_four((real *)done->y + j, y_0, y_1, y_2, y_3, kind.stream);
    }
}

/* Four vectors at column j; what is left, if that is less. */
ALWAYS_INLINE void row_done_four(struct row_kind kind, struct row_done *done, real scale, int64_t j) {
    const vec factor = v_set(done->factor);
    VECTOR_ALIGNED real products[MOST_COPIED];
    if (j + 4 * LANES > done->cols) {
        if (row_shares_weights(kind) && j < done->cols) { /* elsewhere all rows are as long as this one */
            row_done_few(kind, done, scale, j, done->cols - j);
            done->cols = j;
        }
    } else if (kind.is_general) {
        row_done_general_four(kind, done, scale, j);
    } else if (kind.has_special && (uint64_t)(done->special_column - j) < (uint64_t)(4 * LANES)) {
        row_done_few(kind, done, scale, j, 4 * LANES);
    } else {
        for (int i = 0; i < 4 * LANES; i += LANES) {
            const vec product = v_mul(v_load((const real *)done->from + j + i), factor);
            v_put(kind.format, done->y, j, i, products, product, kind.stream);
        }
        put_copy(kind.format, done->y, j, 4 * LANES, products, 0, kind.stream);
    }
}

/* All that is left from column j on. */
ALWAYS_INLINE void row_done_rest(struct row_kind kind, const struct row_done *done, real scale, int64_t j) {
    if (kind.has_special || kind.is_general || is_half(kind.format)) {
        row_done_few(kind, done, scale, j, done->cols - j);
    } else {
        short_row_multiply((const real *)done->from + j, done->cols - j, done->factor, (real *)done->y + j,
                           kind.stream, row_may_have_seams(kind) ? done->kept : 0);
    }
}

ALWAYS_INLINE vec row_score(struct row_kind kind, vec x, real scale) {
    return kind.is_general ? v_mul(x, v_set(scale)) : x;
}

/* Four vectors at column j, as exponents for v_exp2_two or v_exp2_four. */
ALWAYS_INLINE void row_exponents(struct row_kind kind, const void *x, real scale, int64_t j, vec max,
                                 vec factor, vec *e_0, vec *e_1, vec *e_2, vec *e_3) {
    VECTOR_ALIGNED real copy[MOST_COPIED];
    const real *from = as_reals(kind.format, x, j, 4 * LANES, copy);
    *e_0 = exp2_bounded(row_exponent(row_score(kind, v_load(from), scale), max, factor));
    *e_1 = exp2_bounded(row_exponent(row_score(kind, v_load(from + LANES), scale), max, factor));
    *e_2 = exp2_bounded(row_exponent(row_score(kind, v_load(from + 2 * LANES), scale), max, factor));
    *e_3 = exp2_bounded(row_exponent(row_score(kind, v_load(from + 3 * LANES), scale), max, factor));
}

/* What row_weights does, in the columns from j on, less than a turn. */
ALWAYS_INLINE void row_weights_rest(struct row_kind kind, const void *x, real scale, int64_t j, int64_t cols,
                                    vec max, vec factor, real *to, real *sums) {
    VECTOR_ALIGNED real copy[MOST_COPIED];
    const real *rest = few_as_reals(kind.format, x, j, cols - j, copy);
    for (int64_t i = 0; i < cols - j; i += LANES) {
        const int64_t n = cols - j - i < LANES ? cols - j - i : LANES;
        const vec score = row_score(kind, v_load_part(rest + i, n, -REAL_INFINITY), scale);
        const vec p = v_exp2(row_exponent(score, max, factor));
        if (to) {
            v_store_part(to + j + i, p, n);
        }
        stripe_add(sums, i, p);
    }
}

/* Of the columns from j on, at most MOST_COPIED. */
ALWAYS_INLINE real row_max_rest(int32_t format, const void *row, int64_t j, int64_t cols) {
    VECTOR_ALIGNED real copy[MOST_COPIED];
    const real *rest = few_as_reals(format, row, j, cols - j, copy);
    vec max = v_set(-REAL_INFINITY);
    for (int64_t i = 0; i < cols - j; i += LANES) {
        max = v_max(load_columns(rest + i, cols - j - i, -REAL_INFINITY), max);
    }
    return v_reduce_max(max);
}

/* Of the columns from j on, of any number. */
NEVER_INLINE real row_max_from(int32_t format, const void *row, int64_t j, int64_t cols) {
    real max = -REAL_INFINITY;
    if (!is_half(format)) {
        return row_max((const real *)row + j, cols - j);
    }
    for (; j < cols; j += MOST_COPIED) {
        const int64_t end = cols - j < MOST_COPIED ? cols : j + MOST_COPIED;
        const real some = row_max_rest(format, row, j, end);
        max = some > max ? some : max;
    }
    return max;
}

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; x may be `to`. Sums are arrays of reals because scalable vectors
 * cannot be array elements. */
SPEED_INLINE void row_weights(const void *x, int64_t cols, real max_value, real factor_value, real *to,
                              real *sums, struct row_company company) {
    const vec max = v_set(max_value), factor = v_set(factor_value);
    const struct row_kind kind = company.kind;
    const int32_t format = kind.format;
    vec largest = v_set(-REAL_INFINITY); /* one is enough: registers are scarcer than time between them */
    struct half_extremes extremes = half_extremes_of_none(format);
    VECTOR_ALIGNED real parts[STRIPES]; /* nobody else's, so that they stay in registers */
    stripes_start(parts);
    int64_t j = 0;
    const int64_t whole = cols / (TURN_VECTORS * LANES) * (TURN_VECTORS * LANES);
    vec e_0 = v_zero(), e_1 = e_0, e_2 = e_0, e_3 = e_0;
    if (row_exponents_ahead(kind) && whole > 0) {
        row_exponents(kind, x, company.scale, 0, max, factor, &e_0, &e_1, &e_2, &e_3);
    }
    for (; j < whole; j += TURN_VECTORS * LANES) {
        if (company.soon) {
            prefetch_elements(format, company.soon, j, TURN_VECTORS * LANES, 1);
        }
        if (row_may_ask_twice(kind) && company.later) {
            prefetch_elements(format, company.later, j, TURN_VECTORS * LANES, 0);
        }
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            const int64_t at = j + v * LANES;
            if (!row_exponents_ahead(kind)) {
                row_exponents(kind, x, company.scale, at, max, factor, &e_0, &e_1, &e_2, &e_3);
            }
            vec p_0 = e_0, p_1 = e_1, p_2 = e_2, p_3 = e_3;
            if (row_exponents_ahead(kind) && at + 4 * LANES < whole) {
                row_exponents(kind, x, company.scale, at + 4 * LANES, max, factor, &e_0, &e_1, &e_2, &e_3);
            }
            if (row_exponentials_by_two(kind)) {
                v_exp2_two(&p_0, &p_1, EXP2_BOUNDED);
                v_exp2_two(&p_2, &p_3, EXP2_BOUNDED);
            } else {
                v_exp2_four(&p_0, &p_1, &p_2, &p_3, EXP2_BOUNDED);
            }
            if (is_half(format) && company.next) {
                half_extremes_add(company.next, at, 4 * LANES, &extremes);
            } else if (!is_half(format) && company.next) {
                const real *next = (const real *)company.next + at;
                largest = v_max(largest, v_load(next));
                largest = v_max(largest, v_load(next + LANES));
                largest = v_max(largest, v_load(next + 2 * LANES));
                largest = v_max(largest, v_load(next + 3 * LANES));
            }
            if (row_shares_weights(kind)) {
                row_done_four(kind, &company.done, company.scale, at);
            }
            if (to) {
                v_store(to + at, p_0);
                v_store(to + at + LANES, p_1);
                v_store(to + at + 2 * LANES, p_2);
                v_store(to + at + 3 * LANES, p_3);
            }
            stripe_add(parts, v * LANES, p_0);
            stripe_add(parts, (v + 1) * LANES, p_1);
            stripe_add(parts, (v + 2) * LANES, p_2);
            stripe_add(parts, (v + 3) * LANES, p_3);
            if (!row_shares_weights(kind)) {
                row_done_four(kind, &company.done, company.scale, at);
            }
        }
    }
    if (row_may_ask_twice(kind) && company.later && j < cols) {
        prefetch_row((const real *)company.later + j, cols - j);
    }
    /* Loops with calls would otherwise keep the sums in memory and in registers. */
    const int has_calls = row_shares_weights(kind);
    if (has_calls) {
        stripes_copy(parts, sums);
    }
    if (j < company.done.cols) {
        row_done_rest(kind, &company.done, company.scale, j);
    }
    if (j < cols) {
        row_weights_rest(kind, x, company.scale, j, cols, max, factor, to, has_calls ? sums : parts);
    }
    if (!has_calls) {
        stripes_copy(parts, sums);
    }
    if (company.next) {
        const real turns = is_half(format) ? half_extremes_largest(format, extremes) : v_reduce_max(largest);
        const int64_t next_cols = kind.is_general ? company.next_cols : cols;
        const real rest = j >= next_cols    ? turns
                          : kind.is_general ? row_max_from(format, company.next, j, next_cols)
                                            : row_max_rest(format, company.next, j, next_cols);
        *company.next_max = (turns > rest ? turns : rest) + 0; /* of -0 and +0, +0 */
    }
}

#endif
