/*
 * A cross-entropy problem with all its arrays: built from a few options with random contents, run through the
 * public API and checked against the oracle.
 */
#ifndef TEST_FAMILY_ENTROPY_CASE_H
#define TEST_FAMILY_ENTROPY_CASE_H

#include "arrays.h"
#include "oracle_gradient.h"

typedef struct entropy_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int32_t rank;    /* 1 … 4 */
    int64_t shape[4];
    array_layout layout, output_layout; /* of inputs; of outputs, not ARRAY_BACKWARDS */
    guard_side side;
    bool in_place;
    bool has_probabilities, has_weights;
    array_type target_type; /* ARRAY_I32 or ARRAY_I64 */
    double ignored;         /* share of the rows */
    int64_t ignore_index;
    double smoothing, z_loss, scale, deviation; /* deviation: of the logits */
    int32_t reduction;
} entropy_options;

typedef struct entropy_case {
    entropy_options options;
    test_array logits, targets, probabilities, weights;
    test_array losses, total, gradient, lse, counted;
    softattn_cross_entropy_args args;
} entropy_case;

/* Target classes of compact logits, everything else as a fresh handle has it. */
entropy_options entropy_options_plain(array_type type, int64_t rows, int64_t classes);

/* Any options that are legal together, with at most about `elements` logits. */
entropy_options entropy_options_random(random_source *random, int64_t elements);

/* Builds the arrays; contents may be changed until the run. */
void entropy_case_create(entropy_case *problem, const entropy_options *options, random_source *random);
void entropy_case_destroy(entropy_case *problem);

/* A handle set up as the options say. */
softattn_cross_entropy *entropy_case_handle(const entropy_case *problem, const softattn_context *context);

/* Runs on a handle of its own and returns the status. */
int32_t entropy_case_run(entropy_case *problem, const softattn_context *context);

/* The oracle's results for the contents as they are. */
oracle_entropy_results entropy_case_expected(const entropy_case *problem);

/* Runs, and returns how many results lie outside the oracle's bounds, bytes written into gaps and a failed
 * run counting as one each. */
int64_t entropy_case_differences(entropy_case *problem, const softattn_context *context);

/* The array that the gradient is written to. */
test_array *entropy_case_gradient(entropy_case *problem);

/* One line about the options. Static storage. */
const char *entropy_case_text(const entropy_case *problem);

#endif
