/* Products of Jacobians with vectors, of rows that lie side by side: row_block.h. Each row's order of arithmetic is that of
 * softmax_backward.h. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_BACKWARD_COLUMNS_H
#define SOFTATTN_KERNELS_TEMPLATE_BACKWARD_COLUMNS_H

#include "kernels/kernels.h"
#include "kernels/template/row_block.h"
#include "kernels/template/softmax_backward.h"

/* A block at work. All arrays are scratch. */
struct backward_block {
    const struct softattn_row_backward *rows;
    struct row_block at;
    real *y, *v; /* [cols][BLOCK_ROWS] */
    real *p;     /* the same of probabilities, where y is their logarithms; else y */
    real *sums;  /* [STRIPES][BLOCK_ROWS] */
};

#define BLOCK_LOG(i)         vec p_##i = probability_exponent(v_load(block->y + j + i * LANES));
#define BLOCK_PROBABILITY(i) v_store(block->p + j + i * LANES, p_##i);

NEVER_INLINE void block_probabilities(const struct backward_block *block) {
    for (int64_t j = 0; j < block->at.cols * BLOCK_ROWS; j += BLOCK_ROWS) {
        EXP2_EACH(BLOCK_LOG)
        v_exp2_four_apart(&p_0, &p_1, &p_2, &p_3, EXP2_ANY);
        EXP2_EACH(BLOCK_PROBABILITY)
    }
}

/* v where y is not masked, else 0. */
ALWAYS_INLINE vec block_visible(enum jacobian_product product, const struct backward_block *block, int64_t at,
                                vec v) {
    return visible_values(product, v_load(block->y + at), v);
}

ALWAYS_INLINE void block_products(enum jacobian_product product, const struct backward_block *block) {
    for (int64_t j = 0; j < block->at.cols; j++) {
        real *sum = block_stripe(block->sums, j);
        EACH_VECTOR(i) {
            const int64_t at = j * BLOCK_ROWS + i;
            const vec v = block_visible(product, block, at, v_load(block->v + at)),
                      before = block_before(sum + i, j);
            v_store(sum + i, product == OF_LOG_TRANSPOSED
                                 ? product_sum(OF_LOG_TRANSPOSED, v, v, before)
                                 : product_sum(OF_PROBABILITIES, v_load(block->p + at), v, before));
        }
    }
    block_sum(block->at.cols, block->sums);
}

ALWAYS_INLINE vec block_derivative(enum jacobian_product product, const struct backward_block *block,
                                   int64_t at, vec scale, vec sum) {
    const vec v = v_load(block->v + at), p = v_load(block->p + at);
    switch (product) {
    case OF_PROBABILITIES: return product_value(OF_PROBABILITIES, p, v, scale, sum);
    case OF_LOG_TRANSPOSED: return log_transposed_value(p, v, scale, sum);
    default: return product_value(OF_LOG, p, v, scale, sum);
    }
}

ALWAYS_INLINE void block_derivatives(enum jacobian_product product, const struct backward_block *block) {
    const struct row_block *at = &block->at;
    const vec scale = v_set((real)block->rows->scale);
    const int is_plain = row_block_is_plain(at);
    for (int64_t j = 0; j < at->cols; j++) {
        VECTOR_ALIGNED real results[MOST_BLOCK_ROWS];
        void *column = element_to(at->format, block->rows->out, j * block->rows->out_stride);
        real *to = is_plain ? (real *)column + at->first : results;
        EACH_VECTOR(i) {
            const int64_t from = j * BLOCK_ROWS + i;
            const vec value = block_derivative(product, block, from, scale, v_load(block->sums + i));
            store_whole(to + i, block_visible(product, block, from, value), is_plain && at->stream);
        }
        if (!is_plain) {
            block_put(at, column, results);
        }
    }
}

SPEED_INLINE void block_backward(enum jacobian_product product, const struct backward_block *block) {
    block_products(product, block);
    block_derivatives(product, block);
}

static void softmax_backward_columns(const struct softattn_row_backward *rows) {
    const int is_log = rows->output == SOFTATTN_ROW_LOG_PROBABILITIES;
    struct backward_block block = {
        .rows = rows, .at = {.cols = rows->cols, .format = rows->format}, .y = rows->scratch};
    const enum jacobian_product product = !is_log            ? OF_PROBABILITIES
                                          : rows->transposed ? OF_LOG_TRANSPOSED
                                                             : OF_LOG;
    block.at.stream = rows->stream && columns_are_aligned(rows->format, rows->out, rows->out_stride);
    block.v = block.y + rows->cols * BLOCK_ROWS;
    block.sums = block.v + rows->cols * BLOCK_ROWS;
    block.p = is_log ? block.sums + STRIPES * BLOCK_ROWS : block.y;
    for (int64_t r = 0; r < rows->rows; r += BLOCK_ROWS) {
        block.at = row_block_at(block.at, r, rows->rows);
        block_copy(&block.at, rows->y, rows->y_stride, 1, masked_value(product), block.y, block.sums);
        block_copy(&block.at, rows->v, rows->v_stride, 1, 0, block.v, block.sums);
        if (is_log) {
            block_probabilities(&block);
            block_backward(product, &block);
        } else {
            block_backward(OF_PROBABILITIES, &block);
        }
    }
    if (block.at.stream) {
        V_FENCE();
    }
}

#endif
