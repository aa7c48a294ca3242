/*
 * Comparison of results: with the oracle's values within a bound, and with other results bit by bit. Each
 * prints the first few differences and returns their number.
 */
#ifndef TEST_SUPPORT_COMPARE_H
#define TEST_SUPPORT_COMPARE_H

#include "arrays.h"
#include "oracle.h"

/* How many numbers of the type lie between a and b; INT64_MAX when exactly one of them is NaN. */
int64_t compare_ulps_f32(float a, float b);
int64_t compare_ulps_f64(double a, double b);

/* The bound of an element that must not have been written. */
#define COMPARE_UNWRITTEN (-1)

/* NaN must meet NaN, infinity the same infinity, and an element that still holds the sentinel differs unless
 * its bound is COMPARE_UNWRITTEN. */
int64_t compare_with_oracle(const char *what, const test_array *actual, const oracle_result *expected);

/* Elements with different bits; any NaN equals any other. */
int64_t compare_bits(const char *what, const test_array *actual, const test_array *expected);

/* The same, but elements that hold the sentinel in both are equal. */
int64_t compare_bits_or_unwritten(const char *what, const test_array *actual, const test_array *expected);

#endif
