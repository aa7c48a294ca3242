/*
 * 16-bit floats become the floats that their definition says, all of them; floats become the nearest 16-bit float, ties to
 * even, at every boundary between two; every instruction set does as the generic one, and touches nothing else.
 */
#include "expect.h"
#include "guard.h"
#include "halves.h"
#include "tables.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { ALL_HALVES = 1 << 16, MAX_COUNT = 200 };

static const struct {
    int32_t format;
    const half_kind *kind;
    const char *name;
} formats[] = {{SOFTATTN_FORMAT_F16, &half_f16, "f16"}, {SOFTATTN_FORMAT_BF16, &half_bf16, "bf16"}};

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The float of a 16-bit NaN: sign and payload in the upper bits; an f16 one becomes quiet. */
static uint32_t widened_nan(int format, uint32_t half) {
    return format == SOFTATTN_FORMAT_BF16
               ? half << 16
               : (half & 0x8000) << 16 | UINT32_C(0x7fc00000) | (half & 0x3ff) << 13;
}

/* The 16-bit float of a NaN: quiet, with the sign and the upper bits of the payload. */
static uint16_t narrowed_nan(int format, uint32_t bits) {
    return (uint16_t)(format == SOFTATTN_FORMAT_BF16 ? bits >> 16 | 0x40
                                                     : (bits >> 16 & 0x8000) | 0x7e00 | (bits >> 13 & 0x3ff));
}

static void all_halves_widen_exactly(const struct softattn_kernels *tested, size_t f) {
    static uint16_t halves[ALL_HALVES];
    static float floats[ALL_HALVES];
    for (uint32_t h = 0; h < ALL_HALVES; h++) {
        halves[h] = (uint16_t)h;
    }
    tested->widen(formats[f].format, ALL_HALVES, halves, floats);
    for (uint32_t h = 0; h < ALL_HALVES; h++) {
        const double value = half_value(formats[f].kind, (uint16_t)h);
        const uint32_t expected = isnan(value) ? widened_nan(formats[f].format, h) : bits_of((float)value);
        EXPECT(bits_of(floats[h]) == expected, "%s %s %#x", tested->isa, formats[f].name, (unsigned)h);
    }
}

/* The rounding boundaries of a finite half and its neighbour away from 0: the half, and around the midpoint. Both signs
 * come by the half's. */
enum { BOUNDARIES = 6 };
static void boundaries_of(const half_kind *kind, uint16_t half, float *to) {
    const double low = half_value(kind, half), previous = half_value(kind, (uint16_t)(half - 1));
    double next = half_value(kind, (uint16_t)(half + 1));
    next = isinf(next) ? low + (low - previous) : next;
    const float middle = (float)(low / 2 + next / 2); /* exact: both have fewer bits than a float */
    to[0] = (float)low;
    to[1] = nextafterf(middle, 0);
    to[2] = middle;
    to[3] = nextafterf(middle, (float)low * 4);
    to[4] = nextafterf((float)low, (float)low * 4);
    to[5] = nextafterf((float)low, 0);
}

static void all_boundaries_narrow_to_the_nearest(const struct softattn_kernels *tested,
                                                 const struct softattn_kernels *generic, size_t f) {
    static float floats[BOUNDARIES * ALL_HALVES];
    static uint16_t got[BOUNDARIES * ALL_HALVES], expected[BOUNDARIES * ALL_HALVES];
    int64_t count = 0;
    for (uint32_t h = 0; h < ALL_HALVES; h++) {
        if (isfinite(half_value(formats[f].kind, (uint16_t)h))) {
            boundaries_of(formats[f].kind, (uint16_t)h, floats + count);
            count += BOUNDARIES;
        }
    }
    tested->narrow(formats[f].format, count, floats, got, 0);
    generic->narrow(formats[f].format, count, floats, expected, 0);
    for (int64_t i = 0; i < count; i++) {
        const uint16_t right =
            tested == generic ? half_nearest(formats[f].kind, (double)floats[i]) : expected[i];
        EXPECT(got[i] == right, "%s %s of %a", tested->isa, formats[f].name, (double)floats[i]);
    }
}

static void special_floats_narrow_as_defined(const struct softattn_kernels *tested, random_source *random,
                                             size_t f) {
    const uint32_t special[] = {0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff, 0x7f800001, 0xff800001,
                                0x7fffffff, 0xffffffff, 0x7fc00000, 0xffc12345, 0x00000001, 0x80000001,
                                0x007fffff, 0x807fffff, 0x00800000, 0x80000000, 0};
    enum { SPECIAL = sizeof special / sizeof *special, COUNT = 4096 };
    float floats[COUNT];
    uint16_t got[COUNT];
    for (int i = 0; i < COUNT; i++) {
        floats[i] = float_of(i < SPECIAL ? special[i] : (uint32_t)random_bits(random));
    }
    tested->narrow(formats[f].format, COUNT, floats, got, 0);
    for (int i = 0; i < COUNT; i++) {
        const uint16_t expected = isnan(floats[i]) ? narrowed_nan(formats[f].format, bits_of(floats[i]))
                                                   : half_nearest(formats[f].kind, (double)floats[i]);
        EXPECT(got[i] == expected, "%s %s of %#x", tested->isa, formats[f].name,
               (unsigned)bits_of(floats[i]));
    }
}

static void any_count_and_address_is_kept_within(const struct softattn_kernels *tested,
                                                 const struct softattn_kernels *generic,
                                                 random_source *random, size_t f, int64_t count) {
    const size_t n = (size_t)count;
    const guard_side side = random_below(random, 2) == 0 ? GUARD_AFTER : GUARD_BEFORE;
    const int32_t stream = (int32_t)random_below(random, 2);
    uint16_t expected[MAX_COUNT];
    guard_block floats, halves;
    guard_create(&floats, n * sizeof(float), sizeof(float), side);
    guard_create(&halves, n * sizeof(uint16_t), sizeof(uint16_t), side);
    float *wide = (float *)(void *)floats.data;
    uint16_t *narrow = (uint16_t *)(void *)halves.data;
    for (size_t i = 0; i < n; i++) {
        wide[i] = (float)random_uniform(random, -70000, 70000);
    }
    generic->narrow(formats[f].format, count, wide, expected, 0);
    tested->narrow(formats[f].format, count, wide, narrow, stream);
    EXPECT(n == 0 || memcmp(narrow, expected, n * sizeof *narrow) == 0, "%s %s count %d stream %d",
           tested->isa, formats[f].name, (int)count, (int)stream);
    tested->widen(formats[f].format, count, narrow, wide);
    for (size_t i = 0; i < n; i++) {
        EXPECT((double)wide[i] == half_value(formats[f].kind, expected[i]), "%s %s count %d", tested->isa,
               formats[f].name, (int)count);
    }
    EXPECT(guard_surroundings_untouched(&floats) && guard_surroundings_untouched(&halves), "%s %s count %d",
           tested->isa, formats[f].name, (int)count);
    guard_destroy(&floats);
    guard_destroy(&halves);
}

static void conversions_are_as_defined(const struct softattn_kernels *tested,
                                       const struct softattn_kernels *generic, random_source *random) {
    if (tested->real_bytes != sizeof(float)) {
        return;
    }
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        all_halves_widen_exactly(tested, f);
        all_boundaries_narrow_to_the_nearest(tested, generic, f);
        special_floats_narrow_as_defined(tested, random, f);
        for (int64_t count = 0; count <= MAX_COUNT; count++) {
            any_count_and_address_is_kept_within(tested, generic, random, f, count);
        }
    }
}

int main(void) { return check_tables("test_convert", conversions_are_as_defined); }
