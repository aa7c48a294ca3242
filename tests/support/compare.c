/*
 * Comparison of results.
 */
#include "compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIFFERENCES_PRINTED = 5 };

/* Maps the bits of a number, sign and magnitude, to an integer that grows with it by one per number. */
static int64_t ordered_f32(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? -(int64_t)(bits & INT32_MAX) : bits;
}

static int64_t ordered_f64(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? -(bits & INT64_MAX) : bits;
}

/* The distance of two numbers of opposite sign may exceed INT64_MAX. */
static int64_t distance(int64_t a, int64_t b) {
    const uint64_t difference = a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
    return difference > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)difference;
}

int64_t compare_ulps_f32(float a, float b) {
    if (isnan(a) || isnan(b)) {
        return isnan(a) && isnan(b) ? 0 : INT64_MAX;
    }
    return distance(ordered_f32(a), ordered_f32(b));
}

int64_t compare_ulps_f64(double a, double b) {
    if (isnan(a) || isnan(b)) {
        return isnan(a) && isnan(b) ? 0 : INT64_MAX;
    }
    return distance(ordered_f64(a), ordered_f64(b));
}

static bool is_sentinel(const test_array *array, int64_t index) {
    const unsigned char *const at = array_at(array, index);
    for (size_t i = 0; i < array_element_bytes(array->type); i++) {
        if (at[i] != GUARD_SENTINEL) {
            return false;
        }
    }
    return true;
}

static bool is_within(double actual, oracle_real expected, oracle_real bound) {
    if (isnan(expected) || isnan(actual)) {
        return isnan(expected) && isnan(actual);
    }
    if (isinf(expected) || isinf(actual)) {
        return (oracle_real)actual == expected;
    }
    return fabsl((oracle_real)actual - expected) <= bound;
}

int64_t compare_with_oracle(const char *what, const test_array *actual, const oracle_result *expected) {
    int64_t differences = 0;
    for (int64_t i = 0; i < array_count(actual); i++) {
        const double value = array_get(actual, i);
        const bool written = !is_sentinel(actual, i), wanted = expected->bound[i] != COMPARE_UNWRITTEN;
        if (written == wanted && (!wanted || is_within(value, expected->value[i], expected->bound[i]))) {
            continue;
        }
        if (differences++ < DIFFERENCES_PRINTED) {
            fprintf(stderr, "%s[%" PRId64 "] is %.17g%s, should be %.17Lg within %.3Lg%s\n", what, i, value,
                    written ? "" : " (never written)", expected->value[i], expected->bound[i],
                    wanted ? "" : " (never written)");
        }
    }
    return differences;
}

static int64_t count_different_bits(const char *what, const test_array *actual, const test_array *expected,
                                    bool may_be_unwritten) {
    int64_t differences = 0;
    for (int64_t i = 0; i < array_count(actual); i++) {
        const double a = array_get(actual, i), b = array_get(expected, i);
        const bool unwritten = is_sentinel(actual, i);
        const bool same =
            memcmp(array_at(actual, i), array_at(expected, i), array_element_bytes(actual->type)) == 0;
        if (unwritten ? same && may_be_unwritten : same || (isnan(a) && isnan(b))) {
            continue;
        }
        if (differences++ < DIFFERENCES_PRINTED) {
            fprintf(stderr, "%s[%" PRId64 "] is %a%s, should be %a\n", what, i, a,
                    unwritten ? " (never written)" : "", b);
        }
    }
    return differences;
}

int64_t compare_bits(const char *what, const test_array *actual, const test_array *expected) {
    return count_different_bits(what, actual, expected, false);
}

int64_t compare_bits_or_unwritten(const char *what, const test_array *actual, const test_array *expected) {
    return count_different_bits(what, actual, expected, true);
}
