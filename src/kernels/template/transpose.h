/* Rows into lanes and back: transposes with a factor, by blocks of LANES x LANES and single elements at the edges. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_TRANSPOSE_H
#define SOFTATTN_KERNELS_TEMPLATE_TRANSPOSE_H

#include "kernels/kernels.h"
#include "kernels/template/merge.h"

/* The square through which lanes become rows. */
#define STORE_ROWS 16
#define STORE_DIMS 64

static void transpose_elements(int64_t rows, int64_t cols, real factor, const real *from, int64_t from_stride, real *to,
                               int64_t to_stride) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            to[c * to_stride + r] = factor * from[r * from_stride + c];
        }
    }
}

static void transpose(int64_t rows, int64_t cols, double factor, const void *from, int64_t from_stride, void *to,
                      int64_t to_stride) {
    const real *source = from;
    real *target = to;
    int64_t r = 0;
#ifdef V_HAS_TRANSPOSE
    for (; r + LANES <= rows; r += LANES) {
        int64_t c = 0;
        for (; c + LANES <= cols; c += LANES) {
            v_transpose(source + r * from_stride + c, from_stride, target + c * to_stride + r, to_stride, (real)factor);
        }
        transpose_elements(LANES, cols - c, (real)factor, source + r * from_stride + c, from_stride,
                           target + c * to_stride + r, to_stride);
    }
#endif
    transpose_elements(rows - r, cols, (real)factor, source + r * from_stride, from_stride, target + r, to_stride);
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

/* to[r][c] = fma(from[c][r], factor[r], 0): LANES columns of `from` at a time become rows in a small square. */
static void store_lanes(int64_t rows, int64_t dim, int64_t block, const void *from, const void *factor, void *to,
                        int64_t to_stride) {
    real square[STORE_ROWS * STORE_DIMS];
    for (int64_t r = 0; r < rows; r += STORE_ROWS) {
        const int64_t high = rows - r < STORE_ROWS ? rows - r : STORE_ROWS;
        for (int64_t d = 0; d < dim; d += STORE_DIMS) {
            const int64_t wide = dim - d < STORE_DIMS ? dim - d : STORE_DIMS;
            transpose(wide, high, 1, (const real *)from + d * block + r, block, square, STORE_DIMS);
            store_rows(high, wide, square, STORE_DIMS, (const real *)factor + r, (real *)to + r * to_stride + d,
                       to_stride);
        }
    }
}

#endif
