/*
 * Cross-entropy of rows and its gradient (struct softattn_row_cross_entropy), in three sweeps over each: the
 * extreme logit; the weights with the sums; the gradient. Rows with a target class and nothing else go through row_run.h,
 * where the sweeps of neighbours are one loop. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H
#define SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/elements.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/row_run.h"
#include "kernels/template/stream.h"

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

/* ---- The logit with the largest scale * x ---- */

static real row_min(const real *x, int64_t cols) {
    vec min = v_set(REAL_INFINITY);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec x_j = v_load_part(x + j, cols - j < LANES ? cols - j : LANES, REAL_INFINITY);
        min = v_select(v_less(x_j, min), x_j, min);
    }
    return -v_reduce_max(v_sub(v_zero(), min));
}

NEVER_INLINE real entropy_extreme(const struct entropy_row *row) {
    return (row->scale < 0 ? row_min : row_max)(row->x, row->cols) + 0; /* of -0 and +0, +0 */
}

/* ---- Weights and sums ---- */

/* Sums over the row: of the weights p, of the target weights a, and of a_j * (extreme - x_j). */
struct entropy_sums {
    real weights, targets, distance;
};

/* The first n lanes of v, and 0 in the others. */
ALWAYS_INLINE vec first_lanes(vec v, int64_t n) {
    VECTOR_ALIGNED real lanes[STRIPES];
    v_store_part(lanes, v, n);
    return v_load_part(lanes, n, 0);
}

/* What a loop is made for, a constant: all columns' target weights are the same; they come from q alone; or from q, w, both. */
enum entropy_targets { TARGETS_EVEN, TARGETS_DENSE, TARGETS_ANY };

static enum entropy_targets entropy_targets_of(const struct entropy_row *row) {
    return IS_SMALL || row->w ? TARGETS_ANY : row->q ? TARGETS_DENSE : TARGETS_EVEN;
}

/* Target weights a of n columns from j on without a target class's own share; 0 in the lanes after them. */
ALWAYS_INLINE vec entropy_target_weights(enum entropy_targets kind, const struct entropy_row *row, int64_t j,
                                         int64_t n) {
    vec a = v_set(row->spread);
    if (kind == TARGETS_DENSE || (kind == TARGETS_ANY && row->q)) {
        a = v_fma(load_columns(row->q + j, n, 0), v_set(row->keep), a);
    }
    if (kind == TARGETS_ANY && row->w) {
        a = v_mul(load_columns(row->w + j, n, 0), a);
    }
    return n == LANES ? a : first_lanes(a, n);
}

/* The sums, as stripes. */
struct entropy_stripes {
    VECTOR_ALIGNED real weights[STRIPES], targets[STRIPES], distance[STRIPES];
};

/* What n columns from j on add to the stripes from `at` on, from their differences to the extreme and their weights, which are
 * kept where the row says. */
ALWAYS_INLINE void entropy_add(enum entropy_targets kind, const struct entropy_row *row, int64_t j, int64_t n,
                               vec below, vec p, int at, struct entropy_stripes *to) {
    const vec a = entropy_target_weights(kind, row, j, n);
    const vec counted = v_unless(v_equal(a, v_zero()), below);
    v_store(to->targets + at, v_add(v_load(to->targets + at), a));
    v_store(to->distance + at, v_fma(a, counted, v_load(to->distance + at)));
    v_store(to->weights + at, v_add(v_load(to->weights + at), n == LANES ? p : first_lanes(p, n)));
    if (row->weights) {
        store_columns(row->weights + j, p, n);
    }
}

