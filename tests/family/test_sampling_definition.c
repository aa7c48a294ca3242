/*
 * Tokens, keep masks and probabilities are those of the definition: every instruction set, both types, logits of many
 * kinds, all filters together, strided arrays, in place. Tokens and masks are compared for equality, given the weights
 * that the kernels compute one by one.
 */
#include "contexts.h"
#include "expect.h"
#include "sampling_case.h"

#include "kernels/kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The weight of each token by itself: no neighbour may change it. */
static void weigh(const struct softattn_kernels *kernels, const double *logits, int64_t count, double max,
                  double temperature, double *weights) {
    const double factor = 1.44269504088896340735992468100189214 / temperature;
    for (int64_t j = 0; j < count; j++) {
        if (kernels->real_bytes == 4) {
            float x = (float)logits[j], w;
            kernels->token_weights(1, &x, max, factor, &w);
            weights[j] = (double)w;
        } else {
            kernels->token_weights(1, &logits[j], max, factor, &weights[j]);
        }
    }
}

/* What one row must give; logits were saved before they may have been overwritten. */
static void check_row(sampling_case *problem, const struct softattn_kernels *kernels, const double *logits,
                      int64_t row) {
    const sampling_options *options = &problem->options;
    const int64_t vocabulary = options->vocabulary;
    const bool is_f32 = options->type == ARRAY_F32;
    double *weights = calloc((size_t)vocabulary + 1, sizeof *weights), max = -(double)INFINITY;
    bool *keep = calloc((size_t)vocabulary + 1, sizeof *keep);
    for (int64_t j = 0; j < vocabulary; j++) {
        max = fmax(max, logits[j]);
    }
    sampling_row expected = {.vocabulary = vocabulary, .logits = logits, .weights = weights, .keep = keep};
    expected.temperature = options->temperature;
    expected.top_k = options->top_k;
    expected.top_p = options->top_p;
    expected.min_p = is_f32 ? (double)(float)options->min_p : options->min_p;
    expected.uniform = array_get(&problem->uniform, row);
    if (max > -(double)INFINITY && options->temperature > 0) {
        weigh(kernels, logits, vocabulary, max, options->temperature, weights);
    }
    sampling_row_solve(&expected);
    const int64_t token = (int64_t)array_get(&problem->tokens, row);
    EXPECT(token == expected.token, "%s %s, row %" PRId64 ": token %" PRId64 " instead of %" PRId64,
           kernels->isa, sampling_case_text(problem), row, token, expected.token);
    /* a probability has the roundings of the sum (each stripe's, then the tree's), of 1 / sum and of the product */
    const double relative = (is_f32 ? 0x1p-24 : 0x1p-53) * (12 + (double)vocabulary / 16);
    int64_t kept_wrong = 0, probabilities_wrong = 0;
    for (int64_t j = 0; j < vocabulary; j++) {
        const int64_t at = row * vocabulary + j;
        const double probability = array_get(sampling_case_probabilities(problem), at);
        const double weight = options->temperature > 0 ? weights[j] : 1;
        const double right = keep[j] ? weight / (options->temperature > 0 ? expected.total : 1) : 0;
        kept_wrong += array_get(&problem->keep, at) != (keep[j] ? 1 : 0);
        probabilities_wrong +=
            !(fabs(probability - right) <= relative * right + (is_f32 ? 0x1p-126 : 0x1p-1022));
    }
    EXPECT(kept_wrong == 0, "%s %s, row %" PRId64 ": %" PRId64 " tokens kept or not", kernels->isa,
           sampling_case_text(problem), row, kept_wrong);
    EXPECT(probabilities_wrong == 0, "%s %s, row %" PRId64 ": %" PRId64 " probabilities", kernels->isa,
           sampling_case_text(problem), row, probabilities_wrong);
    free(keep);
    free(weights);
}

/* Runs the problem and checks all of its rows; destroys it. */
static void check_problem(const char *isa, sampling_case *problem) {
    const sampling_options *options = &problem->options;
    const struct softattn_isa *tables = softattn_isa_find(isa);
    const struct softattn_kernels *kernels = options->type == ARRAY_F32 ? tables->f32 : tables->f64;
    softattn_context *context = context_create(isa, 1);
    const int64_t shape[] = {options->rows, options->vocabulary};
    double *logits = array_read(&problem->logits, 2, shape);
    const int32_t status = sampling_case_run(problem, context);
    EXPECT(status == SOFTATTN_OK, "%s: status %d", sampling_case_text(problem), (int)status);
    for (int64_t row = 0; row < options->rows && status == SOFTATTN_OK; row++) {
        check_row(problem, kernels, logits + row * options->vocabulary, row);
    }
    EXPECT(array_gaps_untouched(sampling_case_probabilities(problem)) && array_gaps_untouched(&problem->keep),
           "%s: gaps written", sampling_case_text(problem));
    free(logits);
    sampling_case_destroy(problem);
    softattn_context_destroy(context);
}

static void check_case(const char *isa, int64_t vocabulary, random_source *random) {
    const sampling_options options = sampling_options_random(random, vocabulary);
    sampling_case problem;
    sampling_case_create(&problem, &options, random);
    check_problem(isa, &problem);
}

/* ---- Temperatures at which neighbouring reals differ in mass ---- */

/* One row of the logits first, first - step, first - 2 * step, ... and zeros. */
static void check_steps(const char *isa, const sampling_options *options, double first, double step,
                        random_source *random) {
    sampling_case problem;
    sampling_case_create(&problem, options, random);
    for (int64_t j = 0; j < options->vocabulary; j++) {
        array_set(&problem.logits, j, fmax(0, first - (double)j * step));
    }
    check_problem(isa, &problem);
}

static void tiny_temperatures_keep_what_has_mass(const char *isa, random_source *random) {
    static const int64_t vocabularies[] = {3, 40, 5000};
    static const double fractions[] = {0, 0.9, 1 - 1e-9};
    for (int i = 0; i < 2 * 3 * 3; i++) {
        const bool is_f32 = i % 2 == 0;
        const double spacing = is_f32 ? 0x1p-19 : 0x1p-48; /* of reals at 20 */
        sampling_options options = {.type = is_f32 ? ARRAY_F32 : ARRAY_F64, .rows = 1};
        options.token_type = ARRAY_I64;
        options.vocabulary = vocabularies[i / 2 % 3];
        options.top_p = fractions[i / 6];
        for (double temperature = 1e-30; temperature < 1; temperature *= 10) {
            options.temperature = temperature;
            check_steps(isa, &options, 20, 1, random);
            check_steps(isa, &options, 1, 0.5, random);
        }
        for (double temperature = spacing / 64; temperature < 2 * spacing; temperature *= 1.1) {
            options.temperature = temperature;
            check_steps(isa, &options, 20, spacing, random);
        }
    }
}

static int64_t rounds(void) {
    const char *text = getenv("SOFTATTN_TEST_ROUNDS");
    return text ? strtoll(text, NULL, 10) : 400;
}

int main(void) {
    random_source random;
    random_start(&random, "test_sampling_definition");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        tiny_temperatures_keep_what_has_mass(softattn_isa_name(i), &random);
        for (int64_t round = 0; round < rounds(); round++) {
            check_case(softattn_isa_name(i), random_below(&random, 70), &random);
            check_case(softattn_isa_name(i), random_below(&random, 1500), &random);
            if (round % 4 == 0) {
                check_case(softattn_isa_name(i), 4000 + random_below(&random, 20000), &random);
            }
        }
    }
    return expect_summary();
}
