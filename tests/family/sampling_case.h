/*
 * A sampling problem with its arrays: random logits of many kinds and random filters, run through the public API; and its
 * results from the definition in docs/semantics.md, by sorting.
 */
#ifndef FAMILY_SAMPLING_CASE_H
#define FAMILY_SAMPLING_CASE_H

#include "arrays.h"
#include "random.h"

#include <softattn/softattn.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct sampling_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int64_t rows, vocabulary;
    array_layout layout;
    guard_side side;
    array_type token_type;
    double temperature, top_p, min_p;
    int64_t top_k;
    bool in_place; /* probabilities over the logits */
} sampling_options;

typedef struct sampling_case {
    sampling_options options;
    test_array logits, uniform, tokens, probabilities, keep;
    softattn_sampler_args args;
} sampling_case;

sampling_options sampling_options_random(random_source *random, int64_t vocabulary);

/* Arrays with random logits, of another kind in each row. */
void sampling_case_create(sampling_case *problem, const sampling_options *options, random_source *random);
void sampling_case_destroy(sampling_case *problem);

/* The array that probabilities are written to. */
test_array *sampling_case_probabilities(sampling_case *problem);

/* Runs on a handle of its own and returns the status. */
int32_t sampling_case_run(sampling_case *problem, const softattn_context *context);

/* One line about the options. Static storage. */
const char *sampling_case_text(const sampling_case *problem);

/* ---- By definition ---- */

/* One row: logits, weights and masses in, what is kept and the token out. */
typedef struct sampling_row {
    int64_t vocabulary;
    const double *logits, *weights; /* weights: as exact as the tested code has them */
    double temperature, top_p, min_p, uniform;
    int64_t top_k;
    bool *keep;    /* [vocabulary] */
    int64_t token; /* -1: none */
    double total;  /* sum of the kept weights */
} sampling_row;

/* keep, token and total of the row. */
void sampling_row_solve(sampling_row *row);

#endif
