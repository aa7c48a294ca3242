/*
 * softattn-bench: the speed of libsoftattn as a share of what the machine can do, both measured in one run.
 */
#include "engines.h"
#include "grid.h"
#include "measure.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "textbook.h"

#include <softattn/softattn.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct session {
    const struct bench_options *options;
    struct bench_machine machine;
    struct bench_report report;
    struct bench_arena arena;
    int done, all; /* measurements, for the progress line */
    int failed;    /* of them */
    int doubtful;  /* of them */
};

/* ---- Ceilings ---------------------------------------------------------------------------------------- */

static void report_multiply_adds(struct session *session, struct bench_team *team, enum bench_type type) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        const struct bench_ceiling_loops *loops = bench_ceiling_loops(softattn_isa_name(i));
        if (strcmp(loops->isa, softattn_isa_name(i)) != 0) {
            continue;
        }
        struct bench_ceiling_record record = {
            .name = "multiply-add",
            .isa = loops->isa,
            .type = type,
            .threads = bench_team_threads(team),
        };
        bench_measure_multiply_add(team, loops, type, session->options->min_seconds / 3, &record.ceiling);
        bench_report_ceiling(&session->report, &record);
    }
}

static int report_traffic(struct session *session, struct bench_team *team, enum bench_level level,
                          enum bench_traffic traffic) {
    struct bench_ceiling_record record = {
        .name = bench_traffic_name(traffic),
        .level = bench_level_name(level),
        .footprint = bench_level_footprint(&session->machine, level, bench_team_threads(team)),
        .threads = bench_team_threads(team),
    };
    if (record.footprint <= 0) {
        return 0;
    }
    if (bench_measure_traffic(team, &session->arena, traffic, record.footprint, 0,
                              session->options->min_seconds / 3, &record.ceiling) != 0) {
        return -1;
    }
    bench_report_ceiling(&session->report, &record);
    return 0;
}

static int report_ceilings_of(struct session *session, int threads) {
    struct bench_team *team = bench_team_create(threads);
    if (team == NULL) {
        return -1;
    }
    int result = 0;
    report_multiply_adds(session, team, BENCH_F32);
    report_multiply_adds(session, team, BENCH_F64);
    for (int level = 0; result == 0 && level < BENCH_LEVELS; level++) {
        for (int traffic = BENCH_READ; result == 0 && traffic < BENCH_TRAFFICS; traffic++) {
            const int around_caches = traffic == BENCH_NONTEMPORAL_COPY || traffic == BENCH_NONTEMPORAL_ADD;
            if (!around_caches || level == BENCH_DRAM) {
                result = report_traffic(session, team, (enum bench_level)level, (enum bench_traffic)traffic);
            }
        }
    }
    bench_team_destroy(team);
    return result;
}

static void report_ceilings(struct session *session) {
    bench_report_section(&session->report, "ceilings");
    for (int i = 0; i < session->options->threads_count; i++) {
        const int threads = session->options->threads[i];
        bench_progress_show(i, session->options->threads_count, "ceilings");
        if (report_ceilings_of(session, threads > 0 ? threads : session->machine.cpus) != 0) {
            fputs("softattn-bench: there is not enough memory for the ceilings, or no threads\n", stderr);
            session->failed++;
        }
    }
    bench_progress_clear();
}

/* ---- Problems ---------------------------------------------------------------------------------------- */

/* How long a problem may keep the run. A quiet measurement takes about twice min_seconds, so the grid's limit
 * leaves its hundred problems time for repetition, and ends in minutes on a machine that is never quiet. */
static double max_seconds(const struct bench_options *options) {
    return options->mode == BENCH_MODE_GRID ? 6 * options->min_seconds : INFINITY;
}

static void report_problem(struct session *session, const char *family, const struct bench_problem *problem,
                           const struct bench_way *way, int failure_allowed) {
    char name[BENCH_NAME_SIZE];
    bench_problem_name(problem, name, sizeof name);
    bench_progress_show(session->done++, session->all, name);
    struct bench_result result;
    bench_measure_problem(problem, way, session->options->min_seconds, max_seconds(session->options),
                          &session->arena, &result);
    result.family = family;
    bench_progress_clear();
    bench_report_result(&session->report, &result);
    if (result.failed && !(failure_allowed && result.failure.unsupported)) {
        fprintf(stderr, "softattn-bench: %s: %s\n", name, result.failure.text);
        session->failed++;
    }
    const int is_trial = session->options->min_seconds <= 0;
    session->doubtful += !is_trial && !result.failed && result.unrest > BENCH_DOUBTFUL_UNREST;
}

