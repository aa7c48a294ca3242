/*
 * The FLOPs and bytes that softattn-bench divides by: known values of usual shapes, and for small shapes with
 * any mask the same counts as going through every pair of a query and a key.
 */
#include "expect.h"
#include "work.h"

#include <softattn/softattn.h>

#include <stdbool.h>
#include <stddef.h>

enum { UNLIMITED = BENCH_WINDOW_UNLIMITED };

static struct bench_attention_shape shape_of(int64_t batch, int64_t heads_q, int64_t heads_kv, int64_t seq_q,
                                             int64_t seq_kv, int64_t dim_qk, int64_t dim_v, int32_t causal) {
    struct bench_attention_shape shape = {batch,
                                          heads_q,
                                          heads_kv,
                                          seq_q,
                                          seq_kv,
                                          dim_qk,
                                          dim_v,
                                          causal,
                                          UNLIMITED,
                                          UNLIMITED,
                                          BENCH_KEEP_MASK_NONE};
    return shape;
}

static void full_attention_is_4_s_s_d_per_head(void) {
    const struct bench_attention_shape shape = shape_of(2, 8, 8, 2048, 2048, 64, 64, SOFTATTN_CAUSAL_NONE);
    const double flops = 4.0 * 2048 * 2048 * 64 * 16;
    const double bytes = 4.0 * 16 * 2048 * (64 + 64 + 64 + 64);
    EXPECT(bench_visible_pairs(&shape) == 2048 * 2048, "%lld", (long long)bench_visible_pairs(&shape));
    EXPECT(bench_attention_flops(&shape) == flops, "%g", bench_attention_flops(&shape));
    EXPECT(bench_attention_bytes(&shape, BENCH_F32) == bytes, "%g", bench_attention_bytes(&shape, BENCH_F32));
    EXPECT(bench_attention_bytes(&shape, BENCH_F64) == 2 * bytes, "%g",
           bench_attention_bytes(&shape, BENCH_F64));
}

