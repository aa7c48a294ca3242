/* Shape agreement, exact and by broadcasting. */
#include "api/broadcast.h"

#include <string.h>

#include "api/status.h"

static int32_t fail_shape(const struct softattn_array *array, int32_t rank, const int64_t *shape,
                          const char *verb, const char *of) {
    return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: shape %s %s %s of %s", array->name,
                         softattn_shape_text(array->rank, array->shape).text, verb,
                         softattn_shape_text(rank, shape).text, of);
}

int32_t softattn_require_shape(const struct softattn_array *array, int32_t rank, const int64_t *shape,
                               const char *of) {
    if (array->rank != rank || memcmp(array->shape, shape, (size_t)rank * sizeof shape[0]) != 0) {
        return fail_shape(array, rank, shape, "is not", of);
    }
    return SOFTATTN_OK;
}

int32_t softattn_broadcast(const struct softattn_array *array, int32_t rank, const int64_t *shape,
                           const char *of, int64_t *stride) {
    const int32_t missing = rank - array->rank;
    if (missing < 0) {
        return fail_shape(array, rank, shape, "does not broadcast to", of);
    }
    for (int32_t i = 0; i < rank; i++) {
        const int32_t own = i - missing;
        if (own >= 0 && array->shape[own] != 1 && array->shape[own] != shape[i]) {
            return fail_shape(array, rank, shape, "does not broadcast to", of);
        }
        stride[i] = own >= 0 ? array->stride[own] : 0; /* already 0 along sizes of 1 */
    }
    return SOFTATTN_OK;
}
