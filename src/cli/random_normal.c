/* Random normal numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) and the transform of Box and Muller
 * (1958). */
#include "random_normal.h"

#include <math.h>

#define TWO_PI 6.283185307179586

random_normal random_normal_seed(uint64_t seed) { return (random_normal){seed}; }

static uint64_t next_bits(random_normal *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In (0, 1], so that its logarithm is finite. */
static double next_uniform(random_normal *r) { return ((double)(next_bits(r) >> 11) + 1.0) * 0x1p-53; }

void random_normal_fill(random_normal *r, double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const double radius = sqrt(-2.0 * log(next_uniform(r)));
        values[i] = radius * cos(TWO_PI * next_uniform(r)); /* its twin, by sin, is not used: simpler */
    }
}
