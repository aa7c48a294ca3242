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

/* -infinity where keep says so. */
NEVER_INLINE void hide_scores(const struct softattn_row *row, real *scores) {
    uint8_t few[STRIPES] = {0};
    for (int64_t j = row->first; j < row->last; j += LANES) {
        const int64_t n = row->last - j < LANES ? row->last - j : LANES;
        const uint8_t *keep = row->keep + j * row->keep_stride;
        if (n < LANES || row->keep_stride != 1) {
            for (int64_t i = 0; i < n; i++) {
                few[i] = keep[i * row->keep_stride];
            }
            keep = few;
        }
        const vec s = load_columns(scores + j, n, 0);
        store_columns(scores + j, v_select(v_nonzero(keep), s, v_set(-REAL_INFINITY)), n);
    }
}

/* Scores of a row that is not plain, into scratch; -infinity where masked. */
NEVER_INLINE const real *row_scores(const struct softattn_row *row) {
    const real *x = row->x;
    const real *bias = row->bias;
    real *scores = row->scratch;
    const real scale = (real)row->scale;
    int64_t j = 0;
    if (row->first > 0) {
        row_fill(scores, row->first, -REAL_INFINITY);
        j = row->first;
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
    row_fill(scores + j, row->cols - j, -REAL_INFINITY);
    if (row->keep) {
        hide_scores(row, scores);
    }
    return scores;
}

/* Of row number r; base: what its largest score, max, is subtracted as. */
ALWAYS_INLINE void row_statistics(const struct softattn_row *row, int64_t r, real max, real base, real sum) {
    if (row->lse) {
        ((real *)row->lse)[r * row->lse_step] = sum == 0 ? -REAL_INFINITY : base + real_log(sum);
    }
    if (row->max) {
        ((real *)row->max)[r * row->max_step] = sum == sum ? max : sum + max;
    }
}

/* The weight of a score that is not in the row. */
NEVER_INLINE real row_weight_of(real score, real base) {
    return v_reduce_max(v_exp2(row_exponent(v_set(score), v_set(base), v_set(LOG2_E))));
}

/* The scores of the first row are x. */
static int row_is_plain(const struct softattn_row *row) {
    return !row->bias && !row->keep && row->scale == 1 && row->first == 0 && row->last == row->cols;
}

static void row_fill_empty(const struct softattn_row *row, void *y) {
    const real zero = row->output == SOFTATTN_ROW_LOG_PROBABILITIES ? -REAL_INFINITY : 0;
    fill_elements(row->format, y, row->cols, row->empty_is_zero ? zero : (real)__builtin_nanf(""));
}

/* Probabilities of plain rows. */
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
        const real sum = row_run_weights(kind, &run, row_base(run.max));
        if (sum == 0) {
            row_fill_empty(row, run.y);
            row_run_skip(kind, &run);
        } else {
            row_run_hand_over(kind, &run, 1 / sum);
        }
    }
    row_run_finish(kind, &run);
}

static void plain_rows_of(const struct softattn_row *row) {
    if (is_half(row->format)) {
        plain_rows((struct row_kind){.format = row->format, .stream = row->stream}, row);
    } else if (row->stream) {
        plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .stream = 1}, row);
    } else {
        plain_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL}, row);
    }
}

/* Results of columns that are not visible, in a row that is not empty. In one with a NaN they are NaN. */
static void row_fill_masked(const struct row_run *run, real base, real factor, int stream) {
    if (run->last < run->cols) {
        const real masked = run->is_log ? -REAL_INFINITY - base - factor : 0 * factor;
        row_fill_far((real *)run->y + run->last, run->cols - run->last, masked, stream);
    }
}

/* Rows of scores scale * x with a scale above 0, of which the first columns are visible, and anything that may be asked of
 * them. */
static void general_rows(const struct softattn_row *row) {
    const struct row_kind kind = {.format = SOFTATTN_FORMAT_REAL, .stream = row->stream, .is_general = 1};
    struct row_run run = {.cols = row->cols,
                          .left = row->rows,
                          .x = row->x,
                          .x_step = row->x_step,
                          .y = row->y,
                          .y_step = row->y ? row->y_step : 0,
                          .last = row->last,
                          .last_step = row->last_step,
                          .scale = (real)row->scale,
                          .is_log = row->output == SOFTATTN_ROW_LOG_PROBABILITIES,
                          .exponent_factor = LOG2_E,
                          .scratch = row->scratch,
                          .prefetch = row->prefetch};
    row_run_start(kind, &run);
    for (int64_t r = 0; r < row->rows; r++) {
        const real max = run.max, base = row->plus_one && max < 0 ? 0 : row_base(max);
        const real sum = row_run_weights(kind, &run, base) + (row->plus_one ? row_weight_of(0, base) : 0);
        row_statistics(row, r, max, base, sum);
        if (sum == 0 && run.y) {
            row_fill_empty(row, run.y);
        }
        if (sum == 0 || !run.y) {
            row_run_skip(kind, &run);
        } else {
            const real factor = run.is_log ? real_log(sum) : 1 / sum;
            run.done.base = base;
            row_fill_masked(&run, base, factor, kind.stream);
            row_run_hand_over(kind, &run, factor);
        }
    }
    row_run_finish(kind, &run);
}

/* Rows of any scores, one after another: the scores are made first. */
static void masked_rows(const struct softattn_row *rows) {
    struct softattn_row row = *rows, scores = *rows;
    scores.rows = 1;
    scores.bias = 0;
    scores.keep = 0;
    scores.scale = 1;
    scores.first = 0;
    scores.last = rows->cols;
    for (int64_t r = 0; r < rows->rows; r++) {
        const void *next = (const real *)row.x + row.x_step;
        scores.prefetch = r + 1 < rows->rows ? next : rows->prefetch;
        scores.x = row_scores(&row);
        general_rows(&scores);
        row.x = next;
        row.bias = row.bias ? (const real *)row.bias + row.bias_step : 0;
        row.keep = row.keep ? row.keep + row.keep_step : 0;
        row.last += row.last_step;
        scores.y = scores.y ? (real *)scores.y + scores.y_step : 0;
        scores.lse = scores.lse ? (real *)scores.lse + scores.lse_step : 0;
        scores.max = scores.max ? (real *)scores.max + scores.max_step : 0;
    }
}

static void softmax_row(const struct softattn_row *row) {
    const real scale = (real)row->scale;
    const int asks_for_more = row->lse || row->max || row->plus_one || !row->y ||
                              row->output != SOFTATTN_ROW_PROBABILITIES || row->last_step != 0;
    if (row->cols == 0 || row->bias || row->keep || row->first > 0 || !(scale > 0 && scale <= REAL_LARGEST)) {
        masked_rows(row);
    } else if (row_is_plain(row) && !asks_for_more) {
        plain_rows_of(row);
    } else {
        general_rows(row);
    }
}

#endif
