/* Random sampling problems, and the definition of their results. */
#include "sampling_case.h"

#include "contexts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Random problems ---- */

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

sampling_options sampling_options_random(random_source *random, int64_t vocabulary) {
    const double temperatures[] = {1, 1, 1, 0, 0.3, 0.7, 1.7, 40, 1e-3, 1e-8, 1e-9, 1e-17};
    const double fractions[] = {0, 1e-6, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 1e-9, 1};
    const double least[] = {0, 0, 1e-9, 1e-4, 0.02, 0.3, 1};
    const array_layout layouts[] = {ARRAY_COMPACT, ARRAY_COMPACT, ARRAY_PADDED, ARRAY_TRANSPOSED,
                                    ARRAY_SPREAD};
    sampling_options options = {.type = chance(random, 2) ? ARRAY_F32 : ARRAY_F64, .vocabulary = vocabulary};
    options.rows = random_between(random, 1, 4);
    options.layout = layouts[random_below(random, 5)];
    options.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
    options.token_type = chance(random, 2) ? ARRAY_I32 : ARRAY_I64;
    options.temperature = temperatures[random_below(random, 12)];
    options.top_p = chance(random, 2) ? 1 : fractions[random_below(random, 9)];
    options.min_p = chance(random, 2) ? 0 : least[random_below(random, 7)];
    options.top_k = chance(random, 2) ? 0 : 1 + random_below(random, chance(random, 2) ? 64 : vocabulary + 3);
    options.in_place = chance(random, 6);
    return options;
}

/* A logit of a kind: smooth, peaked, of few values, all equal, ordered, crowded around several scales, heavy-tailed. */
static double random_logit(random_source *random, int64_t kind, int64_t j, int64_t vocabulary) {
    const double normal = random_normal(random);
    switch (kind) {
    case 0: return normal;
    case 1: return 3 * normal;
    case 2: return normal + (chance(random, 300) ? random_uniform(random, 5, 18) : 0);
    case 3: return floor(2 * normal) / 2;
    case 4: return -1.5;
    case 5: return 8 * (double)j / (double)vocabulary;
    case 6: return -8 * (double)j / (double)vocabulary;
    case 7: return ldexp(normal, (int)-random_below(random, 30));
    case 8: return -log(random_uniform(random, 1e-6, 1));
    case 9: return chance(random, 3) ? -(double)INFINITY : 2 * normal;
    case 10: return chance(random, 50) ? normal : -(double)INFINITY;
    default: return 60 * normal;
    }
}

enum { LOGIT_KINDS = 12 };

static void fill_logits(test_array *logits, random_source *random, int64_t rows, int64_t vocabulary) {
    for (int64_t row = 0; row < rows; row++) {
        const int64_t kind = random_below(random, LOGIT_KINDS);
        const double offset = 4 * random_normal(random);
        for (int64_t j = 0; j < vocabulary; j++) {
            const double logit = random_logit(random, kind, j, vocabulary);
            array_set(logits, row * vocabulary + j, isinf(logit) ? logit : logit + offset);
        }
    }
}

static void fill_uniform(test_array *uniform, random_source *random, int64_t rows) {
    const double last = uniform->type == ARRAY_F32 ? 1 - 0x1p-24 : 1 - 0x1p-53;
    for (int64_t row = 0; row < rows; row++) {
        const double value = random_uniform(random, 0, 1);
        const double edges[] = {0, last};
        /* rounding to float must not make a 1 of it */
        array_set(uniform, row,
                  chance(random, 4) ? edges[random_below(random, 2)]
                  : value < last    ? value
                                    : last);
    }
}

void sampling_case_create(sampling_case *problem, const sampling_options *options, random_source *random) {
    const int64_t rows = options->rows, shape[] = {rows, options->vocabulary};
    memset(problem, 0, sizeof *problem);
    problem->options = *options;
    array_create(&problem->logits, options->type, 2, shape, options->layout, options->side);
    array_create(&problem->uniform, options->type, 1, &rows, ARRAY_COMPACT, options->side);
    array_create(&problem->tokens, options->token_type, 1, &rows, ARRAY_COMPACT, options->side);
    array_create(&problem->probabilities, options->type, 2, shape, ARRAY_PADDED, options->side);
    array_create(&problem->keep, ARRAY_U8, 2, shape, options->layout, options->side);
    fill_logits(&problem->logits, random, rows, options->vocabulary);
    fill_uniform(&problem->uniform, random, rows);
    problem->args = (softattn_sampler_args){.struct_size = sizeof problem->args,
                                            .logits = &problem->logits.tensor,
                                            .uniform = &problem->uniform.tensor,
                                            .tokens = &problem->tokens.tensor,
                                            .keep_mask = &problem->keep.tensor};
    problem->args.probabilities = &sampling_case_probabilities(problem)->tensor;
}

