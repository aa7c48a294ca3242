/* Options that several operations have. */
#ifndef SOFTATTN_API_OPTIONS_H
#define SOFTATTN_API_OPTIONS_H

#include <stdint.h>

/* Exact as a double, and its sums with sizes fit int64_t. */
#define SOFTATTN_MAX_OFFSET (INT64_C(1) << 53)

/* A setter's checks: a finite value; a SOFTATTN_CAUSAL_* mode, and with _OFFSET an offset within
 * +-SOFTATTN_MAX_OFFSET. */
int32_t softattn_check_finite(const char *argument, double value);
int32_t softattn_check_causal(int32_t mode, int64_t offset);

/* A value in 0 ... 1. */
int32_t softattn_check_fraction(const char *argument, double value);

/* A temperature whose reciprocal is a scale. */
int32_t softattn_check_temperature(double temperature);

/* A run's check: scale, also in units of log2 as the kernels use it, is finite in the element type. argument:
 * what it was set by, "scale" or for handles with a temperature SOFTATTN_SCALE_OR_TEMPERATURE. */
#define SOFTATTN_SCALE_OR_TEMPERATURE "scale, or 1 / temperature"
int32_t softattn_check_scale(const char *argument, double scale, int32_t element_bytes);

/* The same of a soft-cap, whose reciprocal is needed, too. 0 is none. */
int32_t softattn_check_softcap(double cap, int32_t real_bytes);

#endif
