/* The lesser and the greater of two sizes or positions, and one held between two others. */
#ifndef SOFTATTN_ENGINE_INTEGERS_H
#define SOFTATTN_ENGINE_INTEGERS_H

#include <stdint.h>

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t clamp_i64(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

#endif
