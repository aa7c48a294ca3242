/* Random normal numbers, determined by a seed. */
#ifndef CLI_RANDOM_NORMAL_H
#define CLI_RANDOM_NORMAL_H

#include <stdint.h>

typedef struct random_normal {
    uint64_t state;
} random_normal;

random_normal random_normal_seed(uint64_t seed);

/* Fills values with mean 0 and standard deviation 1. */
void random_normal_fill(random_normal *r, double *values, int64_t count);

#endif
