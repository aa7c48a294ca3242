/* What masks, bias, ALiBi and dropout ask of one tile of keys. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/fused_block.h"
#include "engine/integers.h"
#include "engine/reals.h"

/* Number of rows from `row` on that share a head, up to `end`. */
static int64_t rows_of_head(const struct softattn_fused_block *block, int64_t row, int64_t end) {
    return min_i64(end - row, block->sequence.queries - softattn_row_query(block, row));
}

/* How much of a tile a mask keeps. */
enum kept { KEPT_ALL, KEPT_NONE, KEPT_SOME };

/* ---- Block map ---- */

/* The rows of the map that rows of the block have, each with where the rows that share it end. */
struct map_rows {
    int64_t count;
    const uint8_t *map[SOFTATTN_MAX_QUERY_BLOCK];
    int64_t end[SOFTATTN_MAX_QUERY_BLOCK];
};

static void find_map_rows(const struct softattn_fused_block *block, int64_t first_row, int64_t count,
                          struct map_rows *rows) {
    const struct softattn_view *map = &block->problem->block_map;
    const int64_t block_q = block->problem->block_q, last = first_row + count;
    rows->count = 0;
    for (int64_t row = first_row; row < last;) {
        const int64_t query = softattn_row_query(block, row), head = softattn_row_head(block, row);
        const int64_t offset =
            block->sequence.batch * map->batch + head * map->head + query / block_q * map->row;
        row += min_i64(rows_of_head(block, row, last), block_q - query % block_q);
        rows->map[rows->count] = (const uint8_t *)map->data + offset;
        rows->end[rows->count++] = row - first_row;
    }
}

/* Of a block of keys. */
static enum kept key_block_kept(const struct map_rows *rows, int64_t offset) {
    bool any = false, all = true;
    for (int64_t i = 0; i < rows->count; i++) {
        const bool keeps = rows->map[i][offset] != 0;
        any = any || keeps;
        all = all && keeps;
    }
    return all ? KEPT_ALL : any ? KEPT_SOME : KEPT_NONE;
}

/* Of the tile's keys masks->first … masks->last - 1; those hidden from all rows at either end are taken from them. */
static enum kept kept_by_map(const struct softattn_attention_problem *problem, const struct map_rows *rows,
                             int64_t key, struct softattn_tile_masks *masks) {
    const int64_t size = problem->block_k, end = key + masks->last;
    int64_t first = end, last = end;
    bool any_hidden = false; /* between those that are kept */
    for (int64_t b = (key + masks->first) / size; b * size < end; b++) {
        const enum kept kept = key_block_kept(rows, b * problem->block_map.col);
        if (kept != KEPT_NONE) {
            const int64_t begin = max_i64(b * size, key + masks->first);
            any_hidden = any_hidden || kept == KEPT_SOME || (first < end && last < begin);
            first = min_i64(first, begin);
            last = b * size + min_i64(size, end - b * size);
        }
    }
    if (first == end) {
        return KEPT_NONE;
    }
    masks->first = max_i64((first - key) / 8 * 8, masks->first);
    masks->last = last - key;
    return any_hidden || key + masks->first < first ? KEPT_SOME : KEPT_ALL;
}

/* Hides keys begin … end - 1 of the tile from rows first … last - 1. */
static void hide(const struct softattn_fused_block *block, int64_t first, int64_t last, int64_t begin,
                 int64_t end, struct softattn_tile_layout layout) {
    for (int64_t r = first; r < last; r++) {
        for (int64_t j = begin; j < end; j++) {
            softattn_put_real(block->scratch->addend, r * layout.row + j * layout.key, -(double)INFINITY,
                              block->real_bytes);
        }
    }
}

/* Hides what the map does, of the tile's first `keys` keys. */
static void apply_map(const struct softattn_fused_block *block, const struct map_rows *rows, int64_t key,
                      int64_t keys, struct softattn_tile_layout layout) {
    const int64_t size = block->problem->block_k, col = block->problem->block_map.col;
    for (int64_t b = key / size; b * size < key + keys; b++) {
        const int64_t begin = max_i64(b * size - key, 0);
        const int64_t end = b * size - key + min_i64(size, key + keys - b * size);
        for (int64_t i = 0, first = 0; i < rows->count; first = rows->end[i++]) {
            if (rows->map[i][b * col] == 0) {
                hide(block, first, rows->end[i], begin, end, layout);
            }
        }
    }
}

