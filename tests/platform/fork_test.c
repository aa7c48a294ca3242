/*
 * Pools and scratch memory in the child of a fork, also when other threads were using them at that moment.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/blas.h"
#include "platform/memory.h"
#include "platform/threads.h"

static void sleep_milliseconds(long milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

static struct softattn_pool *make_pool(void) {
    struct softattn_pool *pool = NULL;
    assert_int_equal(softattn_pool_create(NULL, 3, &pool), 0);
    return pool;
}

/* Jobs that wait (at most five seconds) until a second thread has arrived. */
static void meet(void *context, int64_t index) {
    (void)index;
    atomic_int *arrived = context;
    atomic_fetch_add(arrived, 1);
    for (int waited = 0; atomic_load(arrived) < 2 && waited < 5000; waited++) {
        sleep_milliseconds(1);
    }
}

/* Whether runs work and have a second thread. */
static bool pool_works(struct softattn_pool *pool) {
    for (int run = 0; run < 10; run++) {
        atomic_int arrived = 0;
        softattn_pool_run(pool, 2, meet, &arrived);
        if (arrived != 2) {
            return false;
        }
    }
    return true;
}

/* Forks; the child exits with 0 when the check holds, and is killed when it hangs. */
static void assert_in_child(bool (*check)(void *context), void *context) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(10);
        _exit(check(context) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool use_pool(void *context) { return pool_works(context); }

static bool use_and_destroy_pool(void *context) {
    bool works = pool_works(context);
    softattn_pool_destroy(context);
    return works;
}

static bool destroy_pool(void *context) {
    softattn_pool_destroy(context);
    return true;
}

static bool use_pool_in_grandchild(void *context) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
        alarm(10);
        _exit(pool_works(context) ? 0 : 1);
    }
    int status;
    return waitpid(grandchild, &status, 0) == grandchild && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
           pool_works(context);
}

static void child_uses_a_pool_that_was_never_used(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool();
    assert_in_child(use_pool, pool);
    assert_true(pool_works(pool));
    softattn_pool_destroy(pool);
}

static void child_uses_and_destroys_a_used_pool(void **state) {
    (void)state;
    struct softattn_pool *pool = make_pool();
    for (int round = 0; round < 10; round++) {
        assert_true(pool_works(pool));
        if (round % 2 == 0) {
            sleep_milliseconds(2); /* now the workers sleep; otherwise they may still spin */
        }
        assert_in_child(use_pool, pool);
        assert_in_child(destroy_pool, pool);
        assert_in_child(use_and_destroy_pool, pool);
        assert_in_child(use_pool_in_grandchild, pool);
    }
    assert_true(pool_works(pool));
    softattn_pool_destroy(pool);
}

/* ---- Forks while another thread works ---- */

struct shared {
    struct softattn_pool *pool;
    struct softattn_memory *memory;
    atomic_bool stop;
};

static void use_memory(void *context, int64_t index) {
    (void)index;
    struct shared *shared = context;
    void *one = softattn_memory_acquire(shared->memory, 5000),
         *two = softattn_memory_acquire(shared->memory, 100);
    memset(one, 1, 5000);
    memset(two, 2, 100);
    softattn_memory_release(shared->memory, one);
    softattn_memory_release(shared->memory, two);
}

static void *work_until_stopped(void *argument) {
    struct shared *shared = argument;
    while (!atomic_load(&shared->stop)) {
        softattn_pool_run(shared->pool, 8, use_memory, shared);
    }
    return NULL;
}

/* Two threads of the child come to the pool and the memory at once. */
static bool use_everything(void *context) {
    struct shared *shared = context;
    pthread_t other;
    if (pthread_create(&other, NULL, work_until_stopped, shared) != 0) {
        return false;
    }
    for (int run = 0; run < 100; run++) {
        softattn_pool_run(shared->pool, 8, use_memory, shared);
    }
    atomic_store(&shared->stop, true);
    pthread_join(other, NULL);
    bool works = pool_works(shared->pool);
    softattn_pool_destroy(shared->pool);
    softattn_memory_destroy(shared->memory);
    return works;
}

static void child_uses_what_other_threads_were_using(void **state) {
    (void)state;
    static struct shared shared;
    shared.pool = make_pool();
    assert_int_equal(softattn_memory_create(NULL, &shared.memory), 0);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, work_until_stopped, &shared), 0);
    for (int round = 0; round < 50; round++) {
        assert_in_child(use_everything, &shared);
    }
    atomic_store(&shared.stop, true);
    pthread_join(other, NULL);
    assert_true(pool_works(shared.pool));
    softattn_pool_destroy(shared.pool);
    softattn_memory_destroy(shared.memory);
}

static bool product_is_right(void) {
    enum { SIZE = 64 };
    float ones[SIZE * SIZE], c[SIZE * SIZE];
    for (int i = 0; i < SIZE * SIZE; i++) {
        ones[i] = 1.0f;
    }
    softattn_blas_gemm_f32(true, SIZE, SIZE, SIZE, 1.0f, ones, SIZE, ones, SIZE, 0.0f, c, SIZE);
    for (int i = 0; i < SIZE * SIZE; i++) {
        if (c[i] != (float)SIZE) {
            return false;
        }
    }
    return true;
}

static bool multiply(void *context) {
    (void)context;
    return product_is_right();
}

enum { MOST_MULTIPLIERS = 6 };

/* NULL when every product was right. */
static void *multiply_until_stopped(void *argument) {
    atomic_bool *stop = argument;
    while (!atomic_load(stop)) {
        if (!product_is_right()) {
            return argument;
        }
    }
    return NULL;
}

/* Forks while so many threads multiply all the time. */
static void fork_during_products(int threads) {
    static atomic_bool stop;
    pthread_t others[MOST_MULTIPLIERS];
    atomic_store(&stop, false);
    assert_true(product_is_right()); /* from the first product on, forks wait for products; see blas.c */
    for (int i = 0; i < threads; i++) {
        assert_int_equal(pthread_create(&others[i], NULL, multiply_until_stopped, &stop), 0);
    }
    for (int round = 0; round < 200; round++) {
        assert_in_child(multiply, NULL);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < threads; i++) {
        void *wrong;
        pthread_join(others[i], &wrong);
        assert_null(wrong);
    }
}

static void parent_and_child_multiply_after_a_fork_during_a_product(void **state) {
    (void)state;
    if (!softattn_blas_available()) {
        skip();
    }
    fork_during_products(1);
}

/* Of several threads, one or another is always inside a product, unless a waiting fork keeps them out. */
static void forks_get_through_while_several_threads_multiply(void **state) {
    (void)state;
    if (!softattn_blas_available()) {
        skip();
    }
    fork_during_products(MOST_MULTIPLIERS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_uses_a_pool_that_was_never_used),
        cmocka_unit_test(child_uses_and_destroys_a_used_pool),
        cmocka_unit_test(child_uses_what_other_threads_were_using),
        cmocka_unit_test(parent_and_child_multiply_after_a_fork_during_a_product),
        cmocka_unit_test(forks_get_through_while_several_threads_multiply),
    };
    return cmocka_run_group_tests_name("platform/fork", tests, NULL, NULL);
}
