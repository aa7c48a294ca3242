/*
 * The kernels' exp2 on [-infinity, 0] is within one unit in the last place (float: every argument; double: a sample) on
 * every instruction set with fma, exact where the argument is integral, 0 below the least normal result, NaN for NaN. The
 * largest errors are printed, for docs/arithmetic.md.
 *
 * merge_lanes multiplies total_sum by exp2(total_max - m), m = max(total_max, chunk_max): with total_sum 1, chunk_sum 0
 * and chunk_max 0 the sum it leaves is exp2(total_max).
 */
#include "accuracy.h"
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <stdio.h>

enum { BLOCK = SOFTATTN_MAX_QUERY_BLOCK };

/* result[i] = exp2(argument[i]) for BLOCK arguments <= 0 or NaN. */
static void exp2_f32(const struct softattn_kernels *kernels, const float *argument, float *result) {
    float total_max[BLOCK], chunk_max[BLOCK] = {0}, chunk_sum[BLOCK] = {0};
    memcpy(total_max, argument, sizeof total_max);
    for (int i = 0; i < BLOCK; i++) {
        result[i] = 1;
    }
    kernels->merge_lanes(0, BLOCK, NULL, total_max, result, NULL, chunk_max, chunk_sum);
}

static void exp2_f64(const struct softattn_kernels *kernels, const double *argument, double *result) {
    double total_max[BLOCK], chunk_max[BLOCK] = {0}, chunk_sum[BLOCK] = {0};
    memcpy(total_max, argument, sizeof total_max);
    for (int i = 0; i < BLOCK; i++) {
        result[i] = 1;
    }
    kernels->merge_lanes(0, BLOCK, NULL, total_max, result, NULL, chunk_max, chunk_sum);
}

/* Two more roundings in every step of the polynomial, and the last of them counts fully. */
static double allowed_error(const struct softattn_kernels *tested) {
    return table_is_exact(tested) ? 1.0 : 2.0;
}

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

/* Every `step`th float from -0 down to -127. */
static void every_float_is_accurate(const struct softattn_kernels *tested, uint32_t step) {
    struct accuracy accuracy = {0, 0};
    int64_t not_flushed = 0;
    const uint32_t end = bits_of(-127.0f);
    for (uint32_t bits = bits_of(-0.0f); bits <= end; bits += step * BLOCK) {
        float argument[BLOCK], result[BLOCK];
        for (uint32_t i = 0; i < BLOCK; i++) {
            argument[i] = float_of(bits + i * step);
        }
        exp2_f32(tested, argument, result);
        for (int i = 0; i < BLOCK; i++) {
            if (argument[i] < -126) {
                not_flushed += result[i] != 0;
            } else {
                /* closer to 0, the true value is 1 to 2^-30, a hundredth of a unit */
                const double truth = argument[i] > -0x1p-30f ? 1 : exp2((double)argument[i]);
                accuracy_note_f32(&accuracy, (double)argument[i], result[i], truth);
            }
        }
    }
    printf("exp2 f32 %s: at most %.4f units in the last place, at %a; %s\n", tested->isa, accuracy.worst,
           accuracy.argument, step == 1 ? "every argument" : "a sample");
    EXPECT(accuracy.worst <= allowed_error(tested), "exp2(%a) on %s", accuracy.argument, tested->isa);
    EXPECT(not_flushed == 0, "%" PRId64 " results below the least normal number on %s", not_flushed,
           tested->isa);
}

