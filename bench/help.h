/*
 * The help.
 */
#ifndef SOFTATTN_BENCH_HELP_H
#define SOFTATTN_BENCH_HELP_H

#include <stdio.h>

void bench_help_print(FILE *file);

#endif
