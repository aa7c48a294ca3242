/* Asking for rows of memory that come next, a few lines at a time beside other work: many at once would hold up what is needed
 * now. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ASKING_H
#define SOFTATTN_KERNELS_TEMPLATE_ASKING_H

#include "kernels/kernels.h"
#include "kernels/template/stream.h"

/* A place in rows of memory. */
struct row_column {
    const real *row;
    int64_t stride, column, columns;
};

/* The line at a place, which moves by `step` columns of its row or to the next row. */
ALWAYS_INLINE const real *pass_line(struct row_column *place, int64_t step) {
    const real *line = place->row + place->column;
    place->column += step;
    if (place->column >= place->columns) {
        place->column = 0;
        place->row += place->stride;
    }
    return line;
}

ALWAYS_INLINE void ask_for_line(struct row_column *place, int64_t step) {
    V_PREFETCH(pass_line(place, step));
}

/*
 * Rows asked for in two places, half of them apart: Zen 3 reads 1.6 times as fast in four places as in one. Into the second-level
 * cache, as on Zen 4 what is asked for so far ahead would take places among the first-level cache's misses; on Zen 5 into the
 * first: 0.9 of the time.
 */
struct two_places {
    struct row_column first;
    int64_t apart; /* elements from the first to the second */
    int64_t lines; /* left of each half */
    int is_near;   /* into the first-level cache */
};

NEVER_INLINE struct two_places two_places_of(const real *rows, int64_t stride, int64_t count, int64_t columns,
                                             enum softattn_asking asking) {
    const int64_t half = (count + 1) / 2;
    struct two_places places = {{rows, stride, 0, columns},
                                half * stride,
                                half * ((columns + LINE - 1) / LINE),
                                ASKING(asking) == SOFTATTN_ASKING_ONCE};
    if (stride == columns) { /* rows without gaps are one */
        places.first.columns = INT64_MAX;
        places.lines = (half * columns + LINE - 1) / LINE;
    }
    return places;
}

/* Asks for a line in each place, if any is left. */
ALWAYS_INLINE void ask_in_two_places(struct two_places *places) {
    if (places->lines > 0) {
        const real *line = pass_line(&places->first, LINE);
        if (places->is_near) {
            V_PREFETCH(line);
            V_PREFETCH(line + places->apart);
        } else {
            V_PREFETCH_FAR(line);
            V_PREFETCH_FAR(line + places->apart);
        }
        places->lines--;
    }
}

/* Asks for so many lines in each place. Inlined it is faster, and more of what is asked for is dropped: 1.05 to 1.15 of the
 * time where heads take turns (Zen 4). */
NEVER_INLINE void ask_for_share(struct two_places *places, int64_t lines) {
    ROLLED for (; lines > 0; lines--) { ask_in_two_places(places); }
}

/*
 * What a tile asks for, a share of it with every KEYS_PER_SHARE keys of a vector that become weights: the products need the
 * caches more.
 */
enum { KEYS_PER_SHARE = 16 };

struct asking {
    const struct softattn_ask *ask, *end;
    struct row_column place;
    int64_t lines, share; /* lines left of this one; of all, per share */
    int is_far;           /* into the second-level cache */
};

ALWAYS_INLINE int64_t lines_of(const struct softattn_ask *ask) {
    return ask->count * ((ask->columns + LINE - 1) / LINE);
}

ALWAYS_INLINE void begin_ask(struct asking *asking) {
    if (asking->ask < asking->end) {
        const struct softattn_ask *ask = asking->ask;
        asking->place = (struct row_column){ask->rows, ask->stride, 0, ask->columns};
        asking->lines = lines_of(ask);
    }
}

ALWAYS_INLINE struct asking begin_asking(const struct softattn_tile *tile) {
    struct asking asking = {.ask = tile->ask, .end = tile->ask + tile->asks, .is_far = tile->asks_far};
    int64_t all = 0;
    for (int64_t i = 0; i < tile->asks; i++) {
        all += lines_of(&tile->ask[i]);
    }
    if (all > 0) {
        const int64_t shares = tile->vectors * (SOFTATTN_KEY_TILE / KEYS_PER_SHARE);
        asking.share = (all + shares - 1) / shares;
        begin_ask(&asking);
    }
    return asking;
}

ALWAYS_INLINE void ask_for_lines(struct asking *asking, int64_t lines) {
    for (int64_t i = 0; i < lines && asking->ask < asking->end; i++) {
        const real *line = pass_line(&asking->place, LINE);
        if (asking->is_far) {
            V_PREFETCH_FAR(line);
        } else {
            V_PREFETCH(line);
        }
        if (--asking->lines == 0) {
            asking->ask++;
            begin_ask(asking);
        }
    }
}

#endif
