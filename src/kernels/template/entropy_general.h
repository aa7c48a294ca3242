/*
 * Cross-entropy of rows with whatever targets, label smoothing and scale, in three sweeps over each: the extreme logit; the weights
 * with the sums; the gradient.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ENTROPY_GENERAL_H
#define SOFTATTN_KERNELS_TEMPLATE_ENTROPY_GENERAL_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/elements.h"
#include "kernels/template/entropy_row.h"
#include "kernels/template/exp2.h"
#include "kernels/template/row_weights.h"
#include "kernels/template/stream.h"

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

static real entropy_read_extreme(const struct entropy_row *row) {
    return entropy_is_read(row) ? entropy_extreme(row) : 0;
}

/* ---- Weights and sums ---- */

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
    const vec counted = v_unless_equal(a, v_zero(), below);
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

/* ---- Rows ---- */

/* Rows up to this size are short beside the caches, and what a reduction waits for is long beside them. */
enum { SHORT_ROW_BYTES = 1 << 16 };

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

/* Rows of 16-bit floats that are all ignored. */
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

#endif
