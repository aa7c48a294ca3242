/*
 * xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators") and what tests draw
 * from it.
 */
#include "random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t run_seed(void) {
    const char *text = getenv("SOFTATTN_TEST_SEED");
    return text ? strtoull(text, NULL, 0) : UINT64_C(20260101);
}

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The seed and the bytes make the state. */
static void fill_state(random_source *source, uint64_t seed, const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        seed = splitmix(&seed) ^ bytes[i];
    }
    for (int i = 0; i < 4; i++) {
        source->state[i] = splitmix(&seed);
    }
}

void random_start(random_source *source, const char *name) {
    const uint64_t seed = run_seed();
    printf("%s: SOFTATTN_TEST_SEED=%" PRIu64 "\n", name, seed);
    *source = (random_source){.remaining = 0};
    fill_state(source, seed, (const unsigned char *)name, strlen(name));
}

void random_start_from_bytes(random_source *source, const unsigned char *bytes, size_t count) {
    *source = (random_source){.bytes = bytes, .remaining = count};
    fill_state(source, 0, bytes, count);
}

static uint64_t rotate_left(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

/* Two bytes, repeated: small numbers that are drawn from it are theirs, and so is a fraction. */
static uint64_t next_bytes(random_source *source) {
    const uint64_t two = (uint64_t)source->bytes[0] << 8 | source->bytes[1];
    source->bytes += 2;
    source->remaining -= 2;
    return two << 48 | two << 32 | two << 16 | two;
}

uint64_t random_bits(random_source *source) {
    if (source->remaining >= 2) {
        return next_bytes(source);
    }
    uint64_t *s = source->state;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

int64_t random_below(random_source *source, int64_t count) {
    return (int64_t)(random_bits(source) % (uint64_t)count);
}

int64_t random_between(random_source *source, int64_t low, int64_t high) {
    return low + random_below(source, high - low + 1);
}

double random_uniform(random_source *source, double low, double high) {
    return low + (high - low) * ((double)(random_bits(source) >> 11) * 0x1p-53);
}

double random_normal(random_source *source) {
    double sum = -6.0; /* twelve uniform numbers have mean 6 and variance 1 */
    for (int i = 0; i < 12; i++) {
        sum += random_uniform(source, 0.0, 1.0);
    }
    return sum;
}
