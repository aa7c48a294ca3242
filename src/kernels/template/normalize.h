/*
 * What else than softmax turns a row's scores into weights (SOFTATTN_NORMALIZE_*), and the derivatives. The formulas and the
 * order of arithmetic are stated in kernels.h, their sources in docs/semantics.md.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_NORMALIZE_H
#define SOFTATTN_KERNELS_TEMPLATE_NORMALIZE_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/exp2.h"
#include "kernels/template/softmax_row.h"

/* ---- One score at a time ---- */

NEVER_INLINE real visible_scores(const real *s, int64_t cols) {
    VECTOR_ALIGNED real sums[STRIPES];
    stripes_start(sums);
    for (int64_t j = 0; j < cols; j += LANES) {
        stripe_add(sums, j, v_unless(is_masked(load_scores(s + j, cols - j)), v_set(1)));
    }
    return stripe_sum(sums);
}

/* Whether a score is not -infinity; nearly always the first vector tells. */
static int32_t has_visible_score(const real *s, int64_t cols) {
    for (int64_t j = 0; j < cols; j += LANES) {
        if (v_any(v_not_less(load_scores(s + j, cols - j), v_set(-REAL_LARGEST)))) {
            return 1;
        }
    }
    return 0;
}

/* 1 / (1 + e^-t), of which the exponential is taken where it does not overflow. */
ALWAYS_INLINE vec sigmoid(vec t) {
    const vec e = v_exp2(v_mul(v_sub(v_zero(), v_abs(t)), v_set(LOG2_E)));
    return v_div(v_select(v_less(t, v_zero()), e, v_set(1)), v_add(v_set(1), e));
}

/* parameter: of ReLU the number of visible scores, of sigmoid its bias. Adding 0 keeps -0 for what is masked. */
ALWAYS_INLINE vec weight_of(int32_t normalizer, vec s, vec parameter) {
    const vec positive = v_max(v_zero(), s), masked = v_set((real)-0.0);
    switch (normalizer) {
    case SOFTATTN_NORMALIZE_NONE: return v_select(is_masked(s), masked, v_add(s, v_zero()));
    case SOFTATTN_NORMALIZE_RELU:
        return v_select(is_masked(s), masked, v_add(v_div(positive, parameter), v_zero()));
    case SOFTATTN_NORMALIZE_RELU_SQUARED: return v_mul(positive, positive);
    default: return sigmoid(v_add(s, parameter));
    }
}

/* Here and below the choice is made anew for each vector: it is foreseen, and loops of their own would be many. */
NEVER_INLINE void weigh_each(int32_t normalizer, const real *s, int64_t cols, real parameter_value, real *y) {
    const vec parameter = v_set(parameter_value);
    for (int64_t j = 0; j < cols; j += LANES) {
        store_columns(y + j, weight_of(normalizer, load_scores(s + j, cols - j), parameter), cols - j);
    }
}

static int32_t elementwise_row(int32_t normalizer, double sigmoid_bias, const struct softattn_row *row) {
    const real *s = row_is_plain(row) ? row->x : row_scores(row, 0, row->scratch);
    const int32_t is_visible = has_visible_score(s, row->cols);
    real parameter = (real)sigmoid_bias;
    if (normalizer == SOFTATTN_NORMALIZE_RELU) {
        parameter = is_visible ? visible_scores(s, row->cols) : 1;
    }
    weigh_each(normalizer, s, row->cols, parameter, row->y);
    return is_visible;
}

/* ---- Thresholds ---- */

/* Newton's method needs about log2(cols) steps to find the support and few from there on. */
enum { MOST_THRESHOLD_STEPS = 128 };

/* The centered scores that can have weight, in order; NaN among them. Room for cols + LANES. */
NEVER_INLINE int64_t threshold_candidates(const real *s, int64_t cols, real max, real factor, real *to) {
    int64_t count = 0;
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec z = row_exponent(load_scores(s + j, cols - j), v_set(max), v_set(factor));
        const mask kept = v_not_less(z, v_set(-1));
        if (v_any(kept)) {
            count += v_compress(to + count, kept, z);
        }
    }
    return count;
}

/* The threshold's next value by Newton's method, whose steps from below never pass the solution but by rounding. */
NEVER_INLINE real threshold_step(int squared, const real *z, int64_t count, real threshold) {
    VECTOR_ALIGNED real sums[STRIPES], slopes[STRIPES];
    stripes_start(sums);
    stripes_start(slopes);
    for (int64_t j = 0; j < count; j += LANES) {
        const vec d = v_max(v_zero(), v_sub(load_scores(z + j, count - j), v_set(threshold)));
        const vec slope = squared ? v_add(d, d) : v_where(v_less(v_zero(), d), v_set(1));
        stripe_add(sums, j, squared ? v_mul(d, d) : d);
        stripe_add(slopes, j, slope);
    }
    return threshold + (stripe_sum(sums) - 1) / stripe_sum(slopes);
}

/* Scores of NaN make it NaN. */
static real find_threshold(int squared, const real *z, int64_t count) {
    real threshold = -1;
    for (int step = 0; step < MOST_THRESHOLD_STEPS; step++) {
        const real next = threshold_step(squared, z, count, threshold);
        if (!(next > threshold)) {
            return next == next ? threshold : next;
        }
        threshold = next;
    }
    return threshold;
}

NEVER_INLINE void weigh_above(int squared, const real *s, int64_t cols, real max, real factor, real threshold,
                              real *y) {
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec z = row_exponent(load_scores(s + j, cols - j), v_set(max), v_set(factor));
        const vec d = v_max(v_zero(), v_sub(z, v_set(threshold)));
        store_columns(y + j, squared ? v_mul(d, d) : d, cols - j);
    }
}

