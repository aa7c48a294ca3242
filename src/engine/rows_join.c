#include "engine/rows_join.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether going from the last row along dimension d to the first after it is one more step of dimension d. */
static bool is_even(const struct softattn_rows *rows, int32_t outer, int32_t d,
                    struct softattn_row_operand *const *operands, int32_t count) {
    const int64_t size = rows->shape[d];
    for (int32_t i = 0; i < count; i++) {
        const int64_t *stride = operands[i]->stride;
        /* divided, as the product may be out of range */
        if (operands[i]->data != NULL && (stride[outer] % size != 0 || stride[outer] / size != stride[d])) {
            return false;
        }
    }
    return true;
}

static void move_dimension(struct softattn_rows *rows, int32_t from, int32_t to, int64_t size,
                           struct softattn_row_operand *const *operands, int32_t count) {
    rows->shape[to] = size;
    for (int32_t i = 0; i < count; i++) {
        operands[i]->stride[to] = operands[i]->stride[from];
    }
}

void softattn_rows_join(struct softattn_rows *rows, int32_t kept,
                        struct softattn_row_operand *const *operands, int32_t count) {
    const int32_t before = rows->rank;
    if (before < 2 || softattn_rows_count(rows) == 0) {
        return;
    }
    rows->rank = 0;
    for (int32_t d = 0; d < before; d++) {
        const bool is_kept = d >= before - kept;
        const int64_t size = rows->shape[d];
        const int32_t outer = rows->rank - 1;
        if (!is_kept && size == 1) {
            continue;
        }
        if (!is_kept && outer >= 0 && is_even(rows, outer, d, operands, count)) {
            move_dimension(rows, d, outer, rows->shape[outer] * size, operands, count);
        } else {
            move_dimension(rows, d, rows->rank, size, operands, count);
            rows->rank++;
        }
    }
}
