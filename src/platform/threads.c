/*
 * The thread pool. See threads.h for what it promises.
 *
 * One atomic word, `state`, says what there is to join: the run's number, whether it is open, and how many workers are
 * inside it. A worker joins an open run by adding itself to that word, takes jobs from a shared counter until there
 * are none, and leaves. The owner takes jobs too, then closes the run and waits until no worker is inside: workers that
 * slept through a short run cost it nothing. Only then may the run's description change, so a plain struct is enough.
 */
#define _GNU_SOURCE
#include "threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "cpu.h"
#include "fork.h"
#include "fp_control.h"
#include "spin.h"

/* state = run number * RUN_ONE + (open ? RUN_OPEN : 0) + workers inside. */
#define RUN_INSIDE UINT64_C(0xFFFF)
#define RUN_OPEN   UINT64_C(0x10000)
#define RUN_ONE    UINT64_C(0x20000)

/* Long enough to bridge the gap between the runs of one model layer, short enough to leave an idle process idle. */
#define SPIN_NANOSECONDS 30000

/* Pauses between two looks at the clock, which costs about as much as one pause. */
#define SPIN_PAUSES 16

/* Jobs call kernels with small frames; the rest is room for the C library's thread-local storage. */
#define STACK_BYTES ((size_t)1 << 20)

/* After a thread could not be started, this many runs make do with those that exist before one tries again. */
#define RUNS_BEFORE_RETRY 1000

struct run {
    softattn_job_function function;
    void *job_context;
    int64_t jobs;
    uint64_t fp_control;
};

struct softattn_pool {
    struct softattn_allocator allocator;
    int32_t threads; /* the caller's included */
    struct softattn_fork_guard fork_guard;

    /* Shared between owner and workers. */
    _Alignas(64) _Atomic uint64_t state;
    struct run run; /* written by the owner while no worker is inside */
    _Alignas(64) _Atomic int64_t next_job;
    _Alignas(64) pthread_mutex_t lock; /* for going to sleep and waking up only */
    pthread_cond_t work;               /* a run opened, or the pool stops */
    pthread_cond_t left;               /* the last worker left a closed run */
    _Atomic int32_t sleeping;          /* workers that wait, or are about to, on `work` */
    atomic_bool owner_sleeping;
    atomic_bool stop;
    bool may_spin; /* set before the first worker starts */

    /* Belongs to the run that owns the workers. */
    _Alignas(64) atomic_bool owned;
    int32_t started;
    int32_t runs_before_retry;
    pthread_t workers[];
};

/* ---- Waiting ---- */

static int64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_a_while(void) {
    for (int i = 0; i < SPIN_PAUSES; i++) {
        softattn_spin_pause();
    }
}

static bool has_new_run(struct softattn_pool *pool, uint64_t last_run) {
    uint64_t state = atomic_load(&pool->state);
    return (state & RUN_OPEN) != 0 && state / RUN_ONE != last_run;
}

static bool should_wake(struct softattn_pool *pool, uint64_t last_run) {
    return has_new_run(pool, last_run) || atomic_load(&pool->stop);
}

/* Returns when a run other than last_run is open or the pool stops. */
static void wait_for_work(struct softattn_pool *pool, uint64_t last_run) {
    if (pool->may_spin) {
        int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
        do {
            for (int i = 0; i < SPIN_PAUSES; i++) {
                if (should_wake(pool, last_run)) {
                    return;
                }
                softattn_spin_pause();
            }
        } while (now_nanoseconds() < deadline);
    }
    pthread_mutex_lock(&pool->lock);
    /* Announce, then look: the owner opens the run, then looks for sleepers. One of the two sees the other. */
    atomic_fetch_add(&pool->sleeping, 1);
    while (!should_wake(pool, last_run)) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static bool workers_inside(struct softattn_pool *pool) {
    return (atomic_load(&pool->state) & RUN_INSIDE) != 0;
}

/* Returns when no worker is inside the closed run. */
static void wait_for_workers(struct softattn_pool *pool) {
    if (pool->may_spin && workers_inside(pool)) {
        int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
        while (workers_inside(pool) && now_nanoseconds() < deadline) {
            pause_a_while();
        }
    }
    if (!workers_inside(pool)) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->owner_sleeping, true);
    while (workers_inside(pool)) {
        pthread_cond_wait(&pool->left, &pool->lock);
    }
    atomic_store(&pool->owner_sleeping, false);
    pthread_mutex_unlock(&pool->lock);
}

static void wake_workers(struct softattn_pool *pool, int64_t wanted) {
    if (atomic_load(&pool->sleeping) == 0) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    if (wanted >= atomic_load(&pool->sleeping)) {
        pthread_cond_broadcast(&pool->work);
    } else {
        for (int64_t i = 0; i < wanted; i++) {
            pthread_cond_signal(&pool->work);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- Workers ---- */

static bool join_run(struct softattn_pool *pool, uint64_t last_run, uint64_t *run_number) {
    uint64_t state = atomic_load(&pool->state);
    while ((state & RUN_OPEN) != 0 && state / RUN_ONE != last_run) {
        if (atomic_compare_exchange_weak(&pool->state, &state, state + 1)) {
            *run_number = state / RUN_ONE;
            return true;
        }
    }
    return false;
}

static void leave_run(struct softattn_pool *pool) {
    uint64_t state = atomic_fetch_sub(&pool->state, 1);
    bool was_last = (state & RUN_INSIDE) == 1 && (state & RUN_OPEN) == 0;
    if (was_last && atomic_load(&pool->owner_sleeping)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->left);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void take_jobs(struct softattn_pool *pool, const struct run *run) {
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&pool->next_job, 1, memory_order_relaxed);
        if (index >= run->jobs) {
            return;
        }
        run->function(run->job_context, index);
    }
}

static void *worker_main(void *argument) {
    struct softattn_pool *pool = argument;
    uint64_t own_fp_control = softattn_fp_control_get();
    uint64_t last_run = 0;
    while (!atomic_load(&pool->stop)) {
        if (!join_run(pool, last_run, &last_run)) {
            wait_for_work(pool, last_run);
            continue;
        }
        softattn_fp_control_set(pool->run.fp_control);
        take_jobs(pool, &pool->run);
        softattn_fp_control_set(own_fp_control);
        leave_run(pool);
    }
    return NULL;
}

/* The application's signals are for its own threads. Those that a fault raises stay, so that its crash handlers run. */
static void block_signals(sigset_t *previous) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&set, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, previous);
}

