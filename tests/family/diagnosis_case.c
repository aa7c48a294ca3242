/* Formulas of a diagnosis, and comparison with them. */
#include "diagnosis_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *diagnosis_number_name(diagnosis_number number) {
    static const char *const names[] = {"entropy",    "max_probability", "effective_keys",
                                        "score_mean", "score_variance",  "jacobian_norm"};
    return names[number];
}

/* ---- Formulas ---- */

/* Weights above this take part in the errors of weights; lesser ones are of no account beside them. */
static const oracle_real negligible = 1e-40L;

static oracle_real largest_score(const oracle_real *scores, int64_t count, oracle_real sink) {
    oracle_real max = sink;
    for (int64_t j = 0; j < count; j++) {
        max = scores[j] > max ? scores[j] : max;
    }
    return max;
}

/*
 * Errors of weights: w = exp(s - m) has the relative error of its argument, which is that of s and of m and three roundings
 * of s - m (the subtraction, the product with log2(e), the constant), and some units of exp2 itself. Sums of n weights add
 * the roundings of a stripe (n / 32, or n / 16) and of the tree. All numbers but those of the scores are sums and quotients
 * of weights with positive terms, times ln(y) for the entropy, so they keep that relative error times a small factor.
 */
typedef struct row_sums {
    oracle_real sum, y2, entropy, relative;
} row_sums;

static row_sums sum_weights(const oracle_real *scores, const oracle_real *errors, int64_t count,
                            oracle_real sink, oracle_real sink_error, oracle_real max, oracle_real u) {
    row_sums sums = {0, 0, 0, 0};
    oracle_real others = 0; /* sum without one score at the maximum */
    bool apart = false;
    oracle_real max_error = sink == max ? sink_error : 0;
    for (int64_t j = 0; j < count; j++) {
        max_error = scores[j] == max && errors[j] > max_error ? errors[j] : max_error;
    }
    for (int64_t j = 0; j <= count; j++) {
        const oracle_real score = j < count ? scores[j] : sink, error = j < count ? errors[j] : sink_error;
        const oracle_real w = expl(score - max);
        if (w > negligible) {
            const oracle_real argument = error + max_error + 3 * u * (max - score);
            sums.relative = argument > sums.relative ? argument : sums.relative;
        }
        sums.sum += w;
        others += score == max && !apart ? 0 : w;
        apart = apart || score == max;
        sums.y2 += w * w;
        sums.entropy += w > 0 ? w * (max - score) : 0;
    }
    sums.relative += u * (40 + (oracle_real)count / 16);
    sums.entropy = log1pl(others) + sums.entropy / sums.sum;
    sums.y2 /= sums.sum * sums.sum;
    return sums;
}

/* |diag(y) - y y^T|_F from its elements, summed by rows: y_i^2 ((1 - y_i)^2 + sum of the other y^2). The rest of 1 - y_i and
 * of the sum is formed without the row's own y where that is large, or near-one-hot rows would cancel. */
static oracle_real jacobian_norm(const oracle_real *scores, int64_t count, oracle_real sink, oracle_real max,
                                 oracle_real sum) {
    oracle_real squares = 0;
    for (int64_t i = 0; i <= count; i++) {
        const oracle_real y = expl((i < count ? scores[i] : sink) - max) / sum;
        oracle_real rest = 0, rest2 = 0;
        for (int64_t j = 0; j <= count && y > 0.4L; j++) {
            const oracle_real other = j == i ? 0 : expl((j < count ? scores[j] : sink) - max) / sum;
            rest += other;
            rest2 += other * other;
        }
        if (y > 0.4L) {
            squares += y * y * (rest * rest + rest2);
        }
    }
    /* rows of small y: (1 - y)^2 is harmless there, and the others' squares are all but their own */
    oracle_real all2 = 0;
    for (int64_t j = 0; j <= count; j++) {
        const oracle_real y = expl((j < count ? scores[j] : sink) - max) / sum;
        all2 += y * y;
    }
    for (int64_t i = 0; i <= count; i++) {
        const oracle_real y = expl((i < count ? scores[i] : sink) - max) / sum;
        if (y <= 0.4L) {
            squares += y * y * ((1 - y) * (1 - y) + (all2 - y * y));
        }
    }
    return sqrtl(squares);
}

