/*
 * What the library's handles take where its flat functions do not serve: contiguous matrices as tensors.
 */
#ifndef SOFTATTN_BENCH_MATRIX_H
#define SOFTATTN_BENCH_MATRIX_H

#include "problem.h"

#include <softattn/softattn.h>

#include <stdint.h>

/* A tensor with its shape and strides. */
struct bench_matrix {
    int64_t shape[2], strides[2];
    softattn_tensor tensor;
};

/* Fills matrix with the problem's type, sizes and layout and returns its tensor, which points into it. */
const softattn_tensor *bench_matrix_of(struct bench_matrix *matrix, void *data,
                                       const struct bench_problem *problem);

/* A handle with the problem's options, to be destroyed; NULL where there are none, for which the flat functions are. */
int32_t bench_softmax_handle(const struct bench_problem *problem, const softattn_context *context,
                             softattn_softmax **softmax);

#endif
