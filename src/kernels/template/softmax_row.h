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
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"

/* Scores of a row that is not plain, into scratch; -infinity where masked. */
static const real *row_scores(const struct softattn_row *row) {
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

static real row_max(const real *s, int64_t cols) {
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

/* The rows that come next, or NULL: one to be read, one to be written. */
struct row_ahead {
    const real *read, *write;
    int is_near; /* rows so short that the next ones fit the first-level cache beside these */
    /* the weights of the row before, whose probabilities are streamed out meanwhile; NULL: none */
    const real *finished;
    real *finished_y;
    real finished_factor;
};

enum { NEAR_ROW_BYTES = 8192 };

/* Streams out the part of the row before that one turn of the loop at element j is about. */
ALWAYS_INLINE void row_stream_finished(struct row_ahead ahead, int64_t j) {
    for (int i = 0; ahead.finished && i < TURN_VECTORS * LANES; i += LANES) {
        v_stream(ahead.finished_y + j + i,
                 v_mul(v_load(ahead.finished + j + i), v_set(ahead.finished_factor)));
    }
}

/* Asks for the part of the next rows that one turn of the loop at element j is about. */
ALWAYS_INLINE void row_ask_ahead(struct row_ahead ahead, int64_t j) {
    for (int i = 0; i < TURN_VECTORS * LANES; i += 64 / REAL_BYTES) {
        if (ahead.read && ahead.is_near) {
            V_PREFETCH(ahead.read + j + i);
        } else if (ahead.read) {
            V_PREFETCH_FAR(ahead.read + j + i);
        }
        if (ahead.write) {
            V_PREFETCH_WRITE(ahead.write + j + i);
        }
    }
}

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; s may be `to`. The sums stay in memory because scalable
 * vectors cannot be array elements; it costs nothing measurable. */
ALWAYS_INLINE void row_weights(const real *s, int64_t cols, real max_value, real factor_value, real *to,
                               real *sums, struct row_ahead ahead) {
    const vec max = v_set(max_value), factor = v_set(factor_value);
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(sums + i, v_zero());
    }
    int64_t j = 0;
    for (; j + TURN_VECTORS * LANES <= cols; j += TURN_VECTORS * LANES) {
        row_ask_ahead(ahead, j);
        row_stream_finished(ahead, j);
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            const real *from = s + j + v * LANES;
            vec p_0 = row_exponent(v_load(from), max, factor);
            vec p_1 = row_exponent(v_load(from + LANES), max, factor);
            vec p_2 = row_exponent(v_load(from + 2 * LANES), max, factor);
            vec p_3 = row_exponent(v_load(from + 3 * LANES), max, factor);
            v_exp2_four(&p_0, &p_1, &p_2, &p_3, 1);
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

/* The halving tree over the stripes. */
ALWAYS_INLINE real stripe_sum(real *sums) {
    for (int width = STRIPES; width > LANES; width /= 2) {
        for (int i = 0; i < width / 2; i += LANES) {
            v_store(sums + i, v_add(v_load(sums + i), v_load(sums + i + width / 2)));
        }
    }
    return v_reduce_add(v_load(sums));
}

static void row_fill(real *y, int64_t cols, real value) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_set(value));
    }
    v_store_part(y + j, v_set(value), cols - j);
}

static void row_multiply(const real *p, int64_t cols, real factor, real *y, int stream) {
    int64_t j = 0;
    if (stream) {
        /* streamed stores want whole aligned vectors */
        const int64_t head = (int64_t)((0 - (uintptr_t)y / REAL_BYTES) % (uintptr_t)LANES);
        const int64_t first = head < cols ? head : cols;
        v_store_part(y, v_mul(v_load_part(p, first, 0), v_set(factor)), first);
        for (j = first; j + LANES <= cols; j += LANES) {
            v_stream(y + j, v_mul(v_load(p + j), v_set(factor)));
        }
    }
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_mul(v_load(p + j), v_set(factor)));
    }
    if (j < cols) {
        v_store_part(y + j, v_mul(v_load_part(p + j, cols - j, 0), v_set(factor)), cols - j);
    }
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

