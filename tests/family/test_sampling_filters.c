/*
 * Probabilities after temperature, top-k, top-p and min-p are those of the filters as they are usually written on PyTorch's
 * operators: sampling_fixtures.py says how they were recorded.
 */
#include "contexts.h"
#include "expect.h"

#include <softattn/softattn.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "sampling_fixtures.h"

enum { FIXTURES = sizeof sampling_fixtures / sizeof sampling_fixtures[0], MOST_TOKENS = 60 };

static softattn_sampler *sampler_of(const softattn_context *context, const struct sampling_fixture *fixture) {
    softattn_sampler *sampler = NULL;
    EXPECT(softattn_sampler_create(context, &sampler) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_sampler_set_temperature(sampler, fixture->temperature) == SOFTATTN_OK, "%s",
           last_error());
    EXPECT(softattn_sampler_set_top_k(sampler, fixture->top_k) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_sampler_set_top_p(sampler, fixture->top_p) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_sampler_set_min_p(sampler, fixture->min_p) == SOFTATTN_OK, "%s", last_error());
    return sampler;
}

static softattn_tensor row_of(void *data, int64_t *shape, uint8_t code, uint8_t bits) {
    return (softattn_tensor){.data = data,
                             .device = {SOFTATTN_DEVICE_CPU, 0},
                             .ndim = 1,
                             .dtype = {code, bits, 1},
                             .shape = shape};
}

/* A relative error of a few roundings of a weight whose exponent is up to 40. */
static void check_fixture(const softattn_context *context, int32_t number, uint8_t bits) {
    const struct sampling_fixture *const fixture = &sampling_fixtures[number];
    const double bound = 300 * (bits == 32 ? 0x1p-24 : 0x1p-53);
    int64_t shape[] = {fixture->vocabulary};
    float logits[MOST_TOKENS], probabilities[MOST_TOKENS];
    double wide_logits[MOST_TOKENS], wide[MOST_TOKENS];
    uint8_t keep[MOST_TOKENS];
    for (int64_t j = 0; j < fixture->vocabulary; j++) {
        wide_logits[j] = fixture->logits[j];
        logits[j] = (float)fixture->logits[j];
    }
    const softattn_tensor x =
        row_of(bits == 32 ? (void *)logits : wide_logits, shape, SOFTATTN_TYPE_FLOAT, bits);
    const softattn_tensor y =
        row_of(bits == 32 ? (void *)probabilities : wide, shape, SOFTATTN_TYPE_FLOAT, bits);
    const softattn_tensor kept = row_of(keep, shape, SOFTATTN_TYPE_UINT, 8);
    const softattn_sampler_args args = {
        .struct_size = sizeof args, .logits = &x, .probabilities = &y, .keep_mask = &kept};
    softattn_sampler *const sampler = sampler_of(context, fixture);
    EXPECT(softattn_sampler_run(sampler, &args) == SOFTATTN_OK, "%s", last_error());
    for (int64_t j = 0; j < fixture->vocabulary; j++) {
        const double actual = bits == 32 ? (double)probabilities[j] : wide[j],
                     expected = fixture->probabilities[j];
        EXPECT(fabs(actual - expected) <= bound * expected && keep[j] == (expected > 0),
               "fixture %d, f%d: token %d has %.17g instead of %.17g", (int)number, (int)bits, (int)j, actual,
               expected);
    }
    softattn_sampler_destroy(sampler);
}

int main(void) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int32_t number = 0; number < FIXTURES; number++) {
            check_fixture(context, number, 32);
            check_fixture(context, number, 64);
        }
        softattn_context_destroy(context);
    }
    return expect_summary();
}
