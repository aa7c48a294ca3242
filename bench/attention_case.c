/*
 * Attention on contiguous arrays, by a configured handle of the library or by the textbook.
 */
#include "memory.h"
#include "runner.h"
#include "textbook.h"
#include "timer.h"

#include <stdio.h>
#include <stdlib.h>

enum { RANK = 4 };

/* An array and the library's view of it. */
struct operand {
    void *array;
    int64_t shape[RANK];
    softattn_tensor tensor;
};

struct state {
    struct bench_attention_shape shape;
    enum bench_type type;
    int32_t normalizer;
    struct bench_team *team;
    struct operand q, k, v, out, bias;
    void *scores; /* of the textbook */
    softattn_attention *attention;
    softattn_attention_args args;
};

static int create_array(struct operand *operand, const struct state *state, const int64_t *shape,
                        uint64_t seed) {
    int64_t elements = 1;
    for (int i = 0; i < RANK; i++)
        elements *= shape[i];
    operand->array = bench_array_create(state->team, state->type, elements);
    if (operand->array == NULL)
        return -1;
    if (seed != 0)
        bench_fill_random(operand->array, state->type, elements, seed);
    for (int i = 0; i < RANK; i++)
        operand->shape[i] = shape[i];
    operand->tensor.data = operand->array;
    operand->tensor.device.device_type = SOFTATTN_DEVICE_CPU;
    operand->tensor.ndim = RANK;
    operand->tensor.dtype.code = SOFTATTN_TYPE_FLOAT;
    operand->tensor.dtype.bits = (uint8_t)(8 * bench_type_bytes(state->type));
    operand->tensor.dtype.lanes = 1;
    operand->tensor.shape = operand->shape;
    return 0;
}

static int create_operand(struct operand *operand, const struct state *state, int64_t heads, int64_t seq,
                          int64_t dim, uint64_t seed) {
    return create_array(operand, state, (int64_t[RANK]){state->shape.batch, heads, seq, dim}, seed);
}

/* For all batches the same. */
static int create_bias(struct state *state) {
    const struct bench_attention_shape *shape = &state->shape;
    const int64_t heads = shape->bias == BENCH_BIAS_HEADS ? shape->heads_q : 1;
    const int64_t queries = shape->bias == BENCH_BIAS_KEYS ? 1 : shape->seq_q;
    state->args.bias = &state->bias.tensor;
    return create_array(&state->bias, state, (int64_t[RANK]){1, heads, queries, shape->seq_kv}, 4);
}

static int create_operands(struct state *state) {
    const struct bench_attention_shape *shape = &state->shape;
    if (create_operand(&state->q, state, shape->heads_q, shape->seq_q, shape->dim_qk, 1) != 0 ||
        create_operand(&state->k, state, shape->heads_kv, shape->seq_kv, shape->dim_qk, 2) != 0 ||
        create_operand(&state->v, state, shape->heads_kv, shape->seq_kv, shape->dim_v, 3) != 0 ||
        create_operand(&state->out, state, shape->heads_q, shape->seq_q, shape->dim_v, 0) != 0)
        return -1;
    if (shape->bias != BENCH_BIAS_NONE && create_bias(state) != 0)
        return -1;
    state->args.struct_size = sizeof state->args;
    state->args.q = &state->q.tensor;
    state->args.k = &state->k.tensor;
    state->args.v = &state->v.tensor;
    state->args.out = &state->out.tensor;
    return 0;
}

static double library_calls(void *argument, int64_t calls) {
    struct bench_runner *runner = argument;
    const struct state *state = runner->state;
    const double start = bench_now();
    for (int64_t call = 0; call < calls; call++) {
        runner->status = softattn_attention_run(state->attention, &state->args);
        if (runner->status != SOFTATTN_OK)
            return -1;
    }
    return bench_now() - start;
}

static double textbook_calls(void *argument, int64_t calls) {
    const struct bench_runner *runner = argument;
    const struct state *state = runner->state;
    const double start = bench_now();
    for (int64_t call = 0; call < calls; call++)
        bench_textbook_attention(state->team, state->type, &state->shape, state->q.array, state->k.array,
                                 state->v.array, state->out.array, state->scores);
    return bench_now() - start;
}

static void destroy(void *argument) {
    struct state *state = argument;
    softattn_attention_destroy(state->attention);
    bench_array_destroy(state->scores);
    bench_array_destroy(state->bias.array);
    bench_array_destroy(state->out.array);
    bench_array_destroy(state->v.array);
    bench_array_destroy(state->k.array);
    bench_array_destroy(state->q.array);
    free(state);
}

static int prepare_textbook(struct state *state, struct bench_runner *runner, struct bench_failure *failure) {
    state->scores = bench_array_create(state->team, state->type,
                                       bench_textbook_score_elements(state->team, &state->shape));
    if (state->scores == NULL)
        return bench_fail_from_memory(failure);
    runner->calls = textbook_calls;
    snprintf(runner->engine, sizeof runner->engine, "textbook");
    snprintf(runner->kernel, sizeof runner->kernel, "%s", bench_textbook_gemm_name());
    return 0;
}

/* Configures the handle, runs it once, and asks it how it ran. */
static int prepare_library(struct state *state, enum bench_engine engine, const softattn_context *context,
                           struct bench_runner *runner, struct bench_failure *failure) {
    static const int32_t engines[] = {SOFTATTN_ENGINE_AUTO, SOFTATTN_ENGINE_FUSED, SOFTATTN_ENGINE_BLAS};
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    int32_t status = softattn_attention_create(context, &state->attention);
    if (status == SOFTATTN_OK)
        status = softattn_attention_set_causal(state->attention, state->shape.causal, 0);
    if (status == SOFTATTN_OK) /* without a causal mask, where the window lies */
        status = softattn_attention_set_alignment(state->attention, SOFTATTN_CAUSAL_TOP_LEFT, 0);
    if (status == SOFTATTN_OK)
        status = softattn_attention_set_window(state->attention, state->shape.window_left,
                                               state->shape.window_right);
    if (status == SOFTATTN_OK)
        status = softattn_attention_set_normalizer(state->attention, state->normalizer);
    if (status == SOFTATTN_OK)
        status = softattn_attention_set_engine(state->attention, engines[engine]);
    if (status == SOFTATTN_OK)
        status = softattn_attention_describe(state->attention, &state->args, &plan);
    if (status == SOFTATTN_OK)
        status = softattn_attention_run(state->attention, &state->args);
    if (status != SOFTATTN_OK)
        return bench_fail_from_library(failure, status);
    runner->calls = library_calls;
    snprintf(runner->engine, sizeof runner->engine, "%s",
             plan.engine == SOFTATTN_ENGINE_FUSED ? "fused" : "blas");
    snprintf(runner->kernel, sizeof runner->kernel, "%s", plan.kernel);
    return 0;
}

int bench_attention_prepare(const struct bench_problem *problem, enum bench_engine engine,
                            const softattn_context *context, struct bench_team *team,
                            struct bench_runner *runner, struct bench_failure *failure) {
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return bench_fail_from_memory(failure);
    state->shape = problem->attention;
    state->type = problem->type;
    state->normalizer = problem->normalizer;
    state->team = team;
    int result = create_operands(state) == 0 ? 0 : bench_fail_from_memory(failure);
    if (result == 0 && engine == BENCH_ENGINE_TEXTBOOK)
        result = prepare_textbook(state, runner, failure);
    else if (result == 0)
        result = prepare_library(state, engine, context, runner, failure);
    if (result != 0) {
        destroy(state);
        return result;
    }
    runner->destroy = destroy;
    runner->state = state;
    return 0;
}
