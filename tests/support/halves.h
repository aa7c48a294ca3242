/*
 * 16-bit floats by their definition: sign, exponent and fraction as numbers, rounding by comparing with the midpoint.
 */
#ifndef TEST_SUPPORT_HALVES_H
#define TEST_SUPPORT_HALVES_H

#include <stdint.h>

typedef struct half_kind {
    int fraction_bits;
    int bias; /* of the exponent */
} half_kind;

extern const half_kind half_f16, half_bf16;

/* The number that the bits stand for; infinities and NaN included. */
double half_value(const half_kind *kind, uint16_t half);

/* The nearest half, ties to the even one; a NaN becomes a quiet one without further payload. */
uint16_t half_nearest(const half_kind *kind, double value);

#endif
