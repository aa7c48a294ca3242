/*
 * Linear attention in chunks of keys. A task is one key/value head with all query heads that read it.
 *
 * The values get a column of ones, so the denominators are one more column of every product. With S the state (the sum of
 * feature row times value row over the keys of all chunks before) and V the values of a chunk, a query that sees the first
 * r keys of the chunk has
 *     [features of the query | scores of those r keys] * [S over V],
 * one product, one chain of fused multiply-adds for each element: first over the features, then over the keys. Every query
 * is answered in the chunk where the keys that it sees end, causal or not, so both orders are the same.
 */
#include "engine/linear_attention.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "engine/integers.h"
#include "engine/reals.h"
#include "platform/checked.h"
#include "platform/memory.h"

enum { CHUNK = SOFTATTN_LINEAR_CHUNK };

/* Matrices of one worker, row-major. Those with value columns have dim_v + 1 of them at value_stride. */
struct scratch {
    char *left;      /* [CHUNK][dim_qk + CHUNK]: features of queries, then scores */
    char *right;     /* [dim_qk + CHUNK][value columns]: the state, then the chunk's values */
    char *keys;      /* [CHUNK][dim_qk]: features of the chunk's keys */
    char *turned;    /* [dim_qk][CHUNK]: the same transposed */
    char *result;    /* [CHUNK][value columns] */
    char *increment; /* [dim_qk][value columns] */
};

struct run {
    const struct softattn_linear_attention_problem *problem;
    int64_t real_bytes, left_stride, value_stride;
    char *scratch;
    int64_t worker_bytes;
    _Atomic int64_t next;
};

struct task {
    const struct run *run;
    struct scratch scratch;
    int64_t batch, head_kv;
    int64_t keys, offset;    /* a causal query i sees keys j <= i + offset */
    int64_t first_key, held; /* keys of the chunk */
    bool values_are_finite;
};

/* ---- Scratch memory ---- */

static int64_t value_stride(const struct softattn_linear_attention_problem *problem) {
    const int64_t line = SOFTATTN_MEMORY_ALIGNMENT / problem->kernels->real_bytes;
    return (problem->dim_v / line + 1) * line;
}

/* Gives a matrix its place at *used, and moves that behind it. */
static bool cut(char *memory, int64_t rows, int64_t cols, int64_t real_bytes, int64_t *used, char **matrix) {
    int64_t bytes = 0;
    *matrix = memory == NULL ? NULL : memory + *used;
    if (!softattn_mul_i64(rows, cols, &bytes) || !softattn_mul_i64(bytes, real_bytes, &bytes) ||
        !softattn_add_i64(bytes, SOFTATTN_MEMORY_ALIGNMENT - 1, &bytes)) {
        return false;
    }
    return softattn_add_i64(*used, bytes / SOFTATTN_MEMORY_ALIGNMENT * SOFTATTN_MEMORY_ALIGNMENT, used);
}

static bool cut_scratch(const struct softattn_linear_attention_problem *problem, char *memory,
                        struct scratch *scratch, int64_t *used) {
    const int64_t bytes = problem->kernels->real_bytes, dim = problem->dim_qk, values = value_stride(problem);
    *used = 0;
    return cut(memory, CHUNK, dim + CHUNK, bytes, used, &scratch->left) &&
           cut(memory, dim + CHUNK, values, bytes, used, &scratch->right) &&
           cut(memory, CHUNK, dim, bytes, used, &scratch->keys) &&
           cut(memory, dim, CHUNK, bytes, used, &scratch->turned) &&
           cut(memory, CHUNK, values, bytes, used, &scratch->result) &&
           cut(memory, dim, values, bytes, used, &scratch->increment);
}

bool softattn_linear_attention_plan(const struct softattn_linear_attention_problem *problem, int32_t threads,
                                    int64_t *workers, int64_t *scratch_bytes) {
    struct scratch unused;
    const int64_t tasks = problem->batch * problem->heads_kv;
    int64_t worker_bytes = 0;
    *workers = min_i64(threads, tasks);
    return cut_scratch(problem, NULL, &unused, &worker_bytes) &&
           softattn_mul_i64(worker_bytes, *workers, scratch_bytes);
}

/* ---- Copies between the caller's arrays and scratch ---- */

/* Strides count elements. */
struct matrix {
    char *data;
    int64_t row, col;
};

static void copy(int64_t rows, int64_t cols, struct matrix from, struct matrix to, int64_t bytes) {
    for (int64_t r = 0; r < rows; r++) {
        const char *source = from.data + r * from.row * bytes;
        char *target = to.data + r * to.row * bytes;
        if (from.col == 1 && to.col == 1) {
            memcpy(target, source, (size_t)(cols * bytes));
        } else {
            softattn_copy_reals(cols, bytes, source, from.col * bytes, target, to.col * bytes);
        }
    }
}

