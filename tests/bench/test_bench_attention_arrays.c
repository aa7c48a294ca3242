/*
 * The arrays of an attention are what the options say: where each element lies, what the mask of bytes shows,
 * ALiBi's slopes, and no array that nobody asked for.
 */
#include "attention_arrays.h"
#include "expect.h"

#include <math.h>
#include <stddef.h>

enum { BATCH = 2, HEADS = 4, HEADS_KV = 2, QUERIES = 3, KEYS = 5, DIM = 6, DIM_V = 7 };

static struct bench_problem plain_problem(void) {
    return (struct bench_problem){.operation = BENCH_ATTENTION,
                                  .type = BENCH_F32,
                                  .attention = {.batch = BATCH,
                                                .heads_q = HEADS,
                                                .heads_kv = HEADS_KV,
                                                .seq_q = QUERIES,
                                                .seq_kv = KEYS,
                                                .dim_qk = DIM,
                                                .dim_v = DIM_V,
                                                .window_left = BENCH_WINDOW_UNLIMITED,
                                                .window_right = BENCH_WINDOW_UNLIMITED}};
}

static void expect_shape(const softattn_tensor *tensor, int64_t a, int64_t b, int64_t c, int64_t d) {
    EXPECT(tensor->ndim == 4 && tensor->shape[0] == a && tensor->shape[1] == b && tensor->shape[2] == c &&
               tensor->shape[3] == d,
           "%lldx%lldx%lldx%lld", (long long)a, (long long)b, (long long)c, (long long)d);
}

static void expect_strides(const softattn_tensor *tensor, int64_t a, int64_t b, int64_t c) {
    EXPECT(tensor->strides[0] == a && tensor->strides[1] == b && tensor->strides[2] == c &&
               tensor->strides[3] == 1,
           "%lld, %lld, %lld, 1", (long long)a, (long long)b, (long long)c);
}

static void a_plain_problem_has_four_arrays(struct bench_team *team) {
    struct bench_problem problem = plain_problem();
    struct bench_attention_arrays arrays = {.q.array = NULL};
    softattn_attention_args args;
    if (!EXPECT(bench_attention_arrays_create(&arrays, &args, &problem, team) == 0, "memory")) {
        return;
    }
    expect_shape(args.q, BATCH, HEADS, QUERIES, DIM);
    expect_shape(args.k, BATCH, HEADS_KV, KEYS, DIM);
    expect_shape(args.v, BATCH, HEADS_KV, KEYS, DIM_V);
    expect_shape(args.out, BATCH, HEADS, QUERIES, DIM_V);
    expect_strides(args.k, HEADS_KV * KEYS * DIM, KEYS * DIM, DIM);
    EXPECT(args.bias == NULL && args.keep_mask == NULL && args.alibi_slopes == NULL, "nothing else");
    bench_attention_arrays_destroy(&arrays);
}

static void heads_lie_inside_the_sequence_where_the_layout_says_so(struct bench_team *team) {
    struct bench_problem problem = plain_problem();
    struct bench_attention_arrays arrays = {.q.array = NULL};
    softattn_attention_args args;
    problem.extras.layout = BENCH_LAYOUT_BSHD;
    if (!EXPECT(bench_attention_arrays_create(&arrays, &args, &problem, team) == 0, "memory")) {
        return;
    }
    expect_shape(args.q, BATCH, HEADS, QUERIES, DIM);
    expect_strides(args.q, QUERIES * HEADS * DIM, DIM, HEADS * DIM);
    expect_strides(args.k, KEYS * HEADS_KV * DIM, DIM, HEADS_KV * DIM);
    expect_strides(args.v, KEYS * HEADS_KV * DIM_V, DIM_V, HEADS_KV * DIM_V);
    expect_strides(args.out, QUERIES * HEADS * DIM_V, DIM_V, HEADS * DIM_V);
    bench_attention_arrays_destroy(&arrays);
}

static void the_keep_mask_shows_keys_up_to_the_query(struct bench_team *team) {
    struct bench_problem problem = plain_problem();
    struct bench_attention_arrays arrays = {.q.array = NULL};
    softattn_attention_args args;
    problem.attention.seq_q = KEYS + 2;
    problem.attention.keep_mask = BENCH_KEEP_MASK_CAUSAL;
    if (!EXPECT(bench_attention_arrays_create(&arrays, &args, &problem, team) == 0, "memory")) {
        return;
    }
    expect_shape(args.keep_mask, 1, 1, KEYS + 2, KEYS);
    const uint8_t *bytes = arrays.keep_mask.array;
    for (int query = 0; query < KEYS + 2; query++) {
        for (int key = 0; key < KEYS; key++) {
            EXPECT(bytes[query * KEYS + key] == (key <= query), "query %d, key %d", query, key);
        }
    }
    bench_attention_arrays_destroy(&arrays);
}

static void slopes_of_alibi_fall_from_head_to_head(struct bench_team *team) {
    struct bench_problem problem = plain_problem();
    struct bench_attention_arrays arrays = {.q.array = NULL};
    softattn_attention_args args;
    problem.extras.alibi = 1;
    if (!EXPECT(bench_attention_arrays_create(&arrays, &args, &problem, team) == 0, "memory")) {
        return;
    }
    const float *slopes = arrays.alibi_slopes.array;
    EXPECT(args.alibi_slopes->ndim == 1 && args.alibi_slopes->shape[0] == HEADS, "one per head");
    for (int head = 0; head < HEADS; head++) {
        EXPECT(slopes[head] == ldexpf(1, -2 * (head + 1)), "head %d: %g", head, (double)slopes[head]);
    }
    bench_attention_arrays_destroy(&arrays);
}

static void a_bias_is_as_large_as_its_name_says(struct bench_team *team) {
    static const struct {
        enum bench_bias bias;
        int64_t heads, queries;
    } cases[] = {
        {BENCH_BIAS_KEYS, 1, 1}, {BENCH_BIAS_MATRIX, 1, QUERIES}, {BENCH_BIAS_HEADS, HEADS, QUERIES}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench_problem problem = plain_problem();
        struct bench_attention_arrays arrays = {.q.array = NULL};
        softattn_attention_args args;
        problem.extras.bias = cases[i].bias;
        if (!EXPECT(bench_attention_arrays_create(&arrays, &args, &problem, team) == 0, "memory")) {
            return;
        }
        expect_shape(args.bias, 1, cases[i].heads, cases[i].queries, KEYS);
        bench_attention_arrays_destroy(&arrays);
    }
}

int main(void) {
    struct bench_team *team = bench_team_create(1);
    if (EXPECT(team != NULL, "a team of one thread")) {
        a_plain_problem_has_four_arrays(team);
        heads_lie_inside_the_sequence_where_the_layout_says_so(team);
        the_keep_mask_shows_keys_up_to_the_query(team);
        slopes_of_alibi_fall_from_head_to_head(team);
        a_bias_is_as_large_as_its_name_says(team);
        bench_team_destroy(team);
    }
    return expect_summary();
}
