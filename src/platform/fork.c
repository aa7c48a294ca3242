/*
 * Counts forks in the child, and repairs inherited objects once per process. See fork.h.
 */
#include "fork.h"

#include <pthread.h>

#include "spin.h"

/* Forks between the process that began to watch and this one. */
static _Atomic uint64_t forks;
static atomic_bool watching;

static void count_fork(void) { atomic_fetch_add(&forks, 1); }

static bool watch_forks(void) {
    if (atomic_load_explicit(&watching, memory_order_acquire)) {
        return true;
    }
    /* Two threads may both come here; then a fork counts for two, which does no harm. */
    if (pthread_atfork(NULL, NULL, count_fork) != 0) {
        return false;
    }
    atomic_store_explicit(&watching, true, memory_order_release);
    return true;
}

/* A guard's stamp is this once its object fits the process, and one less while a thread repairs it. A thread that a
 * fork caught repairing leaves an odd stamp of an older process, which the child treats like any older stamp. */
static uint64_t fit_stamp(void) { return 2 * atomic_load_explicit(&forks, memory_order_acquire); }

bool softattn_fork_guard_init(struct softattn_fork_guard *guard) {
    if (!watch_forks()) {
        return false;
    }
    atomic_init(&guard->stamp, fit_stamp());
    return true;
}

void softattn_fork_guard_check(struct softattn_fork_guard *guard, void (*repair)(void *object),
                               void *object) {
    uint64_t fit = fit_stamp();
    uint64_t stamp = atomic_load_explicit(&guard->stamp, memory_order_acquire);
    while (stamp != fit) {
        if (stamp == fit - 1) {
            softattn_spin_pause();
            stamp = atomic_load_explicit(&guard->stamp, memory_order_acquire);
        } else if (atomic_compare_exchange_weak(&guard->stamp, &stamp, fit - 1)) {
            repair(object);
            atomic_store_explicit(&guard->stamp, fit, memory_order_release);
            return;
        }
    }
}
