/*
 * Cross-entropy of rows and its gradient (struct softattn_row_cross_entropy), in three sweeps over each: the
 * extreme logit; the weights with the sums; the gradient. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H
#define SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/stream.h"

/* One row, everything in the kernels' own type. */
struct entropy_row {
    const real *x, *q, *w;       /* q: target probabilities; q and w may be NULL */
    const real *next_x, *next_q; /* asked for meanwhile; NULL: none */
    int64_t cols;
    real scale, exponent_scale; /* exponent_scale: scale * log2(e) */
    real keep, spread;          /* 1 - smoothing, smoothing / cols */
    int64_t target;             /* negative: none, because of q or because the row is ignored */
    real *to, *loss, *lse;      /* results; to: the gradient; NULL: not wanted */
    real *weights;              /* where the weights are kept for the gradient; NULL: nowhere */
    real factor, z_loss;        /* factor: scale * that of the gradient */
};

static struct entropy_row entropy_first_row(const struct softattn_row_cross_entropy *rows) {
    const int is_smoothed = rows->smoothing != 0 && rows->cols > 0;
    return (struct entropy_row){.x = rows->x,
                                .q = rows->probabilities,
                                .w = rows->weights,
                                .cols = rows->cols,
                                .scale = (real)rows->scale,
                                .exponent_scale = (real)(rows->scale * 1.44269504088896340735992468100189214),
                                .keep = (real)(1 - rows->smoothing),
                                .spread = is_smoothed ? (real)(rows->smoothing / (double)rows->cols) : 0,
                                .to = rows->gradient,
                                .loss = rows->loss,
                                .lse = rows->lse,
                                .factor = (real)(rows->scale * rows->factor),
                                .z_loss = (real)rows->z_loss};
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

/* Target weights a of n columns from j on without a target class's own share; 0 in the lanes after them. */
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
    const struct row_ahead ahead = {
        .read = row->next_x, .write = 0, .is_near = row->cols * REAL_BYTES <= NEAR_ROW_BYTES};
    real weights[STRIPES];
    row_weights(row->x, row->cols, extreme, row->exponent_scale, to, weights, ahead);
    return (struct entropy_sums){stripe_sum(weights), 0, 0};
}

/* ---- The gradient ---- */

/* What the gradient is made of; the share is the target class's own, with all targets in q there is none. */
struct entropy_gradient {
    real *to;
    const real *weights; /* may be `to`; NULL: to be computed again */
    real extreme;
    real ratio, minus_factor; /* r and -f */
    int64_t target;           /* negative: none */
    real share;
};

/*
 * How a gradient is stored: where the sums left the weights in its place, or around the caches, from weights
 * kept in scratch or, of rows so long that these would crowd the row itself out of the caches, computed
 * again. Always a constant where it is used, like is_plain: no column but the target's has a target weight.
 */
enum entropy_way { IN_PLACE, FROM_SCRATCH, AGAIN };

/* n columns from j on with weights p, the share left out. */
ALWAYS_INLINE vec entropy_mix(const struct entropy_row *row, int is_plain, const struct entropy_gradient *g,
                              int64_t j, int64_t n, vec p) {
    const vec ratio = v_set(g->ratio);
    return is_plain ? v_mul(p, ratio)
                    : v_fma(p, ratio, v_mul(entropy_targets(row, j, n), v_set(g->minus_factor)));
}

ALWAYS_INLINE vec entropy_exponent(const struct entropy_row *row, const struct entropy_gradient *g, int64_t j,
                                   int64_t n) {
    const vec below = v_sub(load_lanes(row->x + j, n, g->extreme), v_set(g->extreme));
    return v_mul(below, v_set(row->exponent_scale));
}

