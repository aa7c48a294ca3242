/*
 * One measurement: the ceilings, the problem, the ceilings again, until it is quiet.
 */
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ATTEMPTS = 3 };

struct bench {
    const struct bench_problem *problem;
    softattn_context *context;
    struct bench_team *team;
    struct bench_arena *arena;
    const struct bench_ceiling_loops *loops;
    struct bench_runner runner;
    double min_seconds;
};

/* The ceilings of one problem: its instruction set's multiply-adds, and memory over as many bytes as it
 * touches. */
struct ceilings {
    struct bench_ceiling multiply_add, memory;
    enum bench_traffic traffic;
};

static int measure_ceilings(const struct bench *bench, const struct bench_result *result,
                            struct ceilings *ceilings) {
    const double seconds = bench->min_seconds / 6;
    const double bytes = bench_result_bytes(result);
    bench_measure_multiply_add(bench->team, bench->loops, bench_arithmetic_type(bench->problem->type),
                               seconds, &ceilings->multiply_add);
    if (bench_operation_only_reads(bench->problem->operation)) {
        ceilings->traffic = BENCH_READ;
        return bench_measure_traffic(bench->team, bench->arena, BENCH_READ, bytes, 0, seconds,
                                     &ceilings->memory);
    }

    /* A softmax reads and writes every element, as a copy does, and so do the others nearly; the better of
     * the two kinds, moving as many bytes, is the ceiling. */
    const int in_place = bench->problem->in_place;
    const double footprint = in_place ? bytes / 2 : bytes;
    struct bench_ceiling nontemporal;
    if (bench_measure_traffic(bench->team, bench->arena, BENCH_COPY, footprint, in_place, seconds,
                              &ceilings->memory) != 0 ||
        bench_measure_traffic(bench->team, bench->arena, BENCH_NONTEMPORAL_COPY, footprint, in_place, seconds,
                              &nontemporal) != 0)
        return -1;
    ceilings->traffic = BENCH_COPY;
    if (nontemporal.rate > ceilings->memory.rate) {
        ceilings->traffic = BENCH_NONTEMPORAL_COPY;
        ceilings->memory = nontemporal;
    }
    return 0;
}

static double relative_change(double before, double after) {
    return fabs(after - before) / fmax(before, after);
}

/* Of each ceiling the higher of the two measurements counts: what disturbs it can only lower it. */
static void take_ceilings(struct bench_result *result, const struct ceilings *before,
                          const struct ceilings *after) {
    const int arithmetic_grew = after->multiply_add.rate > before->multiply_add.rate;
    const int memory_grew = after->memory.rate > before->memory.rate;
    result->multiply_add = arithmetic_grew ? after->multiply_add : before->multiply_add;
    result->memory = memory_grew ? after->memory : before->memory;
    result->traffic = memory_grew ? after->traffic : before->traffic;
}

static int measure_once(struct bench *bench, struct bench_result *result) {
    struct ceilings before, after;
    struct bench_cpu_times begin;
    bench_noise_begin(&result->noise, &begin);
    if (measure_ceilings(bench, result, &before) != 0)
        return bench_fail_from_memory(&result->failure);
    if (bench_measure(bench->runner.calls, &bench->runner, bench->min_seconds, &result->timing) != 0)
        return bench_fail_from_library(&result->failure, bench->runner.status);
    if (measure_ceilings(bench, result, &after) != 0)
        return bench_fail_from_memory(&result->failure);
    bench_noise_end(&result->noise, &begin);

    take_ceilings(result, &before, &after);
    const double ceilings_change = fmax(relative_change(before.multiply_add.rate, after.multiply_add.rate),
                                        relative_change(before.memory.rate, after.memory.rate));
    const double taken = result->noise.stolen_share + result->noise.others_share;
    result->unrest = fmax(taken, fmax(result->timing.spread, ceilings_change));
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
        if (candidate.unrest < result->unrest)
            *result = candidate;
        result->attempts = attempt;
        attempt_seconds = bench_now() - now;
        now += attempt_seconds;
    }
    return 0;
}

static int32_t create_context(const struct bench_way *way, softattn_context **context) {
    int32_t status = softattn_context_create(context);
    if (status == SOFTATTN_OK && strcmp(way->isa, "auto") != 0)
        status = softattn_context_set_isa(*context, way->isa);
    if (status == SOFTATTN_OK)
        status = softattn_context_set_threads(*context, way->threads);
    return status;
}

static int prepare(struct bench *bench, const struct bench_way *way, struct bench_result *result) {
    const int32_t status = create_context(way, &bench->context);
    if (status != SOFTATTN_OK)
        return bench_fail_from_library(&result->failure, status);
    snprintf(result->isa, sizeof result->isa, "%s", softattn_context_isa(bench->context));
    result->threads = softattn_context_threads(bench->context);
    bench->loops = bench_ceiling_loops(result->isa);
    result->multiply_add_isa = bench->loops->isa;

    bench->team = bench_team_create(result->threads);
    if (bench->team == NULL)
        return bench_fail_from_memory(&result->failure);
    static bench_prepare *const prepare_operation[] = {
        [BENCH_SOFTMAX] = bench_softmax_prepare,        [BENCH_SOFTMAX_BACKWARD] = bench_gradient_prepare,
        [BENCH_CROSS_ENTROPY] = bench_gradient_prepare, [BENCH_SAMPLING] = bench_output_prepare,
        [BENCH_DIAGNOSE] = bench_output_prepare,        [BENCH_ATTENTION] = bench_attention_prepare,
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
        if (bench.runner.calls(&bench.runner, calls) < 0)
            failed = bench_fail_from_library(&result->failure, bench.runner.status);
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
