/*
 * The problems that stand for all others: families of every operation over the sizes that models use.
 */
#ifndef SOFTATTN_BENCH_GRID_H
#define SOFTATTN_BENCH_GRID_H

#include "problem.h"

struct bench_grid_case {
    const char *family;
    struct bench_problem problem;
};

int bench_grid_count(void);
struct bench_grid_case bench_grid_case(int index);

/* Writes the families' names to items and returns them. */
enum { BENCH_GRID_MAX_FAMILIES = 32 };
struct bench_names bench_grid_families(const char *items[BENCH_GRID_MAX_FAMILIES]);

/* Whether a run with these options measures the case: of a quick run, the first one of each family; with a
 * filter (NULL: none), those of families that have it in their names. */
int bench_grid_selects(int index, int quick, const char *filter);

#endif