static struct matrix matrix_at(const struct task *task, const struct softattn_view *view, int64_t head,
                               int64_t row) {
    return (struct matrix){softattn_view_at(view, task->batch, head, row, task->run->real_bytes), view->row,
                           view->col};
}

/* The state's two parts in scratch. */
static struct matrix state_of(const struct task *task) {
    return (struct matrix){task->scratch.right, task->run->value_stride, 1};
}

static struct matrix normalizer_of(const struct task *task) {
    const int64_t dim_v = task->run->problem->dim_v;
    return (struct matrix){task->scratch.right + dim_v * task->run->real_bytes, task->run->value_stride, 1};
}

static void load_state(const struct task *task) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    memset(task->scratch.right, 0, (size_t)(problem->dim_qk * run->value_stride * run->real_bytes));
    if (problem->initial_state.data != NULL) {
        copy(problem->dim_qk, problem->dim_v, matrix_at(task, &problem->initial_state, task->head_kv, 0),
             state_of(task), run->real_bytes);
    }
    if (problem->initial_normalizer.data != NULL) {
        copy(problem->dim_qk, 1, matrix_at(task, &problem->initial_normalizer, task->head_kv, 0),
             normalizer_of(task), run->real_bytes);
    }
}

static void store_state(const struct task *task) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    if (problem->final_state.data != NULL) {
        copy(problem->dim_qk, problem->dim_v, state_of(task),
             matrix_at(task, &problem->final_state, task->head_kv, 0), run->real_bytes);
    }
    if (problem->final_normalizer.data != NULL) {
        copy(problem->dim_qk, 1, normalizer_of(task),
             matrix_at(task, &problem->final_normalizer, task->head_kv, 0), run->real_bytes);
    }
}

/* ---- A chunk of keys ---- */

static char *chunk_values(const struct task *task) {
    const struct run *run = task->run;
    return task->scratch.right + run->problem->dim_qk * run->value_stride * run->real_bytes;
}

static void load_chunk(struct task *task) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_qk, dim_v = problem->dim_v;
    char *values = chunk_values(task);
    copy(task->held, dim, matrix_at(task, &problem->k, task->head_kv, task->first_key),
         (struct matrix){task->scratch.keys, dim, 1}, run->real_bytes);
    if (problem->maps_features) {
        problem->kernels->elu_plus_one(task->held * dim, task->scratch.keys);
    }
    problem->kernels->transpose(task->held, dim, 1, task->scratch.keys, dim, task->scratch.turned, CHUNK);
    copy(task->held, dim_v, matrix_at(task, &problem->v, task->head_kv, task->first_key),
         (struct matrix){values, run->value_stride, 1}, run->real_bytes);
    for (int64_t r = 0; r < task->held; r++) {
        softattn_put_real(values, r * run->value_stride + dim_v, 1, run->real_bytes);
    }
    task->values_are_finite = problem->kernels->all_finite(task->held, dim_v, values, run->value_stride) != 0;
}

static void add_chunk_to_state(const struct task *task) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_qk, columns = problem->dim_v + 1;
    problem->kernels->multiply(dim, columns, task->held, task->scratch.keys, 1, dim, chunk_values(task),
                               run->value_stride, task->scratch.increment, run->value_stride);
    problem->kernels->add_rows(dim, columns, run->value_stride, task->scratch.increment, task->scratch.right);
}

/* ---- Queries ---- */

/* How many keys of the chunk a query sees that is answered in it. */
static int64_t reach_of(const struct task *task, int64_t query) {
    const bool is_causal = task->run->problem->causal != SOFTATTN_ALIGN_NONE;
    return (is_causal ? clamp_i64(query + task->offset + 1, 0, task->keys) : task->keys) - task->first_key;
}

static void load_features(const struct task *task, int64_t head, int64_t first, int64_t queries) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    copy(queries, problem->dim_qk, matrix_at(task, &problem->q, head, first),
         (struct matrix){task->scratch.left, run->left_stride, 1}, run->real_bytes);
    for (int64_t r = 0; r < queries && problem->maps_features; r++) {
        problem->kernels->elu_plus_one(problem->dim_qk,
                                       task->scratch.left + r * run->left_stride * run->real_bytes);
    }
}

/* The product of the file's first comment for queries that all take `reach` keys of the chunk. */
static void multiply_rows(const struct task *task, int64_t first, int64_t queries, int64_t reach) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    problem->kernels->multiply(queries, problem->dim_v + 1, problem->dim_qk + reach,
                               task->scratch.left + first * run->left_stride * run->real_bytes,
                               run->left_stride, 1, task->scratch.right, run->value_stride,
                               task->scratch.result + first * run->value_stride * run->real_bytes,
                               run->value_stride);
}

