/*
 * Bias and keep mask of a tile as one array of addends (pack_addend in kernels.h), in vectors for the layouts that callers
 * have: bias and mask along the keys, or the same for all queries.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ADDEND_H
#define SOFTATTN_KERNELS_TEMPLATE_ADDEND_H

#include "kernels/kernels.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/transpose.h"

/* Where the addends go: one of the strides is 1. */
struct addends {
    real *to;
    int64_t rows, keys, row, key;
};

ALWAYS_INLINE real *addend_at(const struct addends *a, int64_t r, int64_t j) {
    return a->to + r * a->row + j * a->key;
}

/* The bias as it is, b[r * b_row + j * b_key]. */
static void addends_gather(const struct addends *a, const real *b, int64_t b_row, int64_t b_key) {
    if (a->row == 1 && b_row == 0) {
        for (int64_t j = 0; j < a->keys; j++) {
            row_fill(addend_at(a, 0, j), a->rows, b[j * b_key]);
        }
        return;
    }
    if (a->row == 1 && b_key == 1) {
        transpose(a->rows, a->keys, 1, b, b_row, a->to, a->key);
        return;
    }
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t j = 0; j < a->keys; j++) {
            *addend_at(a, r, j) = b[r * b_row + j * b_key];
        }
    }
}

/* Times log2(e); what is finite stays so, for only -infinity masks. */
ALWAYS_INLINE vec scaled_bias(vec b) {
    const vec scaled = v_max(v_set(-REAL_LARGEST), v_mul(b, v_set(LOG2_E)));
    return v_select(v_equal(b, v_set(-REAL_INFINITY)), b, scaled);
}

static void addends_scale(real *to, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        v_store(to + i, scaled_bias(v_load(to + i)));
    }
    if (i < count) {
        v_store_part(to + i, scaled_bias(v_load_part(to + i, count - i, 0)), count - i);
    }
}

static void addends_mask(const struct addends *a, const uint8_t *keep, int64_t keep_row, int64_t keep_key) {
    if (a->row == 1 && keep_row == 0) {
        for (int64_t j = 0; j < a->keys; j++) {
            if (!keep[j * keep_key]) {
                row_fill(addend_at(a, 0, j), a->rows, -REAL_INFINITY);
            }
        }
        return;
    }
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t j = 0; j < a->keys; j++) {
            if (!keep[r * keep_row + j * keep_key]) {
                *addend_at(a, r, j) = -REAL_INFINITY;
            }
        }
    }
}

static void pack_addend(int64_t rows, int64_t keys, const void *bias, int64_t bias_row, int64_t bias_col,
                        const uint8_t *keep, int64_t keep_row, int64_t keep_col, void *to, int64_t to_row,
                        int64_t to_col) {
    const struct addends addends = {to, rows, keys, to_row, to_col};
    const int64_t lines = to_row == 1 ? keys : rows, length = to_row == 1 ? rows : keys;
    if (bias) {
        addends_gather(&addends, bias, bias_row, bias_col);
    }
    for (int64_t i = 0; i < lines; i++) {
        real *line = (real *)to + i * (to_row == 1 ? to_col : to_row);
        if (bias) {
            addends_scale(line, length);
        } else {
            row_fill(line, length, 0);
        }
    }
    if (keep) {
        addends_mask(&addends, keep, keep_row, keep_col);
    }
}

#endif
