/*
 * Softmax backward and cross-entropy with its gradient, of contiguous matrices, by the library's flat functions, the backward
 * pass with options by a handle.
 */
#include "matrix.h"
#include "memory.h"
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>

struct state {
    struct bench_problem problem;
    const softattn_context *context;
    void *x;          /* probabilities of a softmax, or logits */
    void *dy;         /* of a softmax */
    void *out;        /* the gradient; dy or the logits when in place */
    int64_t *targets; /* of cross-entropy, as losses */
    void *losses;
    softattn_softmax *softmax; /* with options that the flat functions have not; else NULL */
};

static int32_t handle_backward(const struct state *state) {
    const struct bench_problem *problem = &state->problem;
    struct bench_matrix y, dy, dx;
    const softattn_softmax_backward_args args = {.struct_size = sizeof args,
                                                 .y = bench_matrix_of(&y, state->x, problem),
                                                 .dy = bench_matrix_of(&dy, state->dy, problem),
                                                 .dx = bench_matrix_of(&dx, state->out, problem)};
    return softattn_softmax_backward(state->softmax, &args);
}

static int32_t run_backward(const struct state *state) {
    const softattn_context *context = state->context;
    const int64_t rows = state->problem.rows, cols = state->problem.cols;
    if (state->softmax != NULL) {
        return handle_backward(state);
    }
    switch (state->problem.type) {
    case BENCH_F16:
        return softattn_softmax_backward_f16(context, rows, cols, state->x, cols, state->dy, cols, state->out,
                                             cols);
    case BENCH_BF16:
        return softattn_softmax_backward_bf16(context, rows, cols, state->x, cols, state->dy, cols,
                                              state->out, cols);
    case BENCH_F64:
        return softattn_softmax_backward_f64(context, rows, cols, state->x, cols, state->dy, cols, state->out,
                                             cols);
    default:
        return softattn_softmax_backward_f32(context, rows, cols, state->x, cols, state->dy, cols, state->out,
                                             cols);
    }
}

static int32_t run_cross_entropy(const struct state *state) {
    const softattn_context *context = state->context;
    const int64_t rows = state->problem.rows, cols = state->problem.cols;
    switch (state->problem.type) {
    case BENCH_F16:
        return softattn_cross_entropy_f16(context, rows, cols, state->x, cols, state->targets, state->losses,
                                          state->out, cols);
    case BENCH_BF16:
        return softattn_cross_entropy_bf16(context, rows, cols, state->x, cols, state->targets, state->losses,
                                           state->out, cols);
    case BENCH_F64:
        return softattn_cross_entropy_f64(context, rows, cols, state->x, cols, state->targets, state->losses,
                                          state->out, cols);
    default:
        return softattn_cross_entropy_f32(context, rows, cols, state->x, cols, state->targets, state->losses,
                                          state->out, cols);
    }
}

static int32_t solve(void *argument) {
    const struct state *state = argument;
    return state->problem.operation == BENCH_CROSS_ENTROPY ? run_cross_entropy(state) : run_backward(state);
}

static void destroy(void *argument) {
    struct state *state = argument;
    softattn_softmax_destroy(state->softmax);
    if (!state->problem.in_place) {
        bench_array_destroy(state->out);
    }
    bench_array_destroy(state->x);
    bench_array_destroy(state->dy);
    bench_array_destroy(state->losses);
    free(state->targets);
    free(state);
}

/* Random numbers where the library reads; what they are changes no time. */
static int create_arrays(struct state *state, struct bench_team *team) {
    const struct bench_problem *problem = &state->problem;
    const int64_t elements = problem->rows * problem->cols;
    const int has_targets = problem->operation == BENCH_CROSS_ENTROPY;
    state->x = bench_array_create(team, problem->type, elements);
    state->dy = bench_array_create(team, problem->type, has_targets ? 1 : elements);
    state->losses = bench_array_create(team, bench_arithmetic_type(problem->type), problem->rows);
    state->targets = calloc((size_t)problem->rows, sizeof *state->targets);
    if (problem->in_place) {
        state->out = has_targets ? state->x : state->dy;
    } else {
        state->out = bench_array_create(team, problem->type, elements);
    }
    if (state->x == NULL || state->dy == NULL || state->losses == NULL || state->targets == NULL ||
        state->out == NULL) {
        return -1;
    }
    bench_fill_random(state->x, problem->type, elements, 1);
    bench_fill_random(state->dy, problem->type, has_targets ? 1 : elements, 2);
    for (int64_t row = 0; row < problem->rows; row++) {
        state->targets[row] = row * 7919 % problem->cols;
    }
    return 0;
}

int bench_gradient_prepare(const struct bench_problem *problem, enum bench_engine engine,
                           const softattn_context *context, struct bench_team *team,
                           struct bench_runner *runner, struct bench_failure *failure) {
    (void)engine; /* the library is the only one */
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return bench_fail_from_memory(failure);
    }
    state->problem = *problem;
    state->context = context;
    if (create_arrays(state, team) != 0) {
        destroy(state);
        return bench_fail_from_memory(failure);
    }
    int32_t status = bench_softmax_handle(problem, context, &state->softmax);
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