/* ---- Keep mask ---- */

/* Whether some, and whether all, of `keys` bytes are not zero: eight at a time where they lie side by side. */
static void look_at_bytes(const uint8_t *keep, int64_t stride, int64_t keys, bool *any, bool *all) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    int64_t j = 0;
    for (; stride == 1 && j + 8 <= keys; j += 8) {
        uint64_t eight;
        memcpy(&eight, keep + j, sizeof eight);
        *any = *any || eight != 0;
        /* the lowest zero byte borrows and had no high bit */
        *all = *all && ((eight - ones) & ~eight & high) == 0;
    }
    for (; j < keys; j++) {
        *any = *any || keep[j * stride] != 0;
        *all = *all && keep[j * stride] != 0;
    }
}

static const uint8_t *keep_address(const struct softattn_fused_block *block, int64_t row, int64_t key) {
    const struct softattn_view *keep = &block->problem->keep;
    const char *first =
        softattn_query_address(block, keep, softattn_row_head(block, row), softattn_row_query(block, row), 1);
    return (const uint8_t *)first + (block->sequence.key_base + key) * keep->col;
}

/* Of keys first … last - 1 of the tile at `key`. */
static enum kept kept_by_mask(const struct softattn_fused_block *block, int64_t first_row, int64_t count,
                              int64_t key, int64_t first, int64_t last) {
    const struct softattn_view *keep = &block->problem->keep;
    bool any = false, all = true;
    const uint8_t *before = NULL;
    if (keep->data == NULL) {
        return KEPT_ALL;
    }
    for (int64_t r = 0; r < count && (all || !any); r++) {
        const uint8_t *row = keep_address(block, first_row + r, key + first);
        if (row != before) { /* one row of the mask may serve all queries */
            look_at_bytes(row, keep->col, last - first, &any, &all);
        }
        before = row;
    }
    return all ? KEPT_ALL : any ? KEPT_SOME : KEPT_NONE;
}

/* ---- Bias, keep mask, dropout ---- */

static void pack_addend(const struct softattn_fused_block *block, int64_t first_row, int64_t count,
                        int64_t key, int64_t keys, bool masked, struct softattn_tile_layout layout) {
    const struct softattn_attention_problem *problem = block->problem;
    const int64_t end = first_row + count;
    for (int64_t row = first_row; row < end;) {
        const int64_t run = rows_of_head(block, row, end);
        const int64_t head = softattn_row_head(block, row);
        const int64_t query = softattn_row_query(block, row);
        const char *bias = problem->bias.data;
        const uint8_t *keep = masked ? keep_address(block, row, key) : NULL;
        if (bias != NULL) {
            bias = softattn_query_address(block, &problem->bias, head, query, block->real_bytes) +
                   (block->sequence.key_base + key) * problem->bias.col * block->real_bytes;
        }
        problem->kernels->pack_addend(
            run, keys, bias, problem->bias.row, problem->bias.col, keep, problem->keep.row, problem->keep.col,
            block->scratch->addend + (row - first_row) * layout.row * block->real_bytes, layout.row,
            layout.key);
        row += run;
    }
}

static void pack_drop(const struct softattn_fused_block *block, int64_t first_row, int64_t count, int64_t key,
                      int64_t keys, struct softattn_tile_layout layout) {
    const int64_t end = first_row + count;
    for (int64_t row = first_row; row < end;) {
        const int64_t run = rows_of_head(block, row, end);
        const struct softattn_dropout_part part = {block->sequence_index * block->problem->heads_q +
                                                       softattn_row_head(block, row),
                                                   softattn_row_query(block, row), run, key, keys};
        softattn_dropout_keep(&block->dropout, block->problem->kernels, &part,
                              block->scratch->drop + (row - first_row) * layout.row * block->real_bytes,
                              layout.row, layout.key);
        row += run;
    }
}

/* Lanes or rows that stand for none copy the last row's values, so that they bring no surprises. */
static void pad_rows(char *array, int64_t count, int64_t padded, int64_t keys,
                     struct softattn_tile_layout layout, int64_t real_bytes) {
    for (int64_t r = count; r < padded; r++) {
        for (int64_t j = 0; j < keys; j++) {
            memcpy(array + (r * layout.row + j * layout.key) * real_bytes,
                   array + ((count - 1) * layout.row + j * layout.key) * real_bytes, (size_t)real_bytes);
        }
    }
}

