/*
 * Attention of a few query rows in heads whose keys lie side by side: decode.h for all of them, a few keys of each in turn, so that
 * memory is read in the order in which it lies.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_DECODE_HEADS_H
#define SOFTATTN_KERNELS_TEMPLATE_DECODE_HEADS_H

#include "kernels/kernels.h"
#include "kernels/template/asking.h"
#include "kernels/template/decode.h"

#if DECODE_HEADS > 1

/* Keys of one head between which those of the others are read: more lie in more places of memory than a CPU reads ahead in. */
#define KEYS_PER_TURN (LANES < 8 ? 8 : LANES)

/* The part of a turn's keys that a tile describes: from *first up to the key returned. */
ALWAYS_INLINE int64_t keys_of_turn(const struct softattn_decode_tile *tile, int64_t turn, int64_t *first) {
    const int64_t last = turn + KEYS_PER_TURN;
    *first = tile->first > turn ? tile->first : turn;
    return tile->last < last ? tile->last : last;
}

DEFINE_KEY_SCORES(two_rows_of_few_keys, 2, 1)
#if DECODE_KEY_VECTORS == 1
#define four_rows_of_few_keys four_rows
#else
DEFINE_KEY_SCORES(four_rows_of_few_keys, 4, 1)
#endif

DEFINE_SCORES(score_vector, one_row_of_few_keys, two_rows_of_few_keys, four_rows_of_few_keys, 1, 1)

static void score_turn(const struct softattn_decode_tile *tile, int64_t turn) {
    int64_t first;
    const int64_t last = keys_of_turn(tile, turn, &first);
    for (; first + LANES <= last; first += LANES) {
        score_vector(tile, first, 0, 0);
    }
    if (first < last) {
        score_last_keys(tile, first, last);
    }
}

/* The sums of a head's values. */
struct head_sums {
    VECTOR_ALIGNED real alpha[SOFTATTN_MAX_DECODE_ROWS];
    real *factors; /* of what is there; NULL: nothing is */
    int pass_over; /* keys one by one */
};

/*
 * What the heads read after a turn: rows of all of them, side by side. From memory they are asked for in the order in which they
 * lie, a share beside each head: 0.6 to 0.95 of the time (Zen 4). The first-level cache would not hold them all; that of Zen 5 is
 * asked all the same, 0.9 of the time of asking the second.
 */
struct turn_ask {
    struct two_places places;
    int64_t share; /* lines of each half */
};

/* After a turn of keys or, if of_values says so, of values: the next one or, after the last, the first one of the other kind. */
static struct turn_ask ask_after_turn(const struct softattn_decode_tile *const *tiles, int64_t count,
                                      int64_t turn, int of_values) {
    const struct softattn_decode_tile *tile = tiles[0], *other = tiles[count - 1];
    int64_t next = turn + KEYS_PER_TURN, end = tile->last;
    if (next >= end) {
        next = of_values ? tile->last : tile->first;
        end = of_values ? tile->last + tile->prefetch_keys : tile->last;
        of_values = !of_values;
    }
    const real *first = of_values ? tile->v : tile->k, *last = of_values ? other->v : other->k;
    const int64_t stride = of_values ? tile->v_stride : tile->k_stride;
    const int64_t columns = of_values ? tile->dim_v : tile->dim_qk;
    const int64_t width = (int64_t)((uintptr_t)last - (uintptr_t)first) / REAL_BYTES + columns;
    const int64_t keys = end - next < KEYS_PER_TURN ? end - next : KEYS_PER_TURN;
    const int is_wanted = turn < tile->last && next + KEYS_PER_TURN > tile->first;
    const int asks = ASKING(tile->asking) != SOFTATTN_ASKING_ALIKE && !IS_SMALL && tile->from_memory &&
                     is_wanted && width == count * columns;
    struct turn_ask ask = {two_places_of(first + next * stride, stride, asks ? keys : 0, width, tile->asking),
                           0};
    ask.share = (ask.places.lines + count - 1) / count;
    return ask;
}

static void score_heads(const struct softattn_decode_tile *const *tiles, int64_t count) {
    for (int64_t turn = 0; turn < SOFTATTN_KEY_TILE; turn += KEYS_PER_TURN) {
        struct turn_ask ask = ask_after_turn(tiles, count, turn, 0);
        for (int64_t h = 0; h < count; h++) {
            ask_for_share(&ask.places, ask.share);
            score_turn(tiles[h], turn);
        }
    }
}

/* Scores of each head to weights, and how its values are summed. */
static void weigh_heads(const struct softattn_decode_tile *const *tiles, int64_t count,
                        struct head_sums *sums) {
    for (int64_t h = 0; h < count; h++) {
        sums[h].pass_over = 0;
    }
    for (int64_t turn = 0; turn < SOFTATTN_KEY_TILE; turn += KEYS_PER_TURN) {
        for (int64_t h = 0; h < count; h++) {
            int64_t first;
            const int64_t last = keys_of_turn(tiles[h], turn, &first);
            sums[h].pass_over |= first < last && passes_over(tiles[h], first, last);
        }
    }
    for (int64_t h = 0; h < count; h++) {
        decode_weights(tiles[h], sums[h].alpha);
        sums[h].factors = tiles[h]->fresh ? 0 : sums[h].alpha;
        if (sums[h].pass_over) {
            decode_values_masked(tiles[h], sums[h].alpha);
        }
    }
}

/* The values of a turn; in two halves where lines are asked for, so that fewer are at once. */
static void sum_turn(const struct softattn_decode_tile *tile, int64_t turn, struct turn_ask *ask,
                     struct head_sums *sums) {
    int64_t first;
    const int64_t last = keys_of_turn(tile, turn, &first);
    const int64_t keys = ask->share > 0 ? KEYS_PER_TURN / 2 : KEYS_PER_TURN;
    for (; first < last && !sums->pass_over; first += keys) {
        ask_for_share(&ask->places, (ask->share + 1) / 2);
        sum_values(tile, first, first + keys < last ? first + keys : last, sums->factors, 0);
        sums->factors = no_factors(tile, sums->alpha);
    }
}

static void decode_heads(const struct softattn_decode_tile *const *tiles, int64_t count) {
    struct head_sums sums[SOFTATTN_MAX_DECODE_HEADS];
    score_heads(tiles, count);
    weigh_heads(tiles, count, sums);
    for (int64_t turn = 0; turn < SOFTATTN_KEY_TILE; turn += KEYS_PER_TURN) {
        struct turn_ask ask = ask_after_turn(tiles, count, turn, 1);
        for (int64_t h = 0; h < count; h++) {
            sum_turn(tiles[h], turn, &ask, &sums[h]);
        }
    }
}

#endif

#endif
