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

/* What is zero is as the library has it by default, or not given. */
typedef struct attention_options {
    array_type type; /* ARRAY_F32 or ARRAY_F64 */
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    attention_layout layout;
    guard_side side;
    int32_t engine;
    double deviation; /* of q, k and v */
    bool wants_weights;

    bool has_scale;
    double scale, softcap;
    int32_t causal, alignment;
    int64_t offset; /* of the causal mode, or of the alignment where that is NONE */
    bool has_window;
    int64_t window_left, window_right;
    bool has_bias, has_keep, has_alibi, has_sink;
    int64_t block_q, block_k; /* of a block_mask, where not 0 */
    uint32_t single_axes;     /* bit a: axis a of the operands that broadcast has size 1 */
    double keep_probability;  /* of the places of keep_mask and block_mask */
    double dropout;
    uint64_t dropout_seed, dropout_offset;

    bool has_query_lengths, has_key_lengths, has_key_starts;
    int64_t sequences; /* packed into the seq axes of a batch of 1; 0: they are the batch */
} attention_options;

typedef struct attention_case {
    attention_options options;
    test_array packed; /* the memory of q, k and v with ATTENTION_PACKED */
    test_array q, k, v, out, bias, keep, lse, weights, alibi, sink, block_mask;
    test_array query_lengths, key_lengths, key_starts, query_offsets, key_offsets;
    softattn_attention_args args;
} attention_case;

/* One batch, self-attention of `heads` heads. */
attention_options attention_options_plain(array_type type, int64_t heads, int64_t seq, int64_t dim);

/* Any options that are legal together, with the engine left to the library. */
attention_options attention_options_random(random_source *random);

/* Makes up what hides keys or changes scores and weights, each now and then, whatever options had of it. */
void attention_options_add_masks(attention_options *options, random_source *random);

/* Makes it a few queries of heads that lie side by side, enough of them that an engine may read them together, masks as they are. */
void attention_options_put_heads_together(attention_options *options, random_source *random);

/* One line about the options. Static storage. */
const char *attention_options_text(const attention_options *options);

/* ---- The problem --------------------------------------------------------------------------------------- */

/* Contents, lengths and offsets are random; they may be changed until the run. */
void attention_case_create(attention_case *problem, const attention_options *options, random_source *random);
void attention_case_destroy(attention_case *problem);

/* Outputs hold sentinels again. */
void attention_case_forget_outputs(attention_case *problem);

/* The batch, or the number of packed sequences. */
int64_t attention_case_sequences(const attention_case *problem);

/* One sequence's part of the tensors: `rows` queries and `keys` keys there, their lengths not applied. */
typedef struct attention_sequence {
    int64_t index, batch, first_query, first_key, rows, keys;
} attention_sequence;

attention_sequence attention_case_sequence(const attention_case *problem, int64_t index);

/* Query i of the sequence stands at position i + offset among its keys. */
int64_t attention_case_offset(const attention_case *problem, const attention_sequence *sequence);

/* A handle set up as the options say. */
softattn_attention *attention_case_handle(const attention_case *problem, const softattn_context *context);

/* Whether the engine that the options ask for serves the problem. */
bool attention_case_is_served(const attention_case *problem, const softattn_context *context);

/* Runs on a handle of its own and returns the status. */
int32_t attention_case_run(attention_case *problem, const softattn_context *context);

/* The options as one line. */
const char *attention_case_text(const attention_case *problem);

/* ---- What should come out (attention_expected.c) ------------------------------------------------------- */

/* What the oracle says of the arrays as they are now. */
oracle_attention_results attention_case_expected(const attention_case *problem);

/* Whether a query sees a key, [batch][heads_q][seq_q][seq_kv] by the tensors' axes. Freed by free(). */
bool *attention_case_visible(const attention_case *problem);

/* Runs, and returns how many results lie outside the oracle's bounds, bytes written into gaps and a failed
 * run counting as one each. */
int64_t attention_case_differences_from(attention_case *problem, const softattn_context *context,
                                        const oracle_attention_results *expected);
int64_t attention_case_differences(attention_case *problem, const softattn_context *context);

/* How many results of two cases of the same sizes have different bits. */
int64_t attention_case_differing_bits(const attention_case *actual, const attention_case *expected);

#endif
