/* Whether arrays share memory. */
#ifndef SOFTATTN_API_OVERLAP_H
#define SOFTATTN_API_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

#include "api/array.h"

/* Whether some byte belongs to both arrays. Arrays that interleave without sharing (two halves of each row of
 * one matrix, say) are told apart unless that takes too long: then the answer is true. */
bool softattn_arrays_overlap(const struct softattn_array *a, const struct softattn_array *b);

/* Fails when an output among the arrays shares memory with another of them. Arrays that are not given or
 * empty share none. */
int32_t softattn_check_overlap(const struct softattn_array *arrays, int64_t count);

#endif
