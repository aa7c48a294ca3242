/*
 * Notices that this process is a fork's child, whose other threads, and the locks that they held, are gone.
 *
 * A handler counts forks in the child. That is one load on the fast path, where asking getpid would be a system call
 * in every run; and unlike a wiped page it is portable.
 */
#ifndef SOFTATTN_PLATFORM_FORK_H
#define SOFTATTN_PLATFORM_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Remembers the process that an object was last made fit for. */
struct softattn_fork_guard {
    _Atomic uint64_t stamp;
};

/* Prepares the guard of an object made in this process; false when memory is short. */
bool softattn_fork_guard_init(struct softattn_fork_guard *guard);

/* In a child that inherited the object, calls repair(object) once, before any caller of this function returns. */
void softattn_fork_guard_check(struct softattn_fork_guard *guard, void (*repair)(void *object), void *object);

#endif
