/*
 * The fused engine: cuts a problem into blocks (fused_block.h) and lets workers take them, longest first, from a shared
 * counter. Where blocks are too few for the threads, or heads had better take turns, the chunks of each block become tasks
 * of their own, and whoever ends the last of them merges all, in order: the same arithmetic, so the same bits.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "engine/fused_block.h"
#include "engine/integers.h"
#include "platform/cpu.h"

enum {
    ALIGNMENT = 64,
    TASKS_PER_THREAD = 4,
    MANY_TASKS_PER_THREAD = 16, /* what large blocks must leave */
    FEWEST_TURNS = 4, /* chunks for which heads by themselves take turns: 0.77 to 0.97 of the time (AVX2) */
    TOGETHER_BYTES = 2048, /* of each key, of heads that are read together */
    BLOCK_QUERIES = 192,   /* that read K and V together: with AVX2, 0.95 to 0.99 of the time that 96 take */
    /* the same of narrow register blocks of vectors of 64 bytes: with a window of 256, 0.96 to 0.99 of the time of 192 (Zen 5) */
    NARROW_QUERIES = 128,
    WIDE_VECTOR = 64,
    MOST_KEYS_ASKED = 65536 /* of another head */
};

/* Of the third-level cache. */
#define CROWDED_CACHE 0.4

/* How sequences are cut; the same for every sequence but for their numbers of rows. */
struct cut {
    int64_t lanes, register_block; /* queries per vector; per register block */
    /* most rows of a block; and of its arrays, which the lanes layout pads to whole vectors and the rows layout by
     * softattn_rows_padded */
    int64_t block_rows, padded_rows;
    int64_t blocks; /* most blocks of a head, at least 1 */
    bool in_rows;
    bool in_turns;  /* tasks are chunks of blocks, the same chunk of all heads first */
    int64_t heads;  /* key/value heads of a task: more than one where they are read together */
    bool split;     /* tasks are chunks of blocks, in turns or not */
    int64_t chunks; /* then: most chunks of which a block sees keys, from the first of those on */
    int64_t tasks;
};

struct task {
    int64_t sequence, head_kv, heads, block, chunk; /* of `heads` heads from head_kv on */
};

/* A sequence, how much there is to do for it, and the first of its tasks where they are not split. */
struct load {
    int64_t sequence;
    double work;
    int64_t first_task;
};

struct run {
    const struct softattn_attention_problem *problem;
    struct cut cut;
    const struct load *order; /* sequences of unequal length, longest first; NULL: as they come */
    struct softattn_dropout dropout;
    char *worker_scratch, *partials;
    uint64_t worker_bytes, partial_bytes;
    int64_t workers;
    bool asks_for_heads;     /* while another head is computed */
    atomic_llong *remaining; /* with split: chunks of each block that have not ended */
    atomic_llong next;
};

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static int64_t group_of(const struct softattn_attention_problem *problem) {
    return problem->heads_q / problem->heads_kv;
}

/* Blocks of a sequence with `rows` rows. */
static int64_t blocks_of(const struct cut *cut, int64_t rows) { return ceil_div(rows, cut->block_rows); }

/* Of `keys` keys, those that a query sees at most, or with a causal mask alone twice the mean. */
static int64_t visible_span(const struct softattn_attention_problem *problem, int64_t keys) {
    const int64_t left = problem->window_left >= 0 ? min_i64(problem->window_left, keys) : keys;
    const int64_t right = problem->window_right >= 0 ? min_i64(problem->window_right, keys) : keys;
    const int64_t after = problem->causal != SOFTATTN_ALIGN_NONE ? 0 : right;
    return min_i64(left + after + 1, keys);
}

/* Vectors of queries per register block. */
static int64_t vectors_per_block(const struct softattn_attention_problem *problem, int64_t keys) {
    const struct softattn_kernels *kernels = problem->kernels;
    const int64_t span = visible_span(problem, keys), lanes = kernels->lanes();
    if (problem->causal == SOFTATTN_ALIGN_NONE && problem->window_left < 0 && problem->window_right < 0) {
        return kernels->query_vectors;
    }
    return span < kernels->two_vector_keys * lanes ? 2 : kernels->query_vectors;
}

