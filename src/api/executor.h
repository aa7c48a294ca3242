/* Runs an engine's jobs through the caller's parallel_for. */
#ifndef SOFTATTN_API_EXECUTOR_H
#define SOFTATTN_API_EXECUTOR_H

#include <stdint.h>

#include "softattn/softattn.h"

struct softattn_executor {
    softattn_parallel_for_function parallel_for; /* NULL: the caller has given none */
    void *user;
    int32_t threads; /* tasks handed to parallel_for at most */
};

/* A softattn_run_jobs function (engine/runtime.h); executor is a const struct softattn_executor. */
void softattn_executor_run(void *executor, int64_t jobs, void (*job)(void *job_context, int64_t index),
                           void *job_context);

#endif
