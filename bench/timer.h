/*
 * Timing of something that can be called again and again: warm-up, batches long enough for the clock, and the
 * statistics of the batches' times.
 */
#ifndef SOFTATTN_BENCH_TIMER_H
#define SOFTATTN_BENCH_TIMER_H

#include <stdint.h>

/* Seconds on a clock that only runs forward. */
double bench_now(void);

/* Makes that many calls and returns the seconds they took, or a negative number after a failure. */
typedef double (*bench_timed_function)(void *argument, int64_t calls);

struct bench_timing {
    double median, min; /* seconds of one call */
    double spread;      /* (third quartile - first quartile) / median */
    int samples;
    int64_t calls_per_sample;
};

/*
 * Measures function for about min_seconds, with at least 7 samples; where these would take more than ten
 * times min_seconds, with at least 3. Returns 0, or -1 when a call failed.
 */
int bench_measure(bench_timed_function function, void *argument, double min_seconds,
                  struct bench_timing *timing);

/* The statistics of `samples` durations of `calls` calls each; sorts seconds. */
struct bench_timing bench_statistics(double *seconds, int samples, int64_t calls);

#endif