void sampling_case_destroy(sampling_case *problem) {
    array_destroy(&problem->logits);
    array_destroy(&problem->uniform);
    array_destroy(&problem->tokens);
    array_destroy(&problem->probabilities);
    array_destroy(&problem->keep);
}

test_array *sampling_case_probabilities(sampling_case *problem) {
    return problem->options.in_place ? &problem->logits : &problem->probabilities;
}

int32_t sampling_case_run(sampling_case *problem, const softattn_context *context) {
    const sampling_options *options = &problem->options;
    softattn_sampler *sampler = NULL;
    int32_t status = softattn_sampler_create(context, &sampler);
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_temperature(sampler, options->temperature);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_top_k(sampler, options->top_k);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_top_p(sampler, options->top_p);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_min_p(sampler, options->min_p);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_run(sampler, &problem->args);
    }
    softattn_sampler_destroy(sampler);
    if (status != SOFTATTN_OK) {
        printf("%s\n", last_error());
    }
    return status;
}

const char *sampling_case_text(const sampling_case *problem) {
    static char text[200];
    const sampling_options *options = &problem->options;
    snprintf(text, sizeof text,
             "f%d %" PRId64 " x %" PRId64 " %s, temperature %g, top-k %" PRId64 ", top-p %.17g, min-p %g%s",
             options->type == ARRAY_F32 ? 32 : 64, options->rows, options->vocabulary,
             array_layout_name(options->layout), options->temperature, options->top_k, options->top_p,
             options->min_p, options->in_place ? ", in place" : "");
    return text;
}

/* ---- By definition ---- */

/* A token on its way through the filters. */
struct candidate {
    double logit;
    int64_t index, mass;
};

/* Larger logits first, then lower indices. */
static int by_rank(const void *a, const void *b) {
    const struct candidate *first = a, *second = b;
    if (first->logit != second->logit) {
        return first->logit > second->logit ? -1 : 1;
    }
    return first->index < second->index ? -1 : 1;
}

static int64_t mass_of(double weight) { return llrint(ldexp(weight, 36)); }

static int64_t list_candidates(const sampling_row *row, struct candidate *candidates) {
    int64_t count = 0;
    for (int64_t j = 0; j < row->vocabulary; j++) {
        if (row->logits[j] > -(double)INFINITY) {
            candidates[count++] = (struct candidate){row->logits[j], j, mass_of(row->weights[j])};
        }
    }
    qsort(candidates, (size_t)count, sizeof *candidates, by_rank);
    return count;
}

static int64_t apply_top_p(const struct candidate *candidates, int64_t count, double p) {
    int64_t total = 0, reached = 0, kept = 0;
    for (int64_t i = 0; i < count; i++) {
        total += candidates[i].mass;
    }
    const double wanted = ceil(p * (double)total);
    while (kept < count && (kept == 0 || (double)reached < wanted)) {
        reached += candidates[kept++].mass;
    }
    return p < 1 ? kept : count;
}

/* The first kept token, in order of index, at which the mass exceeds uniform times all of it. */
static void draw(sampling_row *row) {
    int64_t total = 0, sum = 0;
    for (int64_t j = 0; j < row->vocabulary; j++) {
        total += row->keep[j] ? mass_of(row->weights[j]) : 0;
    }
    int64_t target = (int64_t)(row->uniform * (double)total);
    target = target < total ? target : total - 1;
    for (int64_t j = 0; j < row->vocabulary && total > 0 && row->token < 0; j++) {
        sum += row->keep[j] ? mass_of(row->weights[j]) : 0;
        row->token = sum > target ? j : -1;
    }
}

static void keep_largest(sampling_row *row) {
    for (int64_t j = 0; j < row->vocabulary; j++) {
        const double best = row->token < 0 ? -(double)INFINITY : row->logits[row->token];
        row->token = row->logits[j] > best ? j : row->token;
    }
    if (row->token >= 0) {
        row->keep[row->token] = true;
    }
}

void sampling_row_solve(sampling_row *row) {
    memset(row->keep, 0, (size_t)row->vocabulary * sizeof *row->keep);
    long double total = 0;
    row->token = -1;
    row->total = 0;
    if (row->temperature == 0) {
        keep_largest(row);
        return;
    }
    struct candidate *candidates = malloc((size_t)(row->vocabulary + 1) * sizeof *candidates);
    int64_t count = list_candidates(row, candidates);
    if (row->top_k > 0 && row->top_k < count) {
        count = row->top_k;
    }
    count = apply_top_p(candidates, count, row->top_p);
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = candidates[i].index;
        row->keep[j] = row->weights[j] >= row->min_p;
        total += row->keep[j] ? (long double)row->weights[j] : 0;
    }
    row->total = (double)total;
    draw(row);
    free(candidates);
}
