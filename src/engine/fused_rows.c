/* Blocks of a few query rows, one after another: decoding. Keys and value dimensions take the vector lanes. */
#include <stddef.h>
#include <string.h>

#include "engine/fused_block.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "platform/cpu.h"

void softattn_rows_pack(struct softattn_fused_block *block) {
    const struct softattn_attention_problem *problem = block->problem;
    const int64_t bytes = block->real_bytes;
    const int64_t padded = softattn_rows_padded(problem->kernels, block->rows);
    for (int64_t r = 0; r < padded; r++) {
        const int64_t row = block->first_row + min_i64(r, block->rows - 1);
        const char *from = softattn_query_address(block, &problem->q, softattn_row_head(block, row),
                                                  softattn_row_query(block, row), bytes);
        /* dim_qk rows of one element, dim_qk apart by the column stride, become one row */
        problem->kernels->transpose(problem->dim_qk, 1, problem->scale * SOFTATTN_LOG2_E, from,
                                    problem->q.col, block->scratch->q + r * problem->dim_qk * bytes,
                                    problem->dim_qk);
    }
}

/*
 * How much of keys and values comes from memory, as of struct softattn_decode_tile. Some where those of all heads, as many of each as of
 * this one, are more than the caches keep, and no tile of them is hidden; nearly all where they are so many more that one step leaves
 * nothing there for the next.
 */
static int32_t comes_from_memory(const struct softattn_fused_block *block) {
    const struct softattn_attention_problem *problem = block->problem;
    const bool may_hide_tiles = problem->keep.data != NULL || problem->block_map.data != NULL;
    const bool are_copied = problem->k.col != 1 || problem->v.col != 1;
    const double heads = (double)problem->batch * (double)problem->heads_kv;
    const double bytes = heads * softattn_bytes_of_keys(problem, block->last_key - block->first_key);
    const double caches = bytes / (double)softattn_cpu_cache_bytes(3);
    return are_copied || may_hide_tiles || caches <= 0.75 ? 0 : caches <= 1.75 ? 1 : 2;
}

/*
 * The keys that come after the tile at `key`: the next tile's, or the first of the chunk or head that this worker takes next if each
 * takes one in turn. None after the last head: the next sequence, or turn, begins unasked.
 */
static void set_next_keys(const struct softattn_fused_block *block, int64_t key,
                          struct softattn_decode_tile *tile) {
    const struct softattn_view *k = &block->problem->k;
    const int64_t chunk = key / SOFTATTN_KEY_CHUNK;
    int64_t next_head = block->head_kv, next_key = key + SOFTATTN_KEY_TILE;
    if (tile->prefetch_keys == 0 && block->in_chunks && !block->in_turns) {
        next_key = (chunk + block->workers) * SOFTATTN_KEY_CHUNK;
    } else if (tile->prefetch_keys == 0) {
        next_head += block->workers;
        next_key = max_i64(block->in_chunks ? chunk * SOFTATTN_KEY_CHUNK : 0, block->first_key);
    }
    const bool is_there = next_head < block->problem->heads_kv && next_key < block->last_key;
    tile->next_keys = 0;
    if (is_there) {
        tile->next_keys = min_i64(block->last_key - next_key, SOFTATTN_KEY_TILE);
        tile->next_k = softattn_key_address(block, k, next_key) +
                       (next_head - block->head_kv) * k->head * block->real_bytes;
    }
}

static void begin_tiles(struct softattn_fused_block *block, const struct softattn_partial *partial,
                        struct softattn_decode_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    *tile = (struct softattn_decode_tile){.rows = softattn_rows_padded(problem->kernels, block->rows),
                                          .dim_qk = problem->dim_qk,
                                          .dim_v = problem->dim_v};
    tile->softcap = problem->softcap * SOFTATTN_LOG2_E;
    tile->q = block->scratch->q;
    tile->keys = block->scratch->keys;
    tile->scores = block->scratch->scores;
    tile->out = partial->out;
    tile->max = partial->max;
    tile->sum = partial->sum;
    tile->fresh = true;
    if (problem->alibi.data != NULL) {
        softattn_tile_slopes(block, block->first_row, block->rows, tile->rows);
        tile->slope = block->scratch->slope;
        tile->position = block->scratch->position;
    }
}

/* Keys that are walked without a gap: other chunks may be another worker's. */
static int64_t end_of_walk(const struct softattn_fused_block *block, int64_t last_tile) {
    return block->in_chunks ? min_i64(last_tile * SOFTATTN_KEY_TILE, block->last_key) : block->last_key;
}

/* The tile at `key`; false: no row sees any key of it. */
static bool set_tile(struct softattn_fused_block *block, int64_t key, int64_t end,
                     struct softattn_decode_tile *tile) {
    const struct softattn_attention_problem *problem = block->problem;
    const struct softattn_tile_layout layout = {SOFTATTN_KEY_TILE, 1};
    const int64_t following = end - key - SOFTATTN_KEY_TILE;
    const struct softattn_tile_masks masks = softattn_tile_masks_make(
        block, &block->hull[0], block->first_row, block->rows, tile->rows, key, layout);
    if (masks.skip) {
        return false;
    }
    tile->k = softattn_tile_keys(block, &problem->k, problem->dim_qk, key, masks.last, block->scratch->k_copy,
                                 &tile->k_stride);
    tile->v = softattn_tile_keys(block, &problem->v, problem->dim_v, key, masks.last, block->scratch->v_copy,
                                 &tile->v_stride);
    tile->first = masks.first;
    tile->last = masks.last;
    tile->masked = masks.masked;
    tile->low = block->scratch->low;
    tile->high = block->scratch->high;
    tile->addend = masks.addend;
    tile->drop = masks.drop;
    tile->prefetch_keys = problem->k.col == 1 ? max_i64(0, min_i64(following, SOFTATTN_KEY_TILE)) : 0;
    if (tile->from_memory) {
        set_next_keys(block, key, tile);
    }
    return true;
}

void softattn_rows_tiles(struct softattn_fused_block *blocks, int64_t count, int64_t first_tile,
                         int64_t last_tile, const struct softattn_partial *partials) {
    const struct softattn_kernels *kernels = blocks->problem->kernels;
    struct softattn_decode_tile tiles[SOFTATTN_MAX_DECODE_HEADS];
    const int64_t end = end_of_walk(blocks, last_tile);
    for (int64_t h = 0; h < count; h++) {
        begin_tiles(&blocks[h], &partials[h], &tiles[h]);
        tiles[h].from_memory = comes_from_memory(&blocks[h]);
        tiles[h].asking = softattn_cpu_asking();
    }
    for (int64_t t = first_tile; t < last_tile; t++) {
        const struct softattn_decode_tile *seen[SOFTATTN_MAX_DECODE_HEADS];
        bool is_seen[SOFTATTN_MAX_DECODE_HEADS];
        int64_t heads = 0;
        for (int64_t h = 0; h < count; h++) {
            is_seen[h] = set_tile(&blocks[h], t * SOFTATTN_KEY_TILE, end, &tiles[h]);
            seen[heads] = &tiles[h];
            heads += is_seen[h];
        }
        if (heads == 1) {
            kernels->decode_tile(seen[0]);
        } else if (heads > 1) {
            kernels->decode_heads(seen, heads);
        }
        for (int64_t h = 0; h < count; h++) {
            tiles[h].fresh = tiles[h].fresh && !is_seen[h];
        }
    }
    for (int64_t h = 0; h < count; h++) {
        if (tiles[h].fresh) {
            softattn_block_clear_rows(&blocks[h], &partials[h], 0, blocks[h].rows);
        }
    }
}
