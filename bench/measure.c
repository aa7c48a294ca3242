/*
 * One measurement: rounds of the ceilings and the problem, until it is quiet. What a shared machine gives changes within
 * seconds, and a share is of what it gave in the same round.
 */
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTEMPTS = 3, MAX_ROUNDS = 5, SLOW_ROUNDS = 3 };

struct bench {
    const struct bench_problem *problem;
    softattn_context *context;
    struct bench_team *team;
    struct bench_arena *arena;
    const struct bench_ceiling_loops *loops;
    struct bench_runner runner;
    double min_seconds;
};

/* The better of two kinds of traffic, the same but for the stores. footprint: bytes of memory gone over. */
static int measure_better_traffic(const struct bench *bench, enum bench_traffic plain,
                                  enum bench_traffic nontemporal, double footprint, double seconds,
                                  struct bench_result *round) {
    const int in_place = bench->problem->in_place;
    struct bench_ceiling around_caches;
    if (bench_measure_traffic(bench->team, bench->arena, plain, footprint, in_place, seconds,
                              &round->memory) != 0 ||
        bench_measure_traffic(bench->team, bench->arena, nontemporal, footprint, in_place, seconds,
                              &around_caches) != 0) {
        return -1;
    }
    round->traffic = plain;
    if (around_caches.rate > round->memory.rate) {
        round->traffic = nontemporal;
        round->memory = around_caches;
    }
    return 0;
}

/* The ceilings of a problem: its instruction set's multiply-adds, and memory over as many bytes as it touches, read and
 * written as it does. */
static int measure_ceilings(const struct bench *bench, double seconds, struct bench_result *round) {
    const double bytes = bench_result_bytes(round);
    const int in_place = bench->problem->in_place;
    bench_measure_multiply_add(bench->team, bench->loops, bench_arithmetic_type(bench->problem->type),
                               seconds, &round->multiply_add);
    if (bench_operation_only_reads(bench->problem->operation)) {
        round->traffic = BENCH_READ;
        return bench_measure_traffic(bench->team, bench->arena, BENCH_READ, bytes, 0, seconds,
                                     &round->memory);
    }
    if (bench->problem->operation == BENCH_SOFTMAX_BACKWARD) {
        return measure_better_traffic(bench, BENCH_ADD, BENCH_NONTEMPORAL_ADD,
                                      in_place ? bytes * 2 / 3 : bytes, seconds, round);
    }
    return measure_better_traffic(bench, BENCH_COPY, BENCH_NONTEMPORAL_COPY, in_place ? bytes / 2 : bytes,
                                  seconds, round);
}

static int compare_shares(const void *left, const void *right) {
    const double a = bench_result_binding(left).share, b = bench_result_binding(right).share;
    return (a > b) - (a < b);
}

/* The round whose share is the middle one. */
static void take_middle_round(struct bench_result *rounds, int count, struct bench_result *result) {
    qsort(rounds, (size_t)count, sizeof *rounds, compare_shares);
    *result = rounds[count / 2];
    const double lower = bench_result_binding(&rounds[count / 4]).share;
    const double upper = bench_result_binding(&rounds[count - 1 - count / 4]).share;
    result->unrest = fmax(result->timing.spread, (upper - lower) / bench_result_binding(result).share);
}

static int measure_once(struct bench *bench, struct bench_result *result) {
    const double seconds = bench->min_seconds / MAX_ROUNDS;
    struct bench_result rounds[MAX_ROUNDS];
    struct bench_noise noise;
    struct bench_cpu_times begin;
    int count = 0;
    bench_noise_begin(&noise, &begin);
    do {
        struct bench_result *round = &rounds[count++];
        *round = *result;
        if (measure_ceilings(bench, seconds / 3, round) != 0) {
            return bench_fail_from_memory(&result->failure);
        }
        if (bench_measure(bench_runner_calls, &bench->runner, seconds, &round->timing) != 0) {
            return bench_fail_from_library(&result->failure, bench->runner.status);
        }
    } while (count < (rounds[0].timing.median > seconds ? SLOW_ROUNDS : MAX_ROUNDS) &&
             bench->min_seconds > 0);
    bench_noise_end(&noise, &begin);

    take_middle_round(rounds, count, result);
    result->noise = noise;
    result->unrest = fmax(result->unrest, noise.stolen_share + noise.others_share);
    return 0;
}

