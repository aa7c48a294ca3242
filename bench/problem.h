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
    BENCH_ATTENTION,
    BENCH_LINEAR_ATTENTION
};

/* How tokens are chosen. */
struct bench_sampling {
    double temperature; /* 0: argmax */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
};

/* A bias on the scores: none, one row for all queries, a matrix for all heads, one matrix per head. */
enum bench_bias { BENCH_BIAS_NONE, BENCH_BIAS_KEYS, BENCH_BIAS_MATRIX, BENCH_BIAS_HEADS, BENCH_BIASES };

/* The order of the axes batch, heads, sequence and dimension in memory. */
enum bench_layout { BENCH_LAYOUT_BHSD, BENCH_LAYOUT_BSHD, BENCH_LAYOUTS };

/* What an attention has beside its shape; all zero in a plain one. */
struct bench_attention_extras {
    enum bench_bias bias;
    double softcap; /* 0: none */
    int alibi;
    double dropout;           /* the probability */
    enum bench_layout layout; /* of q, k, v and the result */
};

struct bench_problem {
    enum bench_operation operation;
    enum bench_type type;
    int64_t rows, cols;             /* of matrices */
    int in_place;                   /* of softmax and gradients */
    int32_t normalizer;             /* of softmax, its backward and attention: SOFTATTN_NORMALIZER_* */
    double scale;                   /* of softmax and its backward */
    int is_log;                     /* of softmax and its backward: logarithms of the probabilities */
    int side_by_side;               /* of the same: the rows' elements of a column are neighbours in memory */
    struct bench_sampling sampling; /* of sampling */
    struct bench_attention_shape
        attention; /* of both attentions; linear ones have no window and no keep mask. Softmax has its causal mask */
    struct bench_attention_extras extras; /* of attention */
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

extern const struct bench_names bench_bias_names, bench_keep_mask_names, bench_layout_names;

const char *bench_operation_name(enum bench_operation operation);

/* Softmax or its backward pass. */
int bench_operation_is_softmax(enum bench_operation operation);

/* Whether it is of queries, keys and values, and not of a matrix. */
int bench_operation_is_attention(enum bench_operation operation);

/* Whether a read is its memory ceiling: it writes next to nothing or, attention, less than it reads. */
int bench_operation_only_reads(enum bench_operation operation);

/* SOFTATTN_CAUSAL_*, but _OFFSET */
extern const struct bench_names bench_causal_names;
const char *bench_causal_name(int32_t causal);

/* The problem's sizes in one short text, such as "softmax 1024x1024 f32". */
enum { BENCH_NAME_SIZE = 224 };
void bench_problem_name(const struct bench_problem *problem, char *name, size_t capacity);

#endif