/* ---- Intervals and positions ---- */

/* The keys that each row sees, counted from the tile's first. */
static void put_interval(const struct softattn_fused_block *block, int64_t first_row, int64_t count,
                         int64_t padded, int64_t key) {
    const struct softattn_interval *visible = block->scratch->visible + (first_row - block->first_row);
    const struct softattn_tile_layout layout = {1, 0};
    const int64_t bytes = block->real_bytes;
    for (int64_t r = 0; r < count; r++) {
        const double low = (double)clamp_i64(visible[r].low - key, 0, SOFTATTN_KEY_TILE);
        const double high = (double)clamp_i64(visible[r].high - key, 0, SOFTATTN_KEY_TILE);
        softattn_put_real(block->scratch->low, r, low, bytes);
        softattn_put_real(block->scratch->high, r, high, bytes);
    }
    pad_rows(block->scratch->low, count, padded, 1, layout, bytes);
    pad_rows(block->scratch->high, count, padded, 1, layout, bytes);
}

static void put_positions(const struct softattn_fused_block *block, int64_t first_row, int64_t count,
                          int64_t padded, int64_t key) {
    for (int64_t r = 0; r < padded; r++) {
        const int64_t row = first_row + (r < count ? r : count - 1);
        const int64_t position = softattn_row_query(block, row) + block->sequence.offset - key;
        softattn_put_real(block->scratch->position, r, (double)position, block->real_bytes);
    }
}

void softattn_tile_slopes(struct softattn_fused_block *block, int64_t first_row, int64_t count,
                          int64_t padded) {
    const struct softattn_view *alibi = &block->problem->alibi;
    for (int64_t r = 0; r < padded; r++) {
        const int64_t head = softattn_row_head(block, first_row + (r < count ? r : count - 1));
        const int64_t index = block->sequence_index * alibi->batch + head * alibi->head;
        const double slope = softattn_get_real(alibi->data, index, block->real_bytes);
        softattn_put_real(block->scratch->slope, r, slope * SOFTATTN_LOG2_E, block->real_bytes);
    }
}

struct softattn_tile_masks softattn_tile_masks_make(struct softattn_fused_block *block,
                                                    const struct softattn_hull *hull, int64_t first_row,
                                                    int64_t count, int64_t padded, int64_t key,
                                                    struct softattn_tile_layout layout) {
    const struct softattn_attention_problem *problem = block->problem;
    struct softattn_tile_masks masks = {.skip = true};
    /* whole groups of eight keys, so that the partial sums keep their keys */
    masks.first = clamp_i64(hull->low - key, 0, SOFTATTN_KEY_TILE) / 8 * 8;
    masks.last = clamp_i64(hull->high - key, 0, SOFTATTN_KEY_TILE);
    if (masks.first >= masks.last) {
        return masks;
    }
    enum kept map = KEPT_ALL;
    struct map_rows map_rows;
    map_rows.count = 0;
    if (problem->block_map.data != NULL) {
        find_map_rows(block, first_row, count, &map_rows);
        map = kept_by_map(problem, &map_rows, key, &masks);
    }
    if (map == KEPT_NONE) {
        return masks;
    }
    const enum kept mask = kept_by_mask(block, first_row, count, key, masks.first, masks.last);
    if (mask == KEPT_NONE) {
        return masks;
    }
    masks.skip = false;
    masks.masked = hull->highest_low > key + masks.first || hull->lowest_high < key + masks.last;
    if (masks.masked) {
        put_interval(block, first_row, count, padded, key);
    }
    if (problem->alibi.data != NULL) {
        put_positions(block, first_row, count, padded, key);
    }
    if (problem->bias.data != NULL || mask == KEPT_SOME || map == KEPT_SOME) {
        pack_addend(block, first_row, count, key, masks.last, mask == KEPT_SOME, layout);
        if (map == KEPT_SOME) {
            apply_map(block, &map_rows, key, masks.last, layout);
        }
        pad_rows(block->scratch->addend, count, padded, masks.last, layout, block->real_bytes);
        masks.addend = block->scratch->addend;
    }
    if (problem->dropout > 0) {
        pack_drop(block, first_row, count, key, masks.last, layout);
        pad_rows(block->scratch->drop, count, padded, masks.last, layout, block->real_bytes);
        masks.drop = block->scratch->drop;
    }
    return masks;
}
