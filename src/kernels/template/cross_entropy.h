/*
 * Cross-entropy of one row and its gradient (struct softattn_row_cross_entropy), in three sweeps: the extreme logit; the
 * weights with the sums; the gradient. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H
#define SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/stream.h"

/* The row in the kernels' own type. */
struct entropy_row {
    const real *x, *q, *w; /* q: target probabilities; q and w may be NULL */
    const real *next_x, *next_q;
    int64_t cols;
    real scale, exponent_scale; /* exponent_scale: scale * log2(e) */
    real keep, spread;          /* 1 - smoothing, smoothing / cols */
};

static struct entropy_row entropy_row(const struct softattn_row_cross_entropy *row) {
    const int is_smoothed = row->smoothing != 0 && row->cols > 0;
    return (struct entropy_row){.x = row->x,
                                .q = row->probabilities,
                                .w = row->weights,
                                .next_x = row->prefetch_x,
                                .next_q = row->prefetch_probabilities,
                                .cols = row->cols,
                                .scale = (real)row->scale,
                                .exponent_scale = (real)(row->scale * 1.44269504088896340735992468100189214),
                                .keep = (real)(1 - row->smoothing),
                                .spread = is_smoothed ? (real)(row->smoothing / (double)row->cols) : 0};
}

/* ---- The logit with the largest scale * x ---- */

static real row_min(const real *x, int64_t cols) {
    vec min = v_set(REAL_INFINITY);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec x_j = v_load_part(x + j, cols - j < LANES ? cols - j : LANES, REAL_INFINITY);
        min = v_select(v_less(x_j, min), x_j, min);
    }
    return -v_reduce_max(v_sub(v_zero(), min));
}

static real entropy_extreme(const struct entropy_row *row) {
    return (row->scale < 0 ? row_min : row_max)(row->x, row->cols) + 0; /* of -0 and +0, +0 */
}

/* ---- Weights and sums ---- */

/* Sums over the row: of the weights p, of the target weights a, and of a_j * (extreme - x_j). */
struct entropy_sums {
    real weights, targets, distance;
};

/* The first n lanes of v, and 0 in the others. */
ALWAYS_INLINE vec first_lanes(vec v, int64_t n) {
    real lanes[STRIPES];
    v_store_part(lanes, v, n);
    return v_load_part(lanes, n, 0);
}

ALWAYS_INLINE vec load_lanes(const real *p, int64_t n, real fill) {
    return n == LANES ? v_load(p) : v_load_part(p, n, fill);
}

/* Target weights a of n columns from j on, a target class's own share left out. The lanes after them are 0. */
ALWAYS_INLINE vec entropy_targets(const struct entropy_row *row, int64_t j, int64_t n) {
    vec a = v_set(row->spread);
    if (row->q) {
        a = v_fma(load_lanes(row->q + j, n, 0), v_set(row->keep), a);
    }
    if (row->w) {
        a = v_mul(load_lanes(row->w + j, n, 0), a);
    }
    return n == LANES ? a : first_lanes(a, n);
}

/* What n columns from j on add to the stripes' sums; their weights go into `to` (NULL: not wanted). */
ALWAYS_INLINE void entropy_add(const struct entropy_row *row, int64_t j, int64_t n, real extreme, real *to,
                               real *weights, real *targets, real *distance) {
    const vec below = v_sub(load_lanes(row->x + j, n, extreme), v_set(extreme));
    const vec p = v_exp2(v_mul(below, v_set(row->exponent_scale)));
    const vec a = entropy_targets(row, j, n);
    const vec counted = v_select(v_equal(a, v_zero()), v_zero(), below);
    v_store(targets, v_add(v_load(targets), a));
    v_store(distance, v_fma(a, counted, v_load(distance)));
    v_store(weights, v_add(v_load(weights), n == LANES ? p : first_lanes(p, n)));
    if (to && n == LANES) {
        v_store(to + j, p);
    } else if (to) {
        v_store_part(to + j, p, n);
    }
}

/* With target weights on any column, and with any scale. */
static struct entropy_sums entropy_general_sums(const struct entropy_row *row, real extreme, real *to) {
    real weights[STRIPES], targets[STRIPES], distance[STRIPES];
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(weights + i, v_zero());
        v_store(targets + i, v_zero());
        v_store(distance + i, v_zero());
    }
    int64_t j = 0;
    for (; j + STRIPES <= row->cols; j += STRIPES) {
        if (row->next_x) {
            prefetch_stripes(row->next_x + j);
        }
        if (row->next_q) {
            prefetch_stripes(row->next_q + j);
        }
        for (int i = 0; i < STRIPES; i += LANES) {
            entropy_add(row, j + i, LANES, extreme, to, weights + i, targets + i, distance + i);
        }
    }
    for (int i = 0; i < STRIPES && j < row->cols; i += LANES, j += LANES) {
        const int64_t rest = row->cols - j < LANES ? row->cols - j : LANES;
        entropy_add(row, j, rest, extreme, to, weights + i, targets + i, distance + i);
    }
    return (struct entropy_sums){stripe_sum(weights), stripe_sum(targets), -stripe_sum(distance)};
}

