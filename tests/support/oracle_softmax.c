/*
 * The softmax oracle.
 *
 * Bounds, with u the unit roundoff and m the row's largest visible score:
 *   score      s = scale * x + bias. Nothing is rounded when scale is 1 without a bias. Otherwise scale, bias
 *              (each perhaps times log2 e), their product and their sum are rounded:
 *              a = 2|scale x| + 2|bias| + |s|, in units of u, and one smallest normal more, as numbers below it
 *              round by half of their last place.
 *   exponent   (s - m), times log2 e: the subtraction, the constant and the product: 3|s - m|.
 *   exp        2 ULP = 4 u.
 *   so e^(s - m) has the relative error d = u (a + 3|s - m| + 4). A wrong m has no effect on y: it cancels.
 *   sum        cols terms in at least 16 stripes and a tree over these, or fewer terms: u (cols / 16 + 8),
 *              besides the terms' own errors, D = sum of p d. Call the sum of both E.
 *   y          d + E + 3 u (the reciprocal, the product), relative; and anything below the smallest normal
 *              may be 0.
 *   log y      u (a + 2|s - m| + |log y|), the logarithm's 4 u |log sum|, and E, absolute.
 *   lse        m + log sum: E, 4 u |log sum|, u |lse|, and the score error of m, absolute.
 *   row max    the score error of m.
 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>

typedef struct row_scores {
    oracle_real *score;  /* -infinity where masked */
    oracle_real *error;  /* a of the derivation above */
    oracle_real maximum; /* -infinity when nothing is visible */
    oracle_real maximum_error;
    bool is_nan; /* a visible score is NaN or +infinity */
} row_scores;

static bool is_visible(const oracle_softmax *p, int64_t row, int64_t col) {
    const int64_t at = row * p->cols + col;
    if (p->lengths && (double)col >= p->lengths[row]) {
        return false;
    }
    if (p->keep && p->keep[at] == 0.0) {
        return false;
    }
    if (p->bias && p->bias[at] == -HUGE_VAL) {
        return false;
    }
    int64_t offset = p->offset;
    switch (p->causal) {
    case ORACLE_CAUSAL_NONE: return true;
    case ORACLE_CAUSAL_TOP_LEFT: offset = 0; break;
    case ORACLE_CAUSAL_BOTTOM_RIGHT: offset = p->cols - p->queries; break;
    case ORACLE_CAUSAL_OFFSET: break;
    }
    return col - row % p->queries <= offset;
}

static void compute_scores(const oracle_softmax *p, int64_t row, row_scores *scores) {
    scores->maximum = -HUGE_VALL;
    scores->maximum_error = 0;
    scores->is_nan = false;
    for (int64_t col = 0; col < p->cols; col++) {
        const int64_t at = row * p->cols + col;
        scores->score[col] = -HUGE_VALL;
        scores->error[col] = 0;
        if (!is_visible(p, row, col)) {
            continue;
        }
        const oracle_real product = (oracle_real)p->scale * (oracle_real)p->x[at];
        const oracle_real bias = p->bias ? (oracle_real)p->bias[at] : 0;
        const oracle_real score = p->bias ? product + bias : product;
        scores->score[col] = score;
        if (isnan(score) || score == HUGE_VALL) {
            scores->is_nan = true;
            return;
        }
        if (p->scale != 1.0 || p->bias) {
            scores->error[col] = score == -HUGE_VALL ? 0
                                                     : 2 * fabsl(product) + 2 * fabsl(bias) + fabsl(score) +
                                                           (oracle_real)p->precision.smallest_normal;
        }
        if (score > scores->maximum) {
            scores->maximum = score;
            scores->maximum_error = scores->error[col];
        }
    }
}

static void fill_row(oracle_result *y, int64_t row, int64_t cols, oracle_real value) {
    for (int64_t col = 0; col < cols; col++) {
        y->value[row * cols + col] = value;
    }
}

static void fill_nan_row(const oracle_softmax *p, int64_t row, oracle_softmax_results *results) {
    fill_row(&results->y, row, p->cols, (oracle_real)NAN);
    results->lse.value[row] = (oracle_real)NAN;
    results->row_max.value[row] = (oracle_real)NAN;
}

static void fill_empty_row(const oracle_softmax *p, int64_t row, oracle_softmax_results *results) {
    const oracle_real zero = p->log_probabilities ? -HUGE_VALL : 0;
    fill_row(&results->y, row, p->cols, p->empty_row == ORACLE_EMPTY_ROW_ZERO ? zero : (oracle_real)NAN);
    results->lse.value[row] = -HUGE_VALL;
    results->row_max.value[row] = -HUGE_VALL;
}

static void fill_ordinary_row(const oracle_softmax *p, int64_t row, const row_scores *s,
                              oracle_softmax_results *results) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real smallest = (oracle_real)p->precision.smallest_normal;
    oracle_real sum = 0, weighted_error = 0;
    for (int64_t col = 0; col < p->cols; col++) {
        const oracle_real e = expl(s->score[col] - s->maximum);
        sum += e;
        if (e > 0) {
            weighted_error += e * (s->error[col] + 3 * fabsl(s->score[col] - s->maximum) + 4);
        }
    }
    const oracle_real sum_error = u * (weighted_error / sum + (oracle_real)p->cols / 16 + 8);
    const oracle_real log_sum = logl(sum);
    for (int64_t col = 0; col < p->cols; col++) {
        const int64_t at = row * p->cols + col;
        const oracle_real distance = s->score[col] - s->maximum;
        oracle_real *const value = &results->y.value[at], *const bound = &results->y.bound[at];
        if (distance == -HUGE_VALL) {
            *value = p->log_probabilities ? -HUGE_VALL : 0;
        } else if (p->log_probabilities) {
            *value = distance - log_sum;
            *bound =
                u * (s->error[col] + s->maximum_error + 2 * fabsl(distance) + fabsl(*value) + 4 * log_sum) +
                sum_error;
        } else {
            *value = expl(distance) / sum;
            *bound = *value * (u * (s->error[col] + 3 * fabsl(distance) + 7) + sum_error) + smallest;
        }
    }
    results->lse.value[row] = s->maximum + log_sum;
    results->lse.bound[row] =
        u * (s->maximum_error + 4 * log_sum + fabsl(results->lse.value[row])) + sum_error;
    results->row_max.value[row] = s->maximum;
    results->row_max.bound[row] = u * s->maximum_error;
}

oracle_softmax_results oracle_softmax_compute(const oracle_softmax *p) {
    oracle_softmax_results results = {oracle_result_create(p->rows * p->cols), oracle_result_create(p->rows),
                                      oracle_result_create(p->rows)};
    oracle_result scratch = oracle_result_create(p->cols);
    row_scores scores = {.score = scratch.value, .error = scratch.bound};
    for (int64_t row = 0; row < p->rows; row++) {
        compute_scores(p, row, &scores);
        if (scores.is_nan) {
            fill_nan_row(p, row, &results);
        } else if (scores.maximum == -HUGE_VALL) {
            fill_empty_row(p, row, &results);
        } else {
            fill_ordinary_row(p, row, &scores, &results);
        }
    }
    oracle_result_destroy(&scratch);
    return results;
}

void oracle_softmax_results_destroy(oracle_softmax_results *results) {
    oracle_result_destroy(&results->y);
    oracle_result_destroy(&results->lse);
    oracle_result_destroy(&results->row_max);
}