static void set_number(diagnosis_expected *expected, diagnosis_number number, oracle_real value,
                       oracle_real bound) {
    expected->value[number] = value;
    expected->bound[number] = bound;
}

/* Mean and variance of the visible scores; both sums have the roundings of a stripe and the tree. */
static void score_moments(const oracle_real *scores, const oracle_real *errors, int64_t count, oracle_real u,
                          diagnosis_expected *expected) {
    const oracle_real roundings = u * (12 + (oracle_real)count / 16);
    oracle_real visible = 0, mean = 0, magnitude = 0, error = 0, variance = 0, variance_error = 0;
    for (int64_t j = 0; j < count; j++) {
        if (scores[j] > -(oracle_real)INFINITY) {
            visible += 1;
            mean += scores[j];
            magnitude += fabsl(scores[j]);
            error += errors[j];
        }
    }
    mean /= visible;
    error = error / visible + roundings * magnitude / visible;
    for (int64_t j = 0; j < count; j++) {
        if (scores[j] > -(oracle_real)INFINITY) {
            const oracle_real distance = fabsl(scores[j] - mean), off = errors[j] + error + 2 * u * distance;
            variance += distance * distance / visible;
            variance_error += (2 * distance * off + off * off) / visible;
        }
    }
    set_number(expected, DIAGNOSIS_SCORE_MEAN, mean, error);
    set_number(expected, DIAGNOSIS_SCORE_VARIANCE, variance, variance_error + roundings * variance);
}

diagnosis_expected diagnosis_of_scores(const oracle_real *scores, const oracle_real *score_errors,
                                       int64_t count, oracle_real sink, oracle_real sink_error,
                                       oracle_precision precision) {
    const oracle_real u = precision.unit_roundoff;
    diagnosis_expected expected = {.empty = true};
    expected.nan = isnan(sink) || sink == (oracle_real)INFINITY;
    for (int64_t j = 0; j < count; j++) {
        expected.empty = expected.empty && scores[j] == -(oracle_real)INFINITY;
        expected.nan = expected.nan || isnan(scores[j]) || scores[j] == (oracle_real)INFINITY;
    }
    if (expected.empty || expected.nan) {
        return expected;
    }
    const oracle_real max = largest_score(scores, count, sink);
    const row_sums sums = sum_weights(scores, score_errors, count, sink, sink_error, max, u);
    const oracle_real r = sums.relative, tiny = precision.smallest_normal * (oracle_real)(count + 1);
    /* an error of a weight moves ln(y) by as much, and the entropy by that times y, beside the relative error */
    set_number(&expected, DIAGNOSIS_ENTROPY, sums.entropy, 4 * r * sums.entropy + 100 * tiny);
    set_number(&expected, DIAGNOSIS_MAX_PROBABILITY, 1 / sums.sum, 2 * r / sums.sum);
    set_number(&expected, DIAGNOSIS_EFFECTIVE_KEYS, expl(sums.entropy),
               expl(sums.entropy) * ((4 * r + 3 * u) * sums.entropy + 8 * u) + 100 * tiny);
    score_moments(scores, score_errors, count, u, &expected);
    const oracle_real norm = jacobian_norm(scores, count, sink, max, sums.sum);
    set_number(&expected, DIAGNOSIS_JACOBIAN_NORM, norm, 8 * r * norm + 10 * tiny);
    return expected;
}

/* ---- Arrays ---- */

void diagnosis_arrays_create(diagnosis_arrays *arrays, array_type type, int32_t rank, const int64_t *shape,
                             guard_side side) {
    const softattn_tensor **const fields = &arrays->outputs.entropy;
    memset(arrays, 0, sizeof *arrays);
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        array_create(&arrays->numbers[i], type, rank, shape, i % 2 ? ARRAY_SPREAD : ARRAY_COMPACT, side);
        fields[i] = &arrays->numbers[i].tensor;
    }
    array_create(&arrays->saturated, ARRAY_U8, rank, shape, ARRAY_COMPACT, side);
    arrays->outputs.struct_size = sizeof arrays->outputs;
    arrays->outputs.saturated = &arrays->saturated.tensor;
    arrays->outputs.summary = &arrays->summary;
    arrays->summary.struct_size = sizeof arrays->summary;
}