/* Most chunks of which a block sees keys. One that holds rows of several heads may hold any queries. */
static int64_t chunks_of_block(const struct softattn_attention_problem *problem, const struct cut *cut,
                               struct softattn_extent longest) {
    const int64_t queries =
        group_of(problem) > 1 ? longest.queries : min_i64(cut->block_rows, longest.queries);
    const int64_t keys = visible_span(problem, longest.keys) + queries;
    return max_i64(
        1, min_i64(ceil_div(keys, SOFTATTN_KEY_CHUNK) + 1, ceil_div(longest.keys, SOFTATTN_KEY_CHUNK)));
}

/* Most queries of a block: fewer where few keys are seen, and so register blocks are narrow. */
static int64_t queries_per_block(const struct softattn_kernels *kernels, int64_t register_block) {
    const bool is_narrow = register_block < (int64_t)kernels->lanes() * kernels->query_vectors;
    const bool has_wide_vectors = kernels->lanes() * kernels->real_bytes >= WIDE_VECTOR;
    return is_narrow && has_wide_vectors ? NARROW_QUERIES : BLOCK_QUERIES;
}

/* Register blocks of a block: fewer where threads would otherwise share out too few blocks to end together. */
static int64_t sub_blocks_for(const struct softattn_attention_problem *problem, int64_t register_block,
                              int32_t threads, struct softattn_extent sequences) {
    const double rows = (double)problem->heads_q * sequences.all_queries;
    int64_t sub_blocks =
        min_i64(max_i64(queries_per_block(problem->kernels, register_block) / register_block, 1),
                SOFTATTN_SUB_BLOCKS);
    while (threads > 1 && sub_blocks > 1 &&
           rows / (double)(register_block * sub_blocks) <
               threads * (double)clamp_i64(2 * sub_blocks, TASKS_PER_THREAD, MANY_TASKS_PER_THREAD)) {
        sub_blocks /= 2;
    }
    return sub_blocks;
}

/* Whether the keys of a batch's heads lie side by side. Packed sequences are no batch. */
static bool keys_lie_side_by_side(const struct softattn_attention_problem *problem) {
    const struct softattn_view *k = &problem->k;
    return problem->heads_kv > 1 && problem->query_offsets == NULL && k->head > 0 && k->row > k->head;
}

/* Whether chunks may be tasks in turn: empty ones of many short sequences do not outweigh what one long one gains. */
static bool may_take_turns(const struct softattn_attention_problem *problem, const struct cut *cut,
                           struct softattn_extent sequences) {
    return (double)problem->batch * (double)cut->chunks <= 2 * sequences.all_keys / SOFTATTN_KEY_CHUNK;
}

static int64_t groups_of_heads(const struct softattn_attention_problem *problem, int64_t heads) {
    return ceil_div(problem->heads_kv, heads);
}

/* Whether the threads have work for most of the time with so many equal tasks for each group of `heads` heads. */
static bool shares_out_well(const struct softattn_attention_problem *problem, int64_t tasks, int64_t heads,
                            int32_t threads) {
    const int64_t rounds = ceil_div(tasks * groups_of_heads(problem, heads), threads);
    return (double)tasks * (double)problem->heads_kv >= 0.8 * (double)rounds * threads * (double)heads;
}

/*
 * Heads that one task reads together, in turns of a few keys: all, or as many as leave the threads enough tasks. It takes 0.45 to
 * 0.95 of the time of reading each by itself (AVX2), from memory or caches, but not where little of each key lies side by side.
 */
static int64_t heads_together(const struct softattn_attention_problem *problem, int64_t tasks,
                              int32_t threads) {
    int64_t groups = ceil_div(problem->heads_kv, problem->kernels->decode_heads_together);
    int64_t heads = ceil_div(problem->heads_kv, groups);
    while (heads > 1 && !shares_out_well(problem, tasks, heads, threads)) {
        heads = ceil_div(problem->heads_kv, ++groups);
    }
    const double bytes = (double)heads * (double)problem->dim_qk * problem->kernels->real_bytes;
    return bytes >= TOGETHER_BYTES ? heads : 1;
}

