/* Blocks with queries in the vector lanes: prefill, and groups of query heads that share a key/value head. */
#include <stddef.h>
#include <string.h>

#include "engine/fused_block.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "platform/cpu.h"

static int64_t sub_width(const struct softattn_fused_block *block, int64_t sub) {
    return block->sub_row[sub + 1] - block->sub_row[sub];
}

/* Rows of a sub-block that are real; the lanes after them are padding. */
static int64_t sub_count(const struct softattn_fused_block *block, int64_t sub) {
    const int64_t rest = block->rows - block->sub_row[sub];
    return min_i64(rest, sub_width(block, sub));
}

void softattn_lanes_pack(struct softattn_fused_block *block) {
    const struct softattn_attention_problem *problem = block->problem;
    const int64_t bytes = block->real_bytes;
    for (int64_t sub = 0; sub < block->sub_blocks; sub++) {
        const int64_t width = sub_width(block, sub), count = sub_count(block, sub);
        char *to = block->scratch->q + block->sub_row[sub] * problem->dim_qk * bytes;
        if (count < width) {
            memset(to, 0, (size_t)(width * problem->dim_qk * bytes));
        }
        for (int64_t r = 0; r < count;) {
            const int64_t row = block->first_row + block->sub_row[sub] + r;
            const int64_t query = softattn_row_query(block, row);
            const int64_t run = min_i64(block->sequence.queries - query, count - r);
            const char *from =
                softattn_query_address(block, &problem->q, softattn_row_head(block, row), query, bytes);
            if (problem->q.col == 1) {
                problem->kernels->transpose(run, problem->dim_qk, problem->scale * SOFTATTN_LOG2_E, from,
                                            problem->q.row, to + r * bytes, width);
            } else {
                for (int64_t d = 0; d < problem->dim_qk; d++) {
                    for (int64_t i = 0; i < run; i++) {
                        problem->kernels->transpose(1, 1, problem->scale * SOFTATTN_LOG2_E,
                                                    from + (i * problem->q.row + d * problem->q.col) * bytes,
                                                    1, to + (d * width + r + i) * bytes, 1);
                    }
                }
            }
            r += run;
        }
    }
}

/* count: above 0. */
static void ask(struct softattn_tile *tile, const char *rows, const struct softattn_view *view, int64_t dim,
                int64_t count) {
    if (dim > 0 && view->col == 1) {
        const int64_t in_row = view->row == dim ? count : 1; /* rows without gaps are one */
        tile->ask[tile->asks++] = (struct softattn_ask){rows, view->row, in_row * dim, count / in_row};
    }
}

/* Some of the block's rows of a view over queries from *next on, before `end` and of one head. */
static void ask_for_queries(const struct softattn_fused_block *block, const struct softattn_view *view,
                            int64_t dim, int64_t *next, int64_t end, struct softattn_tile *tile) {
    if (*next >= end) {
        return;
    }
    const int64_t query = softattn_row_query(block, *next);
    const int64_t count = min_i64(min_i64(block->most_asked, end - *next), block->sequence.queries - query);
    ask(tile, softattn_query_address(block, view, softattn_row_head(block, *next), query, block->real_bytes),
        view, dim, count);
    *next += count;
}

static void ask_for_keys(const struct softattn_fused_block *block, int64_t first, int64_t end,
                         struct softattn_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    if (first >= end) {
        return;
    }
    ask(tile, softattn_key_address(block, &problem->k, first), &problem->k, problem->dim_qk, end - first);
    ask(tile, softattn_key_address(block, &problem->v, first), &problem->v, problem->dim_v, end - first);
}

/* Of keys and values, with one register block's tile: more crowds out what is at work, 1.05 of the time with one vector of
 * queries. */
enum { BYTES_ASKED_AT_ONCE = 65536 };

/* A share of what the worker's next task begins with, and what skipped tiles have left. */
static void ask_for_next_head(struct softattn_fused_block *block, int64_t key, int64_t sub,
                              struct softattn_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    struct softattn_next_head *next = &block->next;
    const int64_t tiles_before = key / SOFTATTN_KEY_TILE - block->first_key / SOFTATTN_KEY_TILE;
    const int64_t runs = tiles_before * block->sub_blocks + sub + 1, bytes = block->real_bytes;
    const int64_t queries = runs * next->queries / block->runs - next->asked_queries;
    const int64_t most = BYTES_ASKED_AT_ONCE / ((int64_t)softattn_bytes_of_keys(problem, 1) + 1) + 1;
    const int64_t keys = min_i64(runs * next->keys / block->runs - next->asked_keys, most);
    if (queries > 0) {
        ask(tile, next->q + next->asked_queries * problem->q.row * bytes, &problem->q, problem->dim_qk,
            queries);
    }
    if (keys > 0) {
        ask(tile, next->k + next->asked_keys * problem->k.row * bytes, &problem->k, problem->dim_qk, keys);
        ask(tile, next->v + next->asked_keys * problem->v.row * bytes, &problem->v, problem->dim_v, keys);
    }
    next->asked_queries += queries;
    next->asked_keys += keys;
}