/* Half of the sample uniform, half with any exponent. */
static void sampled_doubles_are_accurate(const struct softattn_kernels *tested, random_source *random,
                                         int64_t blocks) {
    struct accuracy accuracy = {0, 0};
    for (int64_t block = 0; block < blocks; block++) {
        double argument[BLOCK], result[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            argument[i] = i % 2 ? random_uniform(random, -1022, 0)
                                : -ldexp(random_uniform(random, 1, 2), (int)random_between(random, -60, 8));
        }
        exp2_f64(tested, argument, result);
        for (int i = 0; i < BLOCK; i++) {
            accuracy_note_f64(&accuracy, argument[i], result[i], exp2l((long double)argument[i]));
        }
    }
    printf("exp2 f64 %s: at most %.4f units in the last place, at %a; %" PRId64 " arguments\n", tested->isa,
           accuracy.worst, accuracy.argument, blocks * BLOCK);
    EXPECT(accuracy.worst <= allowed_error(tested), "exp2(%a) on %s", accuracy.argument, tested->isa);
}

/* Arguments whose results are known exactly: integers, values too low, NaN. */
static void special_arguments_f32(const struct softattn_kernels *tested) {
    float argument[BLOCK], result[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        argument[i] = i <= 126 ? (float)-i : -126 - (float)(i - 126) * 0x1p-17f;
    }
    argument[BLOCK - 5] = -FLT_MAX;
    argument[BLOCK - 4] = -INFINITY;
    argument[BLOCK - 3] = NAN;
    argument[BLOCK - 2] = (float)payload_nan();
    argument[BLOCK - 1] = -0x1p-149f;
    exp2_f32(tested, argument, result);
    for (int i = 0; i <= 126; i++) {
        EXPECT(result[i] == ldexpf(1, -i), "exp2(-%d) is %a on %s", i, (double)result[i], tested->isa);
    }
    for (int i = 127; i < BLOCK - 3; i++) {
        EXPECT(result[i] == 0, "exp2(%a) is %a on %s", (double)argument[i], (double)result[i], tested->isa);
    }
    for (int i = BLOCK - 3; i < BLOCK - 1; i++) {
        EXPECT(isnan(result[i]), "exp2(NaN) is %a on %s", (double)result[i], tested->isa);
    }
    EXPECT(result[BLOCK - 1] == 1, "exp2(-2^-149) is %a on %s", (double)result[BLOCK - 1], tested->isa);
}

static void special_arguments_f64(const struct softattn_kernels *tested) {
    double argument[BLOCK], result[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        argument[i] = i <= 126 ? i * (1022.0 / -126) : -1022 - (i - 126) * 0x1p-43;
        argument[i] = i <= 126 ? floor(argument[i]) : argument[i];
    }
    argument[BLOCK - 5] = -DBL_MAX;
    argument[BLOCK - 4] = -(double)INFINITY;
    argument[BLOCK - 3] = (double)NAN;
    argument[BLOCK - 2] = payload_nan();
    argument[BLOCK - 1] = -0x1p-1074;
    exp2_f64(tested, argument, result);
    for (int i = 0; i <= 126; i++) {
        EXPECT(result[i] == ldexp(1, (int)argument[i]), "exp2(%g) is %a on %s", argument[i], result[i],
               tested->isa);
    }
    for (int i = 127; i < BLOCK - 3; i++) {
        EXPECT(result[i] == 0, "exp2(%a) is %a on %s", argument[i], result[i], tested->isa);
    }
    for (int i = BLOCK - 3; i < BLOCK - 1; i++) {
        EXPECT(isnan(result[i]), "exp2(NaN) is %a on %s", result[i], tested->isa);
    }
    EXPECT(result[BLOCK - 1] == 1, "exp2(-2^-1074) is %a on %s", result[BLOCK - 1], tested->isa);
}

static void exp2_is_accurate(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                             random_source *random) {
    const bool all = test_rounds() >= USUAL_ROUNDS;
    if (tested->real_bytes == 4) {
        special_arguments_f32(tested);
        /* The generic table takes minutes for every float, which the tables with its bits have been asked for. */
        every_float_is_accurate(tested, !all ? 20011 : tested == generic ? 61 : 1);
    } else {
        special_arguments_f64(tested);
        sampled_doubles_are_accurate(tested, random, all ? 10000 : 100);
    }
}

int main(void) { return check_tables("test_exp2", exp2_is_accurate); }
