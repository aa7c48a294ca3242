/*
 * What softattn-bench makes of times: median and spread, samples long enough and often enough, the ceiling
 * that binds. The timed functions here only say how long they took, so nothing depends on this machine's
 * speed.
 */
#include "expect.h"
#include "measure.h"
#include "memory.h"
#include "result.h"
#include "timer.h"

#include <math.h>

static void median_and_quartiles_are_of_the_sorted_times(void) {
    double odd[] = {5, 1, 4, 2, 3};
    const struct bench_timing of_odd = bench_statistics(odd, 5, 1);
    EXPECT(of_odd.median == 3 && of_odd.min == 1, "%g %g", of_odd.median, of_odd.min);
    EXPECT(of_odd.spread == (4.0 - 2.0) / 3, "%g", of_odd.spread);

    double even[] = {40, 10, 20, 30};
    const struct bench_timing of_even = bench_statistics(even, 4, 10);
    EXPECT(of_even.median == 2.5 && of_even.min == 1, "a call is a tenth of a sample: %g %g", of_even.median,
           of_even.min);
    EXPECT(fabs(of_even.spread - (32.5 - 17.5) / 25) < 1e-15, "%g", of_even.spread);
}

struct fake_work {
    double seconds_per_call;
    int64_t calls_until_failure;
    int64_t calls;
};

static double fake_calls(void *argument, int64_t calls) {
    struct fake_work *work = argument;
    work->calls += calls;
    return work->calls > work->calls_until_failure ? -1 : (double)calls * work->seconds_per_call;
}

static void short_calls_are_batched_and_fill_the_time(void) {
    struct fake_work work = {.seconds_per_call = 50e-9, .calls_until_failure = INT64_MAX};
    struct bench_timing timing;
    EXPECT(bench_measure(fake_calls, &work, 0.3, &timing) == 0, "it does not fail");
    EXPECT((double)timing.calls_per_sample * 50e-9 >= 0.3 / 30, "%lld", (long long)timing.calls_per_sample);
    EXPECT(timing.samples >= 7 && timing.samples <= 31, "%d", timing.samples);
    EXPECT(fabs(timing.median - 50e-9) < 1e-18, "%g", timing.median);
}

static void long_calls_are_sampled_at_least_3_times_and_7_where_that_is_not_too_long(void) {
    struct fake_work second = {.seconds_per_call = 1, .calls_until_failure = INT64_MAX};
    struct fake_work tenth = {.seconds_per_call = 0.1, .calls_until_failure = INT64_MAX};
    struct bench_timing timing;
    bench_measure(fake_calls, &second, 0.3, &timing);
    EXPECT(timing.calls_per_sample == 1 && timing.samples == 3, "%d", timing.samples);
    bench_measure(fake_calls, &tenth, 0.3, &timing);
    EXPECT(timing.calls_per_sample == 1 && timing.samples == 7, "%d", timing.samples);
}

static void a_trial_takes_3_samples(void) {
    struct fake_work work = {.seconds_per_call = 1e-3, .calls_until_failure = INT64_MAX};
    struct bench_timing timing;
    bench_measure(fake_calls, &work, 0, &timing);
    EXPECT(timing.calls_per_sample == 1 && timing.samples == 3, "%d", timing.samples);
}

static void a_failed_call_ends_the_measurement(void) {
    struct fake_work first = {.seconds_per_call = 1e-3, .calls_until_failure = 0};
    struct fake_work late = {.seconds_per_call = 1e-3, .calls_until_failure = 50};
    struct bench_timing timing;
    EXPECT(bench_measure(fake_calls, &first, 0.3, &timing) == -1, "in the warm-up");
    EXPECT(bench_measure(fake_calls, &late, 0.3, &timing) == -1, "in a sample");
}

static void a_measurement_without_time_for_another_is_the_only_one(void) {
    const struct bench_problem problem = {
        .operation = BENCH_SOFTMAX, .type = BENCH_F32, .rows = 4, .cols = 4};
    const struct bench_way way = {BENCH_ENGINE_AUTO, "auto", 1};
    struct bench_arena arena = {0};
    struct bench_result result;
    bench_measure_problem(&problem, &way, 1e-3, 0, &arena, &result);
    EXPECT(!result.failed && result.attempts == 1, "%d attempts", result.attempts);
    bench_arena_destroy(&arena);
}

static struct bench_result attention_result(int64_t seq_q, double seconds) {
    struct bench_result result = {
        .problem = {.operation = BENCH_ATTENTION, .type = BENCH_F32},
        .timing = {.median = seconds},
        .multiply_add = {.rate = 100e9},
        .traffic = BENCH_READ,
        .memory = {.rate = 40e9},
    };
    struct bench_attention_shape shape = {1,
                                          1,
                                          1,
                                          seq_q,
                                          1024,
                                          64,
                                          64,
                                          0,
                                          BENCH_WINDOW_UNLIMITED,
                                          BENCH_WINDOW_UNLIMITED,
                                          BENCH_KEEP_MASK_NONE};
    result.problem.attention = shape;
    return result;
}

static void the_slower_ceiling_binds(void) {
    const struct bench_result prefill = attention_result(1024, 1);
    const struct bench_binding arithmetic = bench_result_binding(&prefill);
    EXPECT(arithmetic.arithmetic && arithmetic.rate == 100e9, "many queries are bound by arithmetic");
    EXPECT(fabs(arithmetic.share - 4.0 * 1024 * 1024 * 64 / 100e9) < 1e-12, "%g", arithmetic.share);

    const struct bench_result decode = attention_result(1, 1);
    const struct bench_binding memory = bench_result_binding(&decode);
    EXPECT(!memory.arithmetic && memory.rate == 40e9, "one query is bound by memory");
    EXPECT(fabs(memory.share - 4.0 * (1 + 1024) * 128 / 40e9) < 1e-12, "%g", memory.share);
}

static void softmax_is_measured_against_copying(void) {
    const struct bench_result result = {
        .problem = {.operation = BENCH_SOFTMAX, .type = BENCH_F32, .rows = 1000, .cols = 1000},
        .timing = {.median = 1e-3},
        .multiply_add = {.rate = 100e9},
        .traffic = BENCH_NONTEMPORAL_COPY,
        .memory = {.rate = 10e9},
    };
    const struct bench_binding binding = bench_result_binding(&result);
    EXPECT(!binding.arithmetic && fabs(binding.share - 0.8) < 1e-12, "8 MB in 1 ms: %g", binding.share);
}

static void shares_cover_everything_once(void) {
    for (int64_t elements = 0; elements <= 40; elements++) {
        for (int parts = 1; parts <= 9; parts++) {
            int64_t next = 0;
            for (int part = 0; part < parts; part++) {
                int64_t first, count;
                bench_share(elements, 4, part, parts, &first, &count);
                EXPECT(first >= next && (first == next || count <= 0), "%lld in %d", (long long)elements,
                       parts);
                EXPECT(first % 4 == 0, "%lld in %d", (long long)elements, parts);
                next = count > 0 ? first + count : next;
            }
            EXPECT(next == elements, "%lld in %d", (long long)elements, parts);
        }
    }
}

int main(void) {
    median_and_quartiles_are_of_the_sorted_times();
    short_calls_are_batched_and_fill_the_time();
    long_calls_are_sampled_at_least_3_times_and_7_where_that_is_not_too_long();
    a_trial_takes_3_samples();
    a_failed_call_ends_the_measurement();
    a_measurement_without_time_for_another_is_the_only_one();
    the_slower_ceiling_binds();
    softmax_is_measured_against_copying();
    shares_cover_everything_once();
    return expect_summary();
}
