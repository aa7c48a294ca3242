/*
 * Cross-entropy of logits and targets, with its gradient. Everything was checked by the API layer, the
 * targets' values included.
 */
#ifndef SOFTATTN_ENGINE_CROSS_ENTROPY_H
#define SOFTATTN_ENGINE_CROSS_ENTROPY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/rows.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"

enum softattn_row_reduction { SOFTATTN_ROWS_NONE, SOFTATTN_ROWS_MEAN, SOFTATTN_ROWS_SUM };

struct softattn_cross_entropy_problem {
    const struct softattn_kernels *kernels;
    struct softattn_rows rows;                                   /* cols: the classes */
    struct softattn_row_operand logits, probabilities, gradient; /* gradient may be logits */
    struct softattn_row_operand targets; /* one or the other: probabilities or targets */
    int32_t target_bytes;                /* 4 or 8: element size of targets */
    int64_t ignore_index;
    struct softattn_row_operand class_weights; /* one row for all: its strides are 0 */
    double scale, smoothing, z_loss;
    int32_t reduction;                       /* SOFTATTN_ROWS_* */
    struct softattn_row_operand losses, lse; /* one value per row */
    char *total;                             /* one real; NULL: not wanted */
    char *counted;                           /* one integer of counted_bytes; NULL: not wanted */
    int32_t counted_bytes;
};

/* The target class of the row at place. */
int64_t softattn_cross_entropy_target(const struct softattn_cross_entropy_problem *problem,
                                      const struct softattn_row_place *place);

/*
 * The total is the sum of the losses from row 0 on, in double whatever the type, divided for the mean: the
 * same bits whatever the number of threads. False when scratch memory could not be had; nothing was written
 * then.
 */
bool softattn_cross_entropy_execute(const struct softattn_cross_entropy_problem *problem,
                                    const struct softattn_runtime *runtime);

#endif
