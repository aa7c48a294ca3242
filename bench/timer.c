/*
 * Timing of something that can be called again and again.
 */
#include "timer.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_SAMPLES = 256, USUAL_SAMPLES = 7, FEWEST_SAMPLES = 3 };

/* Reading the clock takes about 50 ns; a sample of this length keeps that and the clock's grain far under 1
 * %. */
static const double shortest_sample = 20e-6;

double bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare_doubles(const void *left, const void *right) {
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The value a fraction of the way through sorted values, between two of them by interpolation. */
static double quantile(const double *sorted, int count, double fraction) {
    const double place = fraction * (double)(count - 1);
    const int below = (int)place;
    const int above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

struct bench_timing bench_statistics(double *seconds, int samples, int64_t calls) {
    qsort(seconds, (size_t)samples, sizeof *seconds, compare_doubles);
    const double median = quantile(seconds, samples, 0.5);
    struct bench_timing timing = {
        .median = median / (double)calls,
        .min = seconds[0] / (double)calls,
        .spread = (quantile(seconds, samples, 0.75) - quantile(seconds, samples, 0.25)) / median,
        .samples = samples,
        .calls_per_sample = calls,
    };
    return timing;
}

/* Raises the number of calls until they take long enough; these calls are also the warm-up. 0 after a
 * failure. */
static int64_t calls_that_take(bench_timed_function function, void *argument, double wanted) {
    int64_t calls = 1;
    for (;;) {
        const double seconds = function(argument, calls);
        if (seconds < 0) {
            return 0;
        }
        if (seconds >= wanted) {
            return calls;
        }
        /* The first calls are slow (cold caches, page faults), so approach from below. */
        const double factor = seconds > 0 ? 1.2 * wanted / seconds : 10;
        calls = (int64_t)((double)calls * (factor < 10 ? factor : 10)) + 1;
    }
}

int bench_measure(bench_timed_function function, void *argument, double min_seconds,
                  struct bench_timing *timing) {
    const double usual_sample = min_seconds / 30;
    const double sample = usual_sample > shortest_sample ? usual_sample : shortest_sample;
    const int64_t calls = calls_that_take(function, argument, sample);
    if (calls == 0) {
        return -1;
    }

    double seconds[MAX_SAMPLES];
    double total = 0;
    int samples = 0;
    while (samples < MAX_SAMPLES) {
        const int needed = total < 10 * min_seconds ? USUAL_SAMPLES : FEWEST_SAMPLES;
        if (total >= min_seconds && samples >= needed) {
            break;
        }
        seconds[samples] = function(argument, calls);
        if (seconds[samples] < 0) {
            return -1;
        }
        total += seconds[samples++];
    }
    *timing = bench_statistics(seconds, samples, calls);
    return 0;
}
