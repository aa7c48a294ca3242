/*
 * One block of the fused engine: some query rows of one key/value head, walked along the keys chunk by chunk. The rows
 * are laid out in the vector lanes (fused_lanes.c) or, when they are few, one after another (fused_rows.c); which one
 * changes no bit of the result.
 *
 * The query heads that share a key/value head are one list of rows: row r is query r % queries of the group's head
 * r / queries, so that K and V are read once for all of them.
 */
#ifndef SOFTATTN_ENGINE_FUSED_BLOCK_H
#define SOFTATTN_ENGINE_FUSED_BLOCK_H

#include "engine/attention.h"
#include "engine/dropout.h"
#include "engine/visibility.h"

enum { SOFTATTN_SUB_BLOCKS = 16 }; /* most register blocks of a block */

/* What some rows see between them. */
struct softattn_hull {
    int64_t low, high;                /* keys that any row sees lie in low … high - 1 */
    int64_t highest_low, lowest_high; /* keys that every row sees: highest_low … lowest_high - 1 */
};

/* Running results of a block: lanes layout out [dim_v][width], rows layout [rows][dim_v]; max and sum one per row. */
struct softattn_partial {
    char *out, *max, *sum;
};

/* Scratch of a worker for a block, cut up once per run. Reals unless said otherwise. */
struct softattn_fused_scratch {
    char *q, *scores, *keys, *k_copy, *v_copy;
    char *low, *high, *slope, *position, *sink, *factor, *lse;
    char *addend, *drop, *rows_out;
    struct softattn_partial total, chunk;
    struct softattn_interval *visible; /* one per row of the block */
};

/* What the worker's next task begins with, where that is another head's, and how much of it was asked for. queries 0: nothing
 * is. */
struct softattn_next_head {
    const char *q, *k, *v; /* k and v only where there are keys */
    int64_t queries, keys;
    int64_t asked_queries, asked_keys;
};

struct softattn_fused_block {
    const struct softattn_attention_problem *problem;
    struct softattn_fused_scratch *scratch;
    struct softattn_sequence sequence;
    int64_t sequence_index; /* 0 … problem->batch - 1 */
    struct softattn_dropout dropout;
    int64_t head_kv, group;                 /* key/value head; query heads per key/value head */
    int64_t workers;                        /* that take blocks or chunks at the same time */
    int64_t first_row, rows;                /* of group * queries */
    int64_t asked_out, asked_q, asked_keys; /* up to which rows or keys ask_for_rows has asked */
    int64_t most_asked;                     /* rows or keys of each for a tile */
    int64_t runs;                           /* of register blocks through tiles, skipped ones included */
    struct softattn_next_head next;
    int64_t first_key, last_key; /* keys that any row may see */
    bool far_keys;               /* which the second-level cache does not hold */
    int64_t real_bytes;
    bool in_rows;   /* layout */
    bool in_chunks; /* its chunks are tasks of their own, */
    bool in_turns;  /* the same chunk of all heads first */
    int64_t lanes;
    int64_t sub_blocks; /* lanes layout: register blocks that share each tile of keys */
    /* Not zeroed with the rest. */
    struct softattn_hull hull[SOFTATTN_SUB_BLOCKS]; /* of each register block; rows layout: one for all */
    struct softattn_hull vector_hull[SOFTATTN_SUB_BLOCKS * SOFTATTN_MAX_TILE_VECTORS]; /* lanes layout */
    int64_t sub_row[SOFTATTN_SUB_BLOCKS +
                    1]; /* where their rows start, counted in the block; multiples of lanes */
};

/* K and V of one head, so many keys of it. */
static inline double softattn_bytes_of_keys(const struct softattn_attention_problem *problem, int64_t keys) {
    return (double)keys * (double)(problem->dim_qk + problem->dim_v) * problem->kernels->real_bytes;
}

static inline int64_t softattn_row_head(const struct softattn_fused_block *block, int64_t row) {
    return block->head_kv * block->group + row / block->sequence.queries;
}
static inline int64_t softattn_row_query(const struct softattn_fused_block *block, int64_t row) {
    return row % block->sequence.queries;
}

/* Address of (sequence, head, position, 0) in a view over queries, and of (head_kv, key, 0) in k or v. */
static inline char *softattn_query_address(const struct softattn_fused_block *block,
                                           const struct softattn_view *view, int64_t head, int64_t query,
                                           int64_t element_bytes) {
    return view->data + (block->sequence.batch * view->batch + head * view->head +
                         (block->sequence.query_base + query) * view->row) *
                            element_bytes;
}
static inline char *softattn_key_address(const struct softattn_fused_block *block,
                                         const struct softattn_view *view, int64_t key) {
    return view->data + (block->sequence.batch * view->batch + block->head_kv * view->head +
                         (block->sequence.key_base + key) * view->row) *
                            block->real_bytes;
}