#define ENTROPY_BELOW(i)    const vec below_##i = v_sub(v_load(x + i * LANES), v_set(extreme));
#define ENTROPY_EXPONENT(i) vec p_##i = v_mul(below_##i, v_set(row->exponent_scale));
#define ENTROPY_ADD(i)                                                                                       \
    entropy_add(kind, row, j + i * LANES, LANES, below_##i, p_##i, (at + i * LANES) % STRIPES, to);

/* Four vectors from column j on, which is stripe `at`. */
ALWAYS_INLINE void entropy_add_four(enum entropy_targets kind, const struct entropy_row *row, int64_t j,
                                    real extreme, int at, struct entropy_stripes *to) {
    const real *x = (const real *)row->x + j;
    EXP2_EACH(ENTROPY_BELOW)
    EXP2_EACH(ENTROPY_EXPONENT)
    v_exp2_four(&p_0, &p_1, &p_2, &p_3, EXP2_ANY);
    EXP2_EACH(ENTROPY_ADD)
}

/* The columns from j on, less than a turn. */
NEVER_INLINE void entropy_add_rest(const struct entropy_row *row, int64_t j, real extreme,
                                   struct entropy_stripes *to) {
    for (; j < row->cols; j += LANES) {
        const int64_t n = row->cols - j < LANES ? row->cols - j : LANES;
        const vec below = v_sub(load_columns((const real *)row->x + j, n, extreme), v_set(extreme));
        const vec p = v_exp2(v_mul(below, v_set(row->exponent_scale)));
        entropy_add(TARGETS_ANY, row, j, n, below, p, (int)(j % STRIPES), to);
    }
}

ALWAYS_INLINE struct entropy_sums entropy_sums_of(enum entropy_targets kind, struct entropy_row row,
                                                  real extreme) {
    const int64_t turn = TURN_VECTORS * LANES;
    struct entropy_stripes sums, all;
    stripes_start(sums.weights);
    stripes_start(sums.targets);
    stripes_start(sums.distance);
    int64_t j = 0;
    for (; j + turn <= row.cols; j += turn) {
        if (row.next_x) {
            prefetch_elements(SOFTATTN_FORMAT_REAL, row.next_x, j, turn, 1);
        }
        if (row.next_q) {
            prefetch_elements(SOFTATTN_FORMAT_REAL, row.next_q, j, turn, 1);
        }
        for (int v = 0; v < TURN_VECTORS; v += 4) {
            entropy_add_four(kind, &row, j + v * LANES, extreme, v * LANES, &sums);
        }
    }
    all = sums; /* what a call gets the address of, loops keep in memory */
    entropy_add_rest(&row, j, extreme, &all);
    return (struct entropy_sums){stripe_sum(all.weights), stripe_sum(all.targets), -stripe_sum(all.distance)};
}

/* With target weights on any column, and with any scale. Rows are copied, like any other that loops use: what they store could
 * lie in the original for all that the compiler knows. */
static struct entropy_sums entropy_sums(const struct entropy_row *row, real extreme) {
    switch (entropy_targets_of(row)) {
    case TARGETS_EVEN: return entropy_sums_of(TARGETS_EVEN, *row, extreme);
    case TARGETS_DENSE: return entropy_sums_of(TARGETS_DENSE, *row, extreme);
    default: return entropy_sums_of(TARGETS_ANY, *row, extreme);
    }
}

/* ---- The gradient ---- */

/* What the gradient is made of; the share is the target class's own, with all targets in q there is none. */
struct entropy_gradient {
    real *to;
    const real *weights;      /* may be `to` */
    real ratio, minus_factor; /* r and -f */
    int64_t target;           /* negative: none */
    real share;
    int stream; /* store around the caches */
};

/* n columns from j on with weights p, the share left out. */
ALWAYS_INLINE vec entropy_mix(enum entropy_targets kind, const struct entropy_row *row, int64_t j, int64_t n,
                              vec p, vec ratio, vec minus_factor) {
    return v_fma(p, ratio, v_mul(entropy_target_weights(kind, row, j, n), minus_factor));
}

/* n columns from j on. The share goes into the vector before that is stored: another store to the same line
 * after it was streamed would cost more than the row. */
NEVER_INLINE void entropy_store_few(const struct entropy_row *row, const struct entropy_gradient *g,
                                    int64_t j, int64_t n) {
    const vec p = load_columns(g->weights + j, n, 0), ratio = v_set(g->ratio),
              minus_factor = v_set(g->minus_factor);
    const int64_t lane = g->target - j;
    VECTOR_ALIGNED real values[STRIPES] = {0};
    v_store_part(values, entropy_mix(TARGETS_ANY, row, j, n, p, ratio, minus_factor), n);
    if (lane >= 0 && lane < n) {
        values[lane] = real_fma(g->share, g->minus_factor, values[lane]);
    }
    if (n == LANES) {
        store_whole(g->to + j, v_load(values), g->stream);
    } else {
        v_store_part(g->to + j, v_load_part(values, n, 0), n);
    }
}

/* Whole vectors of columns j … end - 1; returns the first column left. */
ALWAYS_INLINE int64_t entropy_store_of(enum entropy_targets kind, struct entropy_row row,
                                       struct entropy_gradient g, int64_t j, int64_t end) {
    const vec ratio = v_set(g.ratio), minus_factor = v_set(g.minus_factor);
    for (; j + LANES <= end; j += LANES) {
        store_whole(g.to + j, entropy_mix(kind, &row, j, LANES, v_load(g.weights + j), ratio, minus_factor),
                    g.stream);
    }
    return j;
}

/* Columns j … end - 1, j at the start of a vector. */
NEVER_INLINE void entropy_store(const struct entropy_row *row, const struct entropy_gradient *g, int64_t j,
                                int64_t end) {
    switch (entropy_targets_of(row)) {
    case TARGETS_EVEN: j = entropy_store_of(TARGETS_EVEN, *row, *g, j, end); break;
    case TARGETS_DENSE: j = entropy_store_of(TARGETS_DENSE, *row, *g, j, end); break;
    default: j = entropy_store_of(TARGETS_ANY, *row, *g, j, end);
    }
    if (j < end) {
        entropy_store_few(row, g, j, end - j);
    }
}

/* By ordinary stores: the share comes after all. */
static void entropy_store_row(const struct entropy_row *row, struct entropy_gradient *g) {
    g->target = -1;
    entropy_store(row, g, 0, row->cols);
    if (row->target >= 0) {
        g->to[row->target] = real_fma(g->share, g->minus_factor, g->to[row->target]);
    }
}

static void entropy_stream_row(const struct entropy_row *row, const struct entropy_gradient *g) {
    const int64_t head = stream_head(g->to, row->cols);
    int64_t j = head;
    if (head > 0) {
        entropy_store_few(row, g, 0, head);
    }
    if (g->target >= head) {
        /* up to the vector of the target, that vector, and what follows */
        const int64_t start = head + (g->target - head) / LANES * LANES;
        entropy_store(row, g, head, start);
        j = start + LANES < row->cols ? start + LANES : row->cols;
        entropy_store_few(row, g, start, j - start);
    }
    entropy_store(row, g, j, row->cols);
}

/* ---- One row ---- */

/* Rows up to this size are short beside the caches, and what a reduction waits for is long beside them. */
enum { SHORT_ROW_BYTES = 1 << 16 };

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

static real entropy_read_extreme(const struct entropy_row *row) {
    return entropy_is_read(row) ? entropy_extreme(row) : 0;
}

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

/* ---- Rows with any targets ---- */

static void entropy_gradient(const struct entropy_row *row, const struct entropy_state *s) {
    struct entropy_gradient gradient = entropy_ratios(row, s);
    if (row->stream) {
        entropy_stream_row(row, &gradient);
    } else {
        entropy_store_row(row, &gradient);
    }
}

/* One row; the extreme of the next (NULL: none) is found between the sums and what they are for, so that neither waits for the
 * end of a reduction. */
NEVER_INLINE real entropy_general_row(const struct entropy_row *row, real extreme,
                                      const struct entropy_row *next) {
    struct entropy_state state;
    if (row->to && row->stream) {
        prefetch_row_end(row->format, row->to, row->cols);
    }
    entropy_begin(row, extreme, row->target < 0 ? 0 : ((const real *)row->x)[row->target], &state);
    state.sums = entropy_is_read(row) ? entropy_sums(row, state.extreme) : (struct entropy_sums){0, 0, 0};
    const int is_short = row->cols * REAL_BYTES <= SHORT_ROW_BYTES;
    real next_extreme = next && is_short ? entropy_read_extreme(next) : 0;
    if (row->loss || row->lse || row->z_loss != 0) {
        entropy_take_log(&state);
    }
    entropy_put(row, &state);
    if (entropy_has_gradient(row, &state)) {
        entropy_gradient(row, &state);
    }
    return next && !is_short ? entropy_read_extreme(next) : next_extreme;
}

static void entropy_general_rows(const struct softattn_row_cross_entropy *rows, int64_t first, int64_t end) {
    struct entropy_row even = entropy_common(rows), odd = even;
    struct entropy_row *row = &even, *next = &odd;
    entropy_set(row, rows, first);
    real extreme = entropy_read_extreme(row);
    for (int64_t r = first; r < end; r++) {
        struct entropy_row *done = row;
        if (r + 1 < end) {
            entropy_set(next, rows, r + 1);
        }
        extreme = entropy_general_row(row, extreme, r + 1 < end ? next : 0);
        row = next;
        next = done;
    }
    if (rows->stream) {
        V_FENCE();
    }
}

/* ---- Rows with a target class alone, and a positive scale ---- */

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
    struct row_run run = {.cols = row.cols,
                          .left = end - first,
                          .x = row.x,
                          .x_step = rows->x_step,
                          .y = row.to,
                          .y_step = row.to ? rows->gradient_step : 0,
                          .looks_far = row_is_quick(row.cols),
                          .exponent_factor = row.exponent_scale,
                          .scratch = rows->scratch};
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

/* All of them ignored, of 16-bit floats. */
static void entropy_ignored_halves(const struct softattn_row_cross_entropy *rows, int64_t first,
                                   int64_t end) {
    struct entropy_row row = entropy_common(rows);
    for (int64_t r = first; r < end; r++) {
        entropy_set(&row, rows, r);
        if (entropy_is_read(&row)) {
            row.x = few_as_reals(row.format, row.x, 0, row.cols, rows->scratch);
        }
        entropy_general_row(&row, entropy_read_extreme(&row), 0);
    }
}

/* The end of the rows from r on that are ignored, or are not, as r is. */
static int64_t entropy_stretch(const struct softattn_row_cross_entropy *rows, int64_t r) {
    const int is_ignored = rows->targets[r] < 0;
    do {
        r++;
    } while (r < rows->rows && (rows->targets[r] < 0) == is_ignored);
    return r;
}

static void cross_entropy(const struct softattn_row_cross_entropy *rows) {
    if (rows->probabilities || rows->smoothing != 0 || !(rows->scale > 0) || rows->cols == 0) {
        entropy_general_rows(rows, 0, rows->rows);
        return;
    }
    for (int64_t r = 0; r < rows->rows;) {
        const int64_t end = entropy_stretch(rows, r);
        if (rows->targets[r] >= 0) {
            entropy_class_rows_of(rows, r, end);
        } else if (is_half(rows->format)) {
            entropy_ignored_halves(rows, r, end);
        } else {
            entropy_general_rows(rows, r, end);
        }
        r = end;
    }
}

#endif
