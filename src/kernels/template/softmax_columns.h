/* Softmax of rows that lie side by side, or are short: row_block.h. Each row's order of arithmetic is that of softmax_row.h. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_COLUMNS_H
#define SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_COLUMNS_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/row_block.h"
#include "kernels/template/scores.h"
#include "kernels/template/softmax_row.h"

/* A block at work. All arrays are scratch. */
struct softmax_block {
    const struct softattn_row *row;
    struct row_block at;
    int is_log;
    real *scores; /* [cols][BLOCK_ROWS], later the weights but for logarithms */
    real *sums;   /* [STRIPES][BLOCK_ROWS] */
    real *turned; /* [BLOCK_ROWS][cols], of by_rows and stream */
    real *max, *base,
        *last; /* each row's largest score, what is subtracted for it, and what makes the results at last: the factor
                                of its weights, or the logarithm of its sum */
};

/* From the largest scores; see row_base. */
static void block_bases(const struct softmax_block *block) {
    ROLLED for (int64_t i = 0; i < BLOCK_ROWS; i += LANES) {
        const vec max = v_add(v_load(block->max + i), v_zero()); /* of -0 and +0, +0 */
        const vec base = safe_max(max);
        v_store(block->max + i, max);
        v_store(block->base + i, block->row->plus_one ? v_unless(v_less(base, v_zero()), base) : base);
    }
}

#define BLOCK_BASE(i) const vec base_##i = v_load(block->base + i * LANES);
#define BLOCK_EXPONENT(i)                                                                                    \
    vec p_##i = exp2_bounded(row_exponent(v_load(s + i * LANES), base_##i, v_set(LOG2_E)));
#define BLOCK_KEEP(i) v_store(s + i * LANES, p_##i);
#define BLOCK_ADD(i)  v_store(sum + i * LANES, v_add(block_before(sum + i * LANES, j), p_##i));

/* The weights and their sums. */
NEVER_INLINE void block_weights(const struct softmax_block *block) {
    EXP2_EACH(BLOCK_BASE)
    for (int64_t j = 0; j < block->at.cols; j++) {
        real *s = block->scores + j * BLOCK_ROWS, *sum = block_stripe(block->sums, j);
        EXP2_EACH(BLOCK_EXPONENT)
        v_exp2_four_apart(&p_0, &p_1, &p_2, &p_3, EXP2_BOUNDED);
        if (!block->is_log) {
            EXP2_EACH(BLOCK_KEEP)
        }
        EXP2_EACH(BLOCK_ADD)
    }
    block_sum(block->at.cols, block->sums);
}

/* What the results take besides scores or weights. It makes NaN or 0 of rows without visible scores. */
NEVER_INLINE void block_finish(const struct softmax_block *block) {
    const struct softattn_row *row = block->row;
    const real empty = row->empty_is_zero ? 0 : (real)__builtin_nanf("");
    ROLLED for (int64_t i = 0; i < BLOCK_ROWS; i += LANES) {
        vec sum = v_load(block->sums + i);
        if (row->plus_one) {
            const vec base = v_load(block->base + i);
            sum = v_add(sum, v_exp2_apart(row_exponent(v_zero(), base, v_set(LOG2_E))));
            v_store(block->sums + i, sum);
        }
        const mask is_empty = v_equal(sum, v_zero());
        const vec factor = v_div(v_set(1), v_select(is_empty, v_set(1), sum));
        v_store(block->last + i, v_select(is_empty, v_set(empty), factor));
    }
    for (int64_t r = 0; (block->is_log || row->lse || row->max) && r < block->at.rows; r++) {
        const real sum = block->sums[r];
        row_statistics(row, block->at.first + r, block->max[r], block->base[r], sum);
        if (block->is_log) {
            block->last[r] = sum == 0 ? empty : real_log(sum);
        }
    }
}

/* Constants where the results are stored as they are made. */
ALWAYS_INLINE void block_results_of(const struct softmax_block *block, int is_log, int is_plain, int stream) {
    const struct row_block *at = &block->at;
    for (int64_t j = 0; j < at->cols; j++) {
        VECTOR_ALIGNED real results[MOST_BLOCK_ROWS];
        real *from = block->scores + j * BLOCK_ROWS;
        void *column = element_to(at->format, block->row->y, j * block->row->y_stride);
        real *to = is_plain ? (real *)column + at->first : at->by_rows ? from : results;
        EACH_VECTOR(i) {
            const vec s = v_load(from + i), last = v_load(block->last + i);
            const vec result = is_log ? v_sub(v_sub(s, v_load(block->base + i)), last) : v_mul(s, last);
            store_whole(to + i, result, stream);
        }
        if (!is_plain && !at->by_rows) {
            block_put(at, column, results);
        }
    }
    if (at->by_rows) {
        block_put_rows(at, block->row->y, block->row->y_step, block->scores, block->turned);
    }
}

NEVER_INLINE void block_results(const struct softmax_block *block) {
    const int is_plain = row_block_is_plain(&block->at), stream = is_plain && block->at.stream;
    if (!IS_SMALL && is_plain && !stream && !block->is_log) {
        block_results_of(block, 0, 1, 0);
    } else {
        block_results_of(block, block->is_log, is_plain, stream);
    }
}

static void softmax_columns(const struct softattn_row *row) {
    struct softmax_block block = {.row = row,
                                  .at = {.cols = row->cols, .format = row->format},
                                  .is_log = row->output == SOFTATTN_ROW_LOG_PROBABILITIES,
                                  .scores = row->scratch};
    block.at.by_rows = row->x_stride == 1;
    if (row->stream) {
        row_block_suit_memory(&block.at, row->y, (struct block_place){row->y_step, row->y_stride},
                              row->asking);
    }
    block.sums = block.scores + row->cols * BLOCK_ROWS;
    block.max = block.sums + STRIPES * BLOCK_ROWS;
    block.base = block.max + BLOCK_ROWS;
    block.last = block.base + BLOCK_ROWS;
    block.turned = block.last + BLOCK_ROWS;
    for (int64_t r = 0; r < row->rows; r += BLOCK_ROWS) {
        block.at = row_block_at(block.at, r, row->rows);
        block_copy(&block.at, row->x, (struct block_place){row->x_step, row->x_stride}, (real)row->scale,
                   -REAL_INFINITY, block.scores, block.max);
        block_bases(&block);
        block_weights(&block);
        block_finish(&block);
        if (row->y) {
            block_results(&block);
        }
    }
    if (block.at.stream) {
        V_FENCE();
    }
}

#endif