/* Queries that see less than the last one take the other keys with score 0, unless values that are not finite forbid. */
static void multiply_queries(const struct task *task, int64_t first, int64_t queries, int64_t reach) {
    const struct run *run = task->run;
    for (int64_t r = 0; r < queries; r++) {
        const int64_t own = reach_of(task, first + r);
        char *hidden =
            task->scratch.left + (r * run->left_stride + run->problem->dim_qk + own) * run->real_bytes;
        memset(hidden, 0, (size_t)((reach - own) * run->real_bytes));
        if (!task->values_are_finite) {
            multiply_rows(task, r, 1, own);
        }
    }
    if (task->values_are_finite) {
        multiply_rows(task, 0, queries, reach);
    }
}

static void answer(const struct task *task, int64_t head, int64_t first, int64_t queries) {
    const struct run *run = task->run;
    const struct softattn_linear_attention_problem *problem = run->problem;
    const struct scratch *scratch = &task->scratch;
    const int64_t dim = problem->dim_qk, reach = reach_of(task, first + queries - 1);
    load_features(task, head, first, queries);
    problem->kernels->multiply(queries, reach, dim, scratch->left, run->left_stride, 1, scratch->turned,
                               CHUNK, scratch->left + dim * run->real_bytes, run->left_stride);
    multiply_queries(task, first, queries, reach);
    problem->kernels->divide_rows(queries, problem->dim_v, run->value_stride, problem->normalizes,
                                  scratch->result);
    copy(queries, problem->dim_v, (struct matrix){scratch->result, run->value_stride, 1},
         matrix_at(task, &problem->out, head, first), run->real_bytes);
}

/* The first query, from `query` on, that is not answered in the chunk. */
static int64_t end_of_queries(const struct task *task, int64_t query) {
    const struct softattn_linear_attention_problem *problem = task->run->problem;
    if (task->held < CHUNK) {
        return problem->seq_q;
    }
    return problem->causal == SOFTATTN_ALIGN_NONE
               ? query
               : clamp_i64(task->first_key + CHUNK - 1 - task->offset, query, problem->seq_q);
}

static void run_task(struct task *task) {
    const struct softattn_linear_attention_problem *problem = task->run->problem;
    const int64_t group = problem->heads_q / problem->heads_kv;
    const bool wants_state = problem->final_state.data != NULL || problem->final_normalizer.data != NULL;
    int64_t query = 0;
    load_state(task);
    for (task->first_key = 0; task->first_key <= task->keys; task->first_key += CHUNK) {
        task->held = min_i64(CHUNK, task->keys - task->first_key);
        load_chunk(task);
        const int64_t end = end_of_queries(task, query);
        for (int64_t head = task->head_kv * group; head < (task->head_kv + 1) * group; head++) {
            for (int64_t first = query; first < end; first += CHUNK) {
                answer(task, head, first, min_i64(CHUNK, end - first));
            }
        }
        query = end;
        if (task->held > 0 && (query < problem->seq_q || wants_state)) {
            add_chunk_to_state(task);
        }
    }
    store_state(task);
}

/* ---- Tasks ---- */

static void start_task(struct task *task, int64_t index) {
    const struct softattn_linear_attention_problem *problem = task->run->problem;
    task->batch = index / problem->heads_kv;
    task->head_kv = index % problem->heads_kv;
    task->keys = problem->seq_kv;
    if (problem->key_lengths.data != NULL) {
        int32_t length;
        memcpy(&length, softattn_view_at(&problem->key_lengths, task->batch, 0, 0, sizeof length),
               sizeof length);
        task->keys = length;
    }
    task->offset = problem->causal == SOFTATTN_ALIGN_OFFSET         ? problem->causal_offset
                   : problem->causal == SOFTATTN_ALIGN_BOTTOM_RIGHT ? task->keys - problem->seq_q
                                                                    : 0;
}

static void worker(void *context, int64_t index) {
    struct run *run = context;
    const int64_t tasks = run->problem->batch * run->problem->heads_kv;
    struct task task = {.run = run};
    int64_t used;
    (void)cut_scratch(run->problem, run->scratch + index * run->worker_bytes, &task.scratch, &used);
    for (;;) {
        const int64_t next = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (next >= tasks) {
            return;
        }
        start_task(&task, next);
        run_task(&task);
    }
}

bool softattn_linear_attention_execute(const struct softattn_linear_attention_problem *problem,
                                       const struct softattn_runtime *runtime, int64_t workers,
                                       int64_t scratch_bytes) {
    struct run run = {.problem = problem,
                      .real_bytes = problem->kernels->real_bytes,
                      .left_stride = problem->dim_qk + CHUNK,
                      .value_stride = value_stride(problem)};
    if (workers == 0) {
        return true;
    }
    run.scratch = softattn_memory_acquire(runtime->memory, (uint64_t)scratch_bytes);
    if (run.scratch == NULL) {
        return false;
    }
    run.worker_bytes = scratch_bytes / workers;
    atomic_init(&run.next, 0);
    softattn_runtime_run(runtime, workers, worker, &run);
    softattn_memory_release(runtime->memory, run.scratch);
    return true;
}
