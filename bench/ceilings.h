/*
 * The limits of the machine: multiply-adds per second, and bytes per second of reading and copying memory.
 */
#ifndef SOFTATTN_BENCH_CEILINGS_H
#define SOFTATTN_BENCH_CEILINGS_H

#include "ceiling_loops.h"
#include "machine.h"
#include "team.h"
#include "timer.h"
#include "work.h"

#include <stdint.h>

enum bench_traffic {
    BENCH_READ,
    BENCH_COPY,
    BENCH_NONTEMPORAL_COPY, /* where the CPU has no such stores: a copy */
    BENCH_ADD,              /* two arrays read and their sum written */
    BENCH_NONTEMPORAL_ADD,
    BENCH_TRAFFICS,
};

const char *bench_traffic_name(enum bench_traffic traffic);

/* Memory that the loops run over; it grows to the largest footprint asked for and is used again. Starts as
 * zeros. */
struct bench_arena {
    float *x, *y, *z;
    int64_t x_elements, y_elements, z_elements;
};

void bench_arena_destroy(struct bench_arena *arena);

/* A limit of all threads of a team together. */
struct bench_ceiling {
    double rate; /* FLOP/s or B/s, by the median time */
    double spread;
};

/* Multiply-adds of one instruction set and type, from registers, measured for about `seconds`. */
void bench_measure_multiply_add(struct bench_team *team, const struct bench_ceiling_loops *loops,
                                enum bench_type type, double seconds, struct bench_ceiling *ceiling);

/*
 * Passes over `footprint` bytes, shared out among the threads: a read of all of them, a copy of one half to
 * the other, or with in_place a copy of all of them to themselves; the sum of two thirds to the last, or with in_place
 * of one half and the other to the first. Every byte counts as often as it is read or written. Returns -1 when there is no
 * memory.
 */
int bench_measure_traffic(struct bench_team *team, struct bench_arena *arena, enum bench_traffic traffic,
                          double footprint, int in_place, double seconds, struct bench_ceiling *ceiling);

/* The levels of memory, and how many bytes a team must go over to work from a level. */
enum bench_level { BENCH_L1, BENCH_L2, BENCH_L3, BENCH_DRAM, BENCH_LEVELS };

const char *bench_level_name(enum bench_level level);

/* 0 when the machine does not have the level. */
double bench_level_footprint(const struct bench_machine *machine, enum bench_level level, int threads);

#endif
