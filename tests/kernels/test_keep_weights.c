/*
 * keep_weights of every instruction set decides as an independent Philox4x32-10 does, for any counters, key, threshold and
 * place of the results, and touches nothing outside them.
 */
#include "expect.h"
#include "philox.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <stdio.h>

/* Extremes, where carries and comparisons with signs go wrong, as often as anything. */
static uint32_t random_word(random_source *random) {
    const uint32_t extremes[] = {0, 1, INT32_MAX, UINT32_C(0x80000000), UINT32_MAX - 3, UINT32_MAX};
    return random_below(random, 2) ? extremes[random_below(random, 6)] : (uint32_t)random_bits(random);
}

/* Counters side by side with the words apart, as lanes of queries; or a counter's words side by side, as rows of keys. */
static struct softattn_keep_weights random_problem(random_source *random) {
    struct softattn_keep_weights keep = {.counters = random_between(random, 1, 70)};
    const bool along_queries = random_below(random, 2);
    for (int i = 0; i < 4; i++) {
        keep.counter[i] = random_word(random);
    }
    keep.step[0] = !along_queries;
    keep.step[1] = along_queries;
    keep.key[0] = random_word(random);
    keep.key[1] = random_word(random);
    keep.threshold = random_below(random, 4) ? random_word(random) : INT64_C(1) << 32;
    keep.counter_stride = along_queries ? 1 : 4;
    keep.word_stride = along_queries ? keep.counters + random_below(random, 5) : 1;
    return keep;
}

static double expected_decision(const struct softattn_keep_weights *keep, int64_t counter, int word) {
    const philox_block block = {{keep->counter[0] + (uint32_t)counter * keep->step[0],
                                 keep->counter[1] + (uint32_t)counter * keep->step[1], keep->counter[2],
                                 keep->counter[3]}};
    return philox4x32_10(block, keep->key[0], keep->key[1]).word[word] >= keep->threshold ? 1 : 0;
}

static void keeps_what_philox_says(const struct softattn_kernels *tested,
                                   const struct softattn_kernels *generic, random_source *random) {
    (void)generic;
    for (int64_t i = 0; i < test_rounds(); i++) {
        struct softattn_keep_weights keep = random_problem(random);
        const guard_side side = random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
        const int64_t count = 1 + (keep.counters - 1) * keep.counter_stride + 3 * keep.word_stride;
        struct reals actual = reals_create(tested->real_bytes, count, side);
        struct reals expected = reals_copy(&actual, side);
        keep.to = actual.block.data;
        tested->keep_weights(&keep);
        for (int64_t c = 0; c < keep.counters; c++) {
            for (int w = 0; w < 4; w++) {
                reals_set(&expected, c * keep.counter_stride + w * keep.word_stride,
                          expected_decision(&keep, c, w));
            }
        }
        char context[120];
        snprintf(context, sizeof context, "%s f%d, %" PRId64 " counters, words %" PRId64 " apart",
                 tested->isa, 8 * tested->real_bytes, keep.counters, keep.word_stride);
        expect_equal(context, "to", &actual, &expected, tolerance_none);
        reals_destroy(&actual);
        reals_destroy(&expected);
    }
}

int main(void) { return check_tables("test_keep_weights", keeps_what_philox_says); }
