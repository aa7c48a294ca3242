/*
 * A fixed set of threads that do one thing at the same time, for the ceilings of several cores and for the
 * textbook baseline. The caller is one of them.
 */
#ifndef SOFTATTN_BENCH_TEAM_H
#define SOFTATTN_BENCH_TEAM_H

struct bench_team;

typedef void (*bench_team_function)(void *argument, int member);

/* NULL when threads could not be started. */
struct bench_team *bench_team_create(int threads);
void bench_team_destroy(struct bench_team *team);

/* Runs function(argument, member) on every thread, member 0 … threads - 1, and returns the seconds from the
 * first thread's start to the last one's end. */
double bench_team_run(struct bench_team *team, bench_team_function function, void *argument);

int bench_team_threads(const struct bench_team *team);

#endif
