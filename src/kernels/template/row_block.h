/*
 * Blocks of rows in the lanes, where nothing is summed across lanes: of rows that lie side by side, the elements of a column being
 * neighbours, and of reals in rows so short that turning them into lanes costs less than summing each by itself. What is read is
 * copied first: columns may be so far apart, and by such powers of two, that the caches do not keep them from one sweep to the next.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_BLOCK_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_BLOCK_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/elements.h"
#include "kernels/template/exp2.h"
#include "kernels/template/transpose.h"

/* Rows of a block, and the first of each of its vectors. */
#define BLOCK_ROWS     (SOFTATTN_BLOCK_VECTORS * LANES)
#define EACH_VECTOR(i) for (int64_t i = 0; i < BLOCK_ROWS; i += LANES)

enum { MOST_BLOCK_ROWS = SOFTATTN_BLOCK_VECTORS * SOFTATTN_MAX_LANES };

struct row_block {
    int64_t first, rows; /* rows: at most BLOCK_ROWS */
    int64_t cols;
    int32_t format;
    int by_rows; /* reals, the rows contiguous; else the columns are */
    int stream; /* results go around the caches: by rows those of a block are one stretch, else all columns are aligned for it */
    int asks;   /* by rows, for the next block */
    enum softattn_asking asking; /* of the CPU */
};

static struct row_block row_block_at(struct row_block before, int64_t first, int64_t all_rows) {
    before.first = first;
    before.rows = all_rows - first < BLOCK_ROWS ? all_rows - first : BLOCK_ROWS;
    return before;
}

/* Whether its columns are reals in whole vectors. */
static int row_block_is_plain(const struct row_block *block) {
    return !is_half(block->format) && block->rows == BLOCK_ROWS && !block->by_rows;
}

/* Whether all columns' vectors of whole blocks are aligned for stores around the caches. */
static int columns_are_aligned(int32_t format, const void *array, int64_t stride) {
    return ((uintptr_t)array | (uintptr_t)(stride * element_bytes(format))) % LINE_BYTES == 0;
}

/* Elements of a column as reals. Those of rows that the block lacks are `missing`. */
NEVER_INLINE void block_copy_column(const struct row_block *block, const void *column, real missing,
                                    real *to) {
    VECTOR_ALIGNED real copy[MOST_BLOCK_ROWS];
    const real *from = few_as_reals(block->format, column, block->first, block->rows, copy);
    ROLLED for (int64_t i = 0; i < BLOCK_ROWS; i += LANES) {
        const int64_t left = block->rows - i;
        v_store(to + i, load_columns(from + i, left > 0 ? left : 0, missing));
    }
}

