/*
 * The tests' random numbers: xoshiro256** seeded by splitmix64, so that a printed seed repeats a run on any
 * machine.
 */
#ifndef TEST_SUPPORT_RANDOM_H
#define TEST_SUPPORT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct random_source {
    uint64_t state[4];
    const unsigned char *bytes; /* drawn first, while there are any */
    size_t remaining;
} random_source;

/* Starts the source from the run's seed (SOFTATTN_TEST_SEED, or a fixed one) and the name, and prints both.
 */
void random_start(random_source *source, const char *name);

/* Starts the source so that two bytes each decide the first draws, and all of them the rest. */
void random_start_from_bytes(random_source *source, const unsigned char *bytes, size_t count);

uint64_t random_bits(random_source *source);

/* Uniform in 0 … count - 1; count > 0. */
int64_t random_below(random_source *source, int64_t count);

/* Uniform in low … high, both included. */
int64_t random_between(random_source *source, int64_t low, int64_t high);

/* Uniform in [low, high). */
double random_uniform(random_source *source, double low, double high);

/* Mean 0, variance 1, within ±6. The same numbers on every machine: no libm function is used. */
double random_normal(random_source *source);

#endif
