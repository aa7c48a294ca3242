/*
 * Which engines solve which problems.
 */
#ifndef SOFTATTN_BENCH_ENGINES_H
#define SOFTATTN_BENCH_ENGINES_H

#include "problem.h"

#include <stddef.h>

enum { BENCH_REFUSAL_SIZE = 160 };

/* Whether the engine has what the problem asks for. Where not, refusal says what it lacks and what it has. */
int bench_engine_solves(enum bench_engine engine, const struct bench_problem *problem,
                        char refusal[BENCH_REFUSAL_SIZE]);

#endif
