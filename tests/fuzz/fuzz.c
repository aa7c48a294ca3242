/*
 * What the fuzz targets share.
 */
#include "fuzz.h"

#include "contexts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void fuzz_expect(bool holds, const char *what, const char *problem) {
    if (!holds) {
        fprintf(stderr, "%s: %s\nlast error: %s\n", what, problem, last_error());
        abort();
    }
}

void fuzz_spoil(test_array *array, random_source *random) {
    static const double specials[] = {NAN, HUGE_VAL, -HUGE_VAL, 0.0, -0.0, 1e4, -1e4, 1e-40, -1e-310};
    const int64_t count = random_below(random, 4) ? 0 : random_between(random, 1, 3);
    for (int64_t i = 0; i < count && array_count(array) > 0; i++) {
        const double special = specials[random_below(random, sizeof specials / sizeof *specials)];
        array_set(array, random_below(random, array_count(array)), special);
    }
}

/* FNV-1a over the elements' bytes. NaNs count as one, as their payload is free. */
uint64_t fuzz_hash(const test_array *array, uint64_t hash) {
    for (int64_t i = 0; i < array_count(array); i++) {
        const unsigned char *const bytes = array_at(array, i);
        const bool is_nan = isnan(array_get(array, i));
        for (size_t j = 0; j < array_element_bytes(array->type); j++) {
            hash = (hash ^ (is_nan ? 0xff : bytes[j])) * UINT64_C(0x100000001b3);
        }
    }
    return hash;
}
