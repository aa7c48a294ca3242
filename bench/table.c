/*
 * The lines of the table for people.
 */
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

/* A number of bytes with the unit that leaves few digits. */
static void bytes_text(double bytes, char *text, size_t capacity) {
    const double kib = 1024, mib = 1024 * 1024;
    if (bytes < mib) {
        snprintf(text, capacity, "%.0f KiB", bytes / kib);
    } else {
        snprintf(text, capacity, "%.0f MiB", bytes / mib);
    }
}

static void time_text(double seconds, char *text, size_t capacity) {
    if (seconds < 1e-3) {
        snprintf(text, capacity, "%.2f us", 1e6 * seconds);
    } else if (seconds < 1) {
        snprintf(text, capacity, "%.2f ms", 1e3 * seconds);
    } else {
        snprintf(text, capacity, "%.2f s", seconds);
    }
}

void bench_table_ceilings_header(FILE *file) {
    fprintf(file, "\n%-22s %-8s %-5s %7s %10s %14s %7s\n", "ceiling", "isa", "type", "threads", "footprint",
            "rate", "spread");
}

void bench_table_ceiling(FILE *file, const struct bench_ceiling_record *record) {
    char footprint[24] = "";
    if (record->level != NULL) {
        bytes_text(record->footprint, footprint, sizeof footprint);
    }
    char name[48];
    snprintf(name, sizeof name, "%s%s%s", record->level != NULL ? record->level : "",
             record->level != NULL ? " " : "", record->name);
    fprintf(file, "%-22s %-8s %-5s %7d %10s %6.1f %s %5.1f %%\n", name,
            record->isa != NULL ? record->isa : "",
            record->level == NULL ? bench_type_name(record->type) : "", record->threads, footprint,
            1e-9 * record->ceiling.rate, record->level == NULL ? "GFLOP/s" : "GB/s   ",
            100 * record->ceiling.spread);
}

void bench_table_results_header(FILE *file) {
    fprintf(file, "\n%-56s %-8s %-8s %3s %10s %6s %13s %20s  %s\n", "problem", "engine", "isa", "thr",
            "median", "spread", "rate", "per element", "share of the ceiling that binds");
}

/* Time of one element of a matrix: in nanoseconds, and in floating-point operations that the machine's
 * multiply-adds could do meanwhile. */
static void element_text(const struct bench_result *result, char *text, size_t capacity) {
    const struct bench_problem *problem = &result->problem;
    const double seconds = result->timing.median / ((double)problem->rows * (double)problem->cols);
    snprintf(text, capacity, "%.3f ns, %.0f FLOP", 1e9 * seconds, seconds * result->multiply_add.rate);
}

void bench_table_result(FILE *file, const struct bench_result *result) {
    char name[BENCH_NAME_SIZE], median[24], rate[32], element[48] = "";
    bench_problem_name(&result->problem, name, sizeof name);
    fprintf(file, "%-56s %-8s %-8s %3d", name, result->engine, result->isa, result->threads);
    if (result->failed) {
        fprintf(file, "  %s\n", result->failure.text);
        return;
    }

    const struct bench_binding binding = bench_result_binding(result);
    time_text(result->timing.median, median, sizeof median);
    if (bench_operation_is_attention(result->problem.operation)) {
        snprintf(rate, sizeof rate, "%.1f GFLOP/s",
                 1e-9 * bench_result_flops(result) / result->timing.median);
    } else {
        snprintf(rate, sizeof rate, "%.1f GB/s", 1e-9 * bench_result_bytes(result) / result->timing.median);
        element_text(result, element, sizeof element);
    }
    fprintf(file, " %10s %4.1f %% %13s %20s  %5.1f %% of %s, %.1f %s%s\n", median,
            100 * result->timing.spread, rate, element, 100 * binding.share, binding.ceiling,
            1e-9 * binding.rate, binding.arithmetic ? "GFLOP/s" : "GB/s",
            result->unrest > BENCH_DOUBTFUL_UNREST ? " (doubtful)" : "");
}
