/*
 * What a measurement found, and the figures derived from it.
 */
#ifndef SOFTATTN_BENCH_RESULT_H
#define SOFTATTN_BENCH_RESULT_H

#include "ceilings.h"
#include "noise.h"
#include "problem.h"
#include "runner.h"
#include "timer.h"

struct bench_result {
    const char *family; /* of the grid; NULL for a single case */
    struct bench_problem problem;
    int threads;
    char isa[16];
    char engine[16];
    char kernel[48];

    int failed; /* then failure says why, and nothing below is set */
    struct bench_failure failure;

    struct bench_timing timing;
    int attempts;             /* measurements made until one was quiet; this is the quietest */
    struct bench_noise noise; /* during it */
    double unrest; /* the largest of its spread, the changes of the ceilings, and what others took */
    const char *
        multiply_add_isa; /* whose multiply-adds were measured; the result's own where it has ceiling loops */
    struct bench_ceiling multiply_add;
    enum bench_traffic traffic; /* the kind of traffic that bounds this problem */
    struct bench_ceiling memory;
};

/* Above this unrest a result is doubtful: it is measured again, and warned of when that does not help. */
#define BENCH_DOUBTFUL_UNREST 0.05

/* Work of one call. */
double bench_result_flops(const struct bench_result *result); /* 0 for matrices: nobody counts theirs */
double bench_result_bytes(const struct bench_result *result);

/* The ceiling under which the work would take longest, and that time as a share of the measured one. */
struct bench_binding {
    int arithmetic;      /* whether it is the multiply-adds rather than memory */
    const char *ceiling; /* "multiply-add", or the name of the traffic */
    double rate;         /* of the ceiling, FLOP/s or B/s */
    double share;
};

struct bench_binding bench_result_binding(const struct bench_result *result);

#endif
