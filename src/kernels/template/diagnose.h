/*
 * What a row of scores does to softmax (struct softattn_diagnosis_of_row): sweeps for the maximum, the mean, and all other
 * sums, the last a block at a time.
 *
 * With w_j = exp(s_j - m), one score at the maximum m apart from the others, and R the others' sum of w, the sum is
 * S = 1 + R and the largest probability 1 / S. Nothing below subtracts numbers that are nearly equal, so rows that are
 * almost one-hot keep their relative accuracy:
 *   entropy  ln(1 + R) + (sum of w_j * (m - s_j)) / S
 *   |J|^2 with J = diag(y) - y y^T, the sum of y_i^2 (1 - y_i)^2 and of y_i^2 y_j^2 for i != j, becomes
 *            a^2 d^2 + (r2 - 2 r3) + 2 a^2 r2 + r2^2, with a = 1 / S, d = R / S and r2, r3 the others' sums of y^2, y^3:
 *            the fourth powers cancel, and each y^2 - 2 y^3 is at least 0 as the others' y are at most 1/2.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_DIAGNOSE_H
#define SOFTATTN_KERNELS_TEMPLATE_DIAGNOSE_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/softmax_row.h"

enum { DIAGNOSE_BLOCK = 512 };

/* w is multiplied by a scale before it is squared, so that squares of small weights are not lost: the usual one, or, where the
 * sum of all w but that of the maximum is below DIAGNOSE_LITTLE, the large one. */
#if SOFTATTN_REAL_BITS == 32
#define DIAGNOSE_SCALE       0x1p40f
#define DIAGNOSE_LITTLE      0x1p-60f
#define DIAGNOSE_LARGE_SCALE 0x1p110f
#else
#define DIAGNOSE_SCALE       0x1p300
#define DIAGNOSE_LITTLE      0x1p-500
#define DIAGNOSE_LARGE_SCALE 0x1p900
#endif

/* Sums over a row in stripes, those of the first sweep and of the second. */
struct diagnose_counts {
    VECTOR_ALIGNED real visible[STRIPES]; /* 1 for each score above -infinity */
    VECTOR_ALIGNED real mean[STRIPES];    /* s / cols */
};
struct diagnose_sums {
    VECTOR_ALIGNED real squares[STRIPES]; /* (s - mean)^2 */
    VECTOR_ALIGNED real ties[STRIPES];    /* 1 for each score with w = 1, */
    VECTOR_ALIGNED real w[STRIPES];       /* and of those with w < 1: w, */
    VECTOR_ALIGNED real w2[STRIPES];      /* (w * scale)^2, */
    VECTOR_ALIGNED real w3[STRIPES];      /* that times w */
    VECTOR_ALIGNED real drop[STRIPES];    /* w * (m - s) */
};

/* One function for all the sums: what it takes does not show. */
NEVER_INLINE real diagnose_total(real *sums) { return stripe_sum(sums); }

/* Terms are divided by cols before they are summed, so that the sum overflows only where the mean does. */
static void diagnose_mean(const real *s, int64_t cols, struct diagnose_counts *sums) {
    const vec part = v_set(1 / (real)cols);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec s_j = load_scores(s + j, cols - j);
        stripe_add(sums->visible, j, v_unless(is_masked(s_j), v_set(1)));
        stripe_add(sums->mean, j, v_unless(is_masked(s_j), v_mul(s_j, part)));
    }
}

/* w of `cols` columns of a block into weights, and 0 up to the next vector. */
ALWAYS_INLINE void diagnose_weights(const real *s, int64_t cols, vec max, real *weights) {
    const vec factor = v_set(LOG2_E);
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        vec w_0 = row_exponent(v_load(s + j), max, factor);
        vec w_1 = row_exponent(v_load(s + j + LANES), max, factor);
        vec w_2 = row_exponent(v_load(s + j + 2 * LANES), max, factor);
        vec w_3 = row_exponent(v_load(s + j + 3 * LANES), max, factor);
        v_exp2_four_apart(&w_0, &w_1, &w_2, &w_3, EXP2_ANY);
        v_store(weights + j, w_0);
        v_store(weights + j + LANES, w_1);
        v_store(weights + j + 2 * LANES, w_2);
        v_store(weights + j + 3 * LANES, w_3);
    }
    for (; j < cols; j += LANES) {
        v_store(weights + j, v_exp2_apart(row_exponent(load_scores(s + j, cols - j), max, factor)));
    }
}

/* Differences that overflow become the lowest real: their w is 0, and 0 times infinity would be NaN. */
static void diagnose_block(const real *s, int64_t cols, real max_value, real mean_value, real scale,
                           struct diagnose_sums *sums) {
    const vec max = v_set(max_value), mean = v_set(mean_value), lowest = v_set(-REAL_LARGEST);
    VECTOR_ALIGNED real weights[DIAGNOSE_BLOCK];
    diagnose_weights(s, cols, max, weights);
    for (int64_t j = 0; j < cols; j += LANES) {
        const vec s_j = load_scores(s + j, cols - j), w = v_load(weights + j);
        const mask masked = is_masked(s_j), other = v_less(w, v_set(1));
        const vec drop = v_unless(masked, v_max(lowest, v_sub(s_j, max)));
        const vec from_mean = v_unless(masked, v_sub(s_j, mean));
        const vec w1 = v_where(other, w), scaled = v_mul(w1, v_set(scale));
        const vec w2 = v_mul(scaled, scaled);
        stripe_add(sums->squares, j, v_mul(from_mean, from_mean));
        stripe_add(sums->ties, j, v_unless(other, v_set(1)));
        stripe_add(sums->w, j, w1);
        stripe_add(sums->w2, j, w2);
        stripe_add(sums->w3, j, v_mul(w2, w1));
        stripe_add(sums->drop, j, v_mul(w, v_sub(v_zero(), drop)));
    }
}

