/*
 * The BLAS engine: a tile of query rows at a time, scores by matrix product, row softmax, weighted values by matrix
 * product. It is the engine that has whole rows of weights to give back; its sums take the BLAS's order.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "engine/attention.h"
#include "engine/blas_tile.h"
#include "engine/dropout.h"
#include "engine/integers.h"
#include "engine/visibility.h"
#include "platform/blas.h"

enum { ALIGNMENT = 64 };

static char *cut(char *memory, uint64_t *used, int64_t count, int64_t bytes) {
    char *piece = memory == NULL ? NULL : memory + *used;
    *used += ((uint64_t)(count * bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static uint64_t cut_scratch(const struct softattn_attention_problem *problem, char *memory,
                            struct softattn_blas_scratch *scratch) {
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t dim_qk = problem->dim_qk, dim_v = problem->dim_v, keys = problem->seq_kv;
    uint64_t used = 0;
    scratch->q =
        cut(memory, &used,
            softattn_blas_reads_in_place(&problem->q, dim_qk) ? 0 : SOFTATTN_BLAS_QUERIES * dim_qk, bytes);
    scratch->k =
        cut(memory, &used, softattn_blas_reads_in_place(&problem->k, dim_qk) ? 0 : keys * dim_qk, bytes);
    scratch->v = cut(memory, &used, keys * dim_v, bytes);
    scratch->scores = cut(memory, &used, SOFTATTN_BLAS_QUERIES * keys, bytes);
    scratch->row = cut(memory, &used,
                       problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX ? SOFTATTN_ROW_SCRATCH(keys)
                                                                         : SOFTATTN_NORMALIZE_SCRATCH(keys),
                       bytes);
    scratch->turned = cut(memory, &used, SOFTATTN_BLAS_KEYS * dim_qk, bytes);
    scratch->out = cut(memory, &used, SOFTATTN_BLAS_QUERIES * dim_v, bytes);
    scratch->keep = (uint8_t *)cut(memory, &used, problem->block_map.data == NULL ? 0 : keys, 1);
    return used;
}

static void find_visible_keys(struct softattn_blas_tile *tile) {
    tile->first_key = tile->sequence.keys;
    tile->last_key = 0;
    for (int64_t i = 0; i < tile->queries; i++) {
        const struct softattn_interval seen =
            softattn_visible_keys(tile->run->problem, &tile->sequence, tile->first_query + i);
        if (seen.low < seen.high) {
            tile->first_key = min_i64(tile->first_key, seen.low);
            tile->last_key = max_i64(tile->last_key, seen.high);
        }
    }
    tile->first_key = min_i64(tile->first_key, tile->last_key);
}

static void run_tile(struct softattn_blas_tile *tile) {
    find_visible_keys(tile);
    softattn_blas_multiply_scores(tile);
    if (tile->run->problem->diagnoses != NULL) {
        softattn_blas_diagnose(tile);
        return;
    }
    softattn_blas_weigh(tile);
    softattn_blas_sum_values(tile);
}

static int64_t query_blocks(int64_t queries) {
    return (queries + SOFTATTN_BLAS_QUERIES - 1) / SOFTATTN_BLAS_QUERIES;
}

static void run_tiles(struct softattn_blas_run *run, int64_t index) {
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t tasks = problem->batch * problem->heads_q * run->blocks;
    struct softattn_blas_tile tile = {.run = run};
    cut_scratch(problem, run->scratch + (uint64_t)index * run->worker_bytes, &tile.scratch);
    for (;;) {
        const int64_t next = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (next >= tasks) {
            return;
        }
        tile.first_query = (run->blocks - 1 - next % run->blocks) * SOFTATTN_BLAS_QUERIES;
        tile.head = next / run->blocks % problem->heads_q;
        tile.sequence_index = next / run->blocks / problem->heads_q;
        tile.sequence = softattn_sequence_at(problem, tile.sequence_index);
        tile.queries = min_i64(SOFTATTN_BLAS_QUERIES, tile.sequence.rows - tile.first_query);
        if (tile.queries > 0) {
            run_tile(&tile);
        }
    }
}

/* The C library's exp sets errno where its result underflows, and what OpenBLAS does to it is not known. */
static void worker(void *context, int64_t index) {
    const int saved_errno = errno;
    run_tiles(context, index);
    errno = saved_errno;
}

void softattn_blas_plan(const struct softattn_attention_problem *problem, int32_t threads,
                        struct softattn_attention_shape *shape) {
    struct softattn_blas_scratch unused;
    shape->query_tile = SOFTATTN_BLAS_QUERIES;
    shape->key_tile = problem->seq_kv;
    shape->key_chunk = problem->seq_kv;
    shape->tasks = problem->batch * problem->heads_q * query_blocks(problem->seq_q);
    shape->scratch_bytes =
        (uint64_t)max_i64(1, min_i64(threads, shape->tasks)) * cut_scratch(problem, NULL, &unused);
    shape->kernel =
        softattn_blas_available() ? "matrix products by openblas" : "matrix products by own kernel";
}

void softattn_blas_execute(const struct softattn_attention_problem *problem,
                           const struct softattn_runtime *runtime, void *scratch) {
    struct softattn_blas_scratch unused;
    struct softattn_blas_run run = {.problem = problem, .scratch = scratch};
    run.real_bytes = problem->kernels->real_bytes;
    run.blocks = query_blocks(softattn_longest_sequence(problem).queries);
    run.work_limit = softattn_blas_available() ? softattn_blas_work_limit() : 0;
    run.dropout = softattn_dropout_make(problem->dropout, problem->dropout_seed, problem->dropout_offset);
    run.worker_bytes = cut_scratch(problem, NULL, &unused);
    atomic_init(&run.next, 0);
    const int64_t tasks = problem->batch * problem->heads_q * run.blocks;
    if (tasks > 0) {
        softattn_runtime_run(runtime, min_i64(runtime->threads, tasks), worker, &run);
    }
}
