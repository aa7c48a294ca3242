/*
 * Softmax of one row (struct softattn_row).
 *
 * Order of arithmetic: m = max of the visible scores; p_j = exp2((s_j - m) * log2(e)), 0 where masked; STRIPES partial
 * sums, stripe i adding p_j for j = i mod STRIPES ascending from 0; then a halving tree, stripe i plus stripe i + w/2.
 * y_j = p_j * (1 / sum), or (s_j - m) - ln(sum).
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_ROW_H
#define SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_ROW_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/convert.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/stream.h"

/* Loops that each kind of row gets of its own, unless the code is to be small. */
#ifdef __OPTIMIZE_SIZE__
#define ROW_INLINE NEVER_INLINE
#else
#define ROW_INLINE ALWAYS_INLINE
#endif

/* Scores of a row that is not plain, into scratch; -infinity where masked. */
NEVER_INLINE const real *row_scores(const struct softattn_row *row) {
    const real *x = row->x;
    const real *bias = row->bias;
    real *scores = row->scratch;
    const real scale = (real)row->scale;
    int64_t j = 0;
    for (; j < row->first; j++) {
        scores[j] = -REAL_INFINITY;
    }
    if (!bias) {
        for (; j + LANES <= row->last; j += LANES) {
            v_store(scores + j, v_mul(v_set(scale), v_load(x + j)));
        }
        if (j < row->last) {
            const int64_t rest = row->last - j;
            v_store_part(scores + j, v_mul(v_set(scale), v_load_part(x + j, rest, 0)), rest);
            j = row->last;
        }
    } else {
        for (; row->bias_stride == 1 && j + LANES <= row->last; j += LANES) {
            const vec b = v_load(bias + j);
            const vec s = v_fma(v_set(scale), v_load(x + j), b);
            v_store(scores + j, v_select(v_equal(b, v_set(-REAL_INFINITY)), b, s));
        }
        for (; j < row->last; j++) {
            const real b = bias[j * row->bias_stride];
            scores[j] = b == -REAL_INFINITY ? b : real_fma(scale, x[j], b);
        }
    }
    for (; j < row->cols; j++) {
        scores[j] = -REAL_INFINITY;
    }
    if (row->keep) {
        for (j = row->first; j < row->last; j++) {
            scores[j] = row->keep[j * row->keep_stride] ? scores[j] : -REAL_INFINITY;
        }
    }
    return scores;
}

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

/* Vector v of the row belongs to the stripes of vector v mod STRIPE_VECTORS. */
ALWAYS_INLINE void add_to_stripe(real *sums, int v, vec p) {
    real *sum = sums + v % STRIPE_VECTORS * LANES;
    v_store(sum, v_add(v_load(sum), p));
}

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

/* What is done for other rows while the weights of one are computed. */
struct row_company {
    const real *next; /* a row whose maximum is found; NULL: none */
    real *next_max;
    const real *done; /* the weights of the row before, which become probabilities */
    real *done_y, done_factor;
    int64_t done_cols; /* how many of them are left; 0: none */
    int stream;        /* these go around the caches, and done_y is aligned */
    /* of floats only: rows that lie in memory as 16-bit floats of a format */
    int32_t format;
    const uint16_t *next_halves; /* what becomes the floats at next meanwhile; NULL: they are there */
    uint16_t *done_halves;       /* in the place of done_y; NULL: done_y */
    const real *later; /* what is asked for, from later + j on when column j is at work; NULL: nothing */
    int later_is_near; /* to the first-level cache, else to the second */
};

#if SOFTATTN_REAL_BITS == 32

/* Columns of the next row that become floats in one turn of the loop at column j. */
ALWAYS_INLINE void row_widen_turn(const struct row_company *company, int64_t j) {
    for (int i = 0; i < TURN_VECTORS * LANES; i += HALVES) {
        widen_block(company->format, company->next_halves + j + i, (real *)company->next + j + i);
    }
}

/* HALVES weights times factor, in place, and the 16-bit floats of that. */
ALWAYS_INLINE void multiply_block(int32_t format, real *weights, vec factor, uint16_t *to, int stream) {
    for (int i = 0; i < HALVES; i += LANES) {
        const int64_t left = HALVES - i;
        store_columns(weights + i, v_mul(load_columns(weights + i, left, 0), factor), left);
    }
    narrow_block(format, weights, to, stream);
}

