/*
 * The oracle of derivatives of softmax and of cross-entropy.
 *
 * Bounds, to first order in the unit roundoff u; N = cols / 16 + 8 bounds the roundings of a sum of products
 * in at least 16 stripes and a tree over these, one more per term included.
 *
 * Products with the Jacobian. y and v are exact, scale is rounded.
 *   exp(y)           two roundings of the argument and 2 ULP: relative e = u (3|y| + 4), and below the smallest
 *                    normal number s it may be 0
 *   sum              E = sum of |term| (u N + e), e only where a term has an exponential
 *   value            4 u |value|, and E times what the sum is multiplied by. A product below s may lose s
 *
 * Cross-entropy. m is the largest z = scale x, P = p / sum the probability.
 *   p                relative d = u (3|z - m| + 4); the sum of p inherits their mean: D = sum of P d + u N
 *   lse              u (2|m| + 4|ln sum| + |lse|) + D
 *   target weights   a = w (keep q + spread), all rounded: 5 u of the sum of magnitudes, written t
 *   A, distance      sums of a and of a (m - z): T = u (N + 5) sum of t and u (N + 9) sum of t |m - z|
 *   loss             T |ln sum| + A (D + 4 u |ln sum|) + the distance's error; with z_loss 2|lse| times the
 *                    lse's error; and u times four of each term's magnitude
 *   gradient         f (P A' - a), A' = A + 2 z_loss lse: |f| (P (error of A' + |A'| (d + D + 6 u)) + 8 u t),
 *                    and s where P is flushed
 *   total            the losses' bounds, and additions and a division in double
 */
#include "oracle_gradient.h"

#include <math.h>
#include <stdlib.h>

/* ---- Products with the Jacobian ------------------------------------------------------------------------ */

static bool is_masked(const oracle_backward *p, oracle_real y) {
    return p->log_probabilities ? y == -HUGE_VALL : y == 0;
}

static oracle_real probability(const oracle_backward *p, oracle_real y) {
    return p->log_probabilities ? expl(y) : y;
}

/* Relative error of probability(y). */
static oracle_real exp_error(const oracle_backward *p, oracle_real y) {
    return p->log_probabilities ? (oracle_real)p->precision.unit_roundoff * (3 * fabsl(y) + 4) : 0;
}

static void backward_row(const oracle_backward *p, const double *y, const double *v, oracle_real *value,
                         oracle_real *bound) {
    const bool plain_sum = p->log_probabilities && p->transposed; /* of v alone */
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real smallest = (oracle_real)p->precision.smallest_normal;
    const oracle_real roundings = (oracle_real)p->cols / 16 + 8;
    oracle_real sum = 0, sum_error = 0;
    for (int64_t j = 0; j < p->cols; j++) {
        if (!is_masked(p, y[j])) {
            const oracle_real weight = plain_sum ? 1 : probability(p, y[j]);
            const oracle_real error = plain_sum ? 0 : exp_error(p, y[j]);
            sum += weight * (oracle_real)v[j];
            sum_error += fabsl(weight * (oracle_real)v[j]) * (u * roundings + error) +
                         smallest * fabsl((oracle_real)v[j]);
        }
    }
    for (int64_t j = 0; j < p->cols; j++) {
        if (is_masked(p, y[j])) {
            continue; /* 0, exactly */
        }
        const oracle_real weight = probability(p, y[j]);
        const oracle_real scale = fabsl((oracle_real)p->scale), inner = fabsl((oracle_real)v[j]) + fabsl(sum);
        if (!p->log_probabilities) {
            value[j] = (oracle_real)p->scale * weight * ((oracle_real)v[j] - sum);
            bound[j] = scale * weight * sum_error + smallest * inner;
        } else if (p->transposed) {
            value[j] = (oracle_real)p->scale * ((oracle_real)v[j] - weight * sum);
            bound[j] = scale * (weight * sum_error + fabsl(weight * sum) * (exp_error(p, y[j]) + 2 * u) +
                                smallest * fabsl(sum));
        } else {
            value[j] = (oracle_real)p->scale * ((oracle_real)v[j] - sum);
            bound[j] = scale * sum_error;
        }
        bound[j] += 4 * u * fabsl(value[j]) + smallest;
    }
}

oracle_result oracle_backward_compute(const oracle_backward *p) {
    oracle_result result = oracle_result_create(p->rows * p->cols);
    for (int64_t row = 0; row < p->rows; row++) {
        const int64_t at = row * p->cols;
        backward_row(p, p->y + at, p->v + at, result.value + at, result.bound + at);
    }
    return result;
}

