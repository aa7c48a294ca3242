/* An attention problem whose query, key and value come from .npy files: shapes, outputs, and the library's
 * handle. */
#ifndef CLI_ATTENTION_FILES_H
#define CLI_ATTENTION_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "array.h"
#include "options.h"
#include "softattn/softattn.h"

typedef struct attention_files {
    array q, k, v;
    array out;     /* [batch, heads_q, seq_q, dim_v], the rank of q */
    array lse;     /* [batch, heads_q, seq_q], where wanted */
    array weights; /* [batch, heads_q, seq_q, seq_kv], where wanted */
} attention_files;

typedef struct attention_settings {
    bool has_scale; /* false: 1 / sqrt(dim_qk) */
    double scale;
    int32_t causal;
    normalizer_options normalizer;
    int32_t engine;
} attention_settings;

/* Each prints one line and returns false where it fails. */
bool attention_files_read(attention_files *a, const char *q, const char *k, const char *v);
bool attention_files_allocate_outputs(attention_files *a, bool lse, bool weights);
void attention_files_free(attention_files *a);

/* NULL where the library refuses. Freed with softattn_attention_destroy. */
softattn_attention *attention_create(const softattn_context *context, const attention_settings *settings);

/* Computes a->out, and lse and weights where they are allocated. */
bool attention_files_run(attention_files *a, const softattn_attention *attention);

/* How that runs. */
bool attention_files_describe(attention_files *a, const softattn_attention *attention,
                              softattn_attention_plan *plan);

/* Floating-point operations of one run: 2 per multiply-add of the two products, of visible pairs only. */
double attention_files_flop(const attention_files *a, int32_t causal);

/* Query heads of one batch entry. */
int64_t attention_files_heads(const attention_files *a);

/* Whether the first batch entry has that query head. */
bool attention_files_has_head(const attention_files *a, int64_t head);

/* Weights of a query head that it has, after a successful run: *weights becomes [seq_q, seq_kv], the
 * caller's to free. */
bool attention_files_head_weights(attention_files *a, const softattn_attention *attention, int64_t head,
                                  array *weights);

#endif
