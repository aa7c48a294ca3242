/*
 * The thread pool: every job once, whoever calls it from wherever, and whatever fails.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "allocator.h" /* before cmocka.h, which has a macro test_free */

#include <cmocka.h>

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "platform/fp_control.h"
#include "platform/threads.h"

/* ---- Thread creation that counts, and fails on request (linked with --wrap) ---- */

static atomic_int created;
static atomic_int creations_left = INT32_MAX;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                          void *argument) {
    if (atomic_fetch_sub(&creations_left, 1) <= 0) {
        errno = EAGAIN;
        return EAGAIN;
    }
    int result = __real_pthread_create(thread, attributes, function, argument);
    atomic_fetch_add(&created, result == 0);
    return result;
}

static int allow_creations(void **state) {
    (void)state;
    atomic_store(&creations_left, INT32_MAX);
    atomic_store(&created, 0);
    return 0;
}

/* ---- Helpers ---- */

static struct softattn_pool *make_pool(int32_t threads) {
    struct softattn_pool *pool = NULL;
    assert_int_equal(softattn_pool_create(NULL, threads, &pool), 0);
    return pool;
}

static void sleep_milliseconds(long milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

enum { MOST_JOBS = 1000 };

struct counts {
    atomic_int of_job[MOST_JOBS];
};

static void count_job(void *context, int64_t index) {
    struct counts *counts = context;
    atomic_fetch_add(&counts->of_job[index], 1);
}

/* Whether each of the first `jobs` ran exactly `times`, and no other. */
static bool ran_exactly(const struct counts *counts, int64_t jobs, int times) {
    for (int64_t i = 0; i < MOST_JOBS; i++) {
        if (counts->of_job[i] != (i < jobs ? times : 0)) {
            return false;
        }
    }
    return true;
}

static void assert_runs_each_job_once(struct softattn_pool *pool, int64_t jobs) {
    struct counts counts;
    memset(&counts, 0, sizeof counts);
    softattn_pool_run(pool, jobs, count_job, &counts);
    assert_true(ran_exactly(&counts, jobs, 1));
}

/* Two jobs that wait for each other (at most ten seconds), so that they certainly run on two threads. */
struct meeting {
    atomic_int arrived;
    void (*examine)(void *context); /* then called once on the thread that is not the caller's */
    void *context;
    pthread_t caller;
};

static void meet(void *context, int64_t index) {
    (void)index;
    struct meeting *meeting = context;
    atomic_fetch_add(&meeting->arrived, 1);
    for (int waited = 0; atomic_load(&meeting->arrived) < 2 && waited < 10000; waited++) {
        sleep_milliseconds(1);
    }
    if (!pthread_equal(pthread_self(), meeting->caller) && meeting->examine != NULL) {
        meeting->examine(meeting->context);
    }
}

static void meet_worker(struct softattn_pool *pool, void (*examine)(void *context), void *context) {
    struct meeting meeting = {.examine = examine, .context = context, .caller = pthread_self()};
    softattn_pool_run(pool, 2, meet, &meeting);
    assert_int_equal(meeting.arrived, 2);
}

/* ---- Jobs ---- */

static void each_job_runs_once_for_any_count(void **state) {
    (void)state;
    static const int32_t threads[] = {1, 2, 3, 5, 8, 64};
    static const int64_t jobs[] = {0, 1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 1000};
    assert_runs_each_job_once(NULL, 10);
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        struct softattn_pool *pool = make_pool(threads[t]);
        for (int round = 0; round < 20; round++) {
            for (size_t j = 0; j < sizeof jobs / sizeof jobs[0]; j++) {
                assert_runs_each_job_once(pool, jobs[j]);
            }
        }
        softattn_pool_destroy(pool);
    }
}

static void thousands_of_runs_in_a_row_lose_no_job(void **state) {
    (void)state;
    enum { RUNS = 20000 };
    for (int32_t threads = 2; threads <= 3; threads++) {
        struct softattn_pool *pool = make_pool(threads);
        struct counts counts;
        memset(&counts, 0, sizeof counts);
        for (int run = 0; run < RUNS; run++) {
            softattn_pool_run(pool, 3, count_job, &counts);
        }
        assert_true(ran_exactly(&counts, 3, RUNS));
        softattn_pool_destroy(pool);
    }
}

static void sleeping_workers_wake_for_the_next_run(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool(2);
    for (int round = 0; round < 50; round++) {
        meet_worker(pool, NULL, NULL);
        sleep_milliseconds(1);
    }
    softattn_pool_destroy(pool);
}

struct concurrency {
    atomic_int now, most;
};

static void track_concurrency(void *context, int64_t index) {
    (void)index;
    struct concurrency *concurrency = context;
    int now = atomic_fetch_add(&concurrency->now, 1) + 1, most = atomic_load(&concurrency->most);
    while (now > most && !atomic_compare_exchange_weak(&concurrency->most, &most, now)) {}
    sleep_milliseconds(1);
    atomic_fetch_sub(&concurrency->now, 1);
}

