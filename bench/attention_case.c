/*
 * Attention by a configured handle of the library or by the textbook.
 */
#include "attention_arrays.h"
#include "memory.h"
#include "runner.h"
#include "textbook.h"

#include <stdio.h>
#include <stdlib.h>

struct state {
    const struct bench_problem *problem;
    struct bench_team *team;
    struct bench_attention_arrays arrays;
    void *scores; /* of the textbook */
    softattn_attention *attention;
    softattn_attention_args args;
};

static int32_t library_attention(void *argument) {
    const struct state *state = argument;
    return softattn_attention_run(state->attention, &state->args);
}

static int32_t textbook_attention(void *argument) {
    const struct state *state = argument;
    const struct bench_attention_arrays *arrays = &state->arrays;
    bench_textbook_attention(state->team, state->problem->type, &state->problem->attention, arrays->q.array,
                             arrays->k.array, arrays->v.array, arrays->out.array, state->scores);
    return SOFTATTN_OK;
}

static void destroy(void *argument) {
    struct state *state = argument;
    softattn_attention_destroy(state->attention);
    bench_array_destroy(state->scores);
    bench_attention_arrays_destroy(&state->arrays);
    free(state);
}

static int prepare_textbook(struct state *state, struct bench_runner *runner, struct bench_failure *failure) {
    const struct bench_problem *problem = state->problem;
    state->scores = bench_array_create(state->team, problem->type,
                                       bench_textbook_score_elements(state->team, &problem->attention));
    if (state->scores == NULL) {
        return bench_fail_from_memory(failure);
    }
    runner->solve = textbook_attention;
    snprintf(runner->engine, sizeof runner->engine, "textbook");
    snprintf(runner->kernel, sizeof runner->kernel, "%s", bench_textbook_gemm_name());
    return 0;
}

static int32_t configure(softattn_attention *attention, const struct bench_problem *problem,
                         enum bench_engine engine) {
    static const int32_t engines[] = {SOFTATTN_ENGINE_AUTO, SOFTATTN_ENGINE_FUSED, SOFTATTN_ENGINE_BLAS};
    const struct bench_attention_shape *shape = &problem->attention;
    int32_t status = softattn_attention_set_causal(attention, shape->causal, 0);
    if (status == SOFTATTN_OK) { /* without a causal mask, where window and ALiBi lie */
        status = softattn_attention_set_alignment(attention, SOFTATTN_CAUSAL_TOP_LEFT, 0);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_set_window(attention, shape->window_left, shape->window_right);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_set_softcap(attention, problem->extras.softcap);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_set_dropout(attention, problem->extras.dropout);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_set_normalizer(attention, problem->normalizer);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_set_engine(attention, engines[engine]);
    }
    return status;
}

/* Configures the handle, runs it once, and asks it how it ran. */
static int prepare_library(struct state *state, enum bench_engine engine, const softattn_context *context,
                           struct bench_runner *runner, struct bench_failure *failure) {
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    int32_t status = softattn_attention_create(context, &state->attention);
    if (status == SOFTATTN_OK) {
        status = configure(state->attention, state->problem, engine);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_describe(state->attention, &state->args, &plan);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_run(state->attention, &state->args);
    }
    if (status != SOFTATTN_OK) {
        return bench_fail_from_library(failure, status);
    }
    runner->solve = library_attention;
    snprintf(runner->engine, sizeof runner->engine, "%s",
             plan.engine == SOFTATTN_ENGINE_FUSED ? "fused" : "blas");
    snprintf(runner->kernel, sizeof runner->kernel, "%s", plan.kernel);
    return 0;
}

int bench_attention_prepare(const struct bench_problem *problem, enum bench_engine engine,
                            const softattn_context *context, struct bench_team *team,
                            struct bench_runner *runner, struct bench_failure *failure) {
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return bench_fail_from_memory(failure);
    }
    state->problem = problem;
    state->team = team;
    int result = bench_attention_arrays_create(&state->arrays, &state->args, problem, team) == 0
                     ? 0
                     : bench_fail_from_memory(failure);
    if (result == 0 && engine == BENCH_ENGINE_TEXTBOOK) {
        result = prepare_textbook(state, runner, failure);
    } else if (result == 0) {
        result = prepare_library(state, engine, context, runner, failure);
    }
    if (result != 0) {
        destroy(state);
        return result;
    }
    runner->destroy = destroy;
    runner->state = state;
    return 0;
}