/* With target weights on a target class alone, and a positive scale: the sums of a softmax. */
static struct entropy_sums entropy_plain_sums(const struct entropy_row *row, real extreme, real *to) {
    const struct row_ahead ahead = {row->next_x, 0, row->cols * REAL_BYTES <= NEAR_ROW_BYTES};
    real weights[STRIPES];
    row_weights(row->x, row->cols, extreme, row->exponent_scale, to, weights, ahead);
    return (struct entropy_sums){stripe_sum(weights), 0, 0};
}

/* ---- The gradient ---- */

/* What the gradient is made of; the share is the target class's own, with all targets in q there is none. */
struct entropy_gradient {
    real *to;
    real extreme;
    real ratio, minus_factor; /* r and -f */
    int64_t target;           /* -1: none */
    real share;
};

/* n columns from j on with weights p, the share left out. is_plain: there are no other target weights. */
ALWAYS_INLINE vec entropy_mix(const struct entropy_row *row, int is_plain, const struct entropy_gradient *g,
                              int64_t j, int64_t n, vec p) {
    const vec ratio = v_set(g->ratio);
    return is_plain ? v_mul(p, ratio)
                    : v_fma(p, ratio, v_mul(entropy_targets(row, j, n), v_set(g->minus_factor)));
}

/* In place of the weights, which the sweep before left there. */
ALWAYS_INLINE void entropy_store_row(const struct entropy_row *row, int is_plain,
                                     const struct entropy_gradient *g) {
    int64_t j = 0;
    for (; j + LANES <= row->cols; j += LANES) {
        v_store(g->to + j, entropy_mix(row, is_plain, g, j, LANES, v_load(g->to + j)));
    }
    if (j < row->cols) {
        const int64_t n = row->cols - j;
        v_store_part(g->to + j, entropy_mix(row, is_plain, g, j, n, v_load_part(g->to + j, n, 0)), n);
    }
    if (g->target >= 0) {
        g->to[g->target] = real_fma(g->share, g->minus_factor, g->to[g->target]);
    }
}

ALWAYS_INLINE vec entropy_exponent(const struct entropy_row *row, const struct entropy_gradient *g, int64_t j,
                                   int64_t n) {
    const vec below = v_sub(load_lanes(row->x + j, n, g->extreme), v_set(g->extreme));
    return v_mul(below, v_set(row->exponent_scale));
}

/* n columns from j on, their weights computed again. */
ALWAYS_INLINE vec entropy_again(const struct entropy_row *row, int is_plain, const struct entropy_gradient *g,
                                int64_t j, int64_t n) {
    return entropy_mix(row, is_plain, g, j, n, v_exp2(entropy_exponent(row, g, j, n)));
}

/* Streams the vectors between columns j and end. Returns the column after them. */
ALWAYS_INLINE int64_t entropy_stream(const struct entropy_row *row, int is_plain,
                                     const struct entropy_gradient *g, int64_t j, int64_t end) {
    for (; j + 4 * LANES <= end; j += 4 * LANES) {
        const int64_t j_1 = j + LANES, j_2 = j + 2 * LANES, j_3 = j + 3 * LANES;
        vec p_0 = entropy_exponent(row, g, j, LANES), p_1 = entropy_exponent(row, g, j_1, LANES);
        vec p_2 = entropy_exponent(row, g, j_2, LANES), p_3 = entropy_exponent(row, g, j_3, LANES);
        v_exp2_four(&p_0, &p_1, &p_2, &p_3, 1);
        v_stream(g->to + j, entropy_mix(row, is_plain, g, j, LANES, p_0));
        v_stream(g->to + j_1, entropy_mix(row, is_plain, g, j_1, LANES, p_1));
        v_stream(g->to + j_2, entropy_mix(row, is_plain, g, j_2, LANES, p_2));
        v_stream(g->to + j_3, entropy_mix(row, is_plain, g, j_3, LANES, p_3));
    }
    for (; j + LANES <= end; j += LANES) {
        v_stream(g->to + j, entropy_again(row, is_plain, g, j, LANES));
    }
    return j;
}

ALWAYS_INLINE void entropy_store_part(const struct entropy_row *row, int is_plain,
                                      const struct entropy_gradient *g, int64_t j, int64_t n) {
    if (n > 0) {
        v_store_part(g->to + j, entropy_again(row, is_plain, g, j, n), n);
    }
}

