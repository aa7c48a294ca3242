/*
 * Linear attention with features elu + 1 on contiguous arrays, by the library's flat functions.
 */
#include "memory.h"
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

struct state {
    enum bench_type type;
    struct bench_attention_shape shape;
    const softattn_context *context;
    void *q, *k, *v, *out;
};

static int32_t solve(void *argument) {
    const struct state *state = argument;
    const struct bench_attention_shape *s = &state->shape;
    if (state->type == BENCH_F64) {
        return softattn_linear_attention_f64(state->context, s->batch, s->heads_q, s->heads_kv, s->seq_q,
                                             s->seq_kv, s->dim_qk, s->dim_v, state->q, state->k, state->v,
                                             state->out, s->causal);
    }
    return softattn_linear_attention_f32(state->context, s->batch, s->heads_q, s->heads_kv, s->seq_q,
                                         s->seq_kv, s->dim_qk, s->dim_v, state->q, state->k, state->v,
                                         state->out, s->causal);
}

static void destroy(void *argument) {
    struct state *state = argument;
    bench_array_destroy(state->q);
    bench_array_destroy(state->k);
    bench_array_destroy(state->v);
    bench_array_destroy(state->out);
    free(state);
}

static int create_arrays(struct state *state, struct bench_team *team) {
    const struct bench_attention_shape *s = &state->shape;
    const int64_t queries = s->batch * s->heads_q * s->seq_q, keys = s->batch * s->heads_kv * s->seq_kv;
    state->q = bench_array_create(team, state->type, queries * s->dim_qk);
    state->k = bench_array_create(team, state->type, keys * s->dim_qk);
    state->v = bench_array_create(team, state->type, keys * s->dim_v);
    state->out = bench_array_create(team, state->type, queries * s->dim_v);
    if (state->q == NULL || state->k == NULL || state->v == NULL || state->out == NULL) {
        return -1;
    }
    bench_fill_random(state->q, state->type, queries * s->dim_qk, 1);
    bench_fill_random(state->k, state->type, keys * s->dim_qk, 2);
    bench_fill_random(state->v, state->type, keys * s->dim_v, 3);
    return 0;
}

int bench_linear_attention_prepare(const struct bench_problem *problem, enum bench_engine engine,
                                   const softattn_context *context, struct bench_team *team,
                                   struct bench_runner *runner, struct bench_failure *failure) {
    (void)engine; /* the library is the only one */
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return bench_fail_from_memory(failure);
    }
    state->type = problem->type;
    state->shape = problem->attention;
    state->context = context;
    if (create_arrays(state, team) != 0) {
        destroy(state);
        return bench_fail_from_memory(failure);
    }
    const int32_t status = solve(state);
    if (status != SOFTATTN_OK) {
        destroy(state);
        return bench_fail_from_library(failure, status);
    }
    runner->solve = solve;
    runner->destroy = destroy;
    runner->state = state;
    snprintf(runner->engine, sizeof runner->engine, "library");
    return 0;
}
