/* 16-bit floats by their definition. */
#include "halves.h"

#include <math.h>

const half_kind half_f16 = {10, 15}, half_bf16 = {7, 127};

static uint16_t infinity_of(const half_kind *kind) {
    return (uint16_t)(((1u << (15 - kind->fraction_bits)) - 1) << kind->fraction_bits);
}

double half_value(const half_kind *kind, uint16_t half) {
    const int magnitude = half & 0x7fff, exponent = magnitude >> kind->fraction_bits;
    const int fraction = magnitude & ((1 << kind->fraction_bits) - 1);
    const int one = exponent > 0 ? 1 << kind->fraction_bits : 0; /* subnormal numbers have no implicit 1 */
    double value;
    if (magnitude >= infinity_of(kind)) {
        value = fraction > 0 ? (double)NAN : (double)INFINITY;
    } else {
        value = ldexp(one + fraction, (exponent > 0 ? exponent : 1) - kind->bias - kind->fraction_bits);
    }
    return half & 0x8000 ? -value : value;
}

/* Halves of one sign are in order as integers: the largest that is at most value, found by bisection. */
static uint16_t largest_not_above(const half_kind *kind, double value) {
    uint16_t low = 0, high = infinity_of(kind);
    while (high - low > 1) {
        const uint16_t middle = (uint16_t)((low + high) / 2);
        if (half_value(kind, middle) <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint16_t half_nearest(const half_kind *kind, double value) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value)) {
        return (uint16_t)(sign | infinity_of(kind) | 1u << (kind->fraction_bits - 1));
    }
    const uint16_t below = largest_not_above(kind, fabs(value)), above = (uint16_t)(below + 1);
    const double low = half_value(kind, below);
    /* above the largest number, the next one would be a step on: what rounds to it is infinite */
    const double step = above == infinity_of(kind) ? low - half_value(kind, (uint16_t)(below - 1))
                                                   : half_value(kind, above) - low;
    const double over = fabs(value) - low - step / 2;
    const int goes_up = over > 0 || (over == 0 && below % 2 == 1);
    return (uint16_t)(sign | (goes_up ? above : below));
}