/* Whether decode_heads may read the heads' keys and values where they are. */
static bool may_read_together(const struct softattn_attention_problem *problem) {
    const struct softattn_view *v = &problem->v;
    return problem->kernels->decode_heads_together > 1 && problem->k.col == 1 && v->col == 1 && v->head > 0 &&
           v->row > v->head;
}

static void count_cut_tasks(const struct softattn_attention_problem *problem, struct cut *cut) {
    cut->tasks =
        problem->batch * groups_of_heads(problem, cut->heads) * cut->blocks * (cut->split ? cut->chunks : 1);
}

/* Which heads make a task, and whether chunks are tasks: where heads are read together, only for threads that want more tasks. */
static void cut_heads_and_chunks(const struct softattn_attention_problem *problem, int32_t threads,
                                 struct softattn_extent longest, struct cut *cut) {
    const int64_t heads = problem->batch * problem->heads_kv;
    const bool side_by_side = cut->in_rows && keys_lie_side_by_side(problem);
    const bool turns = side_by_side && may_take_turns(problem, cut, longest);
    cut->heads = 1;
    if (side_by_side && may_read_together(problem)) {
        const int64_t all = heads_together(problem, 1, 1);
        cut->split = turns && cut->chunks > 1 && !shares_out_well(problem, problem->batch, all, threads);
        cut->heads =
            heads_together(problem, cut->split ? problem->batch * cut->chunks : problem->batch, threads);
        cut->in_turns = cut->split;
    }
    if (cut->heads == 1) {
        cut->in_turns = turns && cut->chunks >= FEWEST_TURNS;
        cut->split = cut->in_turns ||
                     (threads > 1 && cut->chunks > 1 && heads * cut->blocks < TASKS_PER_THREAD * threads);
    }
    count_cut_tasks(problem, cut);
}

static struct cut cut_problem(const struct softattn_attention_problem *problem, int32_t threads,
                              struct softattn_extent longest) {
    const struct softattn_kernels *kernels = problem->kernels;
    const int64_t rows = group_of(problem) * longest.queries;
    struct cut cut = {.lanes = kernels->lanes()};
    cut.register_block = cut.lanes * vectors_per_block(problem, longest.keys);
    cut.in_rows = rows <= kernels->decode_rows;
    const int64_t sub_blocks = sub_blocks_for(problem, cut.register_block, threads, longest);
    cut.block_rows = cut.in_rows ? max_i64(rows, 1) : cut.register_block * sub_blocks;
    cut.blocks = max_i64(blocks_of(&cut, rows), 1);
    const int64_t most_rows = min_i64(cut.block_rows, max_i64(rows, group_of(problem)));
    cut.padded_rows =
        cut.in_rows ? softattn_rows_padded(kernels, most_rows) : ceil_div(most_rows, cut.lanes) * cut.lanes;
    cut.chunks = chunks_of_block(problem, &cut, longest);
    cut_heads_and_chunks(problem, threads, longest, &cut);
    return cut;
}

static int64_t blocks_in_all(const struct softattn_attention_problem *problem, const struct cut *cut) {
    return problem->batch * problem->heads_kv * cut->blocks;
}

bool softattn_fused_serves(const struct softattn_attention_problem *problem) {
    return problem->weights.data == NULL && problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX;
}

static uint64_t split_bytes(const struct softattn_attention_problem *problem, const struct cut *cut) {
    const int64_t blocks = blocks_in_all(problem, cut);
    return cut->split
               ? round_up((uint64_t)blocks * sizeof(atomic_llong)) +
                     (uint64_t)(blocks * cut->chunks) * softattn_partial_bytes(problem, cut->padded_rows)
               : 0;
}

static int64_t workers_of(const struct cut *cut, int32_t threads) {
    return max_i64(1, min_i64(threads, cut->tasks));
}