ALWAYS_INLINE vec entropy_values(const struct entropy_row *row, int is_plain, enum entropy_way way,
                                 const struct entropy_gradient *g, int64_t j, int64_t n) {
    const vec p = way == AGAIN ? v_exp2(entropy_exponent(row, g, j, n)) : load_lanes(g->weights + j, n, 0);
    return entropy_mix(row, is_plain, g, j, n, p);
}

/* The vectors between columns j and end. Returns the column after them. */
ALWAYS_INLINE int64_t entropy_store(const struct entropy_row *row, int is_plain, enum entropy_way way,
                                    const struct entropy_gradient *g, int64_t j, int64_t end) {
    for (; way == AGAIN && j + 4 * LANES <= end; j += 4 * LANES) {
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
        store_whole(g->to + j, entropy_values(row, is_plain, way, g, j, LANES), way != IN_PLACE);
    }
    return j;
}

/* n columns from j on, fewer than a vector. */
ALWAYS_INLINE void entropy_store_part(const struct entropy_row *row, int is_plain, enum entropy_way way,
                                      const struct entropy_gradient *g, int64_t j, int64_t n) {
    if (n > 0) {
        v_store_part(g->to + j, entropy_values(row, is_plain, way, g, j, n), n);
    }
}

/*
 * The share of a streamed row goes into the vector of the target before that is stored: another store to the
 * same line afterwards would cost more than the row.
 */
ALWAYS_INLINE void entropy_store_row(const struct entropy_row *row, int is_plain, enum entropy_way way,
                                     const struct entropy_gradient *g) {
    const int64_t head = way == IN_PLACE ? 0 : stream_head(g->to, row->cols);
    int64_t j = head;
    int has_share = g->target < 0;
    entropy_store_part(row, is_plain, way, g, 0, head);
    if (way != IN_PLACE && g->target >= head) {
        real values[STRIPES];
        j = entropy_store(row, is_plain, way, g, head, g->target);
        if (j + LANES <= row->cols) {
            v_store(values, entropy_values(row, is_plain, way, g, j, LANES));
            values[g->target - j] = real_fma(g->share, g->minus_factor, values[g->target - j]);
            v_stream(g->to + j, v_load(values));
            has_share = 1;
            j += LANES;
        }
    }
    j = entropy_store(row, is_plain, way, g, j, row->cols);
    entropy_store_part(row, is_plain, way, g, j, row->cols - j);
    if (!has_share) {
        g->to[g->target] = real_fma(g->share, g->minus_factor, g->to[g->target]);
    }
}

ALWAYS_INLINE void entropy_gradient_by(enum entropy_way way, const struct entropy_row *row,
                                       const struct entropy_gradient *g) {
    if (!row->q && row->spread == 0) {
        entropy_store_row(row, 1, way, g);
    } else {
        entropy_store_row(row, 0, way, g);
    }
}

static void entropy_gradient(const struct entropy_row *row, const struct entropy_gradient *g) {
    if (g->weights == g->to) {
        entropy_gradient_by(IN_PLACE, row, g);
    } else if (g->weights) {
        entropy_gradient_by(FROM_SCRATCH, row, g);
    } else {
        entropy_gradient_by(AGAIN, row, g);
    }
}

/* ---- The rows ---- */

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
                                     .extreme = s->extreme,
                                     .ratio = row->factor * total / s->sums.weights,
                                     .minus_factor = -row->factor,
                                     .target = row->target,
                                     .share = s->share};
}

/* Results that are the same for all columns. */
static void entropy_fill(const struct entropy_row *row, real value) {
    if (row->loss) {
        *row->loss = value;
    }
    if (row->to) {
        row_fill(row->to, row->cols, value);
    }
}

static int entropy_is_ignored(const struct entropy_row *row) { return !row->q && row->target < 0; }