/* Repeats until a measurement is quiet or another one would take too long, and keeps the quietest. A run
 * without a time to fill is a trial: one will do. */
static int measure_quietly(struct bench *bench, double max_seconds, struct bench_result *result) {
    const int max_attempts = bench->min_seconds > 0 ? MAX_ATTEMPTS : 1;
    struct bench_result candidate = *result;
    const double start = bench_now();
    double now = start, attempt_seconds = 0;
    result->unrest = INFINITY;
    for (int attempt = 1; attempt <= max_attempts && result->unrest > BENCH_DOUBTFUL_UNREST &&
                          now - start + attempt_seconds <= max_seconds;
         attempt++) {
        if (measure_once(bench, &candidate) != 0) {
            *result = candidate;
            return -1;
        }
        if (candidate.unrest < result->unrest) {
            *result = candidate;
        }
        result->attempts = attempt;
        attempt_seconds = bench_now() - now;
        now += attempt_seconds;
    }
    return 0;
}

static int32_t create_context(const struct bench_way *way, softattn_context **context) {
    int32_t status = softattn_context_create(context);
    if (status == SOFTATTN_OK && strcmp(way->isa, "auto") != 0) {
        status = softattn_context_set_isa(*context, way->isa);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_context_set_threads(*context, way->threads);
    }
    return status;
}

static int prepare(struct bench *bench, const struct bench_way *way, struct bench_result *result) {
    const int32_t status = create_context(way, &bench->context);
    if (status != SOFTATTN_OK) {
        return bench_fail_from_library(&result->failure, status);
    }
    snprintf(result->isa, sizeof result->isa, "%s", softattn_context_isa(bench->context));
    result->threads = softattn_context_threads(bench->context);
    bench->loops = bench_ceiling_loops(result->isa);
    result->multiply_add_isa = bench->loops->isa;

    bench->team = bench_team_create(result->threads);
    if (bench->team == NULL) {
        return bench_fail_from_memory(&result->failure);
    }
    static bench_prepare *const prepare_operation[] = {
        [BENCH_SOFTMAX] = bench_softmax_prepare,
        [BENCH_SOFTMAX_BACKWARD] = bench_gradient_prepare,
        [BENCH_CROSS_ENTROPY] = bench_gradient_prepare,
        [BENCH_SAMPLING] = bench_output_prepare,
        [BENCH_DIAGNOSE] = bench_output_prepare,
        [BENCH_ATTENTION] = bench_attention_prepare,
        [BENCH_LINEAR_ATTENTION] = bench_linear_attention_prepare,
    };
    return prepare_operation[bench->problem->operation](bench->problem, way->engine, bench->context,
                                                        bench->team, &bench->runner, &result->failure);
}

int bench_call_problem(const struct bench_problem *problem, const struct bench_way *way, int64_t calls,
                       struct bench_result *result) {
    struct bench bench = {.problem = problem};
    memset(result, 0, sizeof *result);
    int failed = prepare(&bench, way, result);
    if (failed == 0) {
        if (bench_runner_calls(&bench.runner, calls) < 0) {
            failed = bench_fail_from_library(&result->failure, bench.runner.status);
        }
        bench.runner.destroy(bench.runner.state);
    }
    bench_team_destroy(bench.team);
    softattn_context_destroy(bench.context);
    return failed;
}

void bench_measure_problem(const struct bench_problem *problem, const struct bench_way *way,
                           double min_seconds, double max_seconds, struct bench_arena *arena,
                           struct bench_result *result) {
    struct bench bench = {.problem = problem, .arena = arena, .min_seconds = min_seconds};
    memset(result, 0, sizeof *result);
    result->problem = *problem;
    result->threads = way->threads;
    snprintf(result->isa, sizeof result->isa, "%s", way->isa);
    snprintf(result->engine, sizeof result->engine, "%s", bench_engine_name(way->engine));

    if (prepare(&bench, way, result) != 0) {
        result->failed = 1;
    } else {
        memcpy(result->engine, bench.runner.engine, sizeof result->engine);
        memcpy(result->kernel, bench.runner.kernel, sizeof result->kernel);
        result->failed = measure_quietly(&bench, max_seconds, result) != 0;
        bench.runner.destroy(bench.runner.state);
    }
    bench_team_destroy(bench.team);
    softattn_context_destroy(bench.context);
}
