/*
 * The command line.
 */
#ifndef SOFTATTN_BENCH_OPTIONS_H
#define SOFTATTN_BENCH_OPTIONS_H

#include "option_table.h"
#include "problem.h"
#include "report.h"

enum { BENCH_MAX_CHOICES = 16 };

struct bench_options {
    enum bench_mode mode;
    struct bench_problem problem; /* of the modes for one problem */

    /* Every problem is measured with each engine, instruction set and number of threads. */
    enum bench_engine engines[BENCH_MAX_CHOICES];
    int engines_count;
    const char *isas[BENCH_MAX_CHOICES]; /* "auto" or a name that the library knows */
    int isas_count;
    int threads[BENCH_MAX_CHOICES];
    int threads_count;

    double min_seconds;
    int64_t calls; /* so many without a clock; 0: measure */
    enum bench_format format;
    int quick;          /* of the grid */
    const char *family; /* of the grid: a part of a family's name; NULL: all */
};

enum bench_options_result { BENCH_OPTIONS_OK, BENCH_OPTIONS_DONE, BENCH_OPTIONS_WRONG };

/* Reads the command line. DONE: help or the version was printed; WRONG: standard error says what is. */
enum bench_options_result bench_options_read(struct bench_options *options, int argc, char **argv);

#endif
