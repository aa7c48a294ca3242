/*
 * Arrays of the kernels' real type, float or double, in guarded memory and seen as doubles, so that one test serves both
 * types.
 */
#ifndef KERNELS_REALS_H
#define KERNELS_REALS_H

#include "guard.h"
#include "random.h"

#include <stdbool.h>
#include <stdint.h>

struct reals {
    guard_block block;
    int64_t count;
    int32_t bytes; /* of one real */
};

/* What a result may differ from the expected one: absolute + relative * |expected|. Both 0: not by a bit, but any NaN
 * equals any other. */
struct tolerance {
    double absolute, relative;
};

extern const struct tolerance tolerance_none;

/* All elements hold sentinels. */
struct reals reals_create(int32_t real_bytes, int64_t count, guard_side side);
struct reals reals_copy(const struct reals *array, guard_side side);
/* Expects that nothing beside the array was written. */
void reals_destroy(struct reals *array);

/* An address, also of an index outside the array. */
void *reals_at(const struct reals *array, int64_t index);
double reals_get(const struct reals *array, int64_t index);
void reals_set(struct reals *array, int64_t index, double value);
void reals_fill(struct reals *array, double value);
void reals_fill_normal(struct reals *array, random_source *random, double deviation);
/* Replaces about one element in `one_in` by a special value: NaN, infinities, zeros, the largest, the least. */
void reals_sprinkle_specials(struct reals *array, random_source *random, int64_t one_in);

double special_value(random_source *random, int32_t real_bytes);
/* A NaN with every bit of its payload set, which integer arithmetic on its exponent would turn into a number. */
double payload_nan(void);
double unit_roundoff(int32_t real_bytes);
double smallest_normal(int32_t real_bytes);

/* Expects actual to equal expected within the tolerance, printing the first difference. context says what was computed. */
void expect_equal(const char *context, const char *what, const struct reals *actual,
                  const struct reals *expected, struct tolerance tolerance);

/* Expects that of rows of `stride` elements only the first `cols` of each were written. */
void expect_gaps_untouched(const char *context, const struct reals *array, int64_t cols, int64_t stride);

#endif
