/* Agreement of named sizes, and strides by axis. */
#include "api/fit.h"

#include <inttypes.h>
#include <stddef.h>

#include "api/status.h"
#include "softattn/softattn.h"

enum { COLUMN = 3 };

static int32_t layout_rank(const struct softattn_layout *layout) {
    int32_t rank = 0;
    for (int32_t axis = 0; axis < SOFTATTN_VIEW_AXES; axis++) {
        rank += layout->axes[axis] != SOFTATTN_NO_SIZE;
    }
    return rank;
}

static int32_t check_rank(const struct softattn_layout *layout, const struct softattn_array *array) {
    const int32_t most = layout_rank(layout);
    const int32_t least = layout->broadcasts ? 0 : most > 2 ? most - 2 : most;
    if (array->rank < least || array->rank > most) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: rank %d is outside %d ... %d", array->name,
                             (int)array->rank, (int)least, (int)most);
    }
    return SOFTATTN_OK;
}

static int32_t check_size(const struct softattn_layout *layout, const char *name, int32_t which, int64_t size,
                          struct softattn_sizes *sizes) {
    if (sizes->owner[which] == NULL) {
        sizes->owner[which] = name;
        sizes->value[which] = size;
    }
    if (size == sizes->value[which] || (layout->broadcasts && size == 1)) {
        return SOFTATTN_OK;
    }
    return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: %s is %" PRId64 ", but %s has %" PRId64 "%s", name,
                         sizes->names[which], size, sizes->owner[which], sizes->value[which],
                         layout->broadcasts ? " (1 would broadcast)" : "");
}

int32_t softattn_fit_view(const struct softattn_array *array, const struct softattn_layout *layout,
                          struct softattn_sizes *sizes, struct softattn_view *view) {
    int64_t stride[SOFTATTN_VIEW_AXES] = {0};
    int32_t status = check_rank(layout, array);
    int32_t dimension = array->rank - layout_rank(layout); /* negative: left out */
    for (int32_t axis = 0; axis < SOFTATTN_VIEW_AXES && status == SOFTATTN_OK; axis++) {
        if (layout->axes[axis] == SOFTATTN_NO_SIZE) {
            continue;
        }
        const int64_t size = dimension >= 0 ? array->shape[dimension] : 1;
        if (dimension >= 0) {
            /* Columns of one element are contiguous, which engines ask for. */
            const bool single = size == 1 && axis == COLUMN && !layout->broadcasts;
            stride[axis] = single ? 1 : array->stride[dimension];
        }
        status = check_size(layout, array->name, layout->axes[axis], size, sizes);
        dimension++;
    }
    *view = (struct softattn_view){array->data, stride[0], stride[1], stride[2], stride[3]};
    return status;
}

int32_t softattn_check_heads(int64_t heads_q, int64_t heads_kv) {
    const bool divides = heads_kv == 0 ? heads_q == 0 : heads_q % heads_kv == 0;
    if (!divides) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "k: heads_kv %" PRId64 " does not divide heads_q %" PRId64,
                             heads_kv, heads_q);
    }
    return SOFTATTN_OK;
}
