/*
 * An attention problem with all its arrays: built from a few options with random contents, run through the
 * public API and checked against the oracle.
 */
#ifndef TEST_SUPPORT_ATTENTION_CASE_H
#define TEST_SUPPORT_ATTENTION_CASE_H

#include "arrays.h"
#include "oracle.h"

typedef enum attention_layout {
    ATTENTION_COMPACT,    /* [batch][heads][seq][dim] */
    ATTENTION_SEQ_FIRST,  /* [batch][seq][heads][dim] in memory */
    ATTENTION_PACKED,     /* q, k and v of a token side by side; where seq_q = seq_kv and dim_qk = dim_v */
    ATTENTION_PADDED,     /* gaps after rows, sequences and heads */
    ATTENTION_TRANSPOSED, /* batch varies fastest in memory */
    ATTENTION_BACKWARDS,  /* inputs with negative strides */
    ATTENTION_LAYOUTS
} attention_layout;

typedef struct attention_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    attention_layout layout;
    guard_side side;
    int32_t engine;
    bool has_scale;
    double scale;
    int32_t causal;
    int64_t offset;
    bool has_bias, has_keep;
    uint32_t single_axes; /* bit a: axis a of bias and keep_mask has size 1 */
    double keep_probability;
    bool wants_weights;
    double deviation; /* of q, k and v */
} attention_options;

typedef struct attention_case {
    attention_options options;
    test_array packed; /* the memory of q, k and v with ATTENTION_PACKED */
    test_array q, k, v, out, bias, keep, lse, weights;
    softattn_attention_args args;
} attention_case;

/* One batch, self-attention of `heads` heads. */
attention_options attention_options_plain(array_type type, int64_t heads, int64_t seq, int64_t dim);

/* Any options that are legal together, with the engine left to the library. */
attention_options attention_options_random(random_source *random);

void attention_case_create(attention_case *problem, const attention_options *options, random_source *random);
void attention_case_destroy(attention_case *problem);

/* Outputs hold sentinels again. */
void attention_case_forget_outputs(attention_case *problem);

/* A handle set up as the options say. */
softattn_attention *attention_case_handle(const attention_case *problem, const softattn_context *context);

/* Whether the engine that the options ask for serves the problem. */
bool attention_case_is_served(const attention_case *problem, const softattn_context *context);

/* Runs on a handle of its own and returns the status. */
int32_t attention_case_run(attention_case *problem, const softattn_context *context);

/* What the oracle says of the arrays as they are now. */
oracle_attention_results attention_case_expected(const attention_case *problem);

/* Runs, and returns how many results lie outside the oracle's bounds, bytes written into gaps and a failed
 * run counting as one each. */
int64_t attention_case_differences_from(attention_case *problem, const softattn_context *context,
                                        const oracle_attention_results *expected);
int64_t attention_case_differences(attention_case *problem, const softattn_context *context);

/* One line about the options. Static storage. */
const char *attention_case_text(const attention_case *problem);

#endif
