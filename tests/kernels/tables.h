/*
 * The kernel tables that this machine can run, each to be compared with the generic one.
 */
#ifndef KERNELS_TABLES_H
#define KERNELS_TABLES_H

#include "kernels/kernels.h"
#include "random.h"

#include <stdbool.h>
#include <stdint.h>

typedef void table_check(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                         random_source *random);

/* Calls check for every usable table of either type, the generic one included, whose accesses are watched as well. The
 * program's exit status. */
int check_tables(const char *name, table_check *check);

/* How many random cases to try: SOFTATTN_TEST_ROUNDS, for emulated machines above all, or this many. */
enum { USUAL_ROUNDS = 400 };
int64_t test_rounds(void);

/* Whether the table owes the generic one's bits: it has fused multiply-add. */
bool table_is_exact(const struct softattn_kernels *kernels);

#endif
