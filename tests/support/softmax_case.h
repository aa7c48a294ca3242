/*
 * A softmax problem with all its arrays: built from a few options with random contents, run through the
 * public API and checked against the oracle.
 */
#ifndef TEST_SUPPORT_SOFTMAX_CASE_H
#define TEST_SUPPORT_SOFTMAX_CASE_H

#include "arrays.h"
#include "oracle.h"

/* How a mask-like operand broadcasts to the shape it masks. */
typedef struct broadcast {
    bool given;
    uint32_t single_axes; /* bit a: axis a has size 1 */
    int32_t missing_axes; /* leading axes left out */
} broadcast;

typedef struct softmax_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int32_t rank;
    int64_t shape[SOFTATTN_MAX_RANK];
    int32_t axis;               /* 0 … rank - 1 */
    array_layout layout;        /* of x */
    array_layout output_layout; /* of y, not ARRAY_BACKWARDS */
    guard_side side;
    bool in_place;
    double deviation; /* of x */
    double scale;
    broadcast bias, keep, lengths; /* lengths: axes of the shape without the axis */
    int32_t causal;
    int64_t offset;
    int32_t output, empty_row;
} softmax_options;

typedef struct softmax_case {
    softmax_options options;
    test_array x, y, bias, keep, lengths, lse, row_max;
    softattn_softmax_args args;
} softmax_case;

/* Options of a plain softmax over the last axis of a compact matrix. */
softmax_options softmax_options_plain(array_type type, int64_t rows, int64_t cols);

/* Any options that are legal together, with at most about `elements` elements. */
softmax_options softmax_options_random(random_source *random, int64_t elements);

/* Builds the arrays; contents may be changed until the run. */
void softmax_case_create(softmax_case *problem, const softmax_options *options, random_source *random);
void softmax_case_destroy(softmax_case *problem);

/* A handle set up as the options say. */
softattn_softmax *softmax_case_handle(const softmax_case *problem, const softattn_context *context);

/* Runs on a handle of its own and returns the status. */
int32_t softmax_case_run(softmax_case *problem, const softattn_context *context);

/* Runs, and returns how many results lie outside the oracle's bounds, bytes written into gaps and a failed
 * run counting as one each. */
int64_t softmax_case_differences(softmax_case *problem, const softattn_context *context);

/* The array that results are written to. */
test_array *softmax_case_result(softmax_case *problem);

/* One line about the options. Static storage. */
const char *softmax_case_text(const softmax_case *problem);

#endif
