/*
 * Integer arithmetic that reports overflow instead of wrapping: for products and sums of sizes and strides.
 */
#ifndef SOFTATTN_PLATFORM_CHECKED_H
#define SOFTATTN_PLATFORM_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* True and *out = a * b when the product fits; false otherwise, and *out is then meaningless. */
static inline bool softattn_mul_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

/* The same for a + b. */
static inline bool softattn_add_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

#endif
