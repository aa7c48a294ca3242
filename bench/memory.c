/*
 * The arrays that are measured.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, PAGE = 4096 };

/* More than any machine holds, and far from overflowing a size in bytes. */
static const int64_t max_elements = INT64_C(1) << 44;

struct touch {
    char *bytes;
    int64_t count;
    int members;
};

static void touch_share(void *argument, int member) {
    const struct touch *touch = argument;
    int64_t first, count;
    bench_share(touch->count, PAGE, member, touch->members, &first, &count);
    memset(touch->bytes + first, 0, (size_t)count);
}

void *bench_bytes_create(struct bench_team *team, int64_t bytes) {
    const int64_t aligned_bytes = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *array = aligned_alloc(ALIGNMENT, (size_t)aligned_bytes);
    if (array == NULL) {
        return NULL;
    }
    struct touch touch = {array, aligned_bytes, bench_team_threads(team)};
    bench_team_run(team, touch_share, &touch);
    return array;
}

void *bench_array_create(struct bench_team *team, enum bench_type type, int64_t elements) {
    if (elements < 0 || elements > max_elements) {
        return NULL;
    }
    return bench_bytes_create(team, elements * bench_type_bytes(type));
}

void bench_array_destroy(void *array) { free(array); }

double bench_array_get(const void *array, enum bench_type type, int64_t index) {
    return type == BENCH_F32 ? (double)((const float *)array)[index] : ((const double *)array)[index];
}

void bench_array_set(void *array, enum bench_type type, int64_t index, double value) {
    if (type == BENCH_F32) {
        ((float *)array)[index] = (float)value;
    } else {
        ((double *)array)[index] = value;
    }
}

/* SplitMix64: a counter, mixed by two multiplications (Steele, Lea, Flood 2014). */
static uint64_t random_bits(uint64_t *state) {
    uint64_t bits = *state += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

/* The sum of four uniform numbers, which 16 bits each give, has variance 4 / 12 in units of their range. */
static double nearly_normal(uint64_t *state) {
    const uint64_t bits = random_bits(state);
    const uint64_t sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    const double standard_deviation = 65536 * 0.57735026918962576; /* sqrt(4 / 12) */
    return ((double)sum - 2 * 65535.0) / standard_deviation;
}

/* A float's upper bits are a bf16; those of a number of the size of an f16, with the exponent's bias changed, an f16. */
static void fill_halves(uint16_t *values, enum bench_type type, int64_t elements, uint64_t *state) {
    for (int64_t i = 0; i < elements; i++) {
        const float value = (float)nearly_normal(state);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffff, smallest = UINT32_C(113) << 23; /* 2^-14 */
        const uint32_t rebiased = magnitude < smallest ? 0 : magnitude - (UINT32_C(112) << 23);
        values[i] = (uint16_t)(type == BENCH_BF16 ? bits >> 16 : (bits >> 16 & 0x8000) | rebiased >> 13);
    }
}

void bench_fill_random(void *array, enum bench_type type, int64_t elements, uint64_t seed) {
    uint64_t state = seed;
    if (type == BENCH_F32) {
        float *values = array;
        for (int64_t i = 0; i < elements; i++) {
            values[i] = (float)nearly_normal(&state);
        }
    } else if (bench_arithmetic_type(type) == BENCH_F32) {
        fill_halves(array, type, elements, &state);
    } else {
        double *values = array;
        for (int64_t i = 0; i < elements; i++) {
            values[i] = nearly_normal(&state);
        }
    }
}

void bench_share(int64_t elements, int64_t block, int part, int parts, int64_t *first, int64_t *count) {
    const int64_t blocks = (elements + block - 1) / block;
    const int64_t begin = blocks * part / parts * block;
    const int64_t end = blocks * (part + 1) / parts * block;
    *first = begin;
    *count = (end < elements ? end : elements) - begin;
}
