/*
 * What is measured: a problem, and the way to solve it.
 */
#ifndef SOFTATTN_BENCH_PROBLEM_H
#define SOFTATTN_BENCH_PROBLEM_H

#include "work.h"

#include <stddef.h>
#include <stdint.h>

enum bench_operation {
    BENCH_SOFTMAX,
    BENCH_SOFTMAX_BACKWARD,
    BENCH_CROSS_ENTROPY,
    BENCH_SAMPLING,
    BENCH_DIAGNOSE,
    BENCH_ATTENTION
};

/* How tokens are chosen. */
struct bench_sampling {
    double temperature; /* 0: argmax */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
};

struct bench_problem {
    enum bench_operation operation;
    enum bench_type type;
    int64_t rows, cols;             /* of all but attention */
    int in_place;                   /* of softmax and gradients */
    int32_t normalizer;             /* of softmax, its backward and attention: SOFTATTN_NORMALIZER_* */
    struct bench_sampling sampling; /* of sampling */
    struct bench_attention_shape attention; /* of an attention */
};

enum bench_engine {
    BENCH_ENGINE_AUTO, /* the library, by its own choice */
    BENCH_ENGINE_FUSED,
    BENCH_ENGINE_BLAS,
    BENCH_ENGINE_TEXTBOOK, /* the baseline of textbook.h */
    BENCH_ENGINES
};

extern const struct bench_names bench_engine_names;
const char *bench_engine_name(enum bench_engine engine);

/* SOFTATTN_NORMALIZER_* */
extern const struct bench_names bench_normalizer_names;
const char *bench_normalizer_name(int32_t normalizer);
int bench_operation_has_normalizer(enum bench_operation operation);

struct bench_way {
    enum bench_engine engine;
    const char *isa; /* "auto" or a name that the library knows */
    int threads;
};

const char *bench_operation_name(enum bench_operation operation);

/* Whether it reads much and writes next to nothing. */
int bench_operation_only_reads(enum bench_operation operation);

/* SOFTATTN_CAUSAL_*, but _OFFSET */
extern const struct bench_names bench_causal_names;
const char *bench_causal_name(int32_t causal);

/* The problem's sizes in one short text, such as "softmax 1024x1024 f32". */
void bench_problem_name(const struct bench_problem *problem, char *name, size_t capacity);

#endif
