/*
 * The C library's allocation and thread creation, made to fail on request for calls of this thread: the
 * program's own definitions take the place of the C library's for the shared library too.
 */
#ifndef TEST_API_FAILING_SYSTEM_H
#define TEST_API_FAILING_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this build can replace them: glibc without a sanitizer that does so itself. */
bool failing_system_is_available(void);

/* From now on allocation number fail_at of this thread, counted from 1, fails; all later ones too if
 * fail_after. fail_at 0: none. OpenBLAS's own do not count. */
void fail_allocation(int64_t fail_at, bool fail_after);

/* Allocations of this thread since then. */
int64_t allocations_counted(void);

/* Whether pthread_create fails with EAGAIN in this thread. */
void fail_thread_creation(bool fail);

/* How often it has failed since the last call. */
int64_t failed_thread_creations(void);

#endif
