/*
 * Scratch memory: alignment, reuse, bounds of the cache, failures, and use from several threads; and checked arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "allocator.h" /* before cmocka.h, which has a macro test_free */

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "platform/checked.h"
#include "platform/memory.h"

/* A counting, guarding allocator for each test. */
static test_allocator counting;
static const struct softattn_allocator counting_functions = {test_allocate, test_free, &counting};
static struct softattn_memory *memory;

static int make_memory(void **state) {
    (void)state;
    counting = (test_allocator){0};
    return softattn_memory_create(&counting_functions, &memory);
}

static int destroy_memory(void **state) {
    (void)state;
    softattn_memory_destroy(memory);
    return counting.live != 0 || counting.misused;
}

static void *acquire(uint64_t bytes) {
    unsigned char *block = softattn_memory_acquire(memory, bytes);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % SOFTATTN_MEMORY_ALIGNMENT, 0);
    memset(block, 0x5a, bytes);
    return block;
}

static void blocks_are_aligned_and_writable_in_full(void **state) {
    (void)state;
    for (uint64_t bytes = 0; bytes < 2000; bytes += 7) {
        softattn_memory_release(memory, acquire(bytes));
    }
    for (uint64_t bytes = 2000; bytes < 1 << 22; bytes += bytes / 3) {
        softattn_memory_release(memory, acquire(bytes));
    }
}

static void repeated_runs_of_one_shape_do_not_allocate(void **state) {
    (void)state;
    int64_t calls_after_first = 0;
    for (int run = 0; run < 100; run++) {
        void *small = acquire(1000), *large = acquire(100000), *again = acquire(1000);
        softattn_memory_release(memory, small);
        softattn_memory_release(memory, large);
        softattn_memory_release(memory, again);
        if (run == 0) {
            calls_after_first = counting.calls;
        }
    }
    assert_int_equal(counting.calls, calls_after_first);
}

static void slowly_growing_requests_rarely_allocate(void **state) {
    (void)state;
    counting.calls = 0;
    for (uint64_t bytes = 4096; bytes <= 64 * 4096; bytes += 64) {
        softattn_memory_release(memory, acquire(bytes));
    }
    /* Four sizes per doubling, six doublings, and the first. */
    assert_in_range(counting.calls, 1, 4 * 6 + 1);
}

static void there_are_never_more_blocks_than_were_in_use_at_once(void **state) {
    (void)state;
    for (uint64_t bytes = 100; bytes < 1 << 20; bytes *= 2) {
        void *one = acquire(bytes), *two = acquire(bytes);
        softattn_memory_release(memory, one);
        softattn_memory_release(memory, two);
        assert_in_range(counting.live, 1, 1 + 2); /* the memory itself and two blocks */
    }
}

static void smallest_sufficient_block_is_reused(void **state) {
    (void)state;
    void *large = acquire(100000), *middle = acquire(10000), *small = acquire(1000);
    softattn_memory_release(memory, middle);
    softattn_memory_release(memory, large);
    softattn_memory_release(memory, small);
    assert_ptr_equal(acquire(9000), middle);
    assert_ptr_equal(acquire(9000), large);
    softattn_memory_release(memory, large);
    softattn_memory_release(memory, middle);
}

static void cache_is_bounded(void **state) {
    (void)state;
    enum { BLOCKS = 3 * SOFTATTN_MEMORY_CACHED };
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = acquire((uint64_t)(100 * i));
    }
    for (int i = 0; i < BLOCKS; i++) {
        softattn_memory_release(memory, blocks[i]);
    }
    assert_int_equal(counting.live, 1 + SOFTATTN_MEMORY_CACHED);
}

static void changing_the_allocator_frees_with_the_one_that_allocated(void **state) {
    (void)state;
    test_allocator second = {0};
    const struct softattn_allocator second_functions = {test_allocate, test_free, &second};
    softattn_memory_release(memory, acquire(1000));
    assert_int_equal(counting.live, 2);

    softattn_memory_set_allocator(memory, &second_functions);
    assert_int_equal(counting.live, 1); /* the memory itself */
    softattn_memory_release(memory, acquire(1000));
    assert_int_equal(second.live, 1);

    softattn_memory_set_allocator(memory, NULL);
    assert_int_equal(second.live, 0);
    assert_false(second.misused);
    softattn_memory_release(memory, acquire(1000));
    assert_int_equal(counting.live, 1);
}

static void failing_allocator_gives_null_and_leaves_the_memory_usable(void **state) {
    (void)state;
    void *kept = acquire(1000);
    test_allocator_fail_at(&counting, 1, true);
    assert_null(softattn_memory_acquire(memory, 1000));
    assert_null(softattn_memory_acquire(memory, 100000));
    softattn_memory_release(memory, kept);
    assert_ptr_equal(acquire(1000), kept);
    test_allocator_fail_at(&counting, 0, false);
    softattn_memory_release(memory, acquire(100000));
    softattn_memory_release(memory, kept);
}

