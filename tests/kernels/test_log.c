/*
 * The kernels' natural logarithm, of which log-sum-exp and log-probabilities are made, is within one unit in the last
 * place for normal numbers. The largest errors are printed, for docs/arithmetic.md.
 *
 * finish computes ln(2) * max + ln(sum), which is ln(sum) where max is 0.
 */
#include "accuracy.h"
#include "expect.h"
#include "tables.h"

#include <inttypes.h>
#include <stdio.h>

enum { BLOCK = SOFTATTN_MAX_QUERY_BLOCK };

static void log_f32(const struct softattn_kernels *kernels, const float *argument, float *result) {
    float max[BLOCK] = {0}, factor[BLOCK];
    kernels->finish(BLOCK, 1, NULL, max, argument, factor, result);
}

static void log_f64(const struct softattn_kernels *kernels, const double *argument, double *result) {
    double max[BLOCK] = {0}, factor[BLOCK];
    kernels->finish(BLOCK, 1, NULL, max, argument, factor, result);
}

/* Every `step`th positive normal float. */
static void floats_are_accurate(const struct softattn_kernels *tested, uint32_t step) {
    struct accuracy accuracy = {0, 0};
    int64_t count = 0;
    for (uint32_t bits = UINT32_C(0x00800000); bits < UINT32_C(0x7f800000) - step * BLOCK;
         bits += step * BLOCK) {
        float argument[BLOCK], result[BLOCK];
        for (uint32_t i = 0; i < BLOCK; i++) {
            const uint32_t argument_bits = bits + i * step;
            memcpy(&argument[i], &argument_bits, sizeof argument[i]);
        }
        log_f32(tested, argument, result);
        for (int i = 0; i < BLOCK; i++) {
            accuracy_note_f32(&accuracy, (double)argument[i], result[i], log((double)argument[i]));
        }
        count += BLOCK;
    }
    printf("log f32 %s: at most %.4f units in the last place, at %a; %" PRId64 " arguments\n", tested->isa,
           accuracy.worst, accuracy.argument, count);
    EXPECT(accuracy.worst <= 1, "log(%a) on %s", accuracy.argument, tested->isa);
}

/* A third near 1, where the result is small, a third like sums of weights, a third with any exponent. */
static void doubles_are_accurate(const struct softattn_kernels *tested, random_source *random,
                                 int64_t blocks) {
    struct accuracy accuracy = {0, 0};
    for (int64_t block = 0; block < blocks; block++) {
        double argument[BLOCK], result[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            argument[i] =
                i % 3 == 0   ? 1 + ldexp(random_uniform(random, -1, 1), (int)random_between(random, -52, -1))
                : i % 3 == 1 ? random_uniform(random, 1, 1e6)
                             : ldexp(random_uniform(random, 1, 2), (int)random_between(random, -1022, 1022));
        }
        log_f64(tested, argument, result);
        for (int i = 0; i < BLOCK; i++) {
            accuracy_note_f64(&accuracy, argument[i], result[i], logl((long double)argument[i]));
        }
    }
    printf("log f64 %s: at most %.4f units in the last place, at %a; %" PRId64 " arguments\n", tested->isa,
           accuracy.worst, accuracy.argument, blocks * BLOCK);
    EXPECT(accuracy.worst <= 1, "log(%a) on %s", accuracy.argument, tested->isa);
}

static void log_is_accurate(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                            random_source *random) {
    const bool all = test_rounds() >= USUAL_ROUNDS;
    (void)generic;
    if (tested->real_bytes == 4) {
        floats_are_accurate(tested, all ? 211 : 50021);
    } else {
        doubles_are_accurate(tested, random, all ? 10000 : 100);
    }
}

int main(void) { return check_tables("test_log", log_is_accurate); }