static void at_most_the_given_threads_run_jobs_at_once(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 4; threads++) {
        struct softattn_pool *pool = make_pool(threads);
        struct concurrency concurrency = {0};
        softattn_pool_run(pool, 40, track_concurrency, &concurrency);
        assert_in_range(concurrency.most, 1, threads);
        softattn_pool_destroy(pool);
    }
}

static void threads_start_only_when_a_run_has_jobs_for_them(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool(8);
    assert_int_equal(created, 0);
    assert_runs_each_job_once(pool, 1);
    assert_int_equal(created, 0);
    assert_runs_each_job_once(pool, 3);
    assert_int_equal(created, 2);
    assert_runs_each_job_once(pool, 100);
    assert_int_equal(created, 7);
    assert_runs_each_job_once(pool, 100);
    assert_int_equal(created, 7);
    softattn_pool_destroy(pool);
    softattn_pool_destroy(NULL);
}

/* ---- Callers ---- */

struct nested {
    struct softattn_pool *pool;
    struct counts *counts;
};

static void run_nested(void *context, int64_t index) {
    (void)index;
    struct nested *nested = context;
    softattn_pool_run(nested->pool, 5, count_job, nested->counts);
}

static void runs_from_inside_a_job_complete(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool(4);
    struct counts counts;
    memset(&counts, 0, sizeof counts);
    for (int round = 0; round < 200; round++) {
        softattn_pool_run(pool, 7, run_nested, &(struct nested){pool, &counts});
    }
    assert_true(ran_exactly(&counts, 5, 200 * 7));
    softattn_pool_destroy(pool);
}

/* Runs many times on the shared pool; NULL when every job ran as often as it should. */
static void *call_often(void *argument) {
    enum { RUNS = 2000 };
    struct counts counts;
    memset(&counts, 0, sizeof counts);
    for (int run = 0; run < RUNS; run++) {
        softattn_pool_run(argument, 6, count_job, &counts);
    }
    return ran_exactly(&counts, 6, RUNS) ? NULL : argument;
}

static void several_callers_share_one_pool(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    struct softattn_pool *pool = make_pool(3);
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_often, pool), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        void *lost;
        pthread_join(callers[i], &lost);
        assert_null(lost);
    }
    softattn_pool_destroy(pool);
}

struct cancelled_caller {
    struct softattn_pool *pool;
    struct concurrency concurrency;
    struct counts counts;
    atomic_bool inside;
};

static void slow_job(void *context, int64_t index) {
    struct cancelled_caller *caller = context;
    atomic_store(&caller->inside, true);
    track_concurrency(&caller->concurrency, index);
    count_job(&caller->counts, index);
}

static void *run_slowly(void *argument) {
    struct cancelled_caller *caller = argument;
    softattn_pool_run(caller->pool, 60, slow_job, caller);
    pthread_testcancel();
    return NULL;
}

static void cancelled_caller_ends_its_run_first(void **state) {
    (void)state;
    static struct cancelled_caller caller;
    caller.pool = make_pool(2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_slowly, &caller), 0);
    while (!atomic_load(&caller.inside)) {
        sleep_milliseconds(1);
    }
    pthread_cancel(thread);
    void *result;
    pthread_join(thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(ran_exactly(&caller.counts, 60, 1));
    meet_worker(caller.pool, NULL, NULL);
    softattn_pool_destroy(caller.pool);
}

/* ---- Failures ---- */

static void runs_complete_when_threads_cannot_be_started(void **state) {
    (void)state;
    for (int possible = 0; possible < 3; possible++) {
        atomic_store(&creations_left, possible);
        struct softattn_pool *pool = make_pool(4);
        errno = 77;
        for (int round = 0; round < 20; round++) {
            assert_runs_each_job_once(pool, 50);
        }
        assert_int_equal(errno, 77);
        softattn_pool_destroy(pool);
    }
}

static void threads_that_could_not_be_started_are_tried_again(void **state) {
    (void)state;
    atomic_store(&creations_left, 0);
    struct softattn_pool *pool = make_pool(2);
    assert_runs_each_job_once(pool, 50);
    allow_creations(NULL);
    struct counts counts;
    memset(&counts, 0, sizeof counts);
    for (int run = 0; run < 10000 && created == 0; run++) {
        softattn_pool_run(pool, 2, count_job, &counts);
    }
    assert_int_equal(created, 1);
    meet_worker(pool, NULL, NULL);
    softattn_pool_destroy(pool);
}

