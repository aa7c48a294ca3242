/*
 * A product with the Jacobian of softmax with all its arrays: built from a few options with random contents,
 * run through the public API and checked against the oracle.
 */
#ifndef TEST_FAMILY_BACKWARD_CASE_H
#define TEST_FAMILY_BACKWARD_CASE_H

#include "arrays.h"
#include "oracle_gradient.h"

typedef struct backward_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int32_t rank;
    int64_t shape[SOFTATTN_MAX_RANK];
    int32_t axis;                       /* 0 … rank - 1 */
    array_layout layout, output_layout; /* of y and the vector; of the result, not ARRAY_BACKWARDS */
    guard_side side;
    bool in_place;
    double scale;
    int32_t output; /* what y is */
    bool is_jvp;    /* softattn_softmax_jvp, else softattn_softmax_backward */
    double masked;  /* share of the elements whose y is masked */
} backward_options;

typedef struct backward_case {
    backward_options options;
    test_array y, v, out;
} backward_case;

/* Backward of probabilities over the last axis of compact matrices. */
backward_options backward_options_plain(array_type type, int64_t rows, int64_t cols);

/* Any options that are legal together, with at most about `elements` elements. */
backward_options backward_options_random(random_source *random, int64_t elements);

void backward_case_create(backward_case *problem, const backward_options *options, random_source *random);
void backward_case_destroy(backward_case *problem);

/* A handle set up as the options say. */
softattn_softmax *backward_case_handle(const backward_case *problem, const softattn_context *context);

/* Runs on a handle of its own and returns the status. */
int32_t backward_case_run(backward_case *problem, const softattn_context *context);

/* Runs, and returns how many results lie outside the oracle's bounds, bytes written into gaps and a failed
 * run counting as one each. */
int64_t backward_case_differences(backward_case *problem, const softattn_context *context);

/* The array that results are written to. */
test_array *backward_case_result(backward_case *problem);

/* One line about the options. Static storage. */
const char *backward_case_text(const backward_case *problem);

/* The same elements with the axis moved to the end: rows one after another in row-major order. */
void array_create_rows_view(test_array *view, const test_array *base, int32_t axis);

#endif