/* As row_finish_turn, for 16-bit floats. */
ALWAYS_INLINE void row_narrow_turn(const struct row_company *company, int64_t j) {
    for (int i = 0; i < TURN_VECTORS * LANES; i += HALVES) {
        multiply_block(company->format, (real *)company->done + j + i, v_set(company->done_factor),
                       company->done_halves + j + i, company->stream);
    }
}

/* The columns from j on. */
NEVER_INLINE void row_widen_rest(const struct row_company *company, int64_t j, int64_t cols) {
    widen(company->format, cols - j, company->next_halves + j, (real *)company->next + j);
}

NEVER_INLINE void row_narrow_rest(const struct row_company *company, int64_t j) {
    real *weights = (real *)company->done;
    for (; j + HALVES <= company->done_cols; j += HALVES) {
        multiply_block(company->format, weights + j, v_set(company->done_factor), company->done_halves + j,
                       company->stream);
    }
    const int64_t left = company->done_cols - j;
    row_multiply(weights + j, left, company->done_factor, weights + j, 0);
    narrow(company->format, left, weights + j, company->done_halves + j, 0);
}

#else
ALWAYS_INLINE void row_widen_turn(const struct row_company *company, int64_t j) { (void)company, (void)j; }
ALWAYS_INLINE void row_narrow_turn(const struct row_company *company, int64_t j) { (void)company, (void)j; }
ALWAYS_INLINE void row_widen_rest(const struct row_company *company, int64_t j, int64_t cols) {
    (void)company, (void)j, (void)cols;
}
ALWAYS_INLINE void row_narrow_rest(const struct row_company *company, int64_t j) { (void)company, (void)j; }
#endif

/* The share of the row before in one turn of the loop at column j. */
ALWAYS_INLINE void row_finish_turn(const struct row_company *company, int64_t j) {
    const vec factor = v_set(company->done_factor);
    for (int i = 0; i < TURN_VECTORS * LANES; i += LANES) {
        store_whole(company->done_y + j + i, v_mul(v_load(company->done + j + i), factor), company->stream);
    }
}

ALWAYS_INLINE void row_ask_turn(const struct row_company *company, int64_t j) {
    for (int i = 0; i < TURN_VECTORS * LANES; i += 64 / REAL_BYTES) {
        if (company->later_is_near) {
            V_PREFETCH(company->later + j + i);
        } else {
            V_PREFETCH_FAR(company->later + j + i);
        }
    }
}

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; s may be `to`. The sums stay in memory because scalable
 * vectors cannot be array elements; it costs nothing measurable. */
