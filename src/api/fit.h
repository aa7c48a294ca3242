/* Fits arrays to sizes that they must agree on, and lays them over the engines' four axes. */
#ifndef SOFTATTN_API_FIT_H
#define SOFTATTN_API_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/array.h"
#include "engine/attention.h"

enum { SOFTATTN_VIEW_AXES = 4, SOFTATTN_MAX_SIZES = 12, SOFTATTN_NO_SIZE = -1 };

/* Sizes by number. The first array that has a size decides it, the others must agree. */
struct softattn_sizes {
    const char *const *names;
    int64_t value[SOFTATTN_MAX_SIZES];
    const char *owner[SOFTATTN_MAX_SIZES]; /* name of the array that decided it; NULL: undecided */
};

/* The number of the size along each axis of a view (batch, head, row, column), or SOFTATTN_NO_SIZE where the
 * array has no such dimension. Broadcasting arrays may have sizes of 1 and leave out leading dimensions;
 * others may leave out the first two of more than two. */
struct softattn_layout {
    bool broadcasts;
    int32_t axes[SOFTATTN_VIEW_AXES];
};

int32_t softattn_fit_view(const struct softattn_array *array, const struct softattn_layout *layout,
                          struct softattn_sizes *sizes, struct softattn_view *view);

/* Fails unless query heads can share the key/value heads evenly. */
int32_t softattn_check_heads(int64_t heads_q, int64_t heads_kv);

#endif
