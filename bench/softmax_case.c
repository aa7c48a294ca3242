/*
 * Row-wise softmax of a contiguous matrix, by the library's flat functions, with options by a handle, or by the textbook.
 */
#include "matrix.h"
#include "memory.h"
#include "runner.h"
#include "textbook.h"

#include <stdio.h>
#include <stdlib.h>

struct state {
    struct bench_problem problem;
    const softattn_context *context;
    struct bench_team *team;
    void *x, *y;               /* the same array when in place */
    softattn_softmax *softmax; /* with options that the flat functions have not; else NULL */
};

static int32_t handle_softmax(const struct state *state) {
    struct bench_matrix x, y;
    const softattn_softmax_args args = {.struct_size = sizeof args,
                                        .x = bench_matrix_of(&x, state->x, &state->problem),
                                        .y = bench_matrix_of(&y, state->y, &state->problem)};
    return softattn_softmax_run(state->softmax, &args);
}

static int32_t library_softmax(void *argument) {
    const struct state *state = argument;
    const softattn_context *context = state->context;
    const int64_t rows = state->problem.rows, cols = state->problem.cols;
    if (state->softmax != NULL) {
        return handle_softmax(state);
    }
    switch (state->problem.type) {
    case BENCH_F16: return softattn_softmax_f16(context, rows, cols, state->x, cols, state->y, cols);
    case BENCH_BF16: return softattn_softmax_bf16(context, rows, cols, state->x, cols, state->y, cols);
    case BENCH_F64: return softattn_softmax_f64(context, rows, cols, state->x, cols, state->y, cols);
    default: return softattn_softmax_f32(context, rows, cols, state->x, cols, state->y, cols);
    }
}

static int32_t textbook_softmax(void *argument) {
    const struct state *state = argument;
    const struct bench_problem *problem = &state->problem;
    bench_textbook_softmax(state->team, problem->type, problem->rows, problem->cols, state->x, state->y);
    return SOFTATTN_OK;
}

static void destroy(void *argument) {
    struct state *state = argument;
    softattn_softmax_destroy(state->softmax);
    if (state->y != state->x) {
        bench_array_destroy(state->y);
    }
    bench_array_destroy(state->x);
    free(state);
}

int bench_softmax_prepare(const struct bench_problem *problem, enum bench_engine engine,
                          const softattn_context *context, struct bench_team *team,
                          struct bench_runner *runner, struct bench_failure *failure) {
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return bench_fail_from_memory(failure);
    }
    const int64_t elements = problem->rows * problem->cols;
    state->problem = *problem;
    state->context = context;
    state->team = team;
    state->x = bench_array_create(team, problem->type, elements);
    state->y = problem->in_place ? state->x : bench_array_create(team, problem->type, elements);
    if (state->x == NULL || state->y == NULL) {
        destroy(state);
        return bench_fail_from_memory(failure);
    }
    bench_fill_random(state->x, problem->type, elements, 1);

    const int textbook = engine == BENCH_ENGINE_TEXTBOOK;
    int32_t status = bench_softmax_handle(problem, context, &state->softmax);
    if (status == SOFTATTN_OK && !textbook) {
        status = library_softmax(state);
    }
    if (status != SOFTATTN_OK) {
        destroy(state);
        return bench_fail_from_library(failure, status);
    }
    runner->solve = textbook ? textbook_softmax : library_softmax;
    runner->destroy = destroy;
    runner->state = state;
    snprintf(runner->engine, sizeof runner->engine, "%s", textbook ? "textbook" : "library");
    snprintf(runner->kernel, sizeof runner->kernel, "%s", textbook ? "libm" : "");
    return 0;
}
