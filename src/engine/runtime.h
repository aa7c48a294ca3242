/* What an engine may use while it runs: threads and scratch memory, both lent by the context. */
#ifndef SOFTATTN_ENGINE_RUNTIME_H
#define SOFTATTN_ENGINE_RUNTIME_H

#include <stdint.h>

struct softattn_memory;

/* Calls job(job_context, index) for index 0 … jobs - 1 in any order, on any threads, and returns when all have ended. */
typedef void (*softattn_run_jobs)(void *user, int64_t jobs, void (*job)(void *job_context, int64_t index),
                                  void *job_context);

struct softattn_runtime {
    int32_t threads;            /* at most this many jobs are worth submitting, >= 1 */
    softattn_run_jobs run_jobs; /* NULL when threads is 1 */
    void *user;
    struct softattn_memory *memory; /* NULL: plain malloc */
};

/* Runs the jobs on the runtime's threads, or here when there is one job or one thread. */
void softattn_runtime_run(const struct softattn_runtime *runtime, int64_t jobs,
                          void (*job)(void *job_context, int64_t index), void *job_context);

#endif
