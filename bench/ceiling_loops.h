/*
 * The loops that find a core's limits: fused multiply-adds from registers, and plain reads, copies and sums of
 * memory. One constant table per instruction set; each table's file is compiled with that set's flags, and
 * bench_ceiling_loops gives it out only by the name of a set that the library says this CPU runs.
 */
#ifndef SOFTATTN_BENCH_CEILING_LOOPS_H
#define SOFTATTN_BENCH_CEILING_LOOPS_H

#include <stdint.h>

/* Memory loops work on whole blocks of this many floats, so they need no tail. */
#define BENCH_LOOP_BLOCK 1024

struct bench_ceiling_loops {
    const char *isa;

    /* Multiply-adds on values held in registers, in independent chains: x = x * factor + addend, or x +
     * factor * addend where the instruction works that way. The result depends on every one of them. */
    double (*multiply_add_f32)(int64_t iterations, double factor, double addend);
    double (*multiply_add_f64)(int64_t iterations, double factor, double addend);
    int64_t flops_per_iteration_f32;
    int64_t flops_per_iteration_f64;

    /* The sum of the elements, that many times over: small arrays would otherwise measure the end of the
     * sum. */
    double (*read)(const float *x, int64_t count, int64_t passes);
    void (*copy)(float *y, const float *x, int64_t count);
    void (*add)(float *y, const float *x, const float *z, int64_t count); /* y = x + z */
    /* The same with stores that go around the caches where the instruction set has them, else NULL. */
    void (*nontemporal_copy)(float *y, const float *x, int64_t count);
    void (*nontemporal_add)(float *y, const float *x, const float *z, int64_t count);
};

extern const struct bench_ceiling_loops bench_ceiling_loops_generic;
extern const struct bench_ceiling_loops bench_ceiling_loops_sse2;
extern const struct bench_ceiling_loops bench_ceiling_loops_avx2;
extern const struct bench_ceiling_loops bench_ceiling_loops_avx512;
extern const struct bench_ceiling_loops bench_ceiling_loops_neon;

/* The loops for an instruction set that this CPU runs, by its name. A set without loops of its own gets those
 * of the widest set that has some; their isa tells. */
const struct bench_ceiling_loops *bench_ceiling_loops(const char *isa);

#endif