ROW_INLINE void row_weights(const real *s, int64_t cols, real max_value, real factor_value, real *to,
                            real *sums, struct row_company company) {
    const vec max = v_set(max_value), factor = v_set(factor_value);
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    stripes_start(sums);
    int64_t j = 0;
    for (; j + TURN_VECTORS * LANES <= cols; j += TURN_VECTORS * LANES) {
        if (company.later) {
            row_ask_turn(&company, j);
        }
        if (company.next_halves) {
            row_widen_turn(&company, j);
        }
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            const real *from = s + j + v * LANES;
            vec p_0 = row_exponent(v_load(from), max, factor);
            vec p_1 = row_exponent(v_load(from + LANES), max, factor);
            vec p_2 = row_exponent(v_load(from + 2 * LANES), max, factor);
            vec p_3 = row_exponent(v_load(from + 3 * LANES), max, factor);
            v_exp2_four(&p_0, &p_1, &p_2, &p_3, 1);
            if (company.next) {
                const real *next = company.next + j + v * LANES;
                max_0 = v_max(v_load(next), max_0);
                max_1 = v_max(v_load(next + LANES), max_1);
                max_2 = v_max(v_load(next + 2 * LANES), max_2);
                max_3 = v_max(v_load(next + 3 * LANES), max_3);
            }
            if (to) {
                real *at = to + j + v * LANES;
                v_store(at, p_0);
                v_store(at + LANES, p_1);
                v_store(at + 2 * LANES, p_2);
                v_store(at + 3 * LANES, p_3);
            }
            add_to_stripe(sums, v, p_0);
            add_to_stripe(sums, v + 1, p_1);
            add_to_stripe(sums, v + 2, p_2);
            add_to_stripe(sums, v + 3, p_3);
        }
        if (j + TURN_VECTORS * LANES <= company.done_cols && company.done_halves) {
            row_narrow_turn(&company, j);
        } else if (j + TURN_VECTORS * LANES <= company.done_cols) {
            row_finish_turn(&company, j);
        }
    }
    if (company.next_halves) {
        row_widen_rest(&company, j, cols);
    }
    if (company.next) {
        const real turns = v_reduce_max(v_max(v_max(max_0, max_1), v_max(max_2, max_3)));
        const real rest = j < cols ? short_row_max(company.next + j, cols - j) : turns;
        *company.next_max = (turns > rest ? turns : rest) + 0; /* of -0 and +0, +0 */
    }
    const int64_t done =
        company.done_cols < j ? company.done_cols / (TURN_VECTORS * LANES) * (TURN_VECTORS * LANES) : j;
    if (company.done_halves) {
        row_narrow_rest(&company, done);
    } else if (done < company.done_cols) {
        short_row_multiply(company.done + done, company.done_cols - done, company.done_factor,
                           company.done_y + done, company.stream);
    }
    for (int v = 0; j < cols; v++, j += LANES) {
        const int64_t rest = cols - j < LANES ? cols - j : LANES;
        const vec p = v_exp2(row_exponent(v_load_part(s + j, rest, -REAL_INFINITY), max, factor));
        if (to) {
            v_store_part(to + j, p, rest);
        }
        add_to_stripe(sums, v, p);
    }
}

NEVER_INLINE void row_fill(real *y, int64_t cols, real value) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_set(value));
    }
    v_store_part(y + j, v_set(value), cols - j);
}

static void row_subtract(const real *s, int64_t cols, real max, real log_sum, real *y) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_sub(v_sub(v_load(s + j), v_set(max)), v_set(log_sum)));
    }
    if (j < cols) {
        v_store_part(y + j, v_sub(v_sub(v_load_part(s + j, cols - j, 0), v_set(max)), v_set(log_sum)),
                     cols - j);
    }
}

/* base: what the largest score, max, is subtracted as */
static void row_statistics(const struct softattn_row *row, real max, real base, real sum) {
    if (row->lse) {
        *(real *)row->lse = sum == 0 ? -REAL_INFINITY : base + real_log(sum);
    }
    if (row->max) {
        *(real *)row->max = sum == sum ? max : sum + max;
    }
}

/* The weight of a score that is not in the row. */
NEVER_INLINE real row_weight_of(real score, real base) {
    return v_reduce_max(v_exp2(row_exponent(v_set(score), v_set(base), v_set(LOG2_E))));
}

static int row_is_plain(const struct softattn_row *row) {
    return !row->bias && !row->keep && row->scale == 1 && row->first == 0 && row->last == row->cols;
}

/* What the largest score of a row is subtracted as: a row without visible scores has -infinity for it. */
ALWAYS_INLINE real row_base(real max) { return max == -REAL_INFINITY ? 0 : max; }

/* A maximum of -0 and +0 is +0, whatever their order. */
ALWAYS_INLINE real row_signless_max(const real *s, int64_t cols) { return row_max(s, cols) + 0; }

static void row_fill_empty(const struct softattn_row *row, real *y) {
    const real zero = row->output == SOFTATTN_ROW_LOG_PROBABILITIES ? -REAL_INFINITY : 0;
    row_fill(y, row->cols, row->empty_is_zero ? zero : (real)__builtin_nanf(""));
}

enum {
    QUICK_ROW_BYTES = 4096, /* rows that are over before the maximum of the next is reduced */
    LEAD_BYTES = 8192 /* how far before its use a row is asked for: more does not stay in a 32 KiB cache */
};

/* The weights of a row, now that their sum is known, are finished along with the next row. */
ALWAYS_INLINE void row_hand_over(struct row_company *company, const real *weights, int64_t cols, real sum,
                                 real *y) {
    const int64_t head = company->stream ? stream_head(y, cols) : 0;
    company->done_factor = 1 / sum;
    company->done = weights + head;
    company->done_y = y + head;
    company->done_cols = cols - head;
    if (head > 0) {
        row_multiply(weights, head, company->done_factor, y, 0);
    }
}

