/*
 * Guarded arrays of float or double.
 */
#include "reals.h"
#include "expect.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

const struct tolerance tolerance_none = {0, 0};

struct reals reals_create(int32_t real_bytes, int64_t count, guard_side side) {
    struct reals array = {.count = count, .bytes = real_bytes};
    guard_create(&array.block, (size_t)(count * real_bytes), (size_t)real_bytes, side);
    return array;
}

struct reals reals_copy(const struct reals *array, guard_side side) {
    struct reals copy = reals_create(array->bytes, array->count, side);
    memcpy(copy.block.data, array->block.data, array->block.bytes);
    return copy;
}

void reals_destroy(struct reals *array) {
    EXPECT(guard_surroundings_untouched(&array->block), "written beside an array of %" PRId64 " reals",
           array->count);
    guard_destroy(&array->block);
}

void *reals_at(const struct reals *array, int64_t index) {
    return (void *)((uintptr_t)array->block.data + (uintptr_t)(index * array->bytes));
}

double reals_get(const struct reals *array, int64_t index) {
    float single;
    double value;
    if (array->bytes == 4) {
        memcpy(&single, reals_at(array, index), sizeof single);
        return (double)single;
    }
    memcpy(&value, reals_at(array, index), sizeof value);
    return value;
}

void reals_set(struct reals *array, int64_t index, double value) {
    const float single = (float)value;
    if (array->bytes == 4) {
        memcpy(reals_at(array, index), &single, sizeof single);
    } else {
        memcpy(reals_at(array, index), &value, sizeof value);
    }
}

void reals_fill(struct reals *array, double value) {
    for (int64_t i = 0; i < array->count; i++) {
        reals_set(array, i, value);
    }
}

void reals_fill_normal(struct reals *array, random_source *random, double deviation) {
    for (int64_t i = 0; i < array->count; i++) {
        reals_set(array, i, deviation * random_normal(random));
    }
}

void reals_sprinkle_specials(struct reals *array, random_source *random, int64_t one_in) {
    for (int64_t i = 0; i < array->count; i++) {
        if (random_below(random, one_in) == 0) {
            reals_set(array, i, special_value(random, array->bytes));
        }
    }
}

double special_value(random_source *random, int32_t real_bytes) {
    const double largest = real_bytes == 4 ? (double)FLT_MAX : DBL_MAX;
    const double least = real_bytes == 4 ? 0x1p-149 : 0x1p-1074;
    const double values[] = {(double)NAN,
                             payload_nan(),
                             (double)INFINITY,
                             -(double)INFINITY,
                             0.0,
                             -0.0,
                             largest,
                             -largest,
                             least,
                             smallest_normal(real_bytes),
                             -least};
    return values[random_below(random, (int64_t)(sizeof values / sizeof values[0]))];
}

double payload_nan(void) {
    const uint64_t bits = UINT64_C(0x7fffffffffffffff);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double unit_roundoff(int32_t real_bytes) { return real_bytes == 4 ? 0x1p-24 : 0x1p-53; }

double smallest_normal(int32_t real_bytes) { return real_bytes == 4 ? (double)FLT_MIN : DBL_MIN; }

static bool is_equal(const struct reals *actual, const struct reals *expected, int64_t i,
                     struct tolerance tolerance) {
    const double a = reals_get(actual, i), e = reals_get(expected, i);
    if (isnan(a) || isnan(e)) {
        return isnan(a) && isnan(e);
    }
    if (tolerance.absolute == 0 && tolerance.relative == 0) {
        return a == e && signbit(a) == signbit(e);
    }
    return a == e || fabs(a - e) <= tolerance.absolute + tolerance.relative * fabs(e);
}

void expect_equal(const char *context, const char *what, const struct reals *actual,
                  const struct reals *expected, struct tolerance tolerance) {
    int64_t differences = 0, first = 0;
    for (int64_t i = actual->count - 1; i >= 0; i--) {
        if (!is_equal(actual, expected, i, tolerance)) {
            differences++;
            first = i;
        }
    }
    const double wrong = differences ? reals_get(actual, first) : 0;
    const double right = differences ? reals_get(expected, first) : 0;
    EXPECT(differences == 0,
           "%s: %" PRId64 " of %" PRId64 " values of %s differ, [%" PRId64 "] is %a instead of %a", context,
           differences, actual->count, what, first, wrong, right);
}

void expect_gaps_untouched(const char *context, const struct reals *array, int64_t cols, int64_t stride) {
    int64_t written = 0;
    for (int64_t i = 0; i < array->count; i++) {
        const unsigned char *byte = reals_at(array, i);
        for (int32_t b = 0; b < array->bytes && i % stride >= cols; b++) {
            written += byte[b] != GUARD_SENTINEL;
        }
    }
    EXPECT(written == 0, "%s: %" PRId64 " bytes written between rows", context, written);
}
