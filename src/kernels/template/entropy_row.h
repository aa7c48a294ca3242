/*
 * One row of cross-entropy: what it is given, and loss, log-sum-exp and the gradient's factors from its sums, however those came
 * about. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ENTROPY_ROW_H
#define SOFTATTN_KERNELS_TEMPLATE_ENTROPY_ROW_H

#include "kernels/kernels.h"
#include "kernels/template/elements.h"
#include "kernels/template/log.h"

/* One row, everything in the kernels' own type. */
struct entropy_row {
    /* the same for all rows */
    const real *w; /* class weights; NULL: 1 */
    int64_t cols;
    real scale, exponent_scale; /* exponent_scale: scale * log2(e) */
    real keep, spread;          /* 1 - smoothing, smoothing / cols */
    real factor, z_loss;        /* factor: scale * that of the gradient */
    int32_t format;             /* of x and the gradient in memory */
    int stream;                 /* store the gradient around the caches */
    /* the row's own */
    const void *x;               /* reals, but for rows with a target class alone */
    const real *q;               /* target probabilities; NULL: none */
    const real *next_x, *next_q; /* asked for meanwhile; NULL: none */
    int64_t target;              /* negative: none, because of q or because the row is ignored */
    void *to;                    /* the gradient, like x; NULL: not wanted */
    real *loss, *lse;            /* NULL: not wanted */
    real *weights;               /* where the weights are kept for the gradient; NULL: nowhere */
};

static struct entropy_row entropy_common(const struct softattn_row_cross_entropy *rows) {
    const int is_smoothed = rows->smoothing != 0 && rows->cols > 0;
    return (struct entropy_row){.w = rows->weights,
                                .cols = rows->cols,
                                .scale = (real)rows->scale,
                                .exponent_scale = (real)(rows->scale * 1.44269504088896340735992468100189214),
                                .keep = (real)(1 - rows->smoothing),
                                .spread = is_smoothed ? (real)(rows->smoothing / (double)rows->cols) : 0,
                                .factor = (real)(rows->scale * rows->factor),
                                .z_loss = (real)rows->z_loss,
                                .format = rows->format,
                                .stream = rows->stream};
}

/* Sums over the row: of the weights p, of the target weights a, and of a_j * (extreme - x_j). */
struct entropy_sums {
    real weights, targets, distance;
};

/* What the gradient is made of; the share is the target class's own, with all targets in q there is none. */
struct entropy_gradient {
    real *to;
    const real *weights;      /* may be `to` */
    real ratio, minus_factor; /* r and -f */
    int64_t target;           /* negative: none */
    real share;
    int stream; /* store around the caches */
};

/* What the loss and the gradient need of a row. */
struct entropy_state {
    real extreme, max; /* max: scale * extreme */
    real below_target; /* extreme - x of the target */
    real share;        /* the target's own; 0 without one */
    struct entropy_sums sums;
    real log_sum, lse;
};

static real entropy_loss(const struct entropy_row *row, const struct entropy_state *s) {
    const real distance =
        s->share == 0 ? s->sums.distance : real_fma(s->share, s->below_target, s->sums.distance);
    const real loss = real_fma(s->sums.targets + s->share, s->log_sum, row->scale * distance);
    return row->z_loss == 0 ? loss : real_fma(row->z_loss * s->lse, s->lse, loss);
}

static struct entropy_gradient entropy_ratios(const struct entropy_row *row, const struct entropy_state *s) {
    const real targets = s->sums.targets + s->share;
    const real total = row->z_loss == 0 ? targets : real_fma(2 * row->z_loss, s->lse, targets);
    return (struct entropy_gradient){.to = row->to,
                                     .weights = row->weights,
                                     .ratio = row->factor * total / s->sums.weights,
                                     .minus_factor = -row->factor,
                                     .target = row->target,
                                     .share = s->share,
                                     .stream = row->stream};
}

static int entropy_is_ignored(const struct entropy_row *row) { return !row->q && row->target < 0; }

/* Ignored rows are read for their log-sum-exp alone. */
static int entropy_is_read(const struct entropy_row *row) { return !entropy_is_ignored(row) || row->lse; }

/* All but the sums, from the extreme logit and, where there is a target class, that one's. */
static void entropy_begin(const struct entropy_row *row, real extreme, real target_x,
                          struct entropy_state *s) {
    s->max = row->cols == 0 ? -REAL_INFINITY : row->scale * extreme; /* the scale may be 0 */
    s->extreme = s->max == -REAL_INFINITY ? 0 : extreme;
    s->log_sum = 0;
    s->lse = s->max;
    s->below_target = row->target >= 0 ? s->extreme - target_x : 0;
    s->share = row->target < 0 ? 0 : row->w ? row->keep * row->w[row->target] : row->keep;
}

ALWAYS_INLINE void entropy_take_log(struct entropy_state *s) {
    s->log_sum = real_log(s->sums.weights);
    s->lse = s->max + s->log_sum;
}

/* Loss and log-sum-exp, from the logarithm on; of a row that is ignored only the latter comes from it. */
ALWAYS_INLINE void entropy_put(const struct entropy_row *row, const struct entropy_state *s) {
    if (row->lse) {
        *row->lse = s->lse;
    }
    if (row->loss) {
        *row->loss = entropy_is_ignored(row) ? 0
                     : s->sums.weights == 0  ? (real)__builtin_nanf("")
                                             : entropy_loss(row, s);
    }
}

/* Whether there is a gradient, other than the same number everywhere, which is then filled in. */
ALWAYS_INLINE int entropy_has_gradient(const struct entropy_row *row, const struct entropy_state *s) {
    if (row->to && (entropy_is_ignored(row) || s->sums.weights == 0)) {
        fill_elements(row->format, row->to, row->cols, entropy_is_ignored(row) ? 0 : (real)__builtin_nanf(""),
                      0);
        return 0;
    }
    return row->to != 0;
}

static const void *entropy_at(int32_t format, const void *array, int64_t index) {
    return array ? element_at(format, array, index) : 0;
}
static const real *real_at(const void *array, int64_t index) {
    return entropy_at(SOFTATTN_FORMAT_REAL, array, index);
}

/* Makes row, which has what all rows have in common, row number r. */
static void entropy_set(struct entropy_row *row, const struct softattn_row_cross_entropy *rows, int64_t r) {
    const int64_t next = rows->prefetch && r + 1 < rows->rows ? r + 1 : -1;
    row->x = entropy_at(rows->format, rows->x, r * rows->x_step);
    row->q = real_at(rows->probabilities, r * rows->probabilities_step);
    row->next_x = next < 0 ? 0 : entropy_at(rows->format, rows->x, next * rows->x_step);
    row->next_q = next < 0 ? 0 : real_at(rows->probabilities, next * rows->probabilities_step);
    row->target = row->q ? -1 : rows->targets[r];
    row->to = (void *)entropy_at(rows->format, rows->gradient, r * rows->gradient_step);
    row->loss = (real *)real_at(rows->loss, r * rows->loss_step);
    row->lse = (real *)real_at(rows->lse, r * rows->lse_step);
    row->weights = entropy_is_ignored(row) ? 0 : rows->stream ? rows->scratch : row->to;
}

#endif
