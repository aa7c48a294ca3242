/* Products of Jacobians with vectors, of rows that lie side by side, or are short: row_block.h. Each row's order of arithmetic is that of
 * softmax_backward.h. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_BACKWARD_COLUMNS_H
#define SOFTATTN_KERNELS_TEMPLATE_BACKWARD_COLUMNS_H

#include "kernels/kernels.h"
#include "kernels/template/row_block.h"
#include "kernels/template/softmax_backward.h"

/* A factor for each row and column, or the same for all columns. */
struct block_factor {
    const real *at;
    int64_t step; /* from one column to the next: BLOCK_ROWS, or 0 */
};

/*
 * A block at work, all arrays in scratch. Factors of 1 make one of the three products: with each of them
 *   sum = sum of in_sum * v,   out = (scale * outside) * fma(-of_sum, sum, v)
 */
struct backward_block {
    const struct softattn_row_backward *rows;
    struct row_block at;
    real masked; /* what y holds where the column is masked */
    real *y, *v; /* [cols][BLOCK_ROWS] */
    real *sums;  /* [STRIPES][BLOCK_ROWS] */
    struct block_factor in_sum, outside, of_sum;
};

#define BLOCK_LOG(i)         vec p_##i = probability_exponent(v_load(y + i * LANES));
#define BLOCK_PROBABILITY(i) v_store(p + i * LANES, p_##i);

/* Of the logarithms y. */
NEVER_INLINE void block_probabilities(const struct backward_block *block, real *p) {
    const real *y = block->y;
    for (int64_t j = 0; j < block->at.cols; j++, y += BLOCK_ROWS, p += BLOCK_ROWS) {
        EXP2_EACH(BLOCK_LOG)
        v_exp2_four_apart(&p_0, &p_1, &p_2, &p_3, EXP2_ANY);
        EXP2_EACH(BLOCK_PROBABILITY)
    }
}

NEVER_INLINE void block_products(const struct backward_block *block) {
    const vec masked = v_set(block->masked);
    for (int64_t j = 0; j < block->at.cols; j++) {
        const real *y = block->y + j * BLOCK_ROWS, *v = block->v + j * BLOCK_ROWS;
        const real *factor = block->in_sum.at + j * block->in_sum.step;
        real *sum = block_stripe(block->sums, j);
        EACH_VECTOR(i) {
            const vec visible = v_unless_equal(v_load(y + i), masked, v_load(v + i));
            v_store(sum + i, v_fma(v_load(factor + i), visible, block_before(sum + i, j)));
        }
    }
    block_sum(block->at.cols, block->sums);
}

NEVER_INLINE void block_derivatives(const struct backward_block *block) {
    const struct row_block *at = &block->at;
    const vec masked = v_set(block->masked), scale = v_set((real)block->rows->scale);
    const int is_plain = row_block_is_plain(at), stream = is_plain && at->stream;
    for (int64_t j = 0; j < at->cols; j++) {
        VECTOR_ALIGNED real results[MOST_BLOCK_ROWS];
        const real *y = block->y + j * BLOCK_ROWS;
        real *v = block->v + j * BLOCK_ROWS;
        const real *outside = block->outside.at + j * block->outside.step;
        const real *of_sum = block->of_sum.at + j * block->of_sum.step;
        void *column = element_to(at->format, block->rows->out, j * block->rows->out_stride);
        real *to = is_plain ? (real *)column + at->first : at->by_rows ? v : results;
        EACH_VECTOR(i) {
            const vec less =
                v_fma(v_sub(v_zero(), v_load(of_sum + i)), v_load(block->sums + i), v_load(v + i));
            const vec value = v_mul(v_mul(scale, v_load(outside + i)), less);
            store_whole(to + i, v_unless_equal(v_load(y + i), masked, value), stream);
        }
        if (!is_plain && !at->by_rows) {
            block_put(at, column, results);
        }
    }
    if (at->by_rows) {
        block_put_rows(at, block->rows->out, block->rows->out_step, block->v, block->y);
    }
}

static void softmax_backward_columns(const struct softattn_row_backward *rows) {
    const int is_log = rows->output == SOFTATTN_ROW_LOG_PROBABILITIES;
    struct backward_block block = {.rows = rows,
                                   .at = {.cols = rows->cols, .format = rows->format},
                                   .masked = is_log ? -REAL_INFINITY : 0,
                                   .y = rows->scratch};
    const struct block_place y_place = {rows->y_step, rows->y_stride},
                             v_place = {rows->v_step, rows->v_stride};
    block.at.by_rows = rows->y_stride == 1;
    if (rows->stream) {
        const struct block_place out_place = {rows->out_step, rows->out_stride};
        row_block_suit_memory(&block.at, rows->out, out_place, rows->asking);
    }
    block.v = block.y + rows->cols * BLOCK_ROWS;
    block.sums = block.v + rows->cols * BLOCK_ROWS;
    real *const ones = block.sums + STRIPES * BLOCK_ROWS, *const p = is_log ? ones + BLOCK_ROWS : block.y;
    const struct block_factor one = {ones, 0}, probability_of = {p, BLOCK_ROWS};
    block.in_sum = is_log && rows->transposed ? one : probability_of;
    block.outside = is_log ? one : probability_of;
    block.of_sum = is_log && rows->transposed ? probability_of : one;
    row_fill(ones, BLOCK_ROWS, 1);
    for (int64_t r = 0; r < rows->rows; r += BLOCK_ROWS) {
        block.at = row_block_at(block.at, r, rows->rows);
        block_copy(&block.at, rows->y, y_place, 1, block.masked, block.y, block.sums);
        block_copy(&block.at, rows->v, v_place, 1, 0, block.v, block.sums);
        if (is_log) {
            block_probabilities(&block, p);
        }
        block_products(&block);
        block_derivatives(&block);
    }
    if (block.at.stream) {
        V_FENCE();
    }
}

#endif
