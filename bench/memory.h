/*
 * The arrays that are measured: aligned, touched before the clock runs, filled with random numbers.
 */
#ifndef SOFTATTN_BENCH_MEMORY_H
#define SOFTATTN_BENCH_MEMORY_H

#include "team.h"
#include "work.h"

#include <stdint.h>

/* elements of a type, 64-byte aligned and zero; NULL when there is no memory. The team's members each touch
 * their share first, so that on a machine with several memory nodes the pages lie where the work will be. */
void *bench_array_create(struct bench_team *team, enum bench_type type, int64_t elements);
void bench_array_destroy(void *array);

/* The same of bytes. */
void *bench_bytes_create(struct bench_team *team, int64_t bytes);

/* An element of an array of f32 or f64. */
double bench_array_get(const void *array, enum bench_type type, int64_t index);
void bench_array_set(void *array, enum bench_type type, int64_t index, double value);

/* Numbers that are nearly normal, of mean 0 and variance 1; the same ones for the same seed. */
void bench_fill_random(void *array, enum bench_type type, int64_t elements, uint64_t seed);

/* The share of a member, of `parts` parts in all, in whole blocks: elements *first … *first + *count - 1. */
void bench_share(int64_t elements, int64_t block, int part, int parts, int64_t *first, int64_t *count);

#endif