/*
 * Around the caches. The weights are computed again, which is cheaper than keeping them in memory that crowds the row
 * itself out of the caches. The share goes into the vector of the target before that is streamed: a store to the same
 * line afterwards would cost more than the row.
 */
ALWAYS_INLINE void entropy_stream_row(const struct entropy_row *row, int is_plain,
                                      const struct entropy_gradient *g) {
    const int64_t head = stream_head(g->to, row->cols);
    int64_t j = head;
    int has_share = g->target < 0;
    entropy_store_part(row, is_plain, g, 0, head);
    if (g->target >= head) {
        real values[STRIPES];
        j = entropy_stream(row, is_plain, g, head, g->target);
        if (j + LANES <= row->cols) {
            v_store(values, entropy_again(row, is_plain, g, j, LANES));
            values[g->target - j] = real_fma(g->share, g->minus_factor, values[g->target - j]);
            v_stream(g->to + j, v_load(values));
            has_share = 1;
            j += LANES;
        }
    }
    j = entropy_stream(row, is_plain, g, j, row->cols);
    entropy_store_part(row, is_plain, g, j, row->cols - j);
    if (!has_share) {
        g->to[g->target] = real_fma(g->share, g->minus_factor, g->to[g->target]);
    }
}

static void entropy_gradient(const struct entropy_row *row, const struct entropy_gradient *g, int stream) {
    const int is_plain = !row->q && row->spread == 0;
    if (stream && is_plain) {
        entropy_stream_row(row, 1, g);
    } else if (stream) {
        entropy_stream_row(row, 0, g);
    } else if (is_plain) {
        entropy_store_row(row, 1, g);
    } else {
        entropy_store_row(row, 0, g);
    }
}

/* ---- The row ---- */

/* Results that are the same for all columns. */
static void entropy_fill(const struct softattn_row_cross_entropy *row, real value) {
    if (row->loss) {
        *(real *)row->loss = value;
    }
    if (row->gradient) {
        row_fill(row->gradient, row->cols, value);
    }
}

/* What the loss and the gradient need of a row. */
struct entropy_state {
    real extreme, below_target; /* below_target: extreme - x of the target */
    struct entropy_sums sums;
    real share, log_sum, lse;
};

static real entropy_loss(const struct entropy_row *row, const struct entropy_state *s, real z_loss) {
    const real distance =
        s->share == 0 ? s->sums.distance : real_fma(s->share, s->below_target, s->sums.distance);
    const real loss = real_fma(s->sums.targets + s->share, s->log_sum, row->scale * distance);
    return z_loss == 0 ? loss : real_fma(z_loss * s->lse, s->lse, loss);
}

static struct entropy_gradient entropy_ratios(const struct softattn_row_cross_entropy *row,
                                              const struct entropy_state *s) {
    const real factor = (real)(row->scale * row->factor), z_loss = (real)row->z_loss;
    const real targets = s->sums.targets + s->share;
    const real total = z_loss == 0 ? targets : real_fma(2 * z_loss, s->lse, targets);
    return (struct entropy_gradient){.to = row->gradient,
                                     .extreme = s->extreme,
                                     .ratio = factor * total / s->sums.weights,
                                     .minus_factor = -factor,
                                     .target = row->probabilities ? -1 : row->target,
                                     .share = s->share};
}

static void cross_entropy(const struct softattn_row_cross_entropy *row) {
    const struct entropy_row r = entropy_row(row);
    const int is_ignored = !r.q && row->target < 0;
    const int has_target = !r.q && !is_ignored;
    if (is_ignored && !row->lse) {
        entropy_fill(row, 0);
        return;
    }
    const real extreme = entropy_extreme(&r), max = r.scale * extreme;
    struct entropy_state s = {.extreme = max == -REAL_INFINITY ? 0 : extreme};
    real *weights = is_ignored || row->stream ? 0 : row->gradient;
    s.below_target = has_target ? s.extreme - r.x[row->target] : 0;
    s.sums = r.q || r.spread != 0 || !(r.scale > 0) ? entropy_general_sums(&r, s.extreme, weights)
                                                    : entropy_plain_sums(&r, s.extreme, weights);
    s.log_sum = real_log(s.sums.weights);
    s.lse = max + s.log_sum;
    if (row->lse) {
        *(real *)row->lse = s.lse;
    }
    if (is_ignored || s.sums.weights == 0) {
        entropy_fill(row, is_ignored ? 0 : (real)__builtin_nanf(""));
        return;
    }
    s.share = !has_target ? 0 : r.w ? r.keep * r.w[row->target] : r.keep;
    if (row->loss) {
        *(real *)row->loss = entropy_loss(&r, &s, (real)row->z_loss);
    }
    if (row->gradient) {
        const struct entropy_gradient gradient = entropy_ratios(row, &s);
        entropy_gradient(&r, &gradient, row->stream);
    }
    if (row->fence) {
        V_FENCE();
    }
}

#endif
