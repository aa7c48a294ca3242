/*
 * The oracle of derivatives of softmax and of cross-entropy: straight from the formulas in docs/semantics.md,
 * in long double with plain loops over contiguous arrays. It shares nothing with the library. Bounds as in
 * oracle.h; their derivations stand above the code.
 */
#ifndef TEST_FAMILY_ORACLE_GRADIENT_H
#define TEST_FAMILY_ORACLE_GRADIENT_H

#include "oracle.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct oracle_backward {
    int64_t rows, cols;
    const double *y, *v; /* [rows][cols] */
    double scale;
    bool log_probabilities; /* what y is */
    bool transposed;        /* J^T v, else J v */
    oracle_precision precision;
} oracle_backward;

/* [rows][cols] */
oracle_result oracle_backward_compute(const oracle_backward *problem);

/* [rows][cols][cols] of problem's y and scale. */
oracle_result oracle_jacobian_compute(const oracle_backward *problem);

typedef enum oracle_reduction {
    ORACLE_REDUCTION_NONE,
    ORACLE_REDUCTION_MEAN,
    ORACLE_REDUCTION_SUM
} oracle_reduction;

typedef struct oracle_entropy {
    int64_t rows, classes;
    const double *logits;        /* [rows][classes] */
    const int64_t *targets;      /* [rows], or NULL */
    const double *probabilities; /* [rows][classes], or NULL */
    const double *weights;       /* [classes], or NULL */
    int64_t ignore_index;
    double smoothing, z_loss, scale;
    oracle_reduction reduction;
    oracle_precision precision;
} oracle_entropy;

typedef struct oracle_entropy_results {
    oracle_result losses, lse; /* [rows] */
    oracle_result gradient;    /* [rows][classes] */
    oracle_result total;       /* [1] */
    int64_t counted;
} oracle_entropy_results;

oracle_entropy_results oracle_entropy_compute(const oracle_entropy *problem);
void oracle_entropy_results_destroy(oracle_entropy_results *results);

#endif
