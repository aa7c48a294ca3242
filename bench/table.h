/*
 * The lines of the table for people.
 */
#ifndef SOFTATTN_BENCH_TABLE_H
#define SOFTATTN_BENCH_TABLE_H

#include "fields.h"

#include <stdio.h>

void bench_table_ceilings_header(FILE *file);
void bench_table_ceiling(FILE *file, const struct bench_ceiling_record *record);
void bench_table_results_header(FILE *file);
void bench_table_result(FILE *file, const struct bench_result *result);

#endif