static void failing_allocator_fails_creation_and_leaves_out_untouched(void **state) {
    (void)state;
    test_allocator failing = {.fail_at = 1};
    const struct softattn_allocator functions = {test_allocate, test_free, &failing};
    struct softattn_memory *untouched = memory;
    assert_int_equal(softattn_memory_create(&functions, &untouched), -1);
    assert_ptr_equal(untouched, memory);
    assert_int_equal(failing.live, 0);
}

static void impossible_sizes_give_null_and_keep_errno(void **state) {
    (void)state;
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 63, UINT64_MAX / 2, INT64_MAX,
                                     UINT64_MAX / 4 - 100};
    errno = 77;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_null(softattn_memory_acquire(NULL, sizes[i]));
    }
    assert_null(softattn_default_allocator.allocate(NULL, UINT64_MAX, 64));
    assert_int_equal(errno, 77);
}

static void null_memory_uses_the_default_allocator(void **state) {
    (void)state;
    for (uint64_t bytes = 0; bytes < 10000; bytes += 999) {
        unsigned char *block = softattn_memory_acquire(NULL, bytes);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % SOFTATTN_MEMORY_ALIGNMENT, 0);
        memset(block, 1, bytes);
        softattn_memory_release(NULL, block);
    }
    softattn_memory_release(NULL, NULL);
    softattn_memory_destroy(NULL);
}

struct sharer {
    struct softattn_memory *memory;
    unsigned char mark; /* its own; the next number is its own too */
    bool spoiled;       /* another thread wrote to its blocks */
};

static bool is_filled(const unsigned char *bytes, uint64_t count, unsigned char mark) {
    for (uint64_t i = 0; i < count; i++) {
        if (bytes[i] != mark) {
            return false;
        }
    }
    return true;
}

static void *use_shared_memory(void *argument) {
    struct sharer *sharer = argument;
    for (uint64_t round = 0; round < 5000; round++) {
        uint64_t bytes = 64 + round % 7 * 100;
        unsigned char *one = softattn_memory_acquire(sharer->memory, bytes);
        unsigned char *two = softattn_memory_acquire(sharer->memory, 64);
        memset(one, sharer->mark, bytes);
        memset(two, sharer->mark + 1, 64);
        if (!is_filled(one, bytes, sharer->mark) || !is_filled(two, 64, (unsigned char)(sharer->mark + 1))) {
            sharer->spoiled = true;
        }
        softattn_memory_release(sharer->memory, one);
        softattn_memory_release(sharer->memory, two);
    }
    return NULL;
}

static void threads_never_hold_the_same_block(void **state) {
    (void)state;
    enum { THREADS = 4 };
    struct softattn_memory *shared;
    assert_int_equal(softattn_memory_create(NULL, &shared), 0);
    struct sharer sharers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        sharers[i] = (struct sharer){.memory = shared, .mark = (unsigned char)(2 * i)};
        assert_int_equal(pthread_create(&threads[i], NULL, use_shared_memory, &sharers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(sharers[i].spoiled);
    }
    softattn_memory_destroy(shared);
}

static void checked_arithmetic_reports_every_overflow(void **state) {
    (void)state;
    int64_t result;
    assert_true(softattn_mul_i64(INT64_MAX / 3, 3, &result));
    assert_true(result == INT64_MAX / 3 * 3);
    assert_true(softattn_mul_i64(INT64_MIN, 1, &result) && result == INT64_MIN);
    assert_false(softattn_mul_i64(INT64_MIN, -1, &result));
    assert_false(softattn_mul_i64(INT64_C(1) << 32, INT64_C(1) << 31, &result));
    assert_true(softattn_add_i64(INT64_MAX, INT64_MIN, &result) && result == -1);
    assert_false(softattn_add_i64(INT64_MAX, 1, &result));
    assert_false(softattn_add_i64(INT64_MIN, -1, &result));
}

#define with_memory(test) cmocka_unit_test_setup_teardown(test, make_memory, destroy_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_memory(blocks_are_aligned_and_writable_in_full),
        with_memory(repeated_runs_of_one_shape_do_not_allocate),
        with_memory(slowly_growing_requests_rarely_allocate),
        with_memory(there_are_never_more_blocks_than_were_in_use_at_once),
        with_memory(smallest_sufficient_block_is_reused),
        with_memory(cache_is_bounded),
        with_memory(changing_the_allocator_frees_with_the_one_that_allocated),
        with_memory(failing_allocator_gives_null_and_leaves_the_memory_usable),
        with_memory(failing_allocator_fails_creation_and_leaves_out_untouched),
        cmocka_unit_test(impossible_sizes_give_null_and_keep_errno),
        cmocka_unit_test(null_memory_uses_the_default_allocator),
        cmocka_unit_test(threads_never_hold_the_same_block),
        cmocka_unit_test(checked_arithmetic_reports_every_overflow),
    };
    return cmocka_run_group_tests_name("platform/memory", tests, NULL, NULL);
}
