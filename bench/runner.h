/*
 * A problem made ready to run: its arrays filled, the library's handle configured. calls() is what the clock
 * sees.
 */
#ifndef SOFTATTN_BENCH_RUNNER_H
#define SOFTATTN_BENCH_RUNNER_H

#include "problem.h"
#include "team.h"

#include <softattn/softattn.h>

#include <stddef.h>
#include <stdint.h>

struct bench_runner {
    int32_t (*solve)(void *state); /* the problem, once; returns the library's status */
    void (*destroy)(void *state);
    void *state;
    int32_t status;  /* of the last call */
    char engine[16]; /* which engine runs: the textbook, "library", or the engine that attention chose */
    char kernel[48]; /* its kernel, where it tells */
};

/* Solves a runner's problem that many times, a bench_timed_function; sets status. */
double bench_runner_calls(void *runner, int64_t calls);

/* What went wrong, and whether it is only that the library does not offer this. */
struct bench_failure {
    char text[320];
    int unsupported;
};

/* Returns -1 and sets failure, or 0 with a runner that the caller destroys. The problem, the
 * context and the team must outlive it. */
typedef int bench_prepare(const struct bench_problem *problem, enum bench_engine engine,
                          const softattn_context *context, struct bench_team *team,
                          struct bench_runner *runner, struct bench_failure *failure);

bench_prepare bench_softmax_prepare;
bench_prepare bench_gradient_prepare; /* of softmax backward and cross-entropy */
bench_prepare bench_output_prepare;   /* of sampling and diagnoses */
bench_prepare bench_attention_prepare;
bench_prepare bench_linear_attention_prepare;

/* Takes status and the library's detail text over into failure; returns -1. */
int bench_fail_from_library(struct bench_failure *failure, int32_t status);
int bench_fail_from_memory(struct bench_failure *failure);

#endif