/* Memory of a worker: a block of each head that it takes together, and their scratch. */
struct worker_memory {
    struct softattn_fused_block *blocks;
    struct softattn_fused_scratch *scratches;
};

static uint64_t worker_bytes(const struct softattn_attention_problem *problem, const struct cut *cut) {
    const uint64_t heads = (uint64_t)cut->heads;
    return round_up(heads * sizeof(struct softattn_fused_block)) +
           round_up(heads * sizeof(struct softattn_fused_scratch)) +
           heads * softattn_fused_scratch_bytes(problem, cut->padded_rows, cut->in_rows);
}

static struct worker_memory cut_worker_memory(const struct softattn_attention_problem *problem,
                                              const struct cut *cut, char *memory) {
    const uint64_t heads = (uint64_t)cut->heads;
    struct worker_memory worker = {.blocks = (struct softattn_fused_block *)(void *)memory};
    memory += round_up(heads * sizeof *worker.blocks);
    worker.scratches = (struct softattn_fused_scratch *)(void *)memory;
    memory += round_up(heads * sizeof *worker.scratches);
    for (int64_t h = 0; h < cut->heads; h++) {
        memory +=
            softattn_fused_scratch_cut(problem, cut->padded_rows, cut->in_rows, memory, &worker.scratches[h]);
    }
    return worker;
}

static uint64_t cut_bytes(const struct softattn_attention_problem *problem, const struct cut *cut,
                          int32_t threads) {
    return (uint64_t)workers_of(cut, threads) * worker_bytes(problem, cut) + split_bytes(problem, cut);
}

/* Kept for every batch: a plan may be made before the lists of lengths are there. */
static uint64_t order_bytes(const struct softattn_attention_problem *problem) {
    return problem->batch > 1 ? round_up((uint64_t)problem->batch * sizeof(struct load)) : 0;
}

/* As if each sequence had the whole axes: a plan may be made before the lists are there. */
static struct cut planned_cut(const struct softattn_attention_problem *problem, int32_t threads) {
    return cut_problem(problem, threads, softattn_extent_of_axes(problem));
}

/* The cut for the sequences that there are, if the memory planned suffices for it. */
static struct cut cut_for_run(const struct softattn_attention_problem *problem, int32_t threads) {
    const struct cut planned = planned_cut(problem, threads);
    if (problem->query_offsets == NULL && problem->key_lengths == NULL) {
        return planned;
    }
    struct cut cut = cut_problem(problem, threads, softattn_longest_sequence(problem));
    if (cut_bytes(problem, &cut, threads) > cut_bytes(problem, &planned, threads)) {
        cut.heads = min_i64(cut.heads, planned.heads);
        count_cut_tasks(problem, &cut);
    }
    if (cut_bytes(problem, &cut, threads) > cut_bytes(problem, &planned, threads)) {
        cut.split = cut.in_turns = false;
        count_cut_tasks(problem, &cut);
    }
    return cut_bytes(problem, &cut, threads) <= cut_bytes(problem, &planned, threads) ? cut : planned;
}

void softattn_fused_plan(const struct softattn_attention_problem *problem, int32_t threads,
                         struct softattn_attention_shape *shape) {
    const struct cut cut = planned_cut(problem, threads);
    shape->query_tile = cut.block_rows;
    shape->key_tile = SOFTATTN_KEY_TILE;
    shape->key_chunk = SOFTATTN_KEY_CHUNK;
    shape->tasks = cut.tasks;
    shape->scratch_bytes = cut_bytes(problem, &cut, threads) + order_bytes(problem);
    shape->kernel = cut.in_rows ? "decode: keys in lanes" : "prefill: queries in lanes";
}

/* ---- Execution ---- */

/* Of each head; at least 1, which sees to padding. */
static int64_t blocks_of_sequence(const struct run *run, int64_t sequence) {
    const int64_t queries = softattn_sequence_at(run->problem, sequence).queries;
    return max_i64(blocks_of(&run->cut, group_of(run->problem) * queries), 1);
}

