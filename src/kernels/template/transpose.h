/* Rows into lanes and back: transposes with a factor, by blocks of LANES rows, and single elements of what is less than one. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_TRANSPOSE_H
#define SOFTATTN_KERNELS_TEMPLATE_TRANSPOSE_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/merge.h"

static void transpose_elements(int64_t rows, int64_t cols, real factor, const real *from, int64_t from_stride,
                               real *to, int64_t to_stride) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            to[c * to_stride + r] = factor * from[r * from_stride + c];
        }
    }
}

/* Where the block at i is that ends at `end` at the latest: what does not fill a block of its own is turned twice. */
ALWAYS_INLINE int64_t block_within(int64_t i, int64_t block, int64_t end) {
    return i + block <= end ? i : end - block;
}

/* LANES rows. */
ALWAYS_INLINE void transpose_lanes(int64_t cols, real factor, const real *from, int64_t from_stride, real *to,
                                   int64_t to_stride) {
    if (cols < TRANSPOSE_COLUMNS) {
        transpose_elements(LANES, cols, factor, from, from_stride, to, to_stride);
        return;
    }
    for (int64_t c = 0; c < cols; c += TRANSPOSE_COLUMNS) {
        const int64_t at = block_within(c, TRANSPOSE_COLUMNS, cols);
        v_transpose_columns(from + at, from_stride, to + at * to_stride, to_stride, factor);
    }
}

/* Of short rows it takes most of the time, and where it begins no line 1.36 times as long (Zen 4, gcc 12). */
BEGINS_A_LINE NEVER_INLINE void transpose(int64_t rows, int64_t cols, double factor, const void *from,
                                          int64_t from_stride, void *to, int64_t to_stride) {
    const real *source = from;
    real *target = to;
    if (rows < LANES) {
        transpose_elements(rows, cols, (real)factor, source, from_stride, target, to_stride);
        return;
    }
    for (int64_t r = 0; r < rows; r += LANES) {
        const int64_t at = block_within(r, LANES, rows);
        transpose_lanes(cols, (real)factor, source + at * from_stride, from_stride, target + at, to_stride);
    }
}

/* At most LANES rows as columns, the missing ones as zeros. */
static void transpose_padded(int64_t rows, int64_t cols, const real *from, int64_t from_stride, real *to,
                             int64_t to_stride) {
    transpose(rows, cols, 1, from, from_stride, to, to_stride);
    for (int64_t c = 0; c < cols && rows < LANES; c++) {
        for (int64_t r = rows; r < LANES; r++) {
            to[c * to_stride + r] = 0;
        }
    }
}

/* Scaled where they are, then turned straight into the output. */
static void store_lanes(int64_t rows, int64_t dim, int64_t block, void *from, const void *factor, void *to,
                        int64_t to_stride) {
    for (int64_t r = 0; r < rows; r += LANES) {
        const vec f = load_columns((const real *)factor + r, rows - r, 0);
        for (int64_t d = 0; d < dim; d++) {
            real *at = (real *)from + d * block + r;
            store_columns(at, scaled(load_columns(at, rows - r, 0), f), rows - r);
        }
    }
    transpose(dim, rows, 1, from, block, to, to_stride);
}

#endif
