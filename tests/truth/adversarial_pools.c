/*
 * Pools that run tasks one by one, backwards, each on a thread of its own, and with other calls into the library
 * in between.
 */
#include "adversarial_pools.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void run_in_order(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    ((pool_state *)user)->tasks += tasks;
    for (int64_t i = 0; i < tasks; i++) {
        task(task_context, i);
    }
}

static void run_backwards(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    ((pool_state *)user)->tasks += tasks;
    for (int64_t i = tasks - 1; i >= 0; i--) {
        task(task_context, i);
    }
}

typedef struct thread_task {
    softattn_task_function task;
    void *task_context;
    int64_t index;
} thread_task;

static void *run_one(void *user) {
    const thread_task *const t = user;
    t->task(t->task_context, t->index);
    return NULL;
}

static void run_on_own_threads(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    pthread_t *const threads = calloc((size_t)tasks, sizeof *threads);
    thread_task *const each = calloc((size_t)tasks, sizeof *each);
    ((pool_state *)user)->tasks += tasks;
    if (!threads || !each) {
        abort();
    }
    for (int64_t i = 0; i < tasks; i++) {
        each[i] = (thread_task){task, task_context, i};
        if (pthread_create(&threads[i], NULL, run_one, &each[i]) != 0) {
            perror("pthread_create");
            abort();
        }
    }
    for (int64_t i = 0; i < tasks; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    free(each);
}

/* Before each task another call into the library, on this very context, which comes here again. */
static void run_nested(void *user, int64_t tasks, softattn_task_function task, void *task_context) {
    pool_state *const state = user;
    state->tasks += tasks;
    for (int64_t i = 0; i < tasks; i++) {
        if (state->depth == 0) {
            state->depth++;
            state->inner(state->inner_user);
            state->depth--;
        }
        task(task_context, i);
    }
}

const adversarial_pool adversarial_pools[ADVERSARIAL_POOLS] = {
    {"in order", run_in_order},
    {"backwards", run_backwards},
    {"a thread for each", run_on_own_threads},
    {"nested", run_nested},
};