static int count_ways(const struct bench_options *options, const struct bench_problem *problem) {
    char refusal[BENCH_REFUSAL_SIZE];
    int engines = 0;
    for (int i = 0; i < options->engines_count; i++) {
        engines += bench_engine_solves(options->engines[i], problem, refusal);
    }
    return engines * options->isas_count * options->threads_count;
}

/* The problem with every engine, instruction set and number of threads asked for. */
static void report_ways(struct session *session, const char *family, const struct bench_problem *problem,
                        int failure_allowed) {
    const struct bench_options *options = session->options;
    char refusal[BENCH_REFUSAL_SIZE];
    for (int t = 0; t < options->threads_count; t++) {
        for (int i = 0; i < options->isas_count; i++) {
            for (int e = 0; e < options->engines_count; e++) {
                const struct bench_way way = {options->engines[e], options->isas[i], options->threads[t]};
                if (bench_engine_solves(way.engine, problem, refusal)) {
                    report_problem(session, family, problem, &way, failure_allowed);
                }
            }
        }
    }
}

static void report_single(struct session *session) {
    bench_report_section(&session->report, "results");
    session->all = count_ways(session->options, &session->options->problem);
    report_ways(session, NULL, &session->options->problem, 0);
}

static void report_grid(struct session *session) {
    const struct bench_options *options = session->options;
    /* A CSV file holds records of one kind. */
    if (options->format != BENCH_CSV) {
        report_ceilings(session);
    }
    bench_report_section(&session->report, "results");
    for (int i = 0; i < bench_grid_count(); i++) {
        const struct bench_grid_case item = bench_grid_case(i);
        if (bench_grid_selects(i, options->quick, options->family)) {
            session->all += count_ways(options, &item.problem);
        }
    }
    for (int i = 0; i < bench_grid_count(); i++) {
        const struct bench_grid_case item = bench_grid_case(i);
        if (bench_grid_selects(i, options->quick, options->family)) {
            report_ways(session, item.family, &item.problem, 1);
        }
    }
}

/* ---- The run ----------------------------------------------------------------------------------------- */

static void end_report(struct session *session, struct bench_noise *noise,
                       const struct bench_cpu_times *begin) {
    const char *warnings[4];
    bench_noise_end(noise, begin);
    int count = bench_noise_warnings(noise, session->machine.cpus, warnings);
    char doubtful[128];
    if (session->doubtful > 0) {
        snprintf(doubtful, sizeof doubtful,
                 "%d of %d results are doubtful: times or ceilings varied by more than 5 %%, or others took "
                 "that much",
                 session->doubtful, session->done);
        warnings[count++] = doubtful;
    }
    for (int i = 0; i < count; i++) {
        fprintf(stderr, "softattn-bench: warning: %s\n", warnings[i]);
    }
    bench_report_end(&session->report, noise, warnings, count);
}

static int run(const struct bench_options *options, int argc, char **argv) {
    struct session session = {.options = options};
    struct bench_noise noise;
    struct bench_cpu_times begin;
    bench_machine_read(&session.machine);
    bench_report_begin(&session.report, options->format, stdout, &session.machine, argc, argv);
    bench_noise_begin(&noise, &begin);
    switch (options->mode) {
    case BENCH_MODE_CEILINGS: report_ceilings(&session); break;
    case BENCH_MODE_GRID: report_grid(&session); break;
    default: report_single(&session); break;
    }
    end_report(&session, &noise, &begin);
    bench_arena_destroy(&session.arena);
    return session.failed == 0 && !ferror(stdout) ? EXIT_DONE : EXIT_FAILED;
}

/* With the first of the engines, instruction sets and numbers of threads asked for. */
static int call(const struct bench_options *options) {
    const struct bench_way way = {options->engines[0], options->isas[0], options->threads[0]};
    struct bench_result result;
    if (bench_call_problem(&options->problem, &way, options->calls, &result) == 0) {
        return EXIT_DONE;
    }
    fprintf(stderr, "softattn-bench: %s\n", result.failure.text);
    return EXIT_FAILED;
}

int main(int argc, char **argv) {
    struct bench_options options;
    switch (bench_options_read(&options, argc, argv)) {
    case BENCH_OPTIONS_OK: break;
    case BENCH_OPTIONS_DONE: return EXIT_DONE;
    default: return EXIT_USAGE;
    }
    bench_textbook_use_one_blas_thread();
    return options.calls > 0 ? call(&options) : run(&options, argc, argv);
}
