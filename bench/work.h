/*
 * How much work a problem is: the floating-point operations and the bytes that any program must spend on it.
 * Pure arithmetic; only work that a mask leaves visible counts.
 */
#ifndef SOFTATTN_BENCH_WORK_H
#define SOFTATTN_BENCH_WORK_H

#include "names.h"

#include <stdint.h>

enum bench_type { BENCH_F32, BENCH_F64, BENCH_F16, BENCH_BF16, BENCH_TYPES };

int64_t bench_type_bytes(enum bench_type type);
extern const struct bench_names bench_type_names;
const char *bench_type_name(enum bench_type type);

/* The type that a problem is computed in: f32 for 16-bit floats. */
enum bench_type bench_arithmetic_type(enum bench_type type);

/* A size of the window below that hides nothing. */
#define BENCH_WINDOW_UNLIMITED (-1)

/* A mask of bytes: none, or one that shows a query i the keys j <= i. */
enum bench_keep_mask { BENCH_KEEP_MASK_NONE, BENCH_KEEP_MASK_CAUSAL, BENCH_KEEP_MASKS };

struct bench_attention_shape {
    int64_t batch, heads_q, heads_kv;
    int64_t seq_q, seq_kv;
    int64_t dim_qk, dim_v;
    int32_t causal; /* SOFTATTN_CAUSAL_NONE, _TOP_LEFT or _BOTTOM_RIGHT */
    /* Query i sees keys p - window_left to p + window_right, both included, where p is i's place among the
     * keys: i, or with bottom-right alignment i + seq_kv - seq_q. */
    int64_t window_left, window_right;
    enum bench_keep_mask keep_mask;
};

/* The keys that a query sees: *first … *last, none when *last < *first. */
void bench_visible_range(const struct bench_attention_shape *shape, int64_t query, int64_t *first,
                         int64_t *last);

/* Pairs of a query and a key it sees, of one head of one batch. */
int64_t bench_visible_pairs(const struct bench_attention_shape *shape);

/* Queries that see at least one key, of one head of one batch. */
int64_t bench_seeing_queries(const struct bench_attention_shape *shape);

/* Keys that at least one query sees, of one head of one batch. */
int64_t bench_visible_keys(const struct bench_attention_shape *shape);

/* Multiplications and additions of both matrix products. exp and the rest of softmax are not counted, and
 * neither are bias, soft-cap, ALiBi and dropout. */
double bench_attention_flops(const struct bench_attention_shape *shape);

/* The same of linear attention by its recurrence, with or without a causal mask: a key of a key/value head
 * adds the product of its features and its value to a dim_qk x dim_v matrix, and a query multiplies its
 * features with that. Only queries that see a key and keys that are seen count; feature maps and denominators
 * do not. */
double bench_linear_attention_flops(const struct bench_attention_shape *shape);

/* Every query read once, every visible key and value read once per key/value head, every output written
 * once. A bias and a mask of bytes are not counted. */
double bench_attention_bytes(const struct bench_attention_shape *shape, enum bench_type type);

/* Every element read once and written once. */
double bench_softmax_bytes(int64_t rows, int64_t cols, enum bench_type type);

/* Every element read once. What is written per row is not counted. */
double bench_read_bytes(int64_t rows, int64_t cols, enum bench_type type);

/* Two matrices read and one written. */
double bench_softmax_backward_bytes(int64_t rows, int64_t cols, enum bench_type type);

/* Logits read and their gradient written; a target (int64) read and a loss (of the arithmetic) written per row. */
double bench_cross_entropy_bytes(int64_t rows, int64_t classes, enum bench_type type);

#endif