/* The place in the order of the sequence that has this task. */
static int64_t place_of_task(const struct run *run, int64_t index) {
    int64_t low = 0, high = run->problem->batch;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (run->order[middle].first_task <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Tasks run block-last-to-first inside a head: with a causal mask the later blocks see more keys. */
static struct task task_at(const struct run *run, int64_t index) {
    const int64_t groups = groups_of_heads(run->problem, run->cut.heads);
    int64_t blocks = run->cut.blocks, place;
    struct task task = {.chunk = 0};
    if (run->cut.in_turns) {
        const int64_t turn = groups * blocks, sequence = turn * run->cut.chunks;
        task.chunk = index % sequence / turn;
        index = index / sequence * turn + index % turn;
    } else if (run->cut.split) {
        task.chunk = index % run->cut.chunks;
        index /= run->cut.chunks;
    }
    if (run->order != NULL && !run->cut.split) {
        place = place_of_task(run, index);
        index -= run->order[place].first_task;
        blocks = blocks_of_sequence(run, run->order[place].sequence);
    } else {
        place = index / (groups * blocks);
        index %= groups * blocks;
    }
    task.sequence = run->order != NULL ? run->order[place].sequence : place;
    task.head_kv = index / blocks * run->cut.heads;
    task.heads = min_i64(run->cut.heads, run->problem->heads_kv - task.head_kv);
    task.block = blocks - 1 - index % blocks;
    return task;
}

/* ---- Order ---- */

static bool has_unequal_sequences(const struct softattn_attention_problem *problem) {
    return problem->batch > 1 && (problem->query_offsets != NULL || problem->query_lengths != NULL ||
                                  problem->key_lengths != NULL || problem->key_starts != NULL);
}

/* More work first; equal ones as they come, so that the order is defined. */
static bool comes_before(const struct load *a, const struct load *b) {
    return a->work != b->work ? a->work > b->work : a->sequence < b->sequence;
}

/* Lets the load at `root` sink in a heap of `count` loads, each of which comes after those below it. */
static void sink_load(struct load *heap, int64_t root, int64_t count) {
    for (int64_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && comes_before(&heap[child], &heap[child + 1])) {
            child++;
        }
        if (!comes_before(&heap[root], &heap[child])) {
            return;
        }
        const struct load moved = heap[root];
        heap[root] = heap[child];
        heap[child] = moved;
        root = child;
    }
}

/* Heap sort: the C library's qsort may allocate memory. */
static void sort_sequences(const struct softattn_attention_problem *problem, struct load *order) {
    for (int64_t i = 0; i < problem->batch; i++) {
        const struct softattn_sequence sequence = softattn_sequence_at(problem, i);
        order[i].sequence = i;
        order[i].work = (double)sequence.queries * (double)(sequence.keys - sequence.key_start);
    }
    for (int64_t root = problem->batch / 2 - 1; root >= 0; root--) {
        sink_load(order, root, problem->batch);
    }
    for (int64_t end = problem->batch - 1; end > 0; end--) {
        const struct load last = order[0];
        order[0] = order[end];
        order[end] = last;
        sink_load(order, 0, end);
    }
}

/* Gives each sequence of the order the tasks that it has; returns their number. */
static int64_t count_tasks(const struct run *run, struct load *order) {
    int64_t tasks = 0;
    for (int64_t i = 0; i < run->problem->batch; i++) {
        order[i].first_task = tasks;
        tasks += groups_of_heads(run->problem, run->cut.heads) * blocks_of_sequence(run, order[i].sequence);
    }
    return tasks;
}

/* Cuts the block's rows into register blocks of whole vectors, as even as possible. */
static void cut_sub_blocks(struct softattn_fused_block *block, const struct cut *cut) {
    const int64_t vectors = ceil_div(block->rows, cut->lanes);
    block->lanes = cut->lanes;
    block->sub_blocks = ceil_div(block->rows, cut->register_block);
    for (int64_t s = 0; s <= block->sub_blocks; s++) {
        block->sub_row[s] = s * vectors / block->sub_blocks * cut->lanes;
    }
}

/* What blocks split evenly: whole register blocks, or vectors where a register block is a block of its own. */
static int64_t unit_of_blocks(const struct cut *cut) {
    return cut->block_rows > cut->register_block ? cut->register_block : cut->lanes;
}

/* False when the sequence has no such block. */
static bool set_up_block(const struct run *run, const struct task *task,
                         struct softattn_fused_scratch *scratch, struct softattn_fused_block *block) {
    const struct softattn_attention_problem *problem = run->problem;
    memset(block, 0, offsetof(struct softattn_fused_block, hull)); /* not its arrays, thousands of bytes */
    block->problem = problem;
    block->scratch = scratch;
    block->dropout = run->dropout;
    block->sequence = softattn_sequence_at(problem, task->sequence);
    block->sequence_index = task->sequence;
    block->head_kv = task->head_kv;
    block->group = group_of(problem);
    block->workers = run->workers;
    block->real_bytes = problem->kernels->real_bytes;
    block->in_rows = run->cut.in_rows;
    block->in_chunks = run->cut.split;
    block->in_turns = run->cut.in_turns;
    const int64_t rows = block->group * block->sequence.queries;
    const int64_t blocks = blocks_of(&run->cut, rows);
    if (task->block >= blocks) {
        return false;
    }
    const int64_t unit = unit_of_blocks(&run->cut);
    const int64_t units = ceil_div(rows, unit);
    block->first_row = task->block * units / blocks * unit;
    block->rows = min_i64((task->block + 1) * units / blocks * unit, rows) - block->first_row;
    block->asked_out = block->first_row;
    /* blocks of a head run from the last to the first */
    block->asked_q = max_i64(block->first_row - block->rows, 0);
    cut_sub_blocks(block, &run->cut);
    return true;
}

/* Chunks that hold keys which some row of the block may see. */
static void chunk_range(const struct softattn_fused_block *block, int64_t *first, int64_t *last) {
    *first = block->first_key < block->last_key ? block->first_key / SOFTATTN_KEY_CHUNK : 0;
    *last = block->first_key < block->last_key ? ceil_div(block->last_key, SOFTATTN_KEY_CHUNK) : 0;
}

/* All keys of the blocks of a task's heads, chunk by chunk. */
static void run_whole_blocks(const struct task *task, const struct worker_memory *memory) {
    struct softattn_fused_block *blocks = memory->blocks;
    struct softattn_partial totals[SOFTATTN_MAX_DECODE_HEADS], partials[SOFTATTN_MAX_DECODE_HEADS];
    int64_t first, last;
    for (int64_t h = 0; h < task->heads; h++) {
        softattn_block_prepare(&blocks[h]);
        totals[h] = memory->scratches[h].total;
        partials[h] = memory->scratches[h].chunk;
    }
    chunk_range(blocks, &first, &last); /* the same for all heads */
    softattn_block_chunk(blocks, task->heads, first, totals);
    for (int64_t chunk = first + 1; chunk < last; chunk++) {
        softattn_block_chunk(blocks, task->heads, chunk, partials);
        for (int64_t h = 0; h < task->heads; h++) {
            softattn_block_merge(&blocks[h], &totals[h], &partials[h]);
        }
    }
    for (int64_t h = 0; h < task->heads; h++) {
        softattn_block_finish(&blocks[h], &totals[h]);
    }
}

static struct softattn_partial partial_at(const struct run *run, int64_t block_index, int64_t chunk) {
    char *memory = run->partials + (uint64_t)(block_index * run->cut.chunks + chunk) * run->partial_bytes;
    return softattn_partial_cut(run->problem, run->cut.padded_rows, memory);
}

/* After the last of a block's chunks: all of them in order, into the output. */
static void end_block(const struct run *run, int64_t index, const struct softattn_fused_block *block) {
    const struct softattn_partial total = partial_at(run, index, 0);
    int64_t first, last;
    chunk_range(block, &first, &last);
    for (int64_t chunk = 1; chunk < last - first; chunk++) {
        const struct softattn_partial partial = partial_at(run, index, chunk);
        softattn_block_merge(block, &total, &partial);
    }
    softattn_block_finish(block, &total);
}

/* The same chunk of the blocks of a task's heads. Chunks are counted from the first that the blocks see keys of. */
static void run_chunk(struct run *run, const struct task *task, struct softattn_fused_block *blocks) {
    const int64_t head = task->sequence * run->problem->heads_kv + task->head_kv;
    const int64_t index = head * run->cut.blocks + task->block;
    const bool may_see_keys = task->chunk == 0 || task->chunk * SOFTATTN_KEY_CHUNK < blocks->sequence.keys;
    int64_t first = 0, last = 0;
    for (int64_t h = 0; h < task->heads && may_see_keys; h++) {
        softattn_block_prepare(&blocks[h]);
    }
    if (may_see_keys) {
        chunk_range(blocks, &first, &last); /* the same for all heads */
    }
    if (task->chunk == 0 || first + task->chunk < last) {
        struct softattn_partial partials[SOFTATTN_MAX_DECODE_HEADS];
        for (int64_t h = 0; h < task->heads; h++) {
            partials[h] = partial_at(run, index + h * run->cut.blocks, task->chunk);
        }
        softattn_block_chunk(blocks, task->heads, first + task->chunk, partials);
    }
    for (int64_t h = 0; h < task->heads; h++) {
        const int64_t block = index + h * run->cut.blocks;
        if (atomic_fetch_sub_explicit(&run->remaining[block], 1, memory_order_acq_rel) == 1) {
            if (!may_see_keys) {
                softattn_block_prepare(&blocks[h]);
            }
            end_block(run, block, &blocks[h]);
        }
    }
}

/* Queries after a sequence's length see nothing: 0 and -infinity. */
static void clear_padding_queries(const struct run *run, const struct task *task,
                                  struct softattn_fused_scratch *scratch) {
    const struct softattn_attention_problem *problem = run->problem;
    const struct softattn_sequence sequence = softattn_sequence_at(problem, task->sequence);
    const int64_t padding = sequence.rows - sequence.queries;
    if (padding == 0) {
        return;
    }
    struct softattn_fused_block block = {.problem = problem, .scratch = scratch, .sequence = sequence};
    block.sequence.query_base += block.sequence.queries;
    block.sequence.queries = padding;
    block.head_kv = task->head_kv;
    block.group = group_of(problem);
    block.real_bytes = problem->kernels->real_bytes;
    block.in_rows = true;
    softattn_block_write_empty(&block);
}

/* Whether queries, keys, values and results of all heads are so much that a head waits for the next one's: in the caches
 * asking takes 1.02 to 1.2 times the time (Zen 5, 32 MiB). */
static bool heads_come_from_memory(const struct softattn_attention_problem *problem) {
    const double batch = problem->query_offsets != NULL ? 1 : (double)problem->batch;
    /* a query and its result take as much as a key and its value */
    const double bytes = (double)problem->heads_q * softattn_bytes_of_keys(problem, problem->seq_q) +
                         (double)problem->heads_kv * softattn_bytes_of_keys(problem, problem->seq_kv);
    return batch * bytes > CROWDED_CACHE * (double)softattn_cpu_cache_bytes(3);
}

/* Keys that rows of the block may see: of all queries' where it holds those of several heads. */
static struct softattn_interval keys_of_block(const struct softattn_fused_block *block) {
    const int64_t queries = block->sequence.queries, first = softattn_row_query(block, block->first_row);
    const bool is_one_head = first + block->rows <= queries;
    const int64_t last = is_one_head ? first + block->rows - 1 : queries - 1;
    return (struct softattn_interval){
        softattn_visible_keys(block->problem, &block->sequence, is_one_head ? first : 0).low,
        softattn_visible_keys(block->problem, &block->sequence, last).high};
}

/*
 * What the task that this worker probably takes next begins with, if it is of another head: queries, and the keys and values that
 * they see, or a tile of them where all are more than half of what the second-level cache holds.
 */
static struct softattn_next_head next_head(const struct run *run, int64_t index, const struct task *now) {
    const struct softattn_attention_problem *problem = run->problem;
    struct softattn_next_head next = {.queries = 0};
    struct softattn_fused_block block;
    if (!run->asks_for_heads || index + run->workers >= run->cut.tasks) {
        return next;
    }
    const struct task task = task_at(run, index + run->workers);
    if ((task.sequence == now->sequence && task.head_kv == now->head_kv) ||
        !set_up_block(run, &task, NULL, &block)) {
        return next;
    }
    const int64_t query = softattn_row_query(&block, block.first_row);
    const struct softattn_interval keys = keys_of_block(&block);
    const bool is_much =
        2 * softattn_bytes_of_keys(problem, keys.high - keys.low) > (double)softattn_cpu_cache_bytes(2);
    next.q = softattn_query_address(&block, &problem->q, softattn_row_head(&block, block.first_row), query,
                                    block.real_bytes);
    next.queries = min_i64(block.rows, block.sequence.queries - query);
    if (keys.low < keys.high) {
        next.k = softattn_key_address(&block, &problem->k, keys.low);
        next.v = softattn_key_address(&block, &problem->v, keys.low);
        next.keys = min_i64(keys.high - keys.low, is_much ? SOFTATTN_KEY_TILE : MOST_KEYS_ASKED);
    }
    return next;
}

/* The blocks of a task's heads, whose padding is seen to; false when the sequence has no such block. */
static bool set_up_blocks(const struct run *run, const struct task *task,
                          const struct worker_memory *memory) {
    struct task of_head = *task;
    bool are_there = true;
    for (int64_t h = 0; h < task->heads; h++) {
        of_head.head_kv = task->head_kv + h;
        if (task->block == 0 && task->chunk == 0) {
            clear_padding_queries(run, &of_head, &memory->scratches[h]);
        }
        are_there = set_up_block(run, &of_head, &memory->scratches[h], &memory->blocks[h]);
    }
    return are_there;
}

static void worker(void *context, int64_t index) {
    struct run *run = context;
    const struct cut *cut = &run->cut;
    const struct worker_memory memory =
        cut_worker_memory(run->problem, cut, run->worker_scratch + (uint64_t)index * run->worker_bytes);
    for (;;) {
        const int64_t next = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (next >= cut->tasks) {
            return;
        }
        const struct task task = task_at(run, next);
        if (!set_up_blocks(run, &task, &memory)) {
            continue;
        }
        if (cut->split) {
            run_chunk(run, &task, memory.blocks);
        } else {
            memory.blocks->next = next_head(run, next, &task);
            run_whole_blocks(&task, &memory);
        }
    }
}

void softattn_fused_execute(const struct softattn_attention_problem *problem,
                            const struct softattn_runtime *runtime, void *scratch) {
    struct run run = {.problem = problem, .cut = cut_for_run(problem, runtime->threads)};
    const int64_t rows = run.cut.padded_rows;
    run.dropout = softattn_dropout_make(problem->dropout, problem->dropout_seed, problem->dropout_offset);
    run.worker_bytes = worker_bytes(problem, &run.cut);
    run.worker_scratch = (char *)scratch + order_bytes(problem);
    if (has_unequal_sequences(problem)) {
        sort_sequences(problem, scratch);
        run.order = scratch;
        run.cut.tasks = run.cut.split ? run.cut.tasks : count_tasks(&run, scratch);
    }
    run.workers = workers_of(&run.cut, runtime->threads);
    run.asks_for_heads = !run.cut.split && !run.cut.in_rows && heads_come_from_memory(problem);
    if (run.cut.split) {
        const int64_t blocks = blocks_in_all(problem, &run.cut);
        run.remaining =
            (atomic_llong *)(void *)(run.worker_scratch + (uint64_t)run.workers * run.worker_bytes);
        run.partials = (char *)run.remaining + round_up((uint64_t)blocks * sizeof(atomic_llong));
        run.partial_bytes = softattn_partial_bytes(problem, rows);
        for (int64_t block = 0; block < blocks; block++) {
            atomic_init(&run.remaining[block], run.cut.chunks);
        }
    }
    atomic_init(&run.next, 0);
    softattn_runtime_run(runtime, run.workers, worker, &run);
}