static void causal_alignments_differ_when_lengths_do(void) {
    static const struct {
        const char *what;
        int64_t seq_q, seq_kv;
        int32_t causal;
        int64_t pairs, keys;
    } cases[] = {
        {"square, top-left", 4, 4, SOFTATTN_CAUSAL_TOP_LEFT, 10, 4},
        {"square, bottom-right", 4, 4, SOFTATTN_CAUSAL_BOTTOM_RIGHT, 10, 4},
        {"more keys, top-left: 1 + 2 + 3", 3, 5, SOFTATTN_CAUSAL_TOP_LEFT, 6, 3},
        {"more keys, bottom-right: 3 + 4 + 5", 3, 5, SOFTATTN_CAUSAL_BOTTOM_RIGHT, 12, 5},
        {"more queries, top-left: 1 + 2 + 3 + 3 + 3", 5, 3, SOFTATTN_CAUSAL_TOP_LEFT, 12, 3},
        {"more queries, bottom-right: 0 + 0 + 1 + 2 + 3", 5, 3, SOFTATTN_CAUSAL_BOTTOM_RIGHT, 6, 3},
        {"one query, top-left", 1, 100, SOFTATTN_CAUSAL_TOP_LEFT, 1, 1},
        {"one query, bottom-right", 1, 100, SOFTATTN_CAUSAL_BOTTOM_RIGHT, 100, 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct bench_attention_shape shape =
            shape_of(1, 1, 1, cases[i].seq_q, cases[i].seq_kv, 64, 64, cases[i].causal);
        EXPECT(bench_visible_pairs(&shape) == cases[i].pairs, "%s", cases[i].what);
        EXPECT(bench_visible_keys(&shape) == cases[i].keys, "%s", cases[i].what);
        EXPECT(bench_attention_flops(&shape) == 4.0 * 64 * (double)cases[i].pairs, "%s", cases[i].what);
    }
}

static void a_window_counts_only_what_it_shows(void) {
    struct bench_attention_shape shape = shape_of(1, 1, 1, 8, 8, 64, 64, SOFTATTN_CAUSAL_TOP_LEFT);
    shape.window_left = 2;
    EXPECT(bench_visible_pairs(&shape) == 1 + 2 + 6 * 3, "causal, two keys back");
    shape.causal = SOFTATTN_CAUSAL_NONE;
    shape.window_right = 1;
    EXPECT(bench_visible_pairs(&shape) == 2 + 3 + 5 * 4 + 3, "two keys back, one ahead");
    shape.seq_q = 1;
    EXPECT(bench_visible_keys(&shape) == 2, "one query reads two keys");
}

static void a_keep_mask_counts_only_what_it_shows(void) {
    struct bench_attention_shape shape = shape_of(1, 1, 1, 3, 5, 64, 64, SOFTATTN_CAUSAL_NONE);
    shape.keep_mask = BENCH_KEEP_MASK_CAUSAL;
    EXPECT(bench_visible_pairs(&shape) == 1 + 2 + 3, "queries from the first key on");
    EXPECT(bench_visible_keys(&shape) == 3, "two keys that no query sees");
    EXPECT(bench_attention_flops(&shape) == 4.0 * 64 * 6, "%g", bench_attention_flops(&shape));
    shape.window_left = 1;
    EXPECT(bench_visible_pairs(&shape) == 1 + 2 + 2, "with a window of one key back");
}

static void grouped_heads_read_keys_and_values_once(void) {
    const struct bench_attention_shape shape = shape_of(3, 32, 8, 1, 4096, 128, 96, SOFTATTN_CAUSAL_NONE);
    const double queries = 3 * 32 * (128 + 96), keys = 3.0 * 8 * 4096 * (128 + 96);
    EXPECT(bench_attention_bytes(&shape, BENCH_F32) == 4 * (queries + keys), "%g",
           bench_attention_bytes(&shape, BENCH_F32));
    EXPECT(bench_attention_flops(&shape) == 2.0 * (128 + 96) * 3 * 32 * 4096, "%g",
           bench_attention_flops(&shape));
}

static void masked_keys_are_not_read(void) {
    const struct bench_attention_shape shape = shape_of(1, 1, 1, 3, 1000, 64, 64, SOFTATTN_CAUSAL_TOP_LEFT);
    EXPECT(bench_attention_bytes(&shape, BENCH_F32) == 4.0 * (3 + 3) * 128, "%g",
           bench_attention_bytes(&shape, BENCH_F32));
}

static void linear_attention_is_4_s_d_d_per_head(void) {
    struct bench_attention_shape shape = shape_of(2, 8, 8, 2048, 2048, 64, 64, SOFTATTN_CAUSAL_NONE);
    const double flops = 4.0 * 2048 * 64 * 64 * 16;
    EXPECT(bench_linear_attention_flops(&shape) == flops, "%g", bench_linear_attention_flops(&shape));
    shape.causal = SOFTATTN_CAUSAL_TOP_LEFT;
    EXPECT(bench_linear_attention_flops(&shape) == flops, "causal: %g", bench_linear_attention_flops(&shape));
    shape = shape_of(3, 32, 8, 100, 70, 128, 96, SOFTATTN_CAUSAL_NONE);
    EXPECT(bench_linear_attention_flops(&shape) == 2.0 * 128 * 96 * 3 * (32 * 100 + 8 * 70),
           "keys once per key/value head: %g", bench_linear_attention_flops(&shape));
    shape = shape_of(1, 1, 1, 3, 5, 7, 2, SOFTATTN_CAUSAL_TOP_LEFT);
    EXPECT(bench_linear_attention_flops(&shape) == 2.0 * 7 * 2 * (3 + 3), "two keys that no query sees");
    shape = shape_of(1, 1, 1, 5, 3, 7, 2, SOFTATTN_CAUSAL_BOTTOM_RIGHT);
    EXPECT(bench_linear_attention_flops(&shape) == 2.0 * 7 * 2 * (3 + 3), "two queries that see no key");
}

static void softmax_reads_and_writes_every_element_once(void) {
    EXPECT(bench_softmax_bytes(1024, 512, BENCH_F32) == 8.0 * 1024 * 512, "f32");
    EXPECT(bench_softmax_bytes(1024, 512, BENCH_BF16) == 4.0 * 1024 * 512, "bf16");
    EXPECT(bench_softmax_bytes(1024, 512, BENCH_F64) == 16.0 * 1024 * 512, "f64");
}

static void tokens_and_diagnoses_read_every_element_once(void) {
    EXPECT(bench_read_bytes(32, 1000, BENCH_F32) == 4.0 * 32 * 1000, "f32");
    EXPECT(bench_read_bytes(32, 1000, BENCH_F64) == 8.0 * 32 * 1000, "f64");
}

static void gradients_move_each_matrix_once(void) {
    EXPECT(bench_softmax_backward_bytes(1024, 512, BENCH_F32) == 12.0 * 1024 * 512, "backward f32");
    EXPECT(bench_softmax_backward_bytes(1024, 512, BENCH_F64) == 24.0 * 1024 * 512, "backward f64");
    EXPECT(bench_cross_entropy_bytes(100, 7, BENCH_F32) == 100 * (2 * 7 * 4 + 8 + 4), "cross-entropy f32");
    EXPECT(bench_cross_entropy_bytes(100, 7, BENCH_F16) == 100 * (2 * 7 * 2 + 8 + 4), "cross-entropy f16");
    EXPECT(bench_cross_entropy_bytes(100, 7, BENCH_F64) == 100 * (2 * 7 * 8 + 8 + 8), "cross-entropy f64");
}

/* The definition of the masks, pair by pair. */
static bool is_visible(const struct bench_attention_shape *shape, int64_t query, int64_t key) {
    int64_t position = query;
    if (shape->causal == SOFTATTN_CAUSAL_BOTTOM_RIGHT) {
        position += shape->seq_kv - shape->seq_q;
    }
    if (shape->causal != SOFTATTN_CAUSAL_NONE && key > position) {
        return false;
    }
    if (shape->keep_mask == BENCH_KEEP_MASK_CAUSAL && key > query) {
        return false;
    }
    if (shape->window_left != UNLIMITED && key < position - shape->window_left) {
        return false;
    }
    return shape->window_right == UNLIMITED || key <= position + shape->window_right;
}

static void expect_counts_by_definition(const struct bench_attention_shape *shape) {
    int64_t pairs = 0, keys = 0, seeing = 0;
    for (int64_t key = 0; key < shape->seq_kv; key++) {
        int64_t queries = 0;
        for (int64_t query = 0; query < shape->seq_q; query++) {
            queries += is_visible(shape, query, key);
        }
        pairs += queries;
        keys += queries > 0;
    }
    for (int64_t query = 0; query < shape->seq_q; query++) {
        bool sees = false;
        for (int64_t key = 0; key < shape->seq_kv; key++) {
            sees |= is_visible(shape, query, key);
        }
        seeing += sees;
    }
    const bool same = bench_visible_pairs(shape) == pairs && bench_visible_keys(shape) == keys &&
                      bench_seeing_queries(shape) == seeing;
    EXPECT(same, "%lldx%lld causal %d window %lld,%lld keep mask %d", (long long)shape->seq_q,
           (long long)shape->seq_kv, (int)shape->causal, (long long)shape->window_left,
           (long long)shape->window_right, (int)shape->keep_mask);
}

static void counts_equal_the_definition_with_any_window(struct bench_attention_shape *shape) {
    for (shape->window_left = UNLIMITED; shape->window_left <= 8; shape->window_left++) {
        for (shape->window_right = UNLIMITED; shape->window_right <= 8; shape->window_right++) {
            expect_counts_by_definition(shape);
        }
    }
}

static void counts_equal_the_definition(void) {
    static const int32_t masks[] = {SOFTATTN_CAUSAL_NONE, SOFTATTN_CAUSAL_TOP_LEFT,
                                    SOFTATTN_CAUSAL_BOTTOM_RIGHT};
    struct bench_attention_shape shape = shape_of(1, 1, 1, 0, 0, 1, 1, SOFTATTN_CAUSAL_NONE);
    for (shape.seq_q = 1; shape.seq_q <= 7; shape.seq_q++) {
        for (shape.seq_kv = 1; shape.seq_kv <= 7; shape.seq_kv++) {
            for (int mask = 0; mask < 3; mask++) {
                shape.causal = masks[mask];
                shape.keep_mask = BENCH_KEEP_MASK_NONE;
                counts_equal_the_definition_with_any_window(&shape);
                shape.keep_mask = BENCH_KEEP_MASK_CAUSAL;
                counts_equal_the_definition_with_any_window(&shape);
            }
        }
    }
}

int main(void) {
    full_attention_is_4_s_s_d_per_head();
    causal_alignments_differ_when_lengths_do();
    a_window_counts_only_what_it_shows();
    a_keep_mask_counts_only_what_it_shows();
    grouped_heads_read_keys_and_values_once();
    masked_keys_are_not_read();
    linear_attention_is_4_s_d_d_per_head();
    softmax_reads_and_writes_every_element_once();
    gradients_move_each_matrix_once();
    tokens_and_diagnoses_read_every_element_once();
    counts_equal_the_definition();
    return expect_summary();
}
