/* What both layouts of a block share: scratch, visible keys, chunks, merging, outputs. */
#include "engine/fused_block.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/dropout.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "platform/cpu.h"

enum {
    ALIGNMENT = 64,
    COPYING_QUERIES = 96,  /* in a block, which a copy of keys pays for, */
    COPYING_STRIDE = 4096, /* bytes, where each key lies in a page of its own, */
    /* and with vectors of fewer bytes: others share each reading of a key so much that copying takes 1.02 to 1.05 of the time. */
    COPYING_VECTOR = 64
};

/* Hands out consecutive aligned pieces; with memory NULL it only counts. */
struct cutter {
    char *memory;
    uint64_t used;
};

static char *cut(struct cutter *cutter, int64_t elements, int64_t element_bytes) {
    char *piece = cutter->memory == NULL ? NULL : cutter->memory + cutter->used;
    cutter->used += ((uint64_t)(elements * element_bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static struct softattn_partial cut_partial(const struct softattn_attention_problem *problem, int64_t rows,
                                           struct cutter *cutter) {
    const int64_t bytes = problem->kernels->real_bytes;
    struct softattn_partial partial;
    partial.out = cut(cutter, rows * problem->dim_v, bytes);
    partial.max = cut(cutter, rows, bytes);
    partial.sum = cut(cutter, rows, bytes);
    return partial;
}

uint64_t softattn_partial_bytes(const struct softattn_attention_problem *problem, int64_t rows) {
    struct cutter cutter = {NULL, 0};
    cut_partial(problem, rows, &cutter);
    return cutter.used;
}

struct softattn_partial softattn_partial_cut(const struct softattn_attention_problem *problem, int64_t rows,
                                             char *memory) {
    struct cutter cutter = {memory, 0};
    return cut_partial(problem, rows, &cutter);
}

/* Whether softattn_tile_keys copies keys or values for a block of so many queries. */
static bool copies_keys(const struct softattn_attention_problem *problem, const struct softattn_view *view,
                        int64_t dim, int64_t rows, bool in_rows) {
    const int64_t bytes = problem->kernels->real_bytes;
    const bool is_far_apart = dim > 0 && view->row > dim && view->row >= COPYING_STRIDE / bytes;
    const bool is_read_often =
        !in_rows && rows >= COPYING_QUERIES && problem->kernels->lanes() * bytes < COPYING_VECTOR;
    return view->col != 1 || (is_read_often && is_far_apart);
}

static uint64_t cut_scratch(const struct softattn_attention_problem *problem, int64_t rows, bool in_rows,
                            char *memory, struct softattn_fused_scratch *scratch) {
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t tile = SOFTATTN_KEY_TILE;
    const int64_t register_block = (int64_t)problem->kernels->lanes() * problem->kernels->query_vectors;
    const int64_t wide =
        in_rows || rows < register_block ? rows : register_block; /* rows that share one tile's arrays */
    const bool addend =
        problem->bias.data != NULL || problem->keep.data != NULL || problem->block_map.data != NULL;
    struct cutter cutter = {memory, 0};
    scratch->q = cut(&cutter, rows * problem->dim_qk, bytes);
    scratch->scores = cut(&cutter, wide * tile, bytes);
    scratch->keys = cut(&cutter, in_rows ? problem->dim_qk * problem->kernels->lanes() : 0, bytes);
    const bool copies_k = copies_keys(problem, &problem->k, problem->dim_qk, rows, in_rows);
    const bool copies_v = copies_keys(problem, &problem->v, problem->dim_v, rows, in_rows);
    scratch->k_copy = cut(&cutter, copies_k ? problem->dim_qk * tile : 0, bytes);
    scratch->v_copy = cut(&cutter, copies_v ? problem->dim_v * tile : 0, bytes);
    scratch->low = cut(&cutter, wide, bytes);
    scratch->high = cut(&cutter, wide, bytes);
    scratch->slope = cut(&cutter, problem->alibi.data != NULL ? wide : 0, bytes);
    scratch->position = cut(&cutter, problem->alibi.data != NULL ? wide : 0, bytes);
    scratch->sink = cut(&cutter, problem->sink.data != NULL ? rows : 0, bytes);
    scratch->factor = cut(&cutter, rows, bytes);
    scratch->lse = cut(&cutter, problem->lse.data != NULL ? rows : 0, bytes);
    scratch->addend = cut(&cutter, addend ? wide * tile : 0, bytes);
    scratch->drop = cut(&cutter, problem->dropout > 0 ? wide * tile : 0, bytes);
    scratch->rows_out = cut(&cutter, problem->out.col == 1 ? 0 : problem->dim_v, bytes);
    scratch->total = cut_partial(problem, rows, &cutter);
    scratch->chunk = cut_partial(problem, rows, &cutter);
    scratch->visible = (struct softattn_interval *)(void *)cut(&cutter, rows, sizeof *scratch->visible);
    return cutter.used;
}

uint64_t softattn_fused_scratch_bytes(const struct softattn_attention_problem *problem, int64_t rows,
                                      bool in_rows) {
    struct softattn_fused_scratch scratch;
    return cut_scratch(problem, rows, in_rows, NULL, &scratch);
}

uint64_t softattn_fused_scratch_cut(const struct softattn_attention_problem *problem, int64_t rows,
                                    bool in_rows, char *memory, struct softattn_fused_scratch *scratch) {
    return cut_scratch(problem, rows, in_rows, memory, scratch);
}

/* ---- Queries and visible keys ---- */

/* Intervals of `count` rows of the block from `first` on, and what they have in common. */
static struct softattn_hull fill_visible(struct softattn_fused_block *block, int64_t first, int64_t count) {
    const struct softattn_attention_problem *problem = block->problem;
    struct softattn_interval *visible = block->scratch->visible + first;
    struct softattn_hull hull = {INT64_MAX, 0, 0, INT64_MAX};
    for (int64_t r = 0; r < count;) {
        const int64_t query = softattn_row_query(block, block->first_row + first + r);
        const int64_t run = min_i64(count - r, block->sequence.queries - query);
        softattn_visible_intervals(problem, &block->sequence, query, run, visible + r);
        r += run;
    }
    for (int64_t r = 0; r < count; r++) {
        if (visible[r].low < visible[r].high) {
            hull.low = min_i64(hull.low, visible[r].low);
            hull.high = max_i64(hull.high, visible[r].high);
        }
        hull.highest_low = max_i64(hull.highest_low, visible[r].low);
        hull.lowest_high = min_i64(hull.lowest_high, visible[r].high);
    }
    return hull;
}

static struct softattn_hull joined(struct softattn_hull a, struct softattn_hull b) {
    return (struct softattn_hull){min_i64(a.low, b.low), max_i64(a.high, b.high),
                                  max_i64(a.highest_low, b.highest_low),
                                  min_i64(a.lowest_high, b.lowest_high)};
}

/* The same for a register block, vector by vector. */
static struct softattn_hull fill_vectors(struct softattn_fused_block *block, int64_t sub) {
    struct softattn_hull all = {INT64_MAX, 0, 0, INT64_MAX};
    for (int64_t row = block->sub_row[sub]; row < block->sub_row[sub + 1]; row += block->lanes) {
        const struct softattn_hull hull = fill_visible(block, row, min_i64(block->lanes, block->rows - row));
        block->vector_hull[row / block->lanes] = hull;
        all = joined(all, hull);
    }
    return all;
}

/* Tiles that hold keys which some row of the block may see. */
static int64_t tiles_begin(const struct softattn_fused_block *block) {
    return block->first_key / SOFTATTN_KEY_TILE;
}
static int64_t tiles_end(const struct softattn_fused_block *block) {
    return (block->last_key + SOFTATTN_KEY_TILE - 1) / SOFTATTN_KEY_TILE;
}

void softattn_block_prepare(struct softattn_fused_block *block) {
    struct softattn_hull all = {INT64_MAX, 0, 0, INT64_MAX};
    if (block->in_rows) {
        all = block->hull[0] = fill_visible(block, 0, block->rows);
    }
    for (int64_t sub = 0; sub < block->sub_blocks && !block->in_rows; sub++) {
        block->hull[sub] = fill_vectors(block, sub);
        all = joined(all, block->hull[sub]);
    }
    block->first_key = all.low;
    block->last_key = all.high;
    block->far_keys =
        softattn_bytes_of_keys(block->problem, all.high - all.low) > (double)softattn_cpu_cache_bytes(2);
    /* the next block's rows, and with a window its first key, lie as far before this one's */
    block->asked_keys =
        block->problem->window_left >= 0 ? max_i64(block->first_key - block->rows, 0) : block->first_key;
    if (all.low < all.high) { /* all that is to be asked for, in as many shares as the block has tiles */
        block->runs = (tiles_end(block) - tiles_begin(block)) * block->sub_blocks;
        block->most_asked = (block->rows + block->runs - 1) / block->runs;
    }
    if (block->in_rows) {
        softattn_rows_pack(block);
    } else {
        softattn_lanes_pack(block);
    }
}

/* ---- Chunks ---- */

void softattn_block_clear_rows(const struct softattn_fused_block *block,
                               const struct softattn_partial *partial, int64_t first, int64_t count) {
    const int64_t dim = block->problem->dim_v, bytes = block->real_bytes;
    memset(partial->out + first * dim * bytes, 0, (size_t)(count * dim * bytes));
    memset(partial->sum + first * bytes, 0, (size_t)(count * bytes));
    for (int64_t r = first; r < first + count; r++) {
        softattn_put_real(partial->max, r, -(double)INFINITY, bytes);
    }
}

static void copy_keys(const struct softattn_fused_block *block, const struct softattn_view *view, int64_t dim,
                      int64_t keys, const char *from, char *to) {
    const int64_t bytes = block->real_bytes;
    if (view->row == 1) {
        block->problem->kernels->transpose(dim, keys, 1, from, view->col, to, dim);
        return;
    }
    for (int64_t j = 0; j < keys; j++, from += view->row * bytes, to += dim * bytes) {
        if (view->col == 1) {
            memcpy(to, from, (size_t)(dim * bytes));
        } else {
            softattn_copy_reals(dim, bytes, from, view->col * bytes, to, bytes);
        }
    }
}

const char *softattn_tile_keys(const struct softattn_fused_block *block, const struct softattn_view *view,
                               int64_t dim, int64_t key, int64_t keys, char *copy, int64_t *stride) {
    *stride = view->row;
    if (!copies_keys(block->problem, view, dim, block->rows, block->in_rows)) {
        return softattn_key_address(block, view, key);
    }
    /* parts of tiles begin with a multiple of 8 */
    const int64_t unseen = max_i64(block->first_key - key, 0) / 8 * 8;
    copy_keys(block, view, dim, keys - unseen, softattn_key_address(block, view, key + unseen),
              copy + unseen * dim * block->real_bytes);
    *stride = dim;
    return copy;
}

void softattn_block_chunk(struct softattn_fused_block *blocks, int64_t count, int64_t chunk,
                          const struct softattn_partial *partials) {
    const int64_t tiles_per_chunk = SOFTATTN_KEY_CHUNK / SOFTATTN_KEY_TILE;
    const int64_t first_tile = max_i64(tiles_begin(blocks), chunk * tiles_per_chunk);
    const int64_t last_tile = min_i64(tiles_end(blocks), (chunk + 1) * tiles_per_chunk);
    if (blocks->in_rows) {
        softattn_rows_tiles(blocks, count, first_tile, last_tile, partials);
    } else {
        softattn_lanes_tiles(blocks, first_tile, last_tile, partials);
    }
}

void softattn_block_merge(const struct softattn_fused_block *block, const struct softattn_partial *total,
                          const struct softattn_partial *chunk) {
    const struct softattn_kernels *kernels = block->problem->kernels;
    const int64_t dim = block->problem->dim_v;
    if (block->in_rows) {
        kernels->merge_rows(block->rows, dim, total->out, dim, total->max, total->sum, chunk->out, dim,
                            chunk->max, chunk->sum);
        return;
    }
    for (int64_t s = 0; s < block->sub_blocks; s++) {
        const int64_t start = block->sub_row[s] * block->real_bytes;
        kernels->merge_lanes(dim, block->sub_row[s + 1] - block->sub_row[s], total->out + start * dim,
                             total->max + start, total->sum + start, chunk->out + start * dim,
                             chunk->max + start, chunk->sum + start);
    }
}

/* ---- Outputs ---- */

static void put_sinks(const struct softattn_fused_block *block) {
    const struct softattn_view *sink = &block->problem->sink;
    for (int64_t r = 0; r < block->rows; r++) {
        const int64_t head = softattn_row_head(block, block->first_row + r);
        const double logit = softattn_get_real(sink->data, head * sink->head, block->real_bytes);
        softattn_put_real(block->scratch->sink, r, logit * SOFTATTN_LOG2_E, block->real_bytes);
    }
}

/* Rows first … first + count - 1 of the block, all of one head, to the output. from: lanes layout, the rows' place in
 * their sub-block of `width` lanes; rows layout, width is 0. */
static void store_run(const struct softattn_fused_block *block, int64_t first, int64_t count, char *from,
                      int64_t width) {
    const struct softattn_attention_problem *problem = block->problem;
    const struct softattn_kernels *kernels = problem->kernels;
    const int64_t dim = problem->dim_v;
    const int64_t head = softattn_row_head(block, block->first_row + first);
    const int64_t query = softattn_row_query(block, block->first_row + first);
    const char *factor = block->scratch->factor + first * block->real_bytes;
    char *to = softattn_query_address(block, &problem->out, head, query, block->real_bytes);
    if (problem->out.col == 1 && width > 0) {
        kernels->store_lanes(count, dim, width, from, factor, to, problem->out.row);
    } else if (problem->out.col == 1) {
        kernels->store_rows(count, dim, from, dim, factor, to, problem->out.row);
    } else {
        for (int64_t r = 0; r < count; r++) {
            char *row = block->scratch->rows_out;
            char *source = from + r * (width > 0 ? 1 : dim) * block->real_bytes;
            if (width > 0) {
                kernels->store_lanes(1, dim, width, source, factor + r * block->real_bytes, row, dim);
            } else {
                kernels->store_rows(1, dim, source, dim, factor + r * block->real_bytes, row, dim);
            }
            for (int64_t d = 0; d < dim; d++) {
                memcpy(to + (r * problem->out.row + d * problem->out.col) * block->real_bytes,
                       row + d * block->real_bytes, (size_t)block->real_bytes);
            }
        }
    }
}

static void store_lse(const struct softattn_fused_block *block) {
    const struct softattn_view *lse = &block->problem->lse;
    for (int64_t r = 0; r < block->rows; r++) {
        const int64_t row = block->first_row + r;
        memcpy(softattn_query_address(block, lse, softattn_row_head(block, row),
                                      softattn_row_query(block, row), block->real_bytes),
               block->scratch->lse + r * block->real_bytes, (size_t)block->real_bytes);
    }
}

void softattn_block_finish(const struct softattn_fused_block *block, const struct softattn_partial *total) {
    const struct softattn_attention_problem *problem = block->problem;
    const struct softattn_fused_scratch *scratch = block->scratch;
    if (problem->sink.data != NULL) {
        put_sinks(block);
    }
    problem->kernels->finish(block->rows, softattn_kept_scale(problem->dropout),
                             problem->sink.data != NULL ? scratch->sink : NULL, total->max, total->sum,
                             scratch->factor, problem->lse.data != NULL ? scratch->lse : NULL);
    for (int64_t r = 0; r < block->rows;) {
        int64_t end = r + block->sequence.queries - softattn_row_query(block, block->first_row + r);
        end = min_i64(end, block->rows);
        char *from = total->out + r * problem->dim_v * block->real_bytes;
        int64_t width = 0;
        for (int64_t s = 0; s < block->sub_blocks && !block->in_rows; s++) {
            if (r >= block->sub_row[s] && r < block->sub_row[s + 1]) {
                end = min_i64(end, block->sub_row[s + 1]);
                width = block->sub_row[s + 1] - block->sub_row[s];
                from = total->out +
                       (block->sub_row[s] * problem->dim_v + r - block->sub_row[s]) * block->real_bytes;
            }
        }
        store_run(block, r, end - r, from, width);
        r = end;
    }
    if (problem->lse.data != NULL) {
        store_lse(block);
    }
}

void softattn_block_write_empty(struct softattn_fused_block *block) {
    const int64_t rows = block->group * block->sequence.queries;
    struct softattn_attention_problem no_sink = *block->problem;
    no_sink.sink.data = NULL;
    block->problem = &no_sink;
    block->rows = 1;
    for (block->first_row = 0; block->first_row < rows; block->first_row++) {
        softattn_block_clear_rows(block, &block->scratch->total, 0, 1);
        softattn_block_finish(block, &block->scratch->total);
    }
}