static void memory_comes_from_the_allocator_and_may_be_short(void **state) {
    (void)state;
    test_allocator counting = {0};
    const struct softattn_allocator functions = {test_allocate, test_free, &counting};
    struct softattn_pool *pool = NULL;
    assert_int_equal(softattn_pool_create(&functions, 64, &pool), 0);
    assert_runs_each_job_once(pool, 1000);
    softattn_pool_destroy(pool);
    assert_int_equal(counting.calls, 1);
    assert_int_equal(counting.live, 0);
    assert_false(counting.misused);

    test_allocator_fail_at(&counting, 1, false);
    struct softattn_pool *untouched = NULL;
    assert_int_equal(softattn_pool_create(&functions, 2, &untouched), -1);
    assert_null(untouched);
}

/* ---- Thread state ---- */

struct arithmetic {
    uint64_t control;
    double third, subnormal;
};

static void observe_arithmetic(void *context) {
    struct arithmetic *arithmetic = context;
    volatile double one = 1, three = 3, smallest_normal = 0x1p-1022;
    arithmetic->control = softattn_fp_control_get();
    arithmetic->third = one / three;
    arithmetic->subnormal = smallest_normal / three;
}

static void assert_worker_computes_as_caller(struct softattn_pool *pool) {
    struct arithmetic caller, worker = {0};
    observe_arithmetic(&caller);
    meet_worker(pool, observe_arithmetic, &worker);
    assert_int_equal(worker.control, caller.control);
    assert_memory_equal(&worker.third, &caller.third, sizeof caller.third);
    assert_memory_equal(&worker.subnormal, &caller.subnormal, sizeof caller.subnormal);
    assert_int_equal(softattn_fp_control_get(), caller.control);
}

static void jobs_run_with_the_callers_floating_point_control(void **state) {
    (void)state;
    static const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST};
    struct softattn_pool *pool = make_pool(2);
    for (size_t i = 0; i < sizeof roundings / sizeof roundings[0]; i++) {
        assert_int_equal(fesetround(roundings[i]), 0);
        assert_worker_computes_as_caller(pool);
    }
#if defined(__SSE__)
    const uint64_t flush_and_daz = 0x8040;
    uint64_t control = softattn_fp_control_get();
    softattn_fp_control_set(control | flush_and_daz);
    assert_worker_computes_as_caller(pool);
    softattn_fp_control_set(control);
    assert_worker_computes_as_caller(pool);
#endif
    softattn_pool_destroy(pool);
}

static void observe_signal_mask(void *context) { pthread_sigmask(SIG_BLOCK, NULL, context); }

static void workers_take_no_signals_but_those_of_faults(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool(2);
    sigset_t before, after, worker;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    meet_worker(pool, observe_signal_mask, &worker);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    static const int application[] = {SIGALRM, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPIPE, SIGPROF};
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof application / sizeof application[0]; i++) {
        assert_int_equal(sigismember(&worker, application[i]), 1);
        assert_int_equal(sigismember(&after, application[i]), sigismember(&before, application[i]));
    }
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        assert_int_equal(sigismember(&worker, faults[i]), 0);
    }
    softattn_pool_destroy(pool);
}

static atomic_int alarms;

static void count_alarm(int signal) {
    (void)signal;
    atomic_fetch_add(&alarms, 1);
}

static void signals_do_not_disturb_waiting(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = count_alarm}, previous;
    sigaction(SIGALRM, &action, &previous);
    const struct itimerval each_millisecond = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &each_millisecond, NULL);
    struct softattn_pool *pool = make_pool(3);
    struct concurrency concurrency = {0};
    for (int round = 0; round < 20; round++) {
        softattn_pool_run(pool, 6, track_concurrency, &concurrency);
        assert_int_equal(concurrency.now, 0);
        assert_runs_each_job_once(pool, 100);
    }
    softattn_pool_destroy(pool);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &previous, NULL);
    assert_true(alarms > 0);
}

#define pool_test(test) cmocka_unit_test_setup(test, allow_creations)

int main(void) {
    const struct CMUnitTest tests[] = {
        pool_test(each_job_runs_once_for_any_count),
        pool_test(thousands_of_runs_in_a_row_lose_no_job),
        pool_test(sleeping_workers_wake_for_the_next_run),
        pool_test(at_most_the_given_threads_run_jobs_at_once),
        pool_test(threads_start_only_when_a_run_has_jobs_for_them),
        pool_test(runs_from_inside_a_job_complete),
        pool_test(several_callers_share_one_pool),
        pool_test(cancelled_caller_ends_its_run_first),
        pool_test(runs_complete_when_threads_cannot_be_started),
        pool_test(threads_that_could_not_be_started_are_tried_again),
        pool_test(memory_comes_from_the_allocator_and_may_be_short),
        pool_test(jobs_run_with_the_callers_floating_point_control),
        pool_test(workers_take_no_signals_but_those_of_faults),
        pool_test(signals_do_not_disturb_waiting),
    };
    return cmocka_run_group_tests_name("platform/threads", tests, NULL, NULL);
}
