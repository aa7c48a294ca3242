/*
 * Names of problems and of ways to solve them.
 */
#include "problem.h"

#include <softattn/softattn.h>

#include <inttypes.h>
#include <stdio.h>

static const char *const engine_names[BENCH_ENGINES] = {[BENCH_ENGINE_AUTO] = "auto",
                                                        [BENCH_ENGINE_FUSED] = "fused",
                                                        [BENCH_ENGINE_BLAS] = "blas",
                                                        [BENCH_ENGINE_TEXTBOOK] = "textbook"};

const struct bench_names bench_engine_names = BENCH_NAMES(engine_names);

const char *bench_engine_name(enum bench_engine engine) { return engine_names[engine]; }

const char *bench_operation_name(enum bench_operation operation) {
    static const char *const names[] = {"softmax",  "softmax-backward", "cross-entropy",
                                        "sampling", "diagnose",         "attention"};
    return names[operation];
}

static const char *const normalizer_names[] = {
    [SOFTATTN_NORMALIZER_SOFTMAX] = "softmax",
    [SOFTATTN_NORMALIZER_NONE] = "none",
    [SOFTATTN_NORMALIZER_RELU] = "relu",
    [SOFTATTN_NORMALIZER_RELU_SQUARED] = "relu-squared",
    [SOFTATTN_NORMALIZER_SIGMOID] = "sigmoid",
    [SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE] = "softmax-plus-one",
    [SOFTATTN_NORMALIZER_SPARSEMAX] = "sparsemax",
    [SOFTATTN_NORMALIZER_ENTMAX] = "entmax",
};

const struct bench_names bench_normalizer_names = BENCH_NAMES(normalizer_names);

const char *bench_normalizer_name(int32_t normalizer) { return normalizer_names[normalizer]; }

int bench_operation_has_normalizer(enum bench_operation operation) {
    return operation == BENCH_SOFTMAX || operation == BENCH_SOFTMAX_BACKWARD || operation == BENCH_ATTENTION;
}

/* Another than softmax, with a blank before it. */
static const char *spaced_normalizer(const struct bench_problem *problem, char *text, size_t capacity) {
    text[0] = '\0';
    if (problem->normalizer != SOFTATTN_NORMALIZER_SOFTMAX)
        snprintf(text, capacity, " %s", bench_normalizer_name(problem->normalizer));
    return text;
}

int bench_operation_only_reads(enum bench_operation operation) {
    return operation == BENCH_SAMPLING || operation == BENCH_DIAGNOSE || operation == BENCH_ATTENTION;
}

static const char *const causal_names[] = {[SOFTATTN_CAUSAL_NONE] = "none",
                                           [SOFTATTN_CAUSAL_TOP_LEFT] = "top-left",
                                           [SOFTATTN_CAUSAL_BOTTOM_RIGHT] = "bottom-right"};

const struct bench_names bench_causal_names = BENCH_NAMES(causal_names);

const char *bench_causal_name(int32_t causal) { return causal_names[causal]; }

static void attention_name(const struct bench_problem *problem, char *name, size_t capacity) {
    const struct bench_attention_shape *shape = &problem->attention;
    char kv_heads[32] = "", dim_v[32] = "", causal[32] = "", window[64] = "", bias[32] = "", other[32];
    if (shape->heads_kv != shape->heads_q)
        snprintf(kv_heads, sizeof kv_heads, "/%" PRId64, shape->heads_kv);
    if (shape->dim_v != shape->dim_qk)
        snprintf(dim_v, sizeof dim_v, "/%" PRId64, shape->dim_v);
    if (shape->causal != SOFTATTN_CAUSAL_NONE)
        snprintf(causal, sizeof causal, " %s", bench_causal_name(shape->causal));
    if (shape->window_left != BENCH_WINDOW_UNLIMITED || shape->window_right != BENCH_WINDOW_UNLIMITED)
        snprintf(window, sizeof window, " window %" PRId64 ",%" PRId64, shape->window_left,
                 shape->window_right);
    if (shape->bias != BENCH_BIAS_NONE)
        snprintf(bias, sizeof bias, " bias %s", bench_bias_name(shape->bias));
    snprintf(name, capacity,
             "attention b%" PRId64 " h%" PRId64 "%s %" PRId64 "x%" PRId64 " d%" PRId64 "%s%s%s%s%s %s",
             shape->batch, shape->heads_q, kv_heads, shape->seq_q, shape->seq_kv, shape->dim_qk, dim_v,
             causal, window, bias, spaced_normalizer(problem, other, sizeof other),
             bench_type_name(problem->type));
}

static void matrix_name(const struct bench_problem *problem, char *name, size_t capacity) {
    const struct bench_sampling *sampling = &problem->sampling;
    char temperature[32] = "", top_k[32] = "", top_p[32] = "", other[32];
    if (problem->operation == BENCH_SAMPLING && sampling->temperature != 1)
        snprintf(temperature, sizeof temperature, " T %g", sampling->temperature);
    if (problem->operation == BENCH_SAMPLING && sampling->top_k > 0)
        snprintf(top_k, sizeof top_k, " top-k %" PRId64, sampling->top_k);
    if (problem->operation == BENCH_SAMPLING && sampling->top_p < 1)
        snprintf(top_p, sizeof top_p, " top-p %g", sampling->top_p);
    snprintf(name, capacity, "%s %" PRId64 "x%" PRId64 "%s%s%s%s%s %s",
             bench_operation_name(problem->operation), problem->rows, problem->cols, temperature, top_k,
             top_p, spaced_normalizer(problem, other, sizeof other), problem->in_place ? " in-place" : "",
             bench_type_name(problem->type));
}

void bench_problem_name(const struct bench_problem *problem, char *name, size_t capacity) {
    if (problem->operation == BENCH_ATTENTION)
        attention_name(problem, name, capacity);
    else
        matrix_name(problem, name, capacity);
}
