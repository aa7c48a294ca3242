/*
 * Softmax of rows of 16-bit floats: a row becomes floats while its maximum is found, and 16-bit floats again while it gets its
 * factor, so that it takes no more passes than one of floats. The bits are those of the float row, rounded.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_HALVES_H
#define SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_HALVES_H

#if SOFTATTN_REAL_BITS == 32

#include "kernels/kernels.h"
#include "kernels/template/convert.h"
#include "kernels/template/row_run.h"
#include "kernels/template/softmax_row.h"

/* The weights of a row, now that their sum is known, become 16-bit floats along with the next row. */
ALWAYS_INLINE void halves_hand_over(struct row_company *company, real *weights, int64_t cols, real factor,
                                    uint16_t *y) {
    const int64_t head = company->stream ? halves_head(y, cols) : 0;
    if (head > 0) {
        row_multiply(weights, head, factor, weights, 0);
        narrow(company->format, head, weights, y, 0);
    }
    company->done = (struct row_done){
        .weights = weights + head, .cols = cols - head, .factor = factor, .halves = y + head};
}

/* How far before its use a row is asked for. */
enum { HALVES_LEAD = 8192 / sizeof(uint16_t) };

/* As plain_rows; three rows of floats are at work: one that comes, one whose weights are computed, one that goes. */
static void softmax_halves(int32_t format, const struct softattn_row *row) {
    const int64_t cols = row->cols;
    const uint16_t *x = row->x;
    uint16_t *y = row->y;
    real *buffers = row->scratch;
    struct row_company company = {.stream = row->stream, .later_is_near = 1, .format = format};
    widen(format, cols, x, buffers);
    real max = row_signless_max(buffers, cols);
    for (int64_t r = 0; r < row->rows; r++) {
        const int is_last = r + 1 == row->rows;
        real *weights = buffers + r % 3 * cols, sums[STRIPES], next_max = 0;
        company.next_halves = is_last ? 0 : x + row->x_step;
        company.next = is_last ? 0 : buffers + (r + 1) % 3 * cols;
        company.next_max = &next_max;
        company.later = (const real *)(const void *)(x + row->x_step + HALVES_LEAD);
        row_weights(weights, cols, row_base(max), LOG2_E, weights, sums, company);
        max = next_max;
        const real sum = stripe_sum(sums);
        if (sum == 0) {
            row_fill_empty(row, weights);
        }
        halves_hand_over(&company, weights, cols, sum == 0 ? 1 : 1 / sum, y);
        x += row->x_step;
        y += row->y_step;
    }
    row_narrow_rest(&company, 0);
}

#endif

#endif