/* Row i of the Jacobian. 1 - y is rounded, and y itself may be off by the exponential's error. */
static void jacobian_row(const oracle_backward *p, const double *y, int64_t i, oracle_real *value,
                         oracle_real *bound) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real factor = (oracle_real)p->scale * (p->log_probabilities ? 1 : (oracle_real)y[i]);
    for (int64_t j = 0; j < p->cols && !is_masked(p, y[i]); j++) {
        if (!is_masked(p, y[j])) {
            const oracle_real weight = probability(p, y[j]);
            value[j] = factor * ((i == j ? 1 : 0) - weight);
            bound[j] = fabsl(factor) * weight * exp_error(p, y[j]) + 4 * u * fabsl(value[j]) +
                       2 * (oracle_real)p->precision.smallest_normal;
        }
    }
}

oracle_result oracle_jacobian_compute(const oracle_backward *p) {
    oracle_result result = oracle_result_create(p->rows * p->cols * p->cols);
    for (int64_t row = 0; row < p->rows; row++) {
        for (int64_t i = 0; i < p->cols; i++) {
            const int64_t at = (row * p->cols + i) * p->cols;
            jacobian_row(p, p->y + row * p->cols, i, result.value + at, result.bound + at);
        }
    }
    return result;
}

/* ---- Cross-entropy ------------------------------------------------------------------------------------- */

typedef struct entropy_row {
    oracle_real max, sum, sum_error; /* sum of e^(z - m), its relative error */
    oracle_real lse, lse_error;
    oracle_real targets, targets_error;
    bool is_empty, is_nan;
} entropy_row;

static oracle_real scaled(const oracle_entropy *p, int64_t row, int64_t c) {
    return (oracle_real)p->scale * (oracle_real)p->logits[row * p->classes + c];
}

static bool is_ignored(const oracle_entropy *p, int64_t row) {
    return p->targets && p->targets[row] == p->ignore_index;
}

/* a of a class, and its magnitude. */
static oracle_real target_weight(const oracle_entropy *p, int64_t row, int64_t c, oracle_real *magnitude) {
    const oracle_real q =
        p->targets ? p->targets[row] == c : (oracle_real)p->probabilities[row * p->classes + c];
    const oracle_real w = p->weights ? (oracle_real)p->weights[c] : 1;
    const oracle_real keep = 1 - (oracle_real)p->smoothing;
    const oracle_real spread = (oracle_real)p->smoothing / (oracle_real)p->classes;
    *magnitude = fabsl(w) * (keep * fabsl(q) + spread);
    return w * (keep * q + spread);
}

static entropy_row logit_statistics(const oracle_entropy *p, int64_t row) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    entropy_row r = {.max = -HUGE_VALL};
    oracle_real weighted = 0;
    for (int64_t c = 0; c < p->classes; c++) {
        const oracle_real z = scaled(p, row, c);
        r.is_nan = r.is_nan || isnan(z) || z == HUGE_VALL;
        r.max = z > r.max ? z : r.max;
    }
    r.is_empty = !r.is_nan && r.max == -HUGE_VALL;
    r.lse = r.is_nan ? (oracle_real)NAN : -HUGE_VALL;
    if (r.is_nan || r.is_empty) {
        return r;
    }
    for (int64_t c = 0; c < p->classes; c++) {
        const oracle_real below = r.max - scaled(p, row, c), e = expl(-below);
        r.sum += e;
        weighted += e > 0 ? e * (3 * below + 4) : 0;
    }
    r.sum_error = u * (weighted / r.sum + (oracle_real)p->classes / 16 + 8);
    r.lse = r.max + logl(r.sum);
    r.lse_error = u * (2 * fabsl(r.max) + 4 * logl(r.sum) + fabsl(r.lse)) + r.sum_error;
    return r;
}

static void entropy_loss(const oracle_entropy *p, int64_t row, entropy_row *r, oracle_real *loss,
                         oracle_real *bound) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real roundings = (oracle_real)p->classes / 16 + 8, log_sum = logl(r->sum);
    const oracle_real z_term = (oracle_real)p->z_loss * r->lse * r->lse;
    oracle_real distance = 0, distance_error = 0, magnitudes = 0;
    for (int64_t c = 0; c < p->classes; c++) {
        oracle_real magnitude;
        const oracle_real a = target_weight(p, row, c, &magnitude), below = r->max - scaled(p, row, c);
        if (a != 0) {
            r->targets += a;
            magnitudes += magnitude;
            distance += a * below;
            distance_error += u * (roundings + 9) * magnitude * below;
        }
    }
    r->targets_error = u * (roundings + 5) * magnitudes;
    *loss = r->targets * log_sum + distance + z_term;
    *bound = r->targets_error * log_sum + fabsl(r->targets) * (r->sum_error + 4 * u * log_sum) +
             distance_error + 2 * (oracle_real)p->z_loss * fabsl(r->lse) * r->lse_error +
             4 * u * (fabsl(r->targets * log_sum) + fabsl(distance) + z_term);
}