static void row_statistics(const struct softattn_row *row, real max, real sum) {
    if (row->lse) {
        *(real *)row->lse = sum == 0 ? -REAL_INFINITY : max + real_log(sum);
    }
    if (row->max) {
        *(real *)row->max = sum == sum ? max : sum + max;
    }
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

/*
 * Plain rows to probabilities, many at a time. The maximum of the next row is found between the weights of this one and
 * their scaling, so that neither waits for the end of a reduction.
 */
static void plain_rows(const struct softattn_row *row) {
    const real *x = row->x;
    real *y = row->y;
    real max = row_signless_max(x, row->cols);
    for (int64_t r = 0; r < row->rows; r++) {
        const int is_last = r + 1 == row->rows;
        const real *next = x + row->x_step;
        real *weights = row->stream ? (real *)row->scratch : y;
        real sums[STRIPES];
        const struct row_ahead ahead = {.read = is_last ? row->prefetch : next,
                                        .write = is_last || row->stream ? 0 : y + row->y_step,
                                        .is_near = row->cols * REAL_BYTES <= NEAR_ROW_BYTES};
        row_weights(x, row->cols, row_base(max), LOG2_E, weights, sums, ahead);
        const real sum = stripe_sum(sums);
        max = is_last ? 0 : row_signless_max(next, row->cols);
        if (sum == 0) {
            row_fill_empty(row, y);
        } else {
            row_multiply(weights, row->cols, 1 / sum, y, row->stream);
        }
        x = next;
        y += row->y_step;
    }
    if (row->stream) {
        V_FENCE();
    }
}

/* Whether every row of y starts where streamed stores may go without a head of single elements. */
static int rows_are_aligned(const struct softattn_row *row) {
    const uintptr_t vector = (uintptr_t)LANES * REAL_BYTES;
    return (uintptr_t)row->y % vector == 0 && (uintptr_t)(row->y_step * REAL_BYTES) % vector == 0;
}

/*
 * Plain rows to streamed probabilities: the weights of two rows take turns in scratch, so that each row's stores go out
 * while the weights of the next are computed, and memory and arithmetic overlap.
 */
static void streamed_rows(const struct softattn_row *row) {
    const real *x = row->x;
    real *y = row->y;
    real *weights = row->scratch, *other = weights + row->cols;
    const int64_t turns = row->cols / (TURN_VECTORS * LANES) * (TURN_VECTORS * LANES);
    struct row_ahead ahead = {.is_near = 0};
    real max = row_signless_max(x, row->cols);
    for (int64_t r = 0; r < row->rows; r++) {
        const int is_last = r + 1 == row->rows;
        const real *next = x + row->x_step;
        real sums[STRIPES];
        ahead.read = is_last ? row->prefetch : next;
        row_weights(x, row->cols, row_base(max), LOG2_E, weights, sums, ahead);
        if (ahead.finished) {
            row_multiply(other + turns, row->cols - turns, ahead.finished_factor, ahead.finished_y + turns,
                         1);
        }
        const real sum = stripe_sum(sums);
        max = is_last ? 0 : row_signless_max(next, row->cols);
        ahead.finished = sum == 0 ? 0 : weights;
        ahead.finished_factor = sum == 0 ? 0 : 1 / sum;
        ahead.finished_y = y;
        if (sum == 0) {
            row_fill_empty(row, y);
        }
        real *swap = weights;
        weights = other;
        other = swap;
        x = next;
        y += row->y_step;
    }
    if (ahead.finished) {
        row_multiply(other, row->cols, ahead.finished_factor, ahead.finished_y, 1);
    }
    V_FENCE();
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
    row_weights(s, row->cols, row_base(max), LOG2_E, weights, sums,
                (struct row_ahead){.read = row->prefetch});
    const real sum = stripe_sum(sums);
    row_statistics(row, max, sum);
    if (!y) {
        return;
    }
    if (sum == 0) {
        row_fill_empty(row, y);
    } else if (log_output) {
        row_subtract(s, row->cols, row_base(max), real_log(sum), y);
    } else {
        row_multiply(weights, row->cols, 1 / sum, y, row->stream);
    }
    if (row->stream) {
        V_FENCE();
    }
}

static void softmax_row(const struct softattn_row *first) {
    struct softattn_row row = *first;
    if (row_is_plain(first) && first->y && !first->lse && !first->max &&
        first->output == SOFTATTN_ROW_PROBABILITIES) {
        if (first->stream && rows_are_aligned(first)) {
            streamed_rows(first);
        } else {
            plain_rows(first);
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