static void diagnose_weighted(const real *s, int64_t cols, real max, real mean, real scale,
                              struct diagnose_sums *sums) {
    __builtin_memset(sums, 0, sizeof *sums);
    for (int64_t first = 0; first < cols; first += DIAGNOSE_BLOCK) {
        const int64_t left = cols - first;
        diagnose_block(s + first, left < DIAGNOSE_BLOCK ? left : DIAGNOSE_BLOCK, max, mean, scale, sums);
    }
}

/* ln(1 + x) for x >= 0: the error of ln(u) near u = 1 + x cancels against that of u - 1. */
static real log_of_one_plus(real x) {
    const real u = 1 + x, above = u - 1;
    /* compilers may divide before they compare: never by 0 */
    return u == 1 ? x : real_log(u) * (x / (above + (above == 0)));
}

/* exp(x) for x >= 0. */
static real real_exp(real x) { return 1 / v_reduce_max(v_exp2_apart(v_set(-x * LOG2_E))); }

/* Sums over the scores but one at the maximum, and the scale of w2 and w3. */
struct diagnose_others {
    real w, w2, w3, drop, scale;
};

/* A score that joins the row: the sink. */
static void diagnose_join(real score, real max, struct diagnose_others *others) {
    const real w = row_weight_of(score, max);
    const real w2 = (w * others->scale) * (w * others->scale);
    if (score > -REAL_INFINITY || score != score) {
        others->w += w;
        others->w2 += w2;
        others->w3 += w2 * w;
        others->drop += w * (max - score);
    }
}

/* Scores at the maximum beside the one apart. */
static void diagnose_ties(real ties, struct diagnose_others *others) {
    others->w += ties;
    others->w2 += ties == 0 ? 0 : ties * (others->scale * others->scale);
    others->w3 += ties == 0 ? 0 : ties * (others->scale * others->scale);
}

/* max: with the sink, which is the one apart where it is larger than every other score. */
NEVER_INLINE struct diagnose_others diagnose_others_of(const real *s, int64_t cols, real max, real mean,
                                                       real scale, real sink, int sink_is_apart,
                                                       struct diagnose_sums *sums) {
    diagnose_weighted(s, cols, max, mean, scale, sums);
    const real ties = diagnose_total(sums->ties) - (sink_is_apart ? 0 : 1);
    struct diagnose_others others = {.scale = scale};
    others.w = diagnose_total(sums->w);
    others.w2 = diagnose_total(sums->w2);
    others.w3 = diagnose_total(sums->w3);
    others.drop = diagnose_total(sums->drop);
    diagnose_ties(ties, &others);
    if (!sink_is_apart) {
        diagnose_join(sink, max, &others);
    }
    return others;
}

/* With d taken out of the root, as its square would underflow: what is left of r2 and r3 are t2 = r2 / d^2 and t3 = r3 / d^2. */
static double diagnose_norm(const struct diagnose_others *others, double sum) {
    const double scaled = (double)others->w * (double)others->scale;
    const double a = 1 / sum, d = (double)others->w / sum;
    if (others->w == 0) {
        return 0;
    }
    const double t2 = (double)others->w2 / (scaled * scaled), t3 = (double)others->w3 / (scaled * scaled) * a;
    return d * __builtin_sqrt(a * a + (t2 - 2 * t3) + 2 * a * a * t2 + t2 * t2 * d * d);
}

static void diagnose_result(const struct diagnose_others *others, struct softattn_diagnosis_of_row *out) {
    const real sum = 1 + others->w;
    const real entropy = log_of_one_plus(others->w) + others->drop / sum;
    out->entropy = (double)entropy;
    out->max_probability = (double)(1 / sum);
    out->effective_keys = (double)real_exp(entropy);
    out->jacobian_norm = diagnose_norm(others, 1 + (double)others->w);
}

static void diagnose_row(const struct softattn_row *row, double sink, struct softattn_diagnosis_of_row *out) {
    const real *s = row_is_plain(row) ? row->x : row_scores(row, 0, row->scratch);
    const real sink_score = (real)sink, largest = row_max(s, row->cols);
    const real max = (sink_score > largest ? sink_score : largest) + 0;
    const real base = max == -REAL_INFINITY ? 0 : max;
    struct diagnose_counts counts;
    struct diagnose_sums sums;
    __builtin_memset(&counts, 0, sizeof counts);
    if (row->cols > 0) {
        diagnose_mean(s, row->cols, &counts);
    }
    const real visible = diagnose_total(counts.visible);
    *out = (struct softattn_diagnosis_of_row){.visible = visible > 0, .sound = 1};
    if (!out->visible) {
        return;
    }
    const real mean = diagnose_total(counts.mean) * ((real)row->cols / visible);
    const int sink_is_apart = sink_score > largest;
    struct diagnose_others others =
        diagnose_others_of(s, row->cols, base, mean, DIAGNOSE_SCALE, sink_score, sink_is_apart, &sums);
    if (others.w > 0 && others.w < DIAGNOSE_LITTLE) {
        others = diagnose_others_of(s, row->cols, base, mean, DIAGNOSE_LARGE_SCALE, sink_score, sink_is_apart,
                                    &sums);
    }
    /* no sum of finite scores overflows here: each term of drop is below 1 */
    out->sound = __builtin_isfinite(others.w + others.drop + max);
    out->score_mean = (double)mean;
    out->score_variance = (double)(diagnose_total(sums.squares) / visible);
    diagnose_result(&others, out);
}

#endif
