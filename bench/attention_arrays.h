/*
 * The arrays of an attention, and the library's views of them.
 */
#ifndef SOFTATTN_BENCH_ATTENTION_ARRAYS_H
#define SOFTATTN_BENCH_ATTENTION_ARRAYS_H

#include "problem.h"
#include "team.h"

#include <softattn/softattn.h>

#include <stdint.h>

enum { BENCH_ATTENTION_RANK = 4 };

/* An array and the library's view of it. */
struct bench_operand {
    void *array;
    int64_t shape[BENCH_ATTENTION_RANK], strides[BENCH_ATTENTION_RANK];
    softattn_tensor tensor;
};

struct bench_attention_arrays {
    struct bench_operand q, k, v, out;
    struct bench_operand bias, keep_mask, alibi_slopes; /* where the problem has them */
};

/* Makes and fills the arrays of a problem. arrays is all zero before; args gets the views, which point into
 * it. Returns -1 when there is no memory; then, too, the arrays are to be destroyed. */
int bench_attention_arrays_create(struct bench_attention_arrays *arrays, softattn_attention_args *args,
                                  const struct bench_problem *problem, struct bench_team *team);
void bench_attention_arrays_destroy(struct bench_attention_arrays *arrays);

#endif
