/*
 * One measurement: the ceilings, the problem, the ceilings again, until it is quiet.
 */
#ifndef SOFTATTN_BENCH_MEASURE_H
#define SOFTATTN_BENCH_MEASURE_H

#include "result.h"

/* Fills result; with result->failed set when the problem could not be run. The arena is scratch memory that
 * many measurements share. A measurement that is not quiet is repeated, as long as all of them are expected to
 * end within max_seconds. */
void bench_measure_problem(const struct bench_problem *problem, const struct bench_way *way,
                           double min_seconds, double max_seconds, struct bench_arena *arena,
                           struct bench_result *result);

/* Solves the problem so many times and measures nothing, for tools that count instructions. Returns -1 and sets
 * result->failure, or 0. */
int bench_call_problem(const struct bench_problem *problem, const struct bench_way *way, int64_t calls,
                       struct bench_result *result);

#endif
