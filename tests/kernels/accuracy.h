/* Errors of a function's results in units in the last place, and the largest one found. */
#ifndef KERNELS_ACCURACY_H
#define KERNELS_ACCURACY_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

struct accuracy {
    double worst;    /* in units in the last place of the true value */
    double argument; /* where it occurred */
};

/* For float: the true value is known to double's accuracy, and normal as a float. */
static inline void accuracy_note_f32(struct accuracy *accuracy, double argument, float result, double truth) {
    uint64_t bits;
    double power; /* of two, at most |truth| */
    memcpy(&bits, &truth, sizeof bits);
    bits &= UINT64_C(0x7ff0000000000000);
    memcpy(&power, &bits, sizeof power);
    const double error = fabs((double)result - truth) / power * 0x1p23;
    if (!(error <= accuracy->worst)) {
        accuracy->worst = error;
        accuracy->argument = argument;
    }
}

/* For double: long double must have more digits, or the error found includes its own. */
static inline void accuracy_note_f64(struct accuracy *accuracy, double argument, double result,
                                     long double truth) {
    const long double unit = truth == 0 ? 0x1p-1074L : ldexpl(1, ilogbl(truth) - 52);
    const double error = (double)(fabsl((long double)result - truth) / unit);
    if (!(error <= accuracy->worst)) {
        accuracy->worst = error;
        accuracy->argument = argument;
    }
}

#endif