void diagnosis_arrays_destroy(diagnosis_arrays *arrays) {
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        array_destroy(&arrays->numbers[i]);
    }
    array_destroy(&arrays->saturated);
}

/* ---- Comparison ---- */

static bool number_is_right(double actual, diagnosis_number number, const diagnosis_expected *expected) {
    if (expected->nan) {
        return isnan(actual);
    }
    if (expected->empty) {
        return actual == 0;
    }
    return fabsl((oracle_real)actual - expected->value[number]) <= expected->bound[number];
}

int64_t diagnosis_differences(const diagnosis_arrays *arrays, int64_t row, const diagnosis_expected *expected,
                              double saturation, const char *what) {
    int64_t differences = 0;
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        const double actual = array_get(&arrays->numbers[i], row);
        if (!number_is_right(actual, (diagnosis_number)i, expected)) {
            printf("%s: row %" PRId64 ": %s is %.17g instead of %.17Lg +- %.3Lg\n", what, row,
                   diagnosis_number_name((diagnosis_number)i), actual, expected->value[i],
                   expected->bound[i]);
            differences++;
        }
    }
    const double largest = array_get(&arrays->numbers[DIAGNOSIS_MAX_PROBABILITY], row);
    const double saturated = largest > saturation ? 1 : 0;
    if (array_get(&arrays->saturated, row) != saturated) {
        printf("%s: row %" PRId64 ": saturated is not %g\n", what, row, saturated);
        differences++;
    }
    return differences;
}

/* The library sums before it rounds to the outputs' type, so its sum may differ by each number's rounding. */
static bool mean_is_right(double actual, double sum, double magnitude, int64_t counted, array_type type) {
    const double expected = counted > 0 ? sum / (double)counted : 0;
    const double u = type == ARRAY_F32 ? 0x1p-24 : 0x1p-53;
    return fabs(actual - expected) <=
           (u + 0x1p-52 * (double)(counted + 2)) * magnitude / (double)(counted + 1) * 2;
}

/* Rows that count are those whose probability is a number above 0. */
int64_t diagnosis_summary_differences(const diagnosis_arrays *arrays, int64_t rows, int64_t empty_rows,
                                      const char *what) {
    const softattn_diagnosis_summary *const summary = &arrays->summary;
    const double *const numbers = &summary->entropy_mean;
    int64_t counted = 0, nans = 0, saturated = 0, differences = 0;
    for (int64_t row = 0; row < rows; row++) {
        const double largest = array_get(&arrays->numbers[DIAGNOSIS_MAX_PROBABILITY], row);
        counted += largest > 0;
        nans += isnan(largest) != 0;
        saturated += array_get(&arrays->saturated, row) == 1;
    }
    differences += summary->rows != counted || summary->nan_rows != nans ||
                   summary->saturated_rows != saturated || summary->empty_rows != empty_rows;
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        double sum = 0, magnitude = 0, max = counted > 0 ? -(double)INFINITY : 0;
        for (int64_t row = 0; row < rows; row++) {
            const double number = array_get(&arrays->numbers[i], row);
            const bool counts = array_get(&arrays->numbers[DIAGNOSIS_MAX_PROBABILITY], row) > 0;
            sum += counts ? number : 0;
            magnitude += counts ? fabs(number) : 0;
            max = counts && number > max ? number : max;
        }
        differences += !mean_is_right(numbers[2 * i], sum, magnitude, counted, arrays->numbers[i].type);
        differences += fabs(numbers[2 * i + 1] - max) > 0x1p-23 * fabs(max);
    }
    if (differences > 0) {
        printf("%s: %" PRId64 " numbers of the summary differ\n", what, differences);
    }
    return differences;
}
