/*
 * Parts of a tile: queries that follow each other mostly see intervals of keys that do so too, and then the vectors of a
 * register block need different keys at the ends. A vector's scores of keys that none of its queries sees are left out.
 */
#include <stdbool.h>

#include "engine/fused_block.h"

#include "engine/integers.h"

/* Keys of the tile, in whole groups of eight except at its end. */
struct range {
    int64_t first, last;
};

/* The keys that some row of a vector sees; none: nothing, at the tile's beginning or end. */
static struct range seen_by(const struct softattn_hull *hull, const struct softattn_tile_masks *masks,
                            int64_t key) {
    struct range range;
    range.first = clamp_i64(hull->low - key, masks->first, masks->last) / 8 * 8;
    range.last = (clamp_i64(hull->high - key, masks->first, masks->last) + 7) / 8 * 8;
    range.last = clamp_i64(range.last, range.first, masks->last);
    return range;
}

/* The keys that every row sees, in whole groups of eight; none: nothing. */
static struct range clear_to(const struct softattn_hull *hull, const struct softattn_tile_masks *masks,
                             int64_t key) {
    struct range range;
    range.first = (clamp_i64(hull->highest_low - key, masks->first, masks->last) + 7) / 8 * 8;
    range.last = clamp_i64(hull->lowest_high - key, masks->first, masks->last) / 8 * 8;
    return range.first < range.last ? range : (struct range){masks->first, masks->first};
}

/* Whether the ranges of the vectors begin and end in order, so that those that hold a key are neighbours. */
static bool in_order(const struct range *range, int64_t vectors) {
    for (int64_t v = 1; v < vectors; v++) {
        if (range[v].first < range[v - 1].first || range[v].last < range[v - 1].last) {
            return false;
        }
    }
    return true;
}

/* The least of the ranges' ends, and of `last`, that comes after `first`. */
static int64_t next_border(const struct range *range, int64_t ranges, int64_t first, int64_t last) {
    int64_t next = last;
    for (int64_t i = 0; i < ranges; i++) {
        next = range[i].first > first ? min_i64(range[i].first, next) : next;
        next = range[i].last > first ? min_i64(range[i].last, next) : next;
    }
    return next;
}

static bool sees_all(const struct softattn_hull *hull, int64_t first, int64_t last) {
    return hull->highest_low <= first && hull->lowest_high >= last;
}

/* The vectors that see some of the part's keys, and whether they see all of them. */
static void fill_part(struct softattn_tile_part *part, const struct range *range,
                      const struct softattn_hull *hulls, int64_t vectors, int64_t key) {
    part->vectors = 0;
    part->clear = 1;
    for (int64_t v = 0; v < vectors; v++) {
        if (range[v].first <= part->first && part->first < range[v].last) {
            part->vector = part->vectors == 0 ? v : part->vector;
            part->vectors++;
            part->clear = part->clear && sees_all(&hulls[v], key + part->first, key + part->last);
        }
    }
}

/* There is at least one part: ranges in order leave no key between them, as queries that follow each other see neighbouring keys, and
 * others are made to hold all of them. */
void softattn_tile_parts_make(const struct softattn_fused_block *block, int64_t sub,
                              const struct softattn_tile_masks *masks, int64_t key,
                              struct softattn_tile *tile) {
    const struct softattn_hull *hulls = &block->vector_hull[block->sub_row[sub] / block->lanes];
    const int64_t vectors = (block->sub_row[sub + 1] - block->sub_row[sub]) / block->lanes;
    struct range range[SOFTATTN_MAX_TILE_VECTORS + 1]; /* of each vector, and what is clear to all */
    tile->parts = 0;
    if (!masks->masked) {
        tile->part[tile->parts++] =
            (struct softattn_tile_part){masks->first, masks->last, 0, vectors, .clear = 1};
        return;
    }
    for (int64_t v = 0; v < vectors; v++) {
        range[v] = seen_by(&hulls[v], masks, key);
    }
    if (!in_order(range, vectors)) {
        for (int64_t v = 0; v < vectors; v++) {
            range[v] = (struct range){masks->first, masks->last};
        }
    }
    range[vectors] = clear_to(&block->hull[sub], masks, key);
    for (int64_t first = masks->first; first < masks->last;) {
        struct softattn_tile_part *part = &tile->part[tile->parts];
        part->first = first;
        part->last = first = next_border(range, vectors + 1, first, masks->last);
        fill_part(part, range, hulls, vectors, key);
        tile->parts += part->vectors > 0;
    }
}