/* A maximum of -0 and +0 is +0, whatever their order. */
ALWAYS_INLINE real row_signless_max(const real *s, int64_t cols) { return row_max(s, cols) + 0; }

static int32_t threshold_row(int squared, const struct softattn_row *row) {
    const real *s = row_is_plain(row) ? row->x : row_scores(row, 0, row->scratch);
    const real max = row_base(row_signless_max(s, row->cols)), factor = squared ? (real)0.5 : 1;
    real *candidates = (real *)row->scratch + row->cols;
    const int64_t count = threshold_candidates(s, row->cols, max, factor, candidates);
    if (count == 0) {
        row_fill_empty(row, row->y);
        return 0;
    }
    const real threshold = find_threshold(squared, candidates, count);
    weigh_above(squared, s, row->cols, max, factor, threshold, row->y);
    return 1;
}

static int32_t normalize_row(int32_t normalizer, double sigmoid_bias, const struct softattn_row *row) {
    switch (normalizer) {
    case SOFTATTN_NORMALIZE_SPARSEMAX: return threshold_row(0, row);
    case SOFTATTN_NORMALIZE_ENTMAX: return threshold_row(1, row);
    default: return elementwise_row(normalizer, sigmoid_bias, row);
    }
}

/* ---- Derivatives ---- */

/* Whether y is the -0 of a masked score. */
ALWAYS_INLINE mask weight_is_masked(vec y) {
    return v_and(v_equal(y, v_zero()), v_less(v_copysign(v_set(1), y), v_zero()));
}

/* 1 where y > 0, else 0; NaN where it is NaN. */
ALWAYS_INLINE vec one_where_positive(vec y) {
    return v_select(v_less(v_zero(), y), v_set(1), v_mul(y, v_zero()));
}

/* g of kernels.h */
ALWAYS_INLINE vec weight_slope(int32_t normalizer, vec y) {
    switch (normalizer) {
    case SOFTATTN_NORMALIZE_NONE: return v_unless(weight_is_masked(y), v_set(1));
    case SOFTATTN_NORMALIZE_RELU:
    case SOFTATTN_NORMALIZE_SPARSEMAX: return one_where_positive(y);
    case SOFTATTN_NORMALIZE_RELU_SQUARED: return v_mul(v_set(2), v_sqrt(y));
    case SOFTATTN_NORMALIZE_ENTMAX: return v_sqrt(y);
    default: return v_mul(y, v_sub(v_set(1), y));
    }
}

ALWAYS_INLINE vec where_sloped(vec slope, vec value) { return v_unless_equal(slope, v_zero(), value); }

/* (sum of g * v) / (sum of g); 0 in a row without slopes. */
NEVER_INLINE real sloped_mean(int32_t normalizer, const real *y, const real *v, int64_t cols) {
    VECTOR_ALIGNED real sums[STRIPES], slopes[STRIPES];
    stripes_start(sums);
    stripes_start(slopes);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec g = weight_slope(normalizer, load_columns(y + j, cols - j, 0));
        const vec v_j = where_sloped(g, load_columns(v + j, cols - j, 0));
        real *sum = sums + j % STRIPES;
        v_store(sum, v_fma(g, v_j, v_load(sum)));
        stripe_add(slopes, j, g);
    }
    const real slope = stripe_sum(slopes);
    return stripe_sum(sums) / (slope + (slope == 0));
}

/* The visible columns of ReLU's y, of which only masked ones are -0. */
NEVER_INLINE real visible_weights(const real *y, int64_t cols) {
    VECTOR_ALIGNED real sums[STRIPES];
    stripes_start(sums);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec y_j = load_columns(y + j, cols - j, (real)-0.0);
        stripe_add(sums, j, v_unless(weight_is_masked(y_j), v_set(1)));
    }
    return stripe_sum(sums);
}

NEVER_INLINE void sloped_row(int32_t normalizer, const struct softattn_row_backward *row, real factor,
                             real mean) {
    const real *y = row->y, *v = row->v;
    real *out = row->out;
    for (int64_t j = 0; j < row->cols; j += LANES) {
        const int64_t left = row->cols - j;
        const vec g = weight_slope(normalizer, load_columns(y + j, left, 0));
        const vec v_j = load_columns(v + j, left, 0);
        const vec value = where_sloped(g, v_mul(v_mul(v_set(factor), g), v_sub(v_j, v_set(mean))));
        store_columns(out + j, value, left);
    }
}

static void normalize_backward_row(int32_t normalizer, const struct softattn_row_backward *row) {
    real factor = (real)row->scale, mean = 0;
    if (normalizer == SOFTATTN_NORMALIZE_RELU) {
        const real visible = visible_weights(row->y, row->cols);
        factor /= visible + (visible == 0);
    }
    if (normalizer == SOFTATTN_NORMALIZE_SPARSEMAX || normalizer == SOFTATTN_NORMALIZE_ENTMAX) {
        mean = sloped_mean(normalizer, row->y, row->v, row->cols);
    }
    sloped_row(normalizer, row, factor, mean);
}

static void normalize_backward(int32_t normalizer, const struct softattn_row_backward *rows) {
    struct softattn_row_backward row = *rows;
    for (int64_t r = 0; r < rows->rows; r++) {
        normalize_backward_row(normalizer, &row);
        row.y = (const real *)row.y + row.y_step;
        row.v = (const real *)row.v + row.v_step;
        row.out = (real *)row.out + row.out_step;
    }
}

#endif
