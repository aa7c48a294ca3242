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
#include "kernels/template/log.h"
#include "kernels/template/row_run.h"

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

static void row_fill_empty(const struct softattn_row *row, void *y) {
    const real zero = row->output == SOFTATTN_ROW_LOG_PROBABILITIES ? -REAL_INFINITY : 0;
    fill_elements(row->format, y, row->cols, row->empty_is_zero ? zero : (real)__builtin_nanf(""));
}

/* Plain rows, many at a time. */
SPEED_INLINE void plain_rows(struct row_kind kind, const struct softattn_row *row) {
    struct row_run run = {.cols = row->cols,
                          .left = row->rows,
                          .x = row->x,
                          .x_step = row->x_step,
                          .y = row->y,
                          .y_step = row->y_step,
                          .exponent_factor = LOG2_E,
                          .scratch = row->scratch,
                          .prefetch = row->prefetch};
    row_run_start(kind, &run);
    while (run.left > 0) {
        const real base = row_base(run.max), sum = row_run_weights(kind, &run, base);
        if (sum == 0) {
            row_fill_empty(row, run.y);
            row_run_skip(kind, &run);
        } else {
            run.done.base = base;
            row_run_hand_over(kind, &run, kind.is_log ? real_log(sum) : 1 / sum);
        }
    }
    row_run_finish(kind, &run);
}

static void plain_rows_of(const struct softattn_row *row) {
    if (is_half(row->format)) {
        plain_rows((struct row_kind){.format = row->format, .stream = row->stream}, row);
    } else if (row->output == SOFTATTN_ROW_LOG_PROBABILITIES) {
        if (row->stream) {
            plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .stream = 1, .is_log = 1}, row);
        } else {
            plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .is_log = 1}, row);
        }
    } else if (row->stream) {
        plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .stream = 1}, row);
    } else {
        plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL}, row);
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
        row_subtract(s, row->cols, base, real_log(sum), y, 0);
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
        !first->max) {
        plain_rows_of(first);
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
