/*
 * Prints what was measured as it comes: a table for people, JSON or CSV for programs.
 */
#ifndef SOFTATTN_BENCH_REPORT_H
#define SOFTATTN_BENCH_REPORT_H

#include "fields.h"
#include "json.h"
#include "machine.h"
#include "noise.h"

#include <stdio.h>

enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV };

struct bench_report {
    enum bench_format format;
    FILE *file;
    struct bench_json json;
    const char *section; /* the part being printed; NULL before the first */
    int lines;           /* printed in this section */
};

/* A report has sections, "ceilings" and "results", each of one kind of records. */
void bench_report_begin(struct bench_report *report, enum bench_format format, FILE *file,
                        const struct bench_machine *machine, int argc, char **argv);
void bench_report_section(struct bench_report *report, const char *section);
void bench_report_ceiling(struct bench_report *report, const struct bench_ceiling_record *record);
void bench_report_result(struct bench_report *report, const struct bench_result *result);
void bench_report_end(struct bench_report *report, const struct bench_noise *noise,
                      const char *const *warnings, int warnings_count);

#endif