/*
 * Plain rows to probabilities, many at a time: while the weights of a row are computed, the maximum of a later one is found
 * and the one before gets its factor, so that no row waits for the end of a reduction, and memory not for arithmetic.
 * Streamed rows leave their weights in scratch, in turns.
 */
ROW_INLINE void plain_rows(const struct softattn_row *row, int stream) {
    const int64_t cols = row->cols, x_step = row->x_step, lead = LEAD_BYTES / REAL_BYTES;
    const int64_t lookahead = cols * REAL_BYTES <= QUICK_ROW_BYTES ? 2 : 1;
    /* LEAD_BYTES on from the row whose maximum is found, gaps between rows not counted */
    const int64_t later = lookahead * x_step + lead / cols * x_step + lead % cols;
    const real *x = row->x;
    real *y = row->y;
    struct row_company company = {.stream = stream, .later_is_near = 1};
    real max = row_signless_max(x, cols), max_after = 0;
    if (lookahead == 2 && row->rows > 1) {
        max_after = row_signless_max(x + x_step, cols);
    }
    for (int64_t r = 0; r < row->rows; r++) {
        const int is_looking = r + lookahead < row->rows;
        real *weights = stream ? (real *)row->scratch + r % 2 * cols : y;
        real sums[STRIPES], next_max = 0;
        if (stream) {
            prefetch_row_end(y + cols);
        }
        company.next = is_looking ? x + lookahead * x_step : 0;
        company.next_max = &next_max;
        company.later = is_looking ? x + later : row->prefetch;
        row_weights(x, cols, row_base(max), LOG2_E, weights, sums, company);
        max = lookahead == 2 ? max_after : next_max;
        max_after = next_max;
        const real sum = stripe_sum(sums);
        if (sum == 0) {
            row_fill_empty(row, y);
            company.done_cols = 0;
        } else {
            row_hand_over(&company, weights, cols, sum, y);
        }
        x += x_step;
        y += row->y_step;
    }
    if (company.done_cols > 0) {
        row_multiply(company.done, company.done_cols, company.done_factor, company.done_y, stream);
    }
    if (stream) {
        V_FENCE();
    }
}

/* One row with everything that may be asked of it. */
static void full_row(const struct softattn_row *row) {
    const real *s = row_is_plain(row) ? row->x : row_scores(row);
    const int log_output = row->output == SOFTATTN_ROW_LOG_PROBABILITIES;
    real sums[STRIPES];
    real *y = row->y;
    /* log-probabilities need the scores again, streamed rows keep their weights in scratch */
    real *weights = log_output ? 0 : row->stream ? (real *)row->scratch : y;
    const real max = row_signless_max(s, row->cols);
    const real base = row->plus_one && max < 0 ? 0 : row_base(max);
    row_weights(s, row->cols, base, LOG2_E, weights, sums, (struct row_company){.later = row->prefetch});
    const real sum = stripe_sum(sums) + (row->plus_one ? row_weight_of(0, base) : 0);
    row_statistics(row, max, base, sum);
    if (!y) {
        return;
    }
    if (sum == 0) {
        row_fill_empty(row, y);
    } else if (log_output) {
        row_subtract(s, row->cols, base, real_log(sum), y);
    } else {
        row_multiply(weights, row->cols, 1 / sum, y, row->stream);
    }
    if (row->stream) {
        V_FENCE();
    }
}

static void softmax_row(const struct softattn_row *first) {
    struct softattn_row row = *first;
    if (row_is_plain(first) && !first->plus_one && first->cols > 0 && first->y && !first->lse &&
        !first->max && first->output == SOFTATTN_ROW_PROBABILITIES) {
        if (first->stream) {
            plain_rows(first, 1);
        } else {
            plain_rows(first, 0);
        }
        return;
    }
    for (int64_t r = 0; r < first->rows; r++) {
        const real *next = (const real *)row.x + row.x_step;
        row.prefetch = r + 1 < first->rows ? next : first->prefetch;
        full_row(&row);
        row.x = next;
        row.y = row.y ? (real *)row.y + row.y_step : 0;
    }
}

#endif