#define BLOCK_LOWEST(i) vec max_##i = v_set(-REAL_INFINITY);
#define BLOCK_COPY(i)                                                                                        \
    const vec v_##i = v_mul(v_load(from + i * LANES), v_set(factor));                                        \
    v_store(to + i * LANES, v_##i);                                                                          \
    max_##i = v_max(v_##i, max_##i);
#define BLOCK_MAX(i) v_store(maxima + i * LANES, max_##i);

/* Where an array's rows and columns are. */
struct block_place {
    int64_t step, stride; /* from one row, and from one column, to the next */
};

/*
 * How blocks are read from memory, and stored to it at `to`. By rows they are asked for, turned into scratch, and stored around the
 * caches from there: of floats from a line a row on with vectors of a line, from one and a half on with shorter ones, of doubles
 * half a line later. Shorter rows are turned so slowly that the hardware brings the next in time; they would take 1.05 to 1.25 of
 * the time (Zen 4).
 */
static void row_block_suit_memory(struct row_block *block, const void *to, struct block_place place,
                                  enum softattn_asking asking) {
    const int half_lines = 2 + (LANES * REAL_BYTES < LINE_BYTES) + (REAL_BYTES == 8);
    block->asking = asking;
    block->asks = !IS_SMALL && block->by_rows && block->cols * REAL_BYTES >= half_lines * LINE_BYTES / 2;
    block->stream = block->by_rows ? STREAMS_ACROSS_ROWS && block->asks && place.step == block->cols
                                   : columns_are_aligned(block->format, to, place.stride);
}

/* Elements of column j of an array: where they lie, or in `to`; those of the next block are asked for. */
ALWAYS_INLINE const real *block_column(const struct row_block *block, const void *array, int64_t stride,
                                       int64_t j, real missing, real *to) {
    const void *column = element_at(block->format, array, j * stride);
    prefetch_elements(block->format, column, block->first + BLOCK_ROWS, BLOCK_ROWS, 1);
    if (block->rows == BLOCK_ROWS) {
        return as_reals(block->format, column, block->first, BLOCK_ROWS, to);
    }
    block_copy_column(block, column, missing, to);
    return to;
}

/* The block's elements of contiguous rows of reals. */
static void block_turn_rows(const struct row_block *block, const real *array, int64_t step, real missing,
                            real *to) {
    if (block->rows < BLOCK_ROWS) {
        row_fill(to, block->cols * BLOCK_ROWS, missing);
    }
    transpose(block->rows, block->cols, 1, array + block->first * step, step, to, BLOCK_ROWS);
}

/* By rows, for a share of the elements of the next block: as many as column j has. */
ALWAYS_INLINE void block_ask(const struct row_block *block, const real *array, int64_t step, int64_t j) {
    const real *next = array + (block->first + BLOCK_ROWS) * step;
    prefetch_bytes(next + j * BLOCK_ROWS, BLOCK_ROWS * REAL_BYTES,
                   ASKING(block->asking) != SOFTATTN_ASKING_TWICE);
}

/* The block's elements of an array, times factor, to [cols][BLOCK_ROWS], and their maxima. */
NEVER_INLINE void block_copy(const struct row_block *block, const void *array, struct block_place place,
                             real factor, real missing, real *to, real *maxima) {
    EXP2_EACH(BLOCK_LOWEST)
    if (block->by_rows) {
        block_turn_rows(block, array, place.step, missing, to);
    }
    for (int64_t j = 0; j < block->cols; j++, to += BLOCK_ROWS) {
        if (block->asks) {
            block_ask(block, array, place.step, j);
        }
        const real *from = block->by_rows ? to : block_column(block, array, place.stride, j, missing, to);
        EXP2_EACH(BLOCK_COPY)
    }
    EXP2_EACH(BLOCK_MAX)
}

/* Results of a block by rows, [cols][BLOCK_ROWS]; turned: scratch of as many reals. */
static void block_put_rows(const struct row_block *block, real *array, int64_t step, const real *results,
                           real *turned) {
    real *to = array + block->first * step;
    if (STREAMS_ACROSS_ROWS && block->stream) {
        transpose(block->cols, block->rows, 1, results, BLOCK_ROWS, turned, block->cols);
        stream_copy(turned, block->rows * block->cols, to);
    } else {
        transpose(block->cols, block->rows, 1, results, BLOCK_ROWS, to, step);
    }
}

/* Results of a column that are not stored where they are made: of 16-bit floats, or of a block that lacks rows. */
NEVER_INLINE void block_put(const struct row_block *block, void *column, const real *results) {
    if (is_half(block->format) && block->rows == BLOCK_ROWS) {
        put_copy(block->format, column, block->first, BLOCK_ROWS, results, 1, block->stream);
    } else if (is_half(block->format)) {
        put_few_halves(block->format, column, block->first, block->rows, results);
    } else {
        for (int64_t i = 0; i < block->rows; i += LANES) {
            store_columns((real *)column + block->first + i, v_load(results + i), block->rows - i);
        }
    }
}

/* The sums of stripes are [STRIPES][BLOCK_ROWS]: where column j's are, and what is in them before it. */
ALWAYS_INLINE real *block_stripe(real *sums, int64_t j) { return sums + j % STRIPES * BLOCK_ROWS; }
ALWAYS_INLINE vec block_before(const real *sum, int64_t j) { return j < STRIPES ? v_zero() : v_load(sum); }

/* The halving tree over those that have columns, in each lane. */
NEVER_INLINE void block_sum(int64_t cols, real *sums) {
    if (cols == 0) {
        row_fill(sums, BLOCK_ROWS, 0);
    }
    ROLLED for (int64_t half = STRIPES / 2; half > 0; half /= 2) {
        for (int64_t k = 0; k < half * BLOCK_ROWS && k + half * BLOCK_ROWS < cols * BLOCK_ROWS; k += LANES) {
            v_store(sums + k, v_add(v_load(sums + k), v_load(sums + half * BLOCK_ROWS + k)));
        }
    }
}

#endif
