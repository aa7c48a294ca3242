/*
 * The oracle of merging: parts with outputs o_p and log-sum-exps l_p become out = sum w_p o_p / W and
 * lse = M + ln W, with M the largest l_p, w_p = e^(l_p - M) and W the sum of the w_p.
 *
 * Bounds, with u the unit roundoff, P parts, B_p and L_p how far the given o_p and l_p may be off:
 *   weight     conversion to another base rounds l_p and M once: u (|l_p| + |M|). Merged one after another, w_p
 *              is a product of up to P exponentials whose arguments have one sign and sum to l_p - M: their
 *              roundings come to u |l_p - M|, and each exponential (2 ULP), each product and each sum adds
 *              8 u per part. So w_p has the relative error d_p = L_p + u (|l_p| + |M| + |l_p - M| + 8 P).
 *   W          D = sum w_p d_p / W.
 *   out        sum w_p (B_p + |o_p| d_p) / W + |out| (D + 4 u): the last for the division and its product.
 *   lse        D + u (4 |ln W| + 3 |M| + |lse|), as in attention.
 *   Weights below the smallest normal may be 0: P times that, times the largest |o_p|.
 */
#include "oracle.h"

#include <math.h>

/* What the parts of one row have in common; parts with lse -infinity have no weight. */
typedef struct row_scale {
    int64_t row;
    oracle_real maximum, sum, denominator_error;
    bool is_nan;
} row_scale;

static oracle_real lse_of(const oracle_merge *p, int64_t part, int64_t row) {
    return p->lses[part].value[row];
}

static oracle_real weight_error(const oracle_merge *p, const row_scale *scale, int64_t part) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real lse = lse_of(p, part, scale->row);
    return p->lses[part].bound[scale->row] +
           u * (fabsl(lse) + fabsl(scale->maximum) + fabsl(lse - scale->maximum) + 8 * (oracle_real)p->parts);
}

static row_scale compute_scale(const oracle_merge *p, int64_t row) {
    row_scale scale = {.row = row, .maximum = -HUGE_VALL};
    for (int64_t part = 0; part < p->parts; part++) {
        const oracle_real lse = lse_of(p, part, row);
        scale.is_nan = scale.is_nan || isnan(lse) || lse == HUGE_VALL;
        scale.maximum = fmaxl(scale.maximum, lse);
    }
    for (int64_t part = 0; part < p->parts && scale.maximum > -HUGE_VALL; part++) {
        const oracle_real weight = expl(lse_of(p, part, row) - scale.maximum);
        scale.sum += weight;
        scale.denominator_error += weight > 0 ? weight * weight_error(p, &scale, part) : 0;
    }
    scale.denominator_error /= scale.sum > 0 ? scale.sum : 1;
    return scale;
}

static void merge_element(const oracle_merge *p, const row_scale *scale, int64_t at, oracle_result *result) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    oracle_real out = 0, bound = 0, largest = 0;
    for (int64_t part = 0; part < p->parts; part++) {
        const oracle_real lse = lse_of(p, part, scale->row);
        if (lse > -HUGE_VALL) {
            const oracle_real weight = expl(lse - scale->maximum) / scale->sum;
            const oracle_real value = p->outs[part].value[at];
            out += weight * value;
            bound += weight * (p->outs[part].bound[at] + fabsl(value) * weight_error(p, scale, part));
            largest = fmaxl(largest, fabsl(value));
        }
    }
    result->value[at] = out;
    result->bound[at] = bound + fabsl(out) * (scale->denominator_error + 4 * u) +
                        (oracle_real)p->precision.smallest_normal * ((oracle_real)p->parts * largest + 1);
}

static void merge_row(const oracle_merge *p, int64_t row, oracle_merge_results *results) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const row_scale scale = compute_scale(p, row);
    const bool empty = !scale.is_nan && scale.maximum == -HUGE_VALL;
    for (int64_t d = 0; d < p->dim; d++) {
        const int64_t at = row * p->dim + d;
        if (scale.is_nan) {
            results->out.value[at] = (oracle_real)NAN;
        } else if (!empty) {
            merge_element(p, &scale, at, &results->out);
        }
    }
    if (scale.is_nan || empty) {
        results->lse.value[row] = scale.is_nan ? (oracle_real)NAN : -HUGE_VALL;
        return;
    }
    const oracle_real log_sum = logl(scale.sum), lse = scale.maximum + log_sum;
    results->lse.value[row] = lse;
    results->lse.bound[row] =
        scale.denominator_error + u * (4 * fabsl(log_sum) + 3 * fabsl(scale.maximum) + fabsl(lse));
}

oracle_merge_results oracle_merge_compute(const oracle_merge *p) {
    oracle_merge_results results = {oracle_result_create(p->rows * p->dim), oracle_result_create(p->rows)};
    for (int64_t row = 0; row < p->rows; row++) {
        merge_row(p, row, &results);
    }
    return results;
}

void oracle_merge_results_destroy(oracle_merge_results *results) {
    oracle_result_destroy(&results->out);
    oracle_result_destroy(&results->lse);
}
