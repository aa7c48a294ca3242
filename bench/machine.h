/*
 * What the machine says about itself.
 */
#ifndef SOFTATTN_BENCH_MACHINE_H
#define SOFTATTN_BENCH_MACHINE_H

#include <stdint.h>

struct bench_machine {
    char cpu[96];                         /* the processor's name; empty when it is not told */
    int cpus;                             /* CPUs that this process may use */
    int64_t l1_bytes, l2_bytes, l3_bytes; /* data caches that the first CPU sees; l3_bytes may be 0 */
    int64_t memory_bytes;
    char huge_pages[16]; /* policy of transparent huge pages; empty when it is not told */
};

void bench_machine_read(struct bench_machine *machine);

#endif
