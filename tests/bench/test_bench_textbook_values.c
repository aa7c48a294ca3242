/*
 * The textbook baseline computes what it is compared with: softmax and attention within the oracle's bounds,
 * for every mask and with heads and rows shared out among any number of threads.
 */
#include "arrays.h"
#include "compare.h"
#include "expect.h"
#include "oracle.h"
#include "random.h"
#include "textbook.h"

#include <softattn/softattn.h>

#include <math.h>
#include <stdlib.h>

static void expect_softmax(enum bench_type type, int64_t rows, int64_t cols, int in_place,
                           struct bench_team *team, random_source *random) {
    const array_type element = type == BENCH_F32 ? ARRAY_F32 : ARRAY_F64;
    const int64_t shape[2] = {rows, cols};
    test_array x, y;
    array_create(&x, element, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&y, element, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_fill_normal(&x, random, 5);
    double *values = array_read(&x, 2, shape);
    const oracle_softmax problem = {
        .rows = rows,
        .cols = cols,
        .x = values,
        .scale = 1,
        .precision = type == BENCH_F32 ? oracle_f32 : oracle_f64,
    };
    oracle_softmax_results expected = oracle_softmax_compute(&problem);

    test_array *result = in_place ? &x : &y;
    bench_textbook_softmax(team, type, rows, cols, array_at(&x, 0), array_at(result, 0));
    EXPECT(compare_with_oracle("textbook softmax", result, &expected.y) == 0, "%lldx%lld, %d threads",
           (long long)rows, (long long)cols, bench_team_threads(team));

    oracle_softmax_results_destroy(&expected);
    free(values);
    array_destroy(&x);
    array_destroy(&y);
}

static const oracle_causal oracle_masks[] = {
    [SOFTATTN_CAUSAL_NONE] = ORACLE_CAUSAL_NONE,
    [SOFTATTN_CAUSAL_TOP_LEFT] = ORACLE_CAUSAL_TOP_LEFT,
    [SOFTATTN_CAUSAL_BOTTOM_RIGHT] = ORACLE_CAUSAL_BOTTOM_RIGHT,
};

struct operands {
    test_array q, k, v, out, scores;
};

static void create_operands(struct operands *operands, array_type element,
                            const struct bench_attention_shape *shape, const struct bench_team *team,
                            random_source *random) {
    const int64_t q[4] = {shape->batch, shape->heads_q, shape->seq_q, shape->dim_qk};
    const int64_t k[4] = {shape->batch, shape->heads_kv, shape->seq_kv, shape->dim_qk};
    const int64_t v[4] = {shape->batch, shape->heads_kv, shape->seq_kv, shape->dim_v};
    const int64_t out[4] = {shape->batch, shape->heads_q, shape->seq_q, shape->dim_v};
    const int64_t scores[1] = {bench_textbook_score_elements(team, shape)};
    array_create(&operands->q, element, 4, q, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&operands->k, element, 4, k, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&operands->v, element, 4, v, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&operands->out, element, 4, out, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&operands->scores, element, 1, scores, ARRAY_COMPACT, GUARD_AFTER);
    array_fill_normal(&operands->q, random, 1);
    array_fill_normal(&operands->k, random, 1);
    array_fill_normal(&operands->v, random, 1);
}

static void destroy_operands(struct operands *operands) {
    array_destroy(&operands->q);
    array_destroy(&operands->k);
    array_destroy(&operands->v);
    array_destroy(&operands->out);
    array_destroy(&operands->scores);
}

static void expect_attention(enum bench_type type, const struct bench_attention_shape *shape,
                             struct bench_team *team, random_source *random) {
    struct operands operands;
    create_operands(&operands, type == BENCH_F32 ? ARRAY_F32 : ARRAY_F64, shape, team, random);
    double *q = array_read(&operands.q, 4, operands.q.shape);
    double *k = array_read(&operands.k, 4, operands.k.shape);
    double *v = array_read(&operands.v, 4, operands.v.shape);
    const oracle_attention problem = {
        .batch = shape->batch,
        .heads_q = shape->heads_q,
        .heads_kv = shape->heads_kv,
        .seq_q = shape->seq_q,
        .seq_kv = shape->seq_kv,
        .dim_qk = shape->dim_qk,
        .dim_v = shape->dim_v,
        .q = q,
        .k = k,
        .v = v,
        .scale = 1 / sqrt((double)shape->dim_qk),
        .causal = oracle_masks[shape->causal],
        .has_window = true,
        .window_left = shape->window_left,
        .window_right = shape->window_right,
        .precision = type == BENCH_F32 ? oracle_f32 : oracle_f64,
    };
    oracle_attention_results expected = oracle_attention_compute(&problem);

    bench_textbook_attention(team, type, shape, array_at(&operands.q, 0), array_at(&operands.k, 0),
                             array_at(&operands.v, 0), array_at(&operands.out, 0),
                             array_at(&operands.scores, 0));
    EXPECT(compare_with_oracle("textbook attention", &operands.out, &expected.out) == 0,
           "%lldx%lld causal %d, %d threads", (long long)shape->seq_q, (long long)shape->seq_kv,
           (int)shape->causal, bench_team_threads(team));

    oracle_attention_results_destroy(&expected);
    free(q);
    free(k);
    free(v);
    destroy_operands(&operands);
}

static void values_are_within_the_bounds(enum bench_type type, struct bench_team *team,
                                         random_source *random) {
    const struct bench_attention_shape shapes[] = {
        {2, 6, 2, 17, 23, 8, 5, SOFTATTN_CAUSAL_NONE, BENCH_WINDOW_UNLIMITED, BENCH_WINDOW_UNLIMITED,
         BENCH_KEEP_MASK_NONE},
        {1, 2, 2, 17, 23, 8, 8, SOFTATTN_CAUSAL_TOP_LEFT, BENCH_WINDOW_UNLIMITED, BENCH_WINDOW_UNLIMITED,
         BENCH_KEEP_MASK_NONE},
        {1, 2, 1, 17, 23, 8, 8, SOFTATTN_CAUSAL_BOTTOM_RIGHT, BENCH_WINDOW_UNLIMITED, BENCH_WINDOW_UNLIMITED,
         BENCH_KEEP_MASK_NONE},
        /* the first queries see no key */
        {1, 2, 1, 23, 17, 8, 8, SOFTATTN_CAUSAL_BOTTOM_RIGHT, BENCH_WINDOW_UNLIMITED, BENCH_WINDOW_UNLIMITED,
         BENCH_KEEP_MASK_NONE},
        {1, 1, 1, 30, 20, 4, 3, SOFTATTN_CAUSAL_NONE, 3, 2, BENCH_KEEP_MASK_NONE},
        {1, 1, 1, 1, 64, 16, 16, SOFTATTN_CAUSAL_NONE, BENCH_WINDOW_UNLIMITED, BENCH_WINDOW_UNLIMITED,
         BENCH_KEEP_MASK_NONE},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        expect_attention(type, &shapes[i], team, random);
    }
    expect_softmax(type, 7, 33, 0, team, random);
    expect_softmax(type, 7, 33, 1, team, random);
    expect_softmax(type, 1, 1, 0, team, random);
}

int main(void) {
    random_source random;
    random_start(&random, "textbook");
    bench_textbook_use_one_blas_thread();
    for (int threads = 1; threads <= 4; threads += 3) {
        struct bench_team *team = bench_team_create(threads);
        if (!EXPECT(team != NULL, "%d threads", threads)) {
            continue;
        }
        values_are_within_the_bounds(BENCH_F32, team, &random);
        values_are_within_the_bounds(BENCH_F64, team, &random);
        bench_team_destroy(team);
    }
    return expect_summary();
}
