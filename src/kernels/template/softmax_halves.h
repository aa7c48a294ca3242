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

/* The weights of a row, now that their sum is known, become 16-bit floats along with the next row; where there is no number
 * among them, at once. */
ALWAYS_INLINE void halves_hand_over(struct row_company *company, real *weights, int64_t cols, real factor,
                                    int is_empty, uint16_t *y) {
    const int64_t head = is_empty || factor != factor ? cols : company->stream ? halves_head(y, cols) : 0;
    company->done = (struct row_done){.weights = weights, .cols = head, .factor = factor, .halves = y};
    row_narrow_rest(company->format, &company->done, 0, 0);
    company->done.weights += head;
    company->done.halves += head;
    company->done.cols = cols - head;
}

/* How far before its use a row is asked for. */
enum { HALVES_LEAD = 8192 / sizeof(uint16_t) };

/* As row_run.h; of the two rows in scratch one is of scores as floats, where the next row follows this one column by column,
 * the other of weights, where this one follows the row before. format is a constant. */
ROW_INLINE void halves_rows(int32_t format, const struct softattn_row *row) {
    const int64_t cols = row->cols;
    const uint16_t *x = row->x;
    uint16_t *y = row->y;
    real *scores = row->scratch, *weights = scores + cols;
    struct row_company company = {.stream = row->stream, .format = format};
    widen(format, cols, x, scores);
    real max = row_signless_max(scores, cols);
    for (int64_t r = 0; r < row->rows; r++) {
        real sums[STRIPES], next_max = 0;
        x += r + 1 < row->rows ? row->x_step : 0; /* the last row once more, which nobody uses */
        company.format = format;
        company.next_halves = x;
        company.later_halves = x + HALVES_LEAD;
        company.next = scores;
        company.next_max = &next_max;
        row_weights(scores, cols, row_base(max), LOG2_E, weights, sums, company);
        max = next_max;
        const real sum = stripe_sum(sums);
        if (sum == 0) {
            row_fill_empty(row, weights);
        }
        halves_hand_over(&company, weights, cols, sum == 0 ? 1 : 1 / sum, sum == 0, y);
        y += row->y_step;
    }
    row_narrow_rest(format, &company.done, 0, company.stream);
}

static void softmax_halves(int32_t format, const struct softattn_row *row) {
    if (format == SOFTATTN_FORMAT_F16) {
        halves_rows(SOFTATTN_FORMAT_F16, row);
    } else {
        halves_rows(SOFTATTN_FORMAT_BF16, row);
    }
}

#endif

#endif
