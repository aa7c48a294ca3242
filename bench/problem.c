/*
 * Names of problems and of ways to solve them.
 */
#include "problem.h"

#include <softattn/softattn.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const engine_names[BENCH_ENGINES] = {[BENCH_ENGINE_AUTO] = "auto",
                                                        [BENCH_ENGINE_FUSED] = "fused",
                                                        [BENCH_ENGINE_BLAS] = "blas",
                                                        [BENCH_ENGINE_TEXTBOOK] = "textbook"};

const struct bench_names bench_engine_names = BENCH_NAMES(engine_names);

const char *bench_engine_name(enum bench_engine engine) { return engine_names[engine]; }

const char *bench_operation_name(enum bench_operation operation) {
    static const char *const names[] = {"softmax",  "softmax-backward", "cross-entropy",   "sampling",
                                        "diagnose", "attention",        "linear-attention"};
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

int bench_operation_is_softmax(enum bench_operation operation) {
    return operation == BENCH_SOFTMAX || operation == BENCH_SOFTMAX_BACKWARD;
}

int bench_operation_is_attention(enum bench_operation operation) {
    return operation == BENCH_ATTENTION || operation == BENCH_LINEAR_ATTENTION;
}

int bench_operation_only_reads(enum bench_operation operation) {
    return operation == BENCH_SAMPLING || operation == BENCH_DIAGNOSE ||
           bench_operation_is_attention(operation);
}

static const char *const causal_names[] = {[SOFTATTN_CAUSAL_NONE] = "none",
                                           [SOFTATTN_CAUSAL_TOP_LEFT] = "top-left",
                                           [SOFTATTN_CAUSAL_BOTTOM_RIGHT] = "bottom-right"};

const struct bench_names bench_causal_names = BENCH_NAMES(causal_names);

const char *bench_causal_name(int32_t causal) { return causal_names[causal]; }

static const char *const bias_names[BENCH_BIASES] = {[BENCH_BIAS_NONE] = "none",
                                                     [BENCH_BIAS_KEYS] = "keys",
                                                     [BENCH_BIAS_MATRIX] = "matrix",
                                                     [BENCH_BIAS_HEADS] = "heads"};

const struct bench_names bench_bias_names = BENCH_NAMES(bias_names);

static const char *const keep_mask_names[BENCH_KEEP_MASKS] = {
    [BENCH_KEEP_MASK_NONE] = "none", [BENCH_KEEP_MASK_CAUSAL] = "causal"};

const struct bench_names bench_keep_mask_names = BENCH_NAMES(keep_mask_names);

static const char *const layout_names[BENCH_LAYOUTS] = {
    [BENCH_LAYOUT_BHSD] = "bhsd", [BENCH_LAYOUT_BSHD] = "bshd"};

const struct bench_names bench_layout_names = BENCH_NAMES(layout_names);

/* Puts more text behind the name. */
static void append(char *name, size_t capacity, const char *format, ...) {
    const size_t used = strlen(name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name + used, capacity - used, format, arguments);
    va_end(arguments);
}

static void append_shape(const struct bench_attention_shape *shape, char *name, size_t capacity) {
    append(name, capacity, " b%" PRId64 " h%" PRId64, shape->batch, shape->heads_q);
    if (shape->heads_kv != shape->heads_q) {
        append(name, capacity, "/%" PRId64, shape->heads_kv);
    }
    append(name, capacity, " %" PRId64 "x%" PRId64 " d%" PRId64, shape->seq_q, shape->seq_kv, shape->dim_qk);
    if (shape->dim_v != shape->dim_qk) {
        append(name, capacity, "/%" PRId64, shape->dim_v);
    }
    if (shape->causal != SOFTATTN_CAUSAL_NONE) {
        append(name, capacity, " %s", bench_causal_name(shape->causal));
    }
    if (shape->window_left != BENCH_WINDOW_UNLIMITED || shape->window_right != BENCH_WINDOW_UNLIMITED) {
        append(name, capacity, " window %" PRId64 ",%" PRId64, shape->window_left, shape->window_right);
    }
    if (shape->keep_mask != BENCH_KEEP_MASK_NONE) {
        append(name, capacity, " keep-mask %s", bench_keep_mask_names.items[shape->keep_mask]);
    }
}

static void append_extras(const struct bench_attention_extras *extras, char *name, size_t capacity) {
    if (extras->bias != BENCH_BIAS_NONE) {
        append(name, capacity, " bias %s", bench_bias_names.items[extras->bias]);
    }
    if (extras->softcap > 0) {
        append(name, capacity, " softcap %g", extras->softcap);
    }
    if (extras->alibi) {
        append(name, capacity, " alibi");
    }
    if (extras->dropout > 0) {
        append(name, capacity, " dropout %g", extras->dropout);
    }
    if (extras->layout != BENCH_LAYOUT_BHSD) {
        append(name, capacity, " %s", bench_layout_names.items[extras->layout]);
    }
}

static void append_sampling(const struct bench_sampling *sampling, char *name, size_t capacity) {
    if (sampling->temperature != 1) {
        append(name, capacity, " T %g", sampling->temperature);
    }
    if (sampling->top_k > 0) {
        append(name, capacity, " top-k %" PRId64, sampling->top_k);
    }
    if (sampling->top_p < 1) {
        append(name, capacity, " top-p %g", sampling->top_p);
    }
    if (sampling->min_p > 0) {
        append(name, capacity, " min-p %g", sampling->min_p);
    }
}

/* Those of softmax and its backward pass. */
static void append_options(const struct bench_problem *problem, char *name, size_t capacity) {
    if (problem->scale != 1) {
        append(name, capacity, " scale %g", problem->scale);
    }
    if (problem->attention.causal != SOFTATTN_CAUSAL_NONE) {
        append(name, capacity, " %s", bench_causal_name(problem->attention.causal));
    }
    if (problem->is_log) {
        append(name, capacity, " log");
    }
    if (problem->side_by_side) {
        append(name, capacity, " side-by-side");
    }
}

void bench_problem_name(const struct bench_problem *problem, char *name, size_t capacity) {
    snprintf(name, capacity, "%s", bench_operation_name(problem->operation));
    if (bench_operation_is_attention(problem->operation)) {
        append_shape(&problem->attention, name, capacity);
        append_extras(&problem->extras, name, capacity);
    } else {
        append(name, capacity, " %" PRId64 "x%" PRId64, problem->rows, problem->cols);
    }
    if (problem->operation == BENCH_SAMPLING) {
        append_sampling(&problem->sampling, name, capacity);
    }
    if (bench_operation_is_softmax(problem->operation)) {
        append_options(problem, name, capacity);
    }
    if (problem->normalizer != SOFTATTN_NORMALIZER_SOFTMAX) {
        append(name, capacity, " %s", bench_normalizer_name(problem->normalizer));
    }
    append(name, capacity, "%s %s", problem->in_place ? " in-place" : "", bench_type_name(problem->type));
}
