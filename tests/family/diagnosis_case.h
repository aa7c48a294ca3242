/*
 * The numbers of a diagnosis from their formulas, in long double, and arrays to receive them.
 */
#ifndef FAMILY_DIAGNOSIS_CASE_H
#define FAMILY_DIAGNOSIS_CASE_H

#include "arrays.h"
#include "oracle.h"

#include <softattn/softattn.h>

#include <stdbool.h>
#include <stdint.h>

/* In the order of softattn_diagnosis. */
typedef enum diagnosis_number {
    DIAGNOSIS_ENTROPY,
    DIAGNOSIS_MAX_PROBABILITY,
    DIAGNOSIS_EFFECTIVE_KEYS,
    DIAGNOSIS_SCORE_MEAN,
    DIAGNOSIS_SCORE_VARIANCE,
    DIAGNOSIS_JACOBIAN_NORM,
    DIAGNOSIS_NUMBERS
} diagnosis_number;

const char *diagnosis_number_name(diagnosis_number number);

/* One row by the formulas, with how far a result computed with unit roundoff u may lie from it. */
typedef struct diagnosis_expected {
    bool empty, nan;
    oracle_real value[DIAGNOSIS_NUMBERS], bound[DIAGNOSIS_NUMBERS];
} diagnosis_expected;

/* Of `count` scores, -infinity where masked, each known but for score_errors[j]; and a sink (-infinity: none), with an error
 * of its own. */
diagnosis_expected diagnosis_of_scores(const oracle_real *scores, const oracle_real *score_errors,
                                       int64_t count, oracle_real sink, oracle_real sink_error,
                                       oracle_precision precision);

/* All outputs of a diagnosis, for rows of this shape. */
typedef struct diagnosis_arrays {
    test_array numbers[DIAGNOSIS_NUMBERS], saturated;
    softattn_diagnosis_summary summary;
    softattn_diagnosis outputs;
} diagnosis_arrays;

void diagnosis_arrays_create(diagnosis_arrays *arrays, array_type type, int32_t rank, const int64_t *shape,
                             guard_side side);
void diagnosis_arrays_destroy(diagnosis_arrays *arrays);

/* How many numbers of row `row` lie outside the bounds; saturation: the handle's threshold. what: printed with them. */
int64_t diagnosis_differences(const diagnosis_arrays *arrays, int64_t row, const diagnosis_expected *expected,
                              double saturation, const char *what);

/* How many numbers of the summary are not what the arrays' rows say. */
int64_t diagnosis_summary_differences(const diagnosis_arrays *arrays, int64_t rows, int64_t empty_rows,
                                      const char *what);

#endif
