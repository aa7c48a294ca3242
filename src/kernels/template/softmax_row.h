/*
 * Softmax of rows (struct softattn_row).
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

/* -infinity where the keep mask of row number r says so. */
NEVER_INLINE void hide_scores(const struct softattn_row *row, int64_t r, int64_t last, real *scores) {
    uint8_t few[STRIPES] = {0};
    for (int64_t j = row->first; j < last; j += LANES) {
        const int64_t n = last - j < LANES ? last - j : LANES;
        const uint8_t *keep = row->keep + r * row->keep_step + j * row->keep_stride;
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

/* Scores of row number r, of a row that is not plain; -infinity where masked. */
NEVER_INLINE const real *row_scores(const struct softattn_row *row, int64_t r, real *scores) {
    const real *x = (const real *)row->x + r * row->x_step;
    const real *bias = row->bias ? (const real *)row->bias + r * row->bias_step : 0;
    const real scale = (real)row->scale;
    const int64_t last = row->lasts ? row->lasts[r] : row->last + r * row->last_step;
    int64_t j = row->first;
    row_fill(scores, j, -REAL_INFINITY);
    if (!bias) {
        for (; j < last; j += LANES) {
            const int64_t left = last - j;
            store_columns(scores + j, v_mul(v_set(scale), load_columns(x + j, left, 0)), left);
        }
    } else {
        for (; row->bias_stride == 1 && j + LANES <= last; j += LANES) {
            const vec b = v_load(bias + j);
            const vec s = v_fma(v_set(scale), v_load(x + j), b);
            v_store(scores + j, v_select(v_equal(b, v_set(-REAL_INFINITY)), b, s));
        }
        for (; j < last; j++) {
            const real b = bias[j * row->bias_stride];
            scores[j] = b == -REAL_INFINITY ? b : real_fma(scale, x[j], b);
        }
    }
    j = last > row->first ? last : row->first;
    row_fill(scores + j, row->cols - j, -REAL_INFINITY);
    if (row->keep) {
        hide_scores(row, r, last, scores);
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

/* Whether the scores of the first row are x itself. */
static int row_is_plain(const struct softattn_row *row) {
    return !row->bias && !row->keep && row->scale == 1 && row->first == 0 && row->last == row->cols;
}

static void row_fill_empty(const struct softattn_row *row, void *y) {
    const real zero = row->output == SOFTATTN_ROW_LOG_PROBABILITIES ? -REAL_INFINITY : 0;
    fill_elements(row->format, y, row->cols, row->empty_is_zero ? zero : (real)__builtin_nanf(""), 0);
}

/* Probabilities of plain rows. */
SPEED_INLINE void plain_rows(struct row_kind kind, const struct softattn_row *row) {
    struct seam seam;
    struct row_run run = {.cols = row->cols,
                          .left = row->rows,
                          .x = row->x,
                          .x_step = row->x_step,
                          .y = row->y,
                          .y_step = row->y_step,
                          .looks_far = row_is_quick(row->cols),
                          .asking = row->asking,
                          .exponent_factor = LOG2_E,
                          .scratch = row_run_scratch(row->scratch),
                          .seam = &seam,
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
static void row_fill_masked(struct row_kind kind, const struct row_run *run, real base, real factor) {
    const int64_t last = row_run_cols(kind, run, 0);
    if (last < run->cols) {
        const real masked = kind.is_log ? -REAL_INFINITY - base - factor : 0 * factor;
        fill_elements(kind.format, element_to(kind.format, run->y, last), run->cols - last, masked,
                      kind.stream);
    }
}

/* Scores that are made first lie in scratch behind the weights, those of three rows, as log-probabilities need the row before;
 * those of a single row where its weights will be. */
static real *row_score_place(const struct softattn_row *row, int64_t r) {
    return row_run_scratch(row->scratch) + (row->rows > 1 ? (1 + r % 3) * row->cols : 0);
}

/* Makes the scores of row number r, which comes next, if there is one. */
static void row_run_make_scores(const struct softattn_row *row, int64_t r, struct row_run *run) {
    real *scores = row_score_place(row, r);
    if (r < row->rows) {
        row_scores(row, r, scores);
    }
    run->x_step = scores - (const real *)run->x;
    run->source = r + 1 < row->rows ? (const real *)row->x + (r + 1) * row->x_step : row->prefetch;
}

/* Scores are x times a scale above 0 in the first columns; with has_masks any others, all of which are made before. */
ALWAYS_INLINE void general_rows_of(int32_t format, const struct softattn_row *row, int has_masks) {
    const struct row_kind kind = {.format = format,
                                  .stream = row->stream,
                                  .is_general = 1,
                                  .is_log = row->output == SOFTATTN_ROW_LOG_PROBABILITIES};
    struct seam seam;
    struct row_run run = {.cols = row->cols,
                          .left = row->rows,
                          .x = has_masks ? row_scores(row, 0, row_score_place(row, 0)) : row->x,
                          .x_step = row->x_step,
                          .y = row->y,
                          .y_step = row->y ? row->y_step : 0,
                          .last = has_masks ? row->cols : row->last,
                          .last_step = has_masks ? 0 : row->last_step,
                          .lasts = has_masks ? 0 : row->lasts,
                          .scale = has_masks ? 1 : (real)row->scale,
                          .looks_far = !has_masks && row_is_quick(row->cols),
                          .asking = row->asking,
                          .exponent_factor = LOG2_E,
                          .scratch = row_run_scratch(row->scratch),
                          .seam = &seam,
                          .prefetch = row->prefetch};
    row_run_start(kind, &run);
    for (int64_t r = 0; r < row->rows; r++) {
        if (has_masks) {
            row_run_make_scores(row, r + 1, &run);
        }
        const real max = run.max, base = row->plus_one && max < 0 ? 0 : row_base(max);
        const real sum = row_run_weights(kind, &run, base) + (row->plus_one ? row_weight_of(0, base) : 0);
        row_statistics(row, r, max, base, sum);
        if (sum == 0 && run.y) {
            row_fill_empty(row, run.y);
        }
        if (sum == 0 || !run.y) {
            row_run_skip(kind, &run);
        } else {
            const real factor = kind.is_log ? real_log(sum) : 1 / sum;
            run.done.base = base;
            row_fill_masked(kind, &run, base, factor);
            row_run_hand_over(kind, &run, factor);
        }
    }
    row_run_finish(kind, &run);
}

/* Rows of which anything may be asked; those of 16-bit floats have no masks. One function for both where code is small. */
NEVER_INLINE void general_rows(const struct softattn_row *row, int has_masks) {
    general_rows_of(IS_SMALL ? row->format : SOFTATTN_FORMAT_REAL, row, has_masks);
}
NEVER_INLINE void general_halves(const struct softattn_row *row) {
    const int32_t format = row->format;
    if (is_half(format)) { /* so that compilers leave out what reals would need */
        general_rows_of(format, row, 0);
    }
}

static void softmax_row(const struct softattn_row *row) {
    const real scale = (real)row->scale;
    const int has_masks = row->bias || row->keep || row->first > 0 || !(scale > 0 && scale <= REAL_LARGEST);
    const int asks_for_more = row->lse || row->max || row->plus_one || !row->y ||
                              row->output != SOFTATTN_ROW_PROBABILITIES || row->last_step != 0 || row->lasts;
    if (has_masks || asks_for_more || !row_is_plain(row) || row->cols == 0) {
        if (IS_SMALL || !is_half(row->format)) {
            general_rows(row, has_masks);
        } else {
            general_halves(row);
        }
    } else {
        plain_rows_of(row);
    }
}

#endif
