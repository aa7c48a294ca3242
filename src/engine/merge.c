/*
 * Merging of partial attention. A part is a chunk whose maximum is its log-sum-exp and whose sum is 1, so the chunks'
 * merge kernel does it, left to right.
 */
#include "engine/merge.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "engine/reals.h"
#include "platform/memory.h"

enum { ROWS_PER_GRAB = 64, ALIGNMENT = 64 };

struct run {
    const struct softattn_merge_problem *problem;
    int64_t rows, bytes;
    char *scratch; /* per worker: total, one part's row */
    uint64_t worker_bytes;
    atomic_llong next;
};

static char *row_of(const struct softattn_merge_problem *problem, const struct softattn_view *view,
                    int64_t row, int64_t bytes) {
    const int64_t position = row % problem->seq;
    const int64_t head = row / problem->seq % problem->heads;
    const int64_t batch = row / problem->seq / problem->heads;
    return softattn_view_at(view, batch, head, position, bytes);
}

/* max and sum of no part: two reals each so that a double fits. */
struct statistics {
    double max, sum;
};

static void set(struct statistics *statistics, double max, double sum, int64_t bytes) {
    softattn_put_real((char *)&statistics->max, 0, max, bytes);
    softattn_put_real((char *)&statistics->sum, 0, sum, bytes);
}

static void merge_row(const struct run *run, int64_t row, char *total, char *part) {
    const struct softattn_merge_problem *problem = run->problem;
    struct statistics all, one;
    double factor = 0, lse = 0; /* one real each */
    set(&all, -(double)INFINITY, 0, run->bytes);
    memset(total, 0, (size_t)(problem->dim * run->bytes));
    for (int64_t p = 0; p < problem->parts; p++) {
        const double part_lse =
            softattn_get_real(row_of(problem, &problem->lses[p], row, run->bytes), 0, run->bytes);
        if (part_lse == -(double)INFINITY) {
            continue;
        }
        softattn_copy_reals(problem->dim, run->bytes, row_of(problem, &problem->outs[p], row, run->bytes),
                            problem->outs[p].col * run->bytes, part, run->bytes);
        set(&one, part_lse * SOFTATTN_LOG2_E, 1, run->bytes);
        problem->kernels->merge_rows(1, problem->dim, total, problem->dim, &all.max, &all.sum, part,
                                     problem->dim, &one.max, &one.sum);
    }
    problem->kernels->finish(1, 1, NULL, &all.max, &all.sum, &factor, &lse);
    problem->kernels->store_rows(1, problem->dim, total, problem->dim, &factor, part, problem->dim);
    char *out = row_of(problem, &problem->out, row, run->bytes);
    softattn_copy_reals(problem->dim, run->bytes, part, run->bytes, out, problem->out.col * run->bytes);
    if (problem->lse.data != NULL) {
        memcpy(row_of(problem, &problem->lse, row, run->bytes), &lse, (size_t)run->bytes);
    }
}

static void worker(void *context, int64_t index) {
    struct run *run = context;
    char *total = run->scratch + (uint64_t)index * run->worker_bytes;
    char *part = total + run->worker_bytes / 2;
    for (;;) {
        const int64_t first = atomic_fetch_add_explicit(&run->next, ROWS_PER_GRAB, memory_order_relaxed);
        if (first >= run->rows) {
            return;
        }
        for (int64_t row = first; row < run->rows && row < first + ROWS_PER_GRAB; row++) {
            merge_row(run, row, total, part);
        }
    }
}

bool softattn_merge_execute(const struct softattn_merge_problem *problem,
                            const struct softattn_runtime *runtime) {
    struct run run = {.problem = problem, .rows = problem->batch * problem->heads * problem->seq};
    run.bytes = problem->kernels->real_bytes;
    if (run.rows == 0) {
        return true;
    }
    const int64_t grabs = (run.rows + ROWS_PER_GRAB - 1) / ROWS_PER_GRAB;
    const int64_t workers = grabs < runtime->threads ? grabs : runtime->threads;
    run.worker_bytes =
        2 * (((uint64_t)(problem->dim * run.bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT);
    run.scratch = softattn_memory_acquire(runtime->memory, run.worker_bytes * (uint64_t)workers);
    if (run.scratch == NULL) {
        return false;
    }
    atomic_init(&run.next, 0);
    softattn_runtime_run(runtime, workers, worker, &run);
    softattn_memory_release(runtime->memory, run.scratch);
    return true;
}
