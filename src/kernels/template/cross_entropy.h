/*
 * Cross-entropy of one row and its gradient (struct softattn_row_cross_entropy), in three sweeps: the maximum; the
 * weights e^(z - m) with the sums; the gradient. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H
#define SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H

#include "kernels/kernels.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/stream.h"

/* The row in the kernels' own type. */
struct entropy_row {
    const real *x, *q, *w; /* q: target probabilities; q and w may be NULL */
    const char *next_x, *next_q;
    int64_t cols;
    real scale, exponent_scale; /* exponent_scale: scale * log2(e) */
    real keep, spread;          /* 1 - smoothing, smoothing / cols */
};

static struct entropy_row entropy_row(const struct softattn_row_cross_entropy *row) {
    return (struct entropy_row){.x = row->x,
                                .q = row->probabilities,
                                .w = row->weights,
                                .next_x = row->prefetch_x,
                                .next_q = row->prefetch_probabilities,
                                .cols = row->cols,
                                .scale = (real)row->scale,
                                .exponent_scale = (real)(row->scale * 1.44269504088896340735992468100189214),
                                .keep = (real)(1 - row->smoothing),
                                .spread =
                                    row->smoothing == 0 ? 0 : (real)(row->smoothing / (double)row->cols)};
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

/* Target weights a of n columns from j on, a target class's own share left out. The lanes after them are 0. */
ALWAYS_INLINE vec entropy_targets(const struct entropy_row *row, int64_t j, int64_t n) {
    vec a = v_set(row->spread);
    if (row->q) {
        a = v_fma(n == LANES ? v_load(row->q + j) : v_load_part(row->q + j, n, 0), v_set(row->keep), a);
    }
    if (row->w) {
        a = v_mul(n == LANES ? v_load(row->w + j) : v_load_part(row->w + j, n, 0), a);
    }
    return n == LANES ? a : first_lanes(a, n);
}

/* x - extreme of n columns from j on, and from it their weights p; 0 in the lanes after them. */
ALWAYS_INLINE vec entropy_below(const struct entropy_row *row, int64_t j, int64_t n, real extreme) {
    const vec x = n == LANES ? v_load(row->x + j) : v_load_part(row->x + j, n, extreme);
    return v_sub(x, v_set(extreme));
}
ALWAYS_INLINE vec entropy_weights(const struct entropy_row *row, int64_t n, vec below) {
    const vec p = v_exp2(v_mul(below, v_set(row->exponent_scale)));
    return n == LANES ? p : first_lanes(p, n);
}

/* What n columns from j on add to the stripes' sums; their weights go into `to` (NULL: not wanted). */
ALWAYS_INLINE void entropy_add(const struct entropy_row *row, int general, int64_t j, int64_t n, real extreme,
                               real *to, real *weights, real *targets, real *distance) {
    const vec below = entropy_below(row, j, n, extreme);
    const vec p = entropy_weights(row, n, below);
    if (general) {
        const vec a = entropy_targets(row, j, n);
        const vec counted = v_select(v_equal(a, v_zero()), v_zero(), below);
        v_store(targets, v_add(v_load(targets), a));
        v_store(distance, v_fma(a, counted, v_load(distance)));
    }
    if (to && n == LANES) {
        v_store(to + j, p);
    } else if (to) {
        v_store_part(to + j, p, n);
    }
    v_store(weights, v_add(v_load(weights), p));
}

ALWAYS_INLINE void stripe_add(real *sums, int64_t column, vec v) {
    real *sum = sums + column % STRIPES;
    v_store(sum, v_add(v_load(sum), v));
}

/* The weights of four vectors of columns from j on, into `to` (NULL: not wanted) and added to their stripes. */
ALWAYS_INLINE void entropy_add_four(const struct entropy_row *row, int64_t j, int64_t stripe, real extreme,
                                    real *to, real *weights) {
    const vec scale = v_set(row->exponent_scale);
    vec p_0 = v_mul(entropy_below(row, j, LANES, extreme), scale);
    vec p_1 = v_mul(entropy_below(row, j + LANES, LANES, extreme), scale);
    vec p_2 = v_mul(entropy_below(row, j + 2 * LANES, LANES, extreme), scale);
    vec p_3 = v_mul(entropy_below(row, j + 3 * LANES, LANES, extreme), scale);
    v_exp2_four(&p_0, &p_1, &p_2, &p_3, 1);
    if (to) {
        v_store(to + j, p_0);
        v_store(to + j + LANES, p_1);
        v_store(to + j + 2 * LANES, p_2);
        v_store(to + j + 3 * LANES, p_3);
    }
    stripe_add(weights, stripe, p_0);
    stripe_add(weights, stripe + LANES, p_1);
    stripe_add(weights, stripe + 2 * LANES, p_2);
    stripe_add(weights, stripe + 3 * LANES, p_3);
}

/* general: target weights are on all columns, not only on a target class. Always a constant where it is used. */
ALWAYS_INLINE struct entropy_sums entropy_sweep(const struct entropy_row *row, int general, real extreme,
                                                real *to) {
    const int64_t block = 4 * LANES > STRIPES ? 4 * LANES : STRIPES;
    real weights[STRIPES], targets[STRIPES], distance[STRIPES];
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(weights + i, v_zero());
        v_store(targets + i, v_zero());
        v_store(distance + i, v_zero());
    }
    int64_t j = 0;
    for (; !general && j + block <= row->cols; j += block) {
        for (int64_t i = 0; row->next_x && i < block; i += STRIPES) {
            prefetch_stripes(row->next_x + (j + i) * REAL_BYTES);
        }
        for (int64_t i = 0; i < block; i += 4 * LANES) {
            entropy_add_four(row, j + i, i, extreme, to, weights);
        }
    }
    for (; j + STRIPES <= row->cols; j += STRIPES) {
        if (row->next_x) {
            prefetch_stripes(row->next_x + j * REAL_BYTES);
        }
        if (general && row->next_q) {
            prefetch_stripes(row->next_q + j * REAL_BYTES);
        }
        for (int i = 0; i < STRIPES; i += LANES) {
            entropy_add(row, general, j + i, LANES, extreme, to, weights + i, targets + i, distance + i);
        }
    }
    for (int i = 0; i < STRIPES && j < row->cols; i += LANES, j += LANES) {
        const int64_t rest = row->cols - j < LANES ? row->cols - j : LANES;
        entropy_add(row, general, j, rest, extreme, to, weights + i, targets + i, distance + i);
    }
    const real target_sum = general ? stripe_sum(targets) : 0;
    return (struct entropy_sums){stripe_sum(weights), target_sum, general ? -stripe_sum(distance) : 0};
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

/* n columns from j on, the share left out. Their weights stand in the gradient's place already, or with stream are
 * computed again: that is cheaper than keeping them in memory that the row itself needs in the caches. */
ALWAYS_INLINE vec entropy_values(const struct entropy_row *row, int general, int stream,
                                 const struct entropy_gradient *g, int64_t j, int64_t n) {
    const vec p = stream       ? entropy_weights(row, n, entropy_below(row, j, n, g->extreme))
                  : n == LANES ? v_load(g->to + j)
                               : v_load_part(g->to + j, n, 0);
    const vec ratio = v_set(g->ratio);
    return general ? v_fma(p, ratio, v_mul(entropy_targets(row, j, n), v_set(g->minus_factor)))
                   : v_mul(p, ratio);
}

/* The vectors between columns j and end. Returns the column after them. */
ALWAYS_INLINE int64_t entropy_store(const struct entropy_row *row, int general, int stream,
                                    const struct entropy_gradient *g, int64_t j, int64_t end) {
    for (; j + LANES <= end; j += LANES) {
        store_whole(g->to + j, entropy_values(row, general, stream, g, j, LANES), stream);
    }
    return j;
}

/* n columns from j on, fewer than a vector. */
ALWAYS_INLINE void entropy_store_part(const struct entropy_row *row, int general, int stream,
                                      const struct entropy_gradient *g, int64_t j, int64_t n) {
    if (n > 0) {
        v_store_part(g->to + j, entropy_values(row, general, stream, g, j, n), n);
    }
}

ALWAYS_INLINE void entropy_store_row(const struct entropy_row *row, int general,
                                     const struct entropy_gradient *g) {
    const int64_t end = entropy_store(row, general, 0, g, 0, row->cols);
    entropy_store_part(row, general, 0, g, end, row->cols - end);
    if (g->target >= 0) {
        g->to[g->target] = real_fma(g->share, g->minus_factor, g->to[g->target]);
    }
}

/* The share goes into the vector of the target before that is streamed: a store to the same line afterwards would cost
 * more than the row. */
ALWAYS_INLINE void entropy_stream_row(const struct entropy_row *row, int general,
                                      const struct entropy_gradient *g) {
    const int64_t head = stream_head(g->to, row->cols);
    int64_t j = head;
    int has_share = g->target < 0;
    entropy_store_part(row, general, 1, g, 0, head);
    if (g->target >= head) {
        real values[STRIPES];
        j = entropy_store(row, general, 1, g, head, g->target);
        if (j + LANES <= row->cols) {
            v_store(values, entropy_values(row, general, 1, g, j, LANES));
            values[g->target - j] = real_fma(g->share, g->minus_factor, values[g->target - j]);
            v_stream(g->to + j, v_load(values));
            has_share = 1;
            j += LANES;
        }
    }
    j = entropy_store(row, general, 1, g, j, row->cols);
    entropy_store_part(row, general, 1, g, j, row->cols - j);
    if (!has_share) {
        g->to[g->target] = real_fma(g->share, g->minus_factor, g->to[g->target]);
    }
}

/* ---- The row ---- */

static void entropy_ignored(const struct softattn_row_cross_entropy *row) {
    if (row->loss) {
        *(real *)row->loss = 0;
    }
    if (row->gradient) {
        row_fill(row->gradient, row->cols, 0);
    }
}

static void entropy_empty(const struct softattn_row_cross_entropy *row) {
    const real nan = (real)__builtin_nanf("");
    if (row->loss) {
        *(real *)row->loss = nan;
    }
    if (row->gradient) {
        row_fill(row->gradient, row->cols, nan);
    }
}

/* at_target: extreme - x of the target class. */
static real entropy_loss(const struct entropy_row *row, const struct entropy_sums *sums, real share,
                         real at_target, real log_sum, real lse, real z_loss) {
    const real distance = share == 0 ? sums->distance : real_fma(share, at_target, sums->distance);
    const real loss = real_fma(sums->targets + share, log_sum, row->scale * distance);
    return z_loss == 0 ? loss : real_fma(z_loss * lse, lse, loss);
}

static void entropy_gradient(const struct entropy_row *r, int general,
                             const struct softattn_row_cross_entropy *row, const struct entropy_sums *sums,
                             real extreme, real share, real lse) {
    const real factor = (real)(row->scale * row->factor), z_loss = (real)row->z_loss;
    const real targets = sums->targets + share;
    const real total = z_loss == 0 ? targets : real_fma(2 * z_loss, lse, targets);
    const struct entropy_gradient g = {.to = row->gradient,
                                       .extreme = extreme,
                                       .ratio = factor * total / sums->weights,
                                       .minus_factor = -factor,
                                       .target = r->q ? -1 : row->target,
                                       .share = share};
    if (row->stream && general) {
        entropy_stream_row(r, 1, &g);
    } else if (row->stream) {
        entropy_stream_row(r, 0, &g);
    } else if (general) {
        entropy_store_row(r, 1, &g);
    } else {
        entropy_store_row(r, 0, &g);
    }
}

static void cross_entropy(const struct softattn_row_cross_entropy *row) {
    const struct entropy_row r = entropy_row(row);
    const int ignored = !r.q && row->target < 0;
    if (ignored && !row->lse) {
        entropy_ignored(row);
        return;
    }
    const int general = r.q || r.spread != 0;
    const real extreme = entropy_extreme(&r);
    const real max = r.scale * extreme;
    const real base = max == -REAL_INFINITY ? 0 : extreme;
    const real at_target = r.q || ignored ? 0 : base - r.x[row->target];
    real *weights = ignored || row->stream ? 0 : row->gradient;
    const struct entropy_sums sums =
        general ? entropy_sweep(&r, 1, base, weights) : entropy_sweep(&r, 0, base, weights);
    const real log_sum = real_log(sums.weights);
    const real lse = max + log_sum;
    if (row->lse) {
        *(real *)row->lse = lse;
    }
    if (ignored || sums.weights == 0) {
        (ignored ? entropy_ignored : entropy_empty)(row);
        return;
    }
    const real share = r.q ? 0 : r.keep * (r.w ? r.w[row->target] : 1);
    if (row->loss) {
        *(real *)row->loss = entropy_loss(&r, &sums, share, at_target, log_sum, lse, (real)row->z_loss);
    }
    if (row->gradient) {
        entropy_gradient(&r, general, row, &sums, base, share, lse);
    }
}

#endif
