/*
 * Cross-entropy of rows with a target class, without label smoothing and with a scale above 0: they go through row_run.h, where the
 * sweeps of neighbours are one loop.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ENTROPY_CLASSES_H
#define SOFTATTN_KERNELS_TEMPLATE_ENTROPY_CLASSES_H

#include "kernels/kernels.h"
#include "kernels/template/elements.h"
#include "kernels/template/entropy_row.h"
#include "kernels/template/row_run.h"

/* Logarithms one after another do not wait for each other, as they would between the sweeps. */
enum { ENTROPY_BATCH = 16 };

/* Losses and log-sum-exps of rows number first … first + count - 1, whose target classes have been read. */
NEVER_INLINE void entropy_put_batch(const struct softattn_row_cross_entropy *rows, int64_t first,
                                    int64_t count, struct entropy_state *states) {
    struct entropy_row row = entropy_common(rows);
    for (int64_t i = 0; i < count; i++) {
        entropy_set(&row, rows, first + i);
        if (row.z_loss == 0) { /* else the gradient has needed it */
            entropy_take_log(&states[i]);
        }
        entropy_put(&row, &states[i]);
    }
}

/* None of them ignored. */
SPEED_INLINE void entropy_class_rows(struct row_kind kind, const struct softattn_row_cross_entropy *rows,
                                     int64_t first, int64_t end) {
    struct entropy_state states[ENTROPY_BATCH];
    struct entropy_row row = entropy_common(rows);
    entropy_set(&row, rows, first);
    struct seam seam;
    struct row_run run = {.cols = row.cols,
                          .left = end - first,
                          .x = row.x,
                          .x_step = rows->x_step,
                          .y = row.to,
                          .y_step = row.to ? rows->gradient_step : 0,
                          .asking = rows->asking,
                          .looks_far = row_is_quick(row.cols),
                          .exponent_factor = row.exponent_scale,
                          .scratch = row_run_scratch(rows->scratch),
                          .seam = &seam};
    row_run_start(kind, &run);
    for (int64_t r = first; r < end; r++) {
        const int64_t batched = (r - first) % ENTROPY_BATCH;
        struct entropy_state *state = &states[batched];
        row.to = run.y;
        row.target = rows->targets[r];
        entropy_begin(&row, run.max, element_value(kind.format, run.x, row.target), state);
        state->sums.weights = row_run_weights(kind, &run, state->extreme);
        state->sums.targets = state->sums.distance = 0;
        if (row.z_loss != 0) {
            entropy_take_log(state);
        }
        if (entropy_has_gradient(&row, state)) {
            const struct entropy_gradient gradient = entropy_ratios(&row, state);
            const real weight = row_run_kept_weights(kind, &run)[row.target];
            run.done.special_column = row.target;
            run.done.special_value = real_fma(gradient.share, gradient.minus_factor, weight * gradient.ratio);
            row_run_hand_over(kind, &run, gradient.ratio);
        } else {
            row_run_skip(kind, &run);
        }
        if ((rows->loss || rows->lse) && (batched == ENTROPY_BATCH - 1 || r == end - 1)) {
            entropy_put_batch(rows, r - batched, batched + 1, states);
        }
    }
    row_run_finish(kind, &run);
}

static void entropy_class_rows_of(const struct softattn_row_cross_entropy *rows, int64_t first, int64_t end) {
    if (is_half(rows->format)) {
        entropy_class_rows(
            (struct row_kind){.format = rows->format, .has_special = 1, .stream = rows->stream}, rows, first,
            end);
    } else if (rows->stream) {
        entropy_class_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .has_special = 1, .stream = 1},
                           rows, first, end);
    } else {
        entropy_class_rows((struct row_kind){.format = SOFTATTN_FORMAT_REAL, .has_special = 1}, rows, first,
                           end);
    }
}

#endif