/*
 * Asks for what the next head begins with; and for some rows of the block's own output, of the queries of the block that this
 * worker, or another, will want next, and of keys and values: for this register block's share of the next tile, where all are
 * more than the second-level cache holds; otherwise for some that a window shows only to the next block. All would be waited for:
 * queries and output 3 % of the time at 1024 keys, keys 8 % at 8192, and 3 to 5 % with a window of 256. Beside a single tile that
 * takes longer than it saves, unless all comes from memory, as where a next head is asked for.
 */
static void ask_for_rows(struct softattn_fused_block *block, int64_t key, int64_t sub,
                         struct softattn_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    const bool has_next_head = block->next.queries > 0;
    tile->asks = 0;
    if (has_next_head) {
        ask_for_next_head(block, key, sub, tile);
    }
    if (!has_next_head && block->last_key - block->first_key <= SOFTATTN_KEY_TILE) {
        return;
    }
    ask_for_queries(block, &problem->q, problem->dim_qk, &block->asked_q, block->first_row, tile);
    ask_for_queries(block, &problem->out, problem->dim_v, &block->asked_out, block->first_row + block->rows,
                    tile);
    if (block->far_keys) {
        const int64_t next = key + SOFTATTN_KEY_TILE;
        const int64_t first = next + sub * SOFTATTN_KEY_TILE / block->sub_blocks;
        const int64_t end = next + (sub + 1) * SOFTATTN_KEY_TILE / block->sub_blocks;
        ask_for_keys(block, first, min_i64(end, block->last_key), tile);
    } else if (block->asked_keys < block->first_key) {
        const int64_t end = min_i64(block->asked_keys + block->most_asked, block->first_key);
        ask_for_keys(block, block->asked_keys, end, tile);
        block->asked_keys = end;
    }
}

/* When the first register block is found to see some of them: copies would take as long as hidden tiles should. */
static void take_keys(const struct softattn_fused_block *block, int64_t key, struct softattn_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    const int64_t keys = min_i64(block->last_key - key, SOFTATTN_KEY_TILE);
    tile->k = softattn_tile_keys(block, &problem->k, problem->dim_qk, key, keys, block->scratch->k_copy,
                                 &tile->k_stride);
    tile->v = softattn_tile_keys(block, &problem->v, problem->dim_v, key, keys, block->scratch->v_copy,
                                 &tile->v_stride);
}

/* The tile of keys from `key` on for one register block, the first that it sees or another; false where it sees none of them. */
static bool run_sub_block(struct softattn_fused_block *block, int64_t sub, int64_t key, bool is_first,
                          const struct softattn_partial *partial, struct softattn_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    const int64_t first_row = block->first_row + block->sub_row[sub];
    const int64_t width = sub_width(block, sub), start = block->sub_row[sub] * block->real_bytes;
    const struct softattn_tile_layout layout = {1, width};
    const struct softattn_tile_masks masks = softattn_tile_masks_make(
        block, &block->hull[sub], first_row, sub_count(block, sub), width, key, layout);
    if (masks.skip) {
        return false;
    }
    if (tile->k == NULL) {
        take_keys(block, key, tile);
    }
    if (problem->alibi.data != NULL) {
        softattn_tile_slopes(block, first_row, sub_count(block, sub), width);
        tile->slope = block->scratch->slope;
        tile->position = block->scratch->position;
    }
    tile->vectors = width / block->lanes;
    softattn_tile_parts_make(block, sub, &masks, key, tile);
    ask_for_rows(block, key, sub, tile);
    tile->low = masks.masked ? block->scratch->low : NULL;
    tile->high = masks.masked ? block->scratch->high : NULL;
    tile->addend = masks.addend;
    tile->drop = masks.drop;
    tile->q = block->scratch->q + start * problem->dim_qk;
    tile->scores = block->scratch->scores;
    tile->out = partial->out + start * problem->dim_v;
    tile->max = partial->max + start;
    tile->sum = partial->sum + start;
    tile->fresh = is_first;
    problem->kernels->attention_tile(tile);
    return true;
}

void softattn_lanes_tiles(struct softattn_fused_block *block, int64_t first_tile, int64_t last_tile,
                          const struct softattn_partial *partial) {
    const struct softattn_attention_problem *problem = block->problem;
    bool has_seen[SOFTATTN_SUB_BLOCKS] = {false};
    struct softattn_tile tile = {.dim_qk = problem->dim_qk, .dim_v = problem->dim_v};
    tile.softcap = problem->softcap * SOFTATTN_LOG2_E;
    /* what comes from memory, the block's own rows and keys included */
    tile.asks_far = block->next.queries > 0 && softattn_cpu_asking() == SOFTATTN_ASKING_TWICE;
    for (int64_t t = first_tile; t < last_tile; t++) {
        const int64_t key = t * SOFTATTN_KEY_TILE;
        tile.k = NULL;
        for (int64_t sub = 0; sub < block->sub_blocks; sub++) {
            has_seen[sub] = run_sub_block(block, sub, key, !has_seen[sub], partial, &tile) || has_seen[sub];
        }
    }
    for (int64_t sub = 0; sub < block->sub_blocks; sub++) {
        if (!has_seen[sub]) {
            softattn_block_clear_rows(block, partial, block->sub_row[sub], sub_width(block, sub));
        }
    }
}