static void entropy_gradient(const oracle_entropy *p, int64_t row, const entropy_row *r, oracle_real factor,
                             oracle_real *value, oracle_real *bound) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff, f = (oracle_real)p->scale * factor;
    const oracle_real z_part = 2 * (oracle_real)p->z_loss * r->lse;
    const oracle_real total = r->targets + z_part;
    const oracle_real total_error = r->targets_error + 2 * (oracle_real)p->z_loss * r->lse_error +
                                    4 * u * (fabsl(r->targets) + fabsl(z_part));
    for (int64_t c = 0; c < p->classes; c++) {
        oracle_real magnitude;
        const oracle_real a = target_weight(p, row, c, &magnitude), below = r->max - scaled(p, row, c);
        const oracle_real P = expl(-below) / r->sum;
        const oracle_real weight_error = P > 0 ? P * (u * (3 * below + 10) + r->sum_error) : 0;
        value[c] = f * (P * total - a);
        bound[c] = fabsl(f) * (P * total_error + fabsl(total) * weight_error + 8 * u * magnitude +
                               (oracle_real)p->precision.smallest_normal * (fabsl(total) + 1)) +
                   (oracle_real)p->precision.smallest_normal;
    }
}

/* What a mean divides by; rows that count. */
static oracle_real divisor(const oracle_entropy *p, int64_t *counted) {
    oracle_real sum = 0;
    *counted = 0;
    for (int64_t row = 0; row < p->rows; row++) {
        const oracle_real w =
            p->targets && p->weights && !is_ignored(p, row) ? (oracle_real)p->weights[p->targets[row]] : 1;
        if (!is_ignored(p, row)) {
            sum += w;
            *counted += w != 0;
        }
    }
    return sum;
}

static void fill(oracle_real *values, int64_t count, oracle_real value) {
    for (int64_t i = 0; i < count; i++) {
        values[i] = value;
    }
}

static void entropy_row_results(const oracle_entropy *p, int64_t row, oracle_real factor,
                                oracle_entropy_results *results) {
    entropy_row r = logit_statistics(p, row);
    oracle_real *const loss = &results->losses.value[row], *const gradient =
                                                               results->gradient.value + row * p->classes;
    results->lse.value[row] = r.lse;
    results->lse.bound[row] = r.lse_error;
    if (is_ignored(p, row)) {
        return; /* loss and gradient 0 */
    }
    if (r.is_nan || r.is_empty) {
        *loss = (oracle_real)NAN;
        fill(gradient, p->classes, (oracle_real)NAN);
        return;
    }
    entropy_loss(p, row, &r, loss, &results->losses.bound[row]);
    entropy_gradient(p, row, &r, factor, gradient, results->gradient.bound + row * p->classes);
}

static void compute_total(const oracle_entropy *p, oracle_real divided_by, oracle_entropy_results *results) {
    oracle_real sum = 0, error = 0, magnitude = 0;
    for (int64_t row = 0; row < p->rows; row++) {
        sum += results->losses.value[row];
        error += results->losses.bound[row];
        magnitude += fabsl(results->losses.value[row]);
    }
    error += (oracle_real)(p->rows + 2) * 0x1p-53L * magnitude;
    *results->total.value = sum / divided_by;
    *results->total.bound =
        error / fabsl(divided_by) + 2 * (oracle_real)p->precision.unit_roundoff * fabsl(sum / divided_by);
    if (p->reduction == ORACLE_REDUCTION_MEAN && results->counted == 0) {
        *results->total.value = *results->total.bound = 0;
    }
}

oracle_entropy_results oracle_entropy_compute(const oracle_entropy *p) {
    oracle_entropy_results results = {oracle_result_create(p->rows), oracle_result_create(p->rows),
                                      oracle_result_create(p->rows * p->classes), oracle_result_create(1), 0};
    const oracle_real sum = divisor(p, &results.counted);
    const bool is_mean = p->reduction == ORACLE_REDUCTION_MEAN;
    const oracle_real factor = !is_mean ? 1 : results.counted == 0 ? 0 : 1 / sum;
    for (int64_t row = 0; row < p->rows; row++) {
        entropy_row_results(p, row, factor, &results);
    }
    compute_total(p, is_mean ? sum : 1, &results);
    return results;
}

void oracle_entropy_results_destroy(oracle_entropy_results *results) {
    oracle_result_destroy(&results->losses);
    oracle_result_destroy(&results->lse);
    oracle_result_destroy(&results->gradient);
    oracle_result_destroy(&results->total);
}