/* From the extreme logit on up to the sums. */
static struct entropy_state entropy_begin(const struct entropy_row *row, real extreme) {
    struct entropy_state s = {.max = row->scale * extreme};
    s.extreme = s.max == -REAL_INFINITY ? 0 : extreme;
    if (row->target >= 0) {
        s.below_target = s.extreme - row->x[row->target];
        s.share = row->w ? row->keep * row->w[row->target] : row->keep;
    }
    s.sums = row->q || row->spread != 0 || !(row->scale > 0)
                 ? entropy_general_sums(row, s.extreme, row->weights)
                 : entropy_plain_sums(row, s.extreme, row->weights);
    return s;
}

/* From the sums on. Of a row that is ignored only the log-sum-exp comes from them. */
static void entropy_end(const struct entropy_row *row, struct entropy_state *s) {
    s->log_sum = row->loss || row->lse || row->z_loss != 0 ? real_log(s->sums.weights) : 0;
    s->lse = s->max + s->log_sum;
    if (row->lse) {
        *row->lse = s->lse;
    }
    if (entropy_is_ignored(row) || s->sums.weights == 0) {
        entropy_fill(row, entropy_is_ignored(row) ? 0 : (real)__builtin_nanf(""));
        return;
    }
    if (row->loss) {
        *row->loss = entropy_loss(row, s);
    }
    if (row->to) {
        const struct entropy_gradient gradient = entropy_ratios(row, s);
        entropy_gradient(row, &gradient);
    }
}

/* Row number r, from number 0, which has everything that they have in common. */
static struct entropy_row entropy_row_at(const struct softattn_row_cross_entropy *rows,
                                         const struct entropy_row *first, int64_t r) {
    const int asks_ahead = rows->prefetch && r + 1 < rows->rows;
    struct entropy_row row = *first;
    row.x += r * rows->x_step;
    row.q = row.q ? row.q + r * rows->probabilities_step : 0;
    row.to = row.to ? row.to + r * rows->gradient_step : 0;
    row.loss = row.loss ? row.loss + r * rows->loss_step : 0;
    row.lse = row.lse ? row.lse + r * rows->lse_step : 0;
    row.target = row.q ? -1 : rows->targets[r];
    row.weights = entropy_is_ignored(&row) ? 0 : rows->stream ? rows->scratch : row.to;
    row.next_x = asks_ahead ? row.x + rows->x_step : 0;
    row.next_q = asks_ahead && row.q ? row.q + rows->probabilities_step : 0;
    return row;
}

/* Ignored rows are read for their log-sum-exp alone. */
static int entropy_is_read(const struct entropy_row *row) { return !entropy_is_ignored(row) || row->lse; }

static real entropy_read_extreme(const struct entropy_row *row) {
    return entropy_is_read(row) ? entropy_extreme(row) : 0;
}

/* Rows up to this size are short beside the caches, and what a reduction waits for is long beside them. */
enum { SHORT_ROW_BYTES = 1 << 16 };

/*
 * The extreme of the next row, where rows are short, is found between the sums of this one and what they are
 * for, so that neither waits for the end of a reduction.
 */
static void cross_entropy(const struct softattn_row_cross_entropy *rows) {
    const int is_early = rows->cols * REAL_BYTES <= SHORT_ROW_BYTES;
    const struct entropy_row first = entropy_first_row(rows);
    struct entropy_row row = entropy_row_at(rows, &first, 0), next = row;
    real extreme = entropy_read_extreme(&row), next_extreme = 0;
    for (int64_t r = 0; r < rows->rows; r++) {
        const int has_next = r + 1 < rows->rows;
        struct entropy_state state =
            entropy_is_read(&row) ? entropy_begin(&row, extreme) : (struct entropy_state){0};
        if (has_next) {
            next = entropy_row_at(rows, &first, r + 1);
        }
        if (has_next && is_early) {
            next_extreme = entropy_read_extreme(&next);
        }
        entropy_end(&row, &state);
        if (has_next && !is_early) {
            next_extreme = entropy_read_extreme(&next);
        }
        row = next;
        extreme = next_extreme;
    }
    if (rows->stream) {
        V_FENCE();
    }
}

#endif