/*
 * How many rows the kernels are given for `rows` rows in the rows layout: where one is missing to whole tiles of four, a copy of
 * the last joins them. 3 rows take 0.64 of the time then with AVX-512 and 0.75 with AVX2, 7 rows 0.9 and 0.93 (Zen 4).
 */
static inline int64_t softattn_rows_padded(const struct softattn_kernels *kernels, int64_t rows) {
    return kernels->decode_tile_rows == 4 && rows % 4 == 3 ? rows + 1 : rows;
}

/* Bytes of scratch for a block of at most `rows` rows (lanes layout: a multiple of the lanes; rows layout: padded). */
uint64_t softattn_fused_scratch_bytes(const struct softattn_attention_problem *problem, int64_t rows,
                                      bool in_rows);
/* That memory cut up; returns how many bytes. */
uint64_t softattn_fused_scratch_cut(const struct softattn_attention_problem *problem, int64_t rows,
                                    bool in_rows, char *memory, struct softattn_fused_scratch *scratch);

/* Intervals of all rows and their hull; then the rows' queries, scaled, into scratch. */
void softattn_block_prepare(struct softattn_fused_block *block);

/* Bytes of one partial for at most `rows` rows (padded), and the partial in that memory. */
uint64_t softattn_partial_bytes(const struct softattn_attention_problem *problem, int64_t rows);
struct softattn_partial softattn_partial_cut(const struct softattn_attention_problem *problem, int64_t rows,
                                             char *memory);

/* The keys of one chunk, into each block's partial: of one block, or of some in rows, one of each of some heads of a sequence. */
void softattn_block_chunk(struct softattn_fused_block *blocks, int64_t count, int64_t chunk,
                          const struct softattn_partial *partials);

/* Folds chunk into total; writes the total's rows to the problem's outputs. */
void softattn_block_merge(const struct softattn_fused_block *block, const struct softattn_partial *total,
                          const struct softattn_partial *chunk);
void softattn_block_finish(const struct softattn_fused_block *block, const struct softattn_partial *total);

/* Writes what padding rows become, which see neither key nor sink: output 0, log-sum-exp -infinity. Uses the block up. */
void softattn_block_write_empty(struct softattn_fused_block *block);

/* Rows first … first + count - 1 of a partial (lanes layout: a whole sub-block) as after no key at all. */
void softattn_block_clear_rows(const struct softattn_fused_block *block,
                               const struct softattn_partial *partial, int64_t first, int64_t count);

/*
 * Keys key … of k or v, from the first that the block may see on, as rows of unit column stride: in place, or copied where the
 * columns are strided, or where rows are 4 KiB apart or more and queries in the lanes are enough to share a copy (0.87 to 0.95 of
 * the time with AVX2) and read each key often enough: not with vectors of 64 bytes.
 */
const char *softattn_tile_keys(const struct softattn_fused_block *block, const struct softattn_view *view,
                               int64_t dim, int64_t key, int64_t keys, char *copy, int64_t *stride);

/* The two layouts' parts of the above. */
void softattn_lanes_pack(struct softattn_fused_block *block);
void softattn_lanes_tiles(struct softattn_fused_block *block, int64_t first_tile, int64_t last_tile,
                          const struct softattn_partial *partial);
void softattn_rows_pack(struct softattn_fused_block *block);
void softattn_rows_tiles(struct softattn_fused_block *blocks, int64_t count, int64_t first_tile,
                         int64_t last_tile, const struct softattn_partial *partials);

/* ---- Masks of a tile (tile_masks.c) ---- */

/* Where the lanes or rows of a tile's arrays stand: row r, key j at r * row + j * key. */
struct softattn_tile_layout {
    int64_t row, key;
};

struct softattn_tile_masks {
    bool skip;                 /* no row sees any key of the tile */
    int64_t first, last;       /* keys of the tile that some row may see */
    bool masked;               /* low and high are needed */
    const void *addend, *drop; /* or NULL */
};

/* rows: first_row … of the block, count of them, padded to `padded` by copies of the last; tile starts at key. Fills the
 * scratch arrays low, high, position, addend, drop for what the tile needs. */
struct softattn_tile_masks softattn_tile_masks_make(struct softattn_fused_block *block,
                                                    const struct softattn_hull *hull, int64_t first_row,
                                                    int64_t count, int64_t padded, int64_t key,
                                                    struct softattn_tile_layout layout);

/* Cuts what masks leave of the tile at `key` into parts for the vectors of a register block (tile_parts.c). */
void softattn_tile_parts_make(const struct softattn_fused_block *block, int64_t sub,
                              const struct softattn_tile_masks *masks, int64_t key,
                              struct softattn_tile *tile);

/* Slopes of the rows, times log2(e), into scratch. */
void softattn_tile_slopes(struct softattn_fused_block *block, int64_t first_row, int64_t count,
                          int64_t padded);

#endif
