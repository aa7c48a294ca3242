/*
 * How much work a problem is.
 */
#include "work.h"

#include <softattn/softattn.h>

static const char *const type_names[BENCH_TYPES] = {
    [BENCH_F32] = "f32", [BENCH_F64] = "f64", [BENCH_F16] = "f16", [BENCH_BF16] = "bf16"};

const struct bench_names bench_type_names = BENCH_NAMES(type_names);

const char *bench_type_name(enum bench_type type) { return type_names[type]; }

int64_t bench_type_bytes(enum bench_type type) {
    static const int64_t bytes[BENCH_TYPES] = {
        [BENCH_F32] = 4, [BENCH_F64] = 8, [BENCH_F16] = 2, [BENCH_BF16] = 2};
    return bytes[type];
}

enum bench_type bench_arithmetic_type(enum bench_type type) {
    return type == BENCH_F64 ? BENCH_F64 : BENCH_F32;
}

void bench_visible_range(const struct bench_attention_shape *shape, int64_t query, int64_t *first,
                         int64_t *last) {
    const int64_t offset = shape->causal == SOFTATTN_CAUSAL_BOTTOM_RIGHT ? shape->seq_kv - shape->seq_q : 0;
    const int64_t position = query + offset;
    *first = 0;
    *last = shape->seq_kv - 1;
    if (shape->window_left != BENCH_WINDOW_UNLIMITED && position - shape->window_left > *first) {
        *first = position - shape->window_left;
    }
    if (shape->window_right != BENCH_WINDOW_UNLIMITED && position + shape->window_right < *last) {
        *last = position + shape->window_right;
    }
    if (shape->causal != SOFTATTN_CAUSAL_NONE && position < *last) {
        *last = position;
    }
    if (shape->keep_mask == BENCH_KEEP_MASK_CAUSAL && query < *last) {
        *last = query;
    }
}

int64_t bench_visible_pairs(const struct bench_attention_shape *shape) {
    int64_t pairs = 0;
    for (int64_t query = 0; query < shape->seq_q; query++) {
        int64_t first, last;
        bench_visible_range(shape, query, &first, &last);
        if (first <= last) {
            pairs += last - first + 1;
        }
    }
    return pairs;
}

int64_t bench_seeing_queries(const struct bench_attention_shape *shape) {
    int64_t queries = 0;
    for (int64_t query = 0; query < shape->seq_q; query++) {
        int64_t first, last;
        bench_visible_range(shape, query, &first, &last);
        queries += first <= last;
    }
    return queries;
}

int64_t bench_visible_keys(const struct bench_attention_shape *shape) {
    /* Both ends of the range move by at most one key per query, so the union of the ranges has no gap. */
    int64_t lowest = shape->seq_kv, highest = -1;
    for (int64_t query = 0; query < shape->seq_q; query++) {
        int64_t first, last;
        bench_visible_range(shape, query, &first, &last);
        if (first > last) {
            continue;
        }
        lowest = first < lowest ? first : lowest;
        highest = last > highest ? last : highest;
    }
    return lowest <= highest ? highest - lowest + 1 : 0;
}

double bench_attention_flops(const struct bench_attention_shape *shape) {
    const double pairs = (double)(shape->batch * shape->heads_q) * (double)bench_visible_pairs(shape);
    return 2 * pairs * (double)(shape->dim_qk + shape->dim_v);
}

double bench_linear_attention_flops(const struct bench_attention_shape *shape) {
    const double queries = (double)(shape->batch * shape->heads_q) * (double)bench_seeing_queries(shape);
    const double keys = (double)(shape->batch * shape->heads_kv) * (double)bench_visible_keys(shape);
    return 2 * (queries + keys) * (double)shape->dim_qk * (double)shape->dim_v;
}

double bench_attention_bytes(const struct bench_attention_shape *shape, enum bench_type type) {
    const double row = (double)(shape->dim_qk + shape->dim_v);
    const double query_rows = (double)(shape->batch * shape->heads_q) * (double)shape->seq_q;
    const double key_rows = (double)(shape->batch * shape->heads_kv) * (double)bench_visible_keys(shape);
    return (query_rows + key_rows) * row * (double)bench_type_bytes(type);
}

double bench_softmax_bytes(int64_t rows, int64_t cols, enum bench_type type) {
    return 2 * (double)rows * (double)cols * (double)bench_type_bytes(type);
}

double bench_read_bytes(int64_t rows, int64_t cols, enum bench_type type) {
    return (double)rows * (double)cols * (double)bench_type_bytes(type);
}

double bench_softmax_backward_bytes(int64_t rows, int64_t cols, enum bench_type type) {
    return 3 * (double)rows * (double)cols * (double)bench_type_bytes(type);
}

double bench_cross_entropy_bytes(int64_t rows, int64_t classes, enum bench_type type) {
    return (double)rows * (2 * (double)classes * (double)bench_type_bytes(type) + 8 +
                           (double)bench_type_bytes(bench_arithmetic_type(type)));
}
