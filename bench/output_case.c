/*
 * Tokens from logits, and diagnoses of score rows, of contiguous matrices. Logits are spread as those of a language model:
 * most nearly normal with deviation 2, a few in each row raised by 8 to 20.
 */
#include "memory.h"
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

enum { RAISED = 25 };

struct state {
    struct bench_problem problem;
    softattn_sampler *sampler;
    softattn_softmax *softmax;
    void *x, *uniform, *entropy;
    int64_t *tokens;
    int64_t shape[2];
    softattn_tensor scores, numbers, results;
};

static int32_t solve(void *argument) {
    const struct state *state = argument;
    if (state->problem.operation == BENCH_SAMPLING) {
        const softattn_sampler_args args = {.struct_size = sizeof args,
                                            .logits = &state->scores,
                                            .uniform = &state->numbers,
                                            .tokens = &state->results};
        return softattn_sampler_run(state->sampler, &args);
    }
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &state->scores};
    const softattn_diagnosis outputs = {
        .struct_size = sizeof outputs, .entropy = &state->numbers, .jacobian_norm = &state->results};
    return softattn_softmax_diagnose(state->softmax, &args, &outputs);
}

static void destroy(void *argument) {
    struct state *state = argument;
    softattn_sampler_destroy(state->sampler);
    softattn_softmax_destroy(state->softmax);
    bench_array_destroy(state->x);
    bench_array_destroy(state->uniform);
    bench_array_destroy(state->entropy);
    free(state->tokens);
    free(state);
}

static void fill(struct state *state) {
    const struct bench_problem *problem = &state->problem;
    const int64_t rows = problem->rows, cols = problem->cols;
    bench_fill_random(state->x, problem->type, rows * cols, 1);
    for (int64_t i = 0; i < rows * cols; i++) {
        bench_array_set(state->x, problem->type, i, 2 * bench_array_get(state->x, problem->type, i));
    }
    for (int64_t row = 0; row < rows; row++) {
        bench_array_set(state->uniform, problem->type, row, (double)row / (double)rows);
        for (int64_t i = 0; i < RAISED; i++) {
            const int64_t at = row * cols + (row * 977 + i * 7919) % cols;
            const double raised =
                bench_array_get(state->x, problem->type, at) + 8 + 12.0 * (double)i / RAISED;
            bench_array_set(state->x, problem->type, at, raised);
        }
    }
}

static softattn_tensor tensor(struct state *state, void *data, int32_t rank, uint8_t code, uint8_t bits) {
    return (softattn_tensor){.data = data,
                             .device = {SOFTATTN_DEVICE_CPU, 0},
                             .ndim = rank,
                             .dtype = {code, bits, 1},
                             .shape = state->shape};
}

static int create_arrays(struct state *state, struct bench_team *team) {
    const struct bench_problem *problem = &state->problem;
    const uint8_t bits = problem->type == BENCH_F32 ? 32 : 64;
    state->x = bench_array_create(team, problem->type, problem->rows * problem->cols);
    state->uniform = bench_array_create(team, problem->type, problem->rows);
    state->entropy = bench_array_create(team, problem->type, problem->rows);
    state->tokens = calloc((size_t)problem->rows, sizeof *state->tokens);
    if (state->x == NULL || state->uniform == NULL || state->entropy == NULL || state->tokens == NULL) {
        return -1;
    }
    fill(state);
    state->shape[0] = problem->rows;
    state->shape[1] = problem->cols;
    state->scores = tensor(state, state->x, 2, SOFTATTN_TYPE_FLOAT, bits);
    state->numbers = tensor(state, state->uniform, 1, SOFTATTN_TYPE_FLOAT, bits);
    state->results = problem->operation == BENCH_SAMPLING
                         ? tensor(state, state->tokens, 1, SOFTATTN_TYPE_INT, 64)
                         : tensor(state, state->entropy, 1, SOFTATTN_TYPE_FLOAT, bits);
    return 0;
}

static int32_t create_handles(struct state *state, const softattn_context *context) {
    const struct bench_sampling *sampling = &state->problem.sampling;
    int32_t status = softattn_softmax_create(context, &state->softmax);
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_create(context, &state->sampler);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_temperature(state->sampler, sampling->temperature);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_top_k(state->sampler, sampling->top_k);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_top_p(state->sampler, sampling->top_p);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_sampler_set_min_p(state->sampler, sampling->min_p);
    }
    return status;
}

int bench_output_prepare(const struct bench_problem *problem, enum bench_engine engine,
                         const softattn_context *context, struct bench_team *team,
                         struct bench_runner *runner, struct bench_failure *failure) {
    (void)engine; /* the library is the only one */
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return bench_fail_from_memory(failure);
    }
    state->problem = *problem;
    if (create_arrays(state, team) != 0) {
        destroy(state);
        return bench_fail_from_memory(failure);
    }
    int32_t status = create_handles(state, context);
    if (status == SOFTATTN_OK) {
        status = solve(state);
    }
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