static bool start_worker(struct softattn_pool *pool) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    bool started = pthread_create(&pool->workers[pool->started], &attributes, worker_main, pool) == 0;
    pthread_attr_destroy(&attributes);
    pool->started += started;
    return started;
}

static void start_workers(struct softattn_pool *pool, int32_t wanted) {
    if (pool->started >= wanted || pool->runs_before_retry-- > 0) {
        return;
    }
    if (pool->started == 0) {
        pool->may_spin = pool->threads <= softattn_cpu_count();
    }
    int saved_errno = errno;
    sigset_t previous;
    block_signals(&previous);
    bool could_start = true;
    while (could_start && pool->started < wanted) {
        could_start = start_worker(pool);
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    errno = saved_errno;
    pool->runs_before_retry = could_start ? 0 : RUNS_BEFORE_RETRY;
}

/* ---- Runs ---- */

static void run_alone(int64_t jobs, softattn_job_function function, void *job_context) {
    for (int64_t i = 0; i < jobs; i++) {
        function(job_context, i);
    }
}

static void run_with_workers(struct softattn_pool *pool, int64_t jobs, softattn_job_function function,
                             void *job_context) {
    int64_t helpers = jobs - 1 < pool->threads - 1 ? jobs - 1 : pool->threads - 1;
    start_workers(pool, (int32_t)helpers);

    pool->run = (struct run){function, job_context, jobs, softattn_fp_control_get()};
    atomic_store_explicit(&pool->next_job, 0, memory_order_relaxed);
    uint64_t number = atomic_load(&pool->state) / RUN_ONE + 1;
    atomic_store(&pool->state, number * RUN_ONE + RUN_OPEN);
    wake_workers(pool, helpers);

    take_jobs(pool, &pool->run);
    atomic_fetch_and(&pool->state, ~RUN_OPEN);
    wait_for_workers(pool);
}

/* Everything but the description and the array; also in a fork's child, where no thread uses the pool any more. */
static void reset_pool(void *object) {
    struct softattn_pool *pool = object;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->left, NULL);
    atomic_init(&pool->state, 0);
    atomic_init(&pool->next_job, 0);
    atomic_init(&pool->sleeping, 0);
    atomic_init(&pool->owner_sleeping, false);
    atomic_init(&pool->stop, false);
    atomic_init(&pool->owned, false);
    pool->may_spin = false;
    pool->started = 0;
    pool->runs_before_retry = 0;
}

void softattn_pool_run(struct softattn_pool *pool, int64_t jobs, softattn_job_function function,
                       void *job_context) {
    if (pool == NULL || pool->threads == 1 || jobs <= 1) {
        run_alone(jobs, function, job_context);
        return;
    }
    softattn_fork_guard_check(&pool->fork_guard, reset_pool, pool);
    if (atomic_exchange_explicit(&pool->owned, true, memory_order_acquire)) {
        run_alone(jobs, function, job_context);
        return;
    }
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    run_with_workers(pool, jobs, function, job_context);
    atomic_store_explicit(&pool->owned, false, memory_order_release);
    pthread_setcancelstate(cancel_state, NULL);
}

/* ---- Life ---- */

int softattn_pool_create(const struct softattn_allocator *allocator, int32_t threads,
                         struct softattn_pool **out) {
    if (allocator == NULL) {
        allocator = &softattn_default_allocator;
    }
    uint64_t bytes = sizeof(struct softattn_pool) + (uint64_t)(threads - 1) * sizeof(pthread_t);
    struct softattn_pool *pool = allocator->allocate(allocator->user, bytes, _Alignof(struct softattn_pool));
    if (pool == NULL) {
        return -1;
    }
    if (!softattn_fork_guard_init(&pool->fork_guard)) {
        allocator->free_memory(allocator->user, pool);
        return -1;
    }
    pool->allocator = *allocator;
    pool->threads = threads;
    reset_pool(pool);
    *out = pool;
    return 0;
}

static void stop_workers(struct softattn_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int32_t i = 0; i < pool->started; i++) {
        pthread_join(pool->workers[i], NULL);
    }
}

void softattn_pool_destroy(struct softattn_pool *pool) {
    if (pool == NULL) {
        return;
    }
    softattn_fork_guard_check(&pool->fork_guard, reset_pool, pool);
    int cancel_state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    stop_workers(pool);
    pthread_setcancelstate(cancel_state, NULL);
    pthread_cond_destroy(&pool->left);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    struct softattn_allocator allocator = pool->allocator;
    allocator.free_memory(allocator.user, pool);
}
