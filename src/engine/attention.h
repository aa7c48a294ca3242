/*
 * The attention engines. A problem is described once by the API layer, which has checked everything; each engine tells
 * how it would cut the problem up (plan) and runs it (execute).
 */
#ifndef SOFTATTN_ENGINE_ATTENTION_H
#define SOFTATTN_ENGINE_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/runtime.h"
#include "kernels/kernels.h"

/* A strided array over (batch, head, row, column); strides count elements, 0 where a size broadcasts.
 * data NULL: operand not given. */
struct softattn_view {
    char *data;
    int64_t batch, head, row, col;
};

static inline char *softattn_view_at(const struct softattn_view *view, int64_t batch, int64_t head,
                                     int64_t row, int64_t element_bytes) {
    return view->data + (batch * view->batch + head * view->head + row * view->row) * element_bytes;
}

enum softattn_causal {
    SOFTATTN_ALIGN_NONE,
    SOFTATTN_ALIGN_TOP_LEFT,
    SOFTATTN_ALIGN_BOTTOM_RIGHT,
    SOFTATTN_ALIGN_OFFSET
};

struct softattn_attention_problem {
    const struct softattn_kernels *kernels;
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    double scale;
    struct softattn_view q, k, v, out; /* row: position in the sequence, col: dimension */
    struct softattn_view bias, keep;   /* row: query, col: key; keep holds bytes */
    struct softattn_view lse;          /* row: query */
    struct softattn_view weights;      /* row: query, col: key */

    /* Masks. causal, window and alibi are measured on position = query + offset. */
    enum softattn_causal causal; /* NONE: keys after the position are visible, too */
    enum softattn_causal align;  /* where causal is NONE: how window and alibi are aligned; NONE: top-left */
    int64_t causal_offset;       /* with SOFTATTN_ALIGN_OFFSET */
    int64_t window_left, window_right; /* inclusive; -1: unbounded */
    double softcap;                    /* 0: none */
    struct softattn_view alibi;        /* batch, head: slopes */
    struct softattn_view sink;         /* head: logits */

    /* Sequences. Lengths count from key or query 0 of the sequence; NULL: whole sequences. */
    const int32_t *key_lengths, *query_lengths, *key_starts; /* [batch] */
    const int32_t *query_offsets, *key_offsets; /* packed: [batch + 1] positions in the seq axes */

    /* Block mask: block_map row r, column c says whether queries [r * block_q, …) may see keys [c * block_k, …). */
    struct softattn_view block_map; /* bytes */
    int64_t block_q, block_k;

    /* Dropout of weights with probability dropout, see engine/dropout.h. */
    double dropout;
    uint64_t dropout_seed, dropout_offset;

    /* SOFTATTN_NORMALIZE_*, by the BLAS engine; softmax-plus-one comes as softmax with a sink of 0. */
    int32_t normalizer;
    double sigmoid_bias;

    /* Diagnoses of the score rows, [batch][heads_q][seq_q], to be filled instead of all outputs; NULL: attention. By the
     * BLAS engine. */
    struct softattn_diagnosis_of_row *diagnoses;
};

struct softattn_attention_shape {
    int64_t query_tile, key_tile, key_chunk;
    int64_t tasks;          /* independent pieces of work */
    uint64_t scratch_bytes; /* for the whole run, all threads */
    const char *kernel;     /* name of the layout that does the products */
};

void softattn_fused_plan(const struct softattn_attention_problem *problem, int32_t threads,
                         struct softattn_attention_shape *shape);
void softattn_blas_plan(const struct softattn_attention_problem *problem, int32_t threads,
                        struct softattn_attention_shape *shape);

/* scratch holds what plan asked for with the same problem and runtime->threads, aligned to 64 bytes. */
void softattn_fused_execute(const struct softattn_attention_problem *problem,
                            const struct softattn_runtime *runtime, void *scratch);
void softattn_blas_execute(const struct softattn_attention_problem *problem,
                           const struct softattn_runtime *runtime, void *scratch);

/* Whether the fused engine serves the problem (softmax without returning the weights); then it is the faster one. */
bool softattn_fused_serves(const struct softattn_attention_problem *problem);

#endif
