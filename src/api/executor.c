/*
 * Jobs on the caller's threads. parallel_for gets at most one task per thread, and each task takes jobs from
 * one counter until none is left: lower numbers start first and the work balances, however parallel_for
 * schedules.
 */
#include "api/executor.h"

#include <stdatomic.h>

#include "platform/fp_control.h"

struct job_queue {
    void (*job)(void *job_context, int64_t index);
    void *job_context;
    int64_t jobs;
    _Atomic int64_t next;
    /* of the thread that called the library: results must not depend on who computes them */
    uint64_t fp_control;
};

static void work(void *task_context, int64_t task) {
    struct job_queue *queue = task_context;
    const uint64_t own_fp_control = softattn_fp_control_get();
    (void)task;
    softattn_fp_control_set(queue->fp_control);
    for (;;) {
        const int64_t index = atomic_fetch_add_explicit(&queue->next, 1, memory_order_relaxed);
        if (index >= queue->jobs) {
            break;
        }
        queue->job(queue->job_context, index);
    }
    softattn_fp_control_set(own_fp_control);
}

void softattn_executor_run(void *executor, int64_t jobs, void (*job)(void *job_context, int64_t index),
                           void *job_context) {
    const struct softattn_executor *with = executor;
    struct job_queue queue = {job, job_context, jobs, 0, softattn_fp_control_get()};
    with->parallel_for(with->user, jobs < with->threads ? jobs : with->threads, work, &queue);
}
