/*
 * What linear attention needs beside the product: its feature map, a sum of matrices, and the division by the row's
 * denominator. docs/semantics.md has the formulas.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_LINEAR_ATTENTION_H
#define SOFTATTN_KERNELS_TEMPLATE_LINEAR_ATTENTION_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/exp2.h"

static void elu_plus_one(int64_t n, void *values) {
    for (int64_t i = 0; i < n; i += LANES) {
        real *at = (real *)values + i;
        const vec x = load_columns(at, n - i, 0);
        const mask positive = v_less(v_zero(), x);
        const vec exponential = v_exp2(v_mul(v_unless(positive, x), v_set(LOG2_E)));
        store_columns(at, v_select(positive, v_add(x, v_set(1)), exponential), n - i);
    }
}

static void add_rows(int64_t rows, int64_t cols, int64_t stride, const void *from, void *to) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c += LANES) {
            real *at = (real *)to + r * stride + c;
            const vec addend = load_columns((const real *)from + r * stride + c, cols - c, 0);
            store_columns(at, v_add(load_columns(at, cols - c, 0), addend), cols - c);
        }
    }
}

static void divide_rows(int64_t rows, int64_t cols, int64_t stride, int32_t normalizes, void *values) {
    for (int64_t r = 0; r < rows; r++) {
        real *row = (real *)values + r * stride;
        const vec divisor = v_set(normalizes ? row[cols] : 1);
        const mask empty = v_equal(divisor, v_zero());
        for (int64_t c = 0; c < cols; c += LANES) {
            /* a division by 1 in place of 0 raises no flag; adding 0 makes every zero +0 */
            const vec quotient =
                v_div(load_columns(row + c, cols - c, 0), v_select(empty, v_set(1), divisor));
            store_columns(row + c, v_unless(empty, v_add(quotient, v_zero())), cols - c);
        }
    }
}

#endif
