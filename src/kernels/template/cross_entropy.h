/*
 * Cross-entropy of rows and its gradient (struct softattn_row_cross_entropy): which rows go which way. The order of arithmetic is
 * stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H
#define SOFTATTN_KERNELS_TEMPLATE_CROSS_ENTROPY_H

#include "kernels/kernels.h"
#include "kernels/template/elements.h"
#include "kernels/template/entropy_classes.h"
#include "kernels/template/entropy_general.h"

/* The end of the rows from r on that are ignored, or are not, as r is. */
static int64_t entropy_stretch(const struct softattn_row_cross_entropy *rows, int64_t r) {
    const int is_ignored = rows->targets[r] < 0;
    do {
        r++;
    } while (r < rows->rows && (rows->targets[r] < 0) == is_ignored);
    return r;
}

static void cross_entropy(const struct softattn_row_cross_entropy *rows) {
    if (rows->probabilities || rows->smoothing != 0 || !(rows->scale > 0) || rows->cols == 0) {
        entropy_general_rows(rows, 0, rows->rows);
        return;
    }
    for (int64_t r = 0; r < rows->rows;) {
        const int64_t end = entropy_stretch(rows, r);
        if (rows->targets[r] >= 0) {
            entropy_class_rows_of(rows, r, end);
        } else if (is_half(rows->format)) {
            entropy_ignored_halves(rows, r, end);
        } else {
            entropy_general_rows(rows, r, end);
        }
        r = end;
    }
}

#endif
