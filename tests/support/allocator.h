/*
 * An allocator for contexts that counts what lives, guards every block on both sides, poisons it, and fails
 * on request.
 */
#ifndef TEST_SUPPORT_ALLOCATOR_H
#define TEST_SUPPORT_ALLOCATOR_H

#include "guard.h"

#include <stdbool.h>
#include <stdint.h>

enum { ALLOCATOR_MAX_BLOCKS = 256 };

/* Zero it before use; one thread at a time. */
typedef struct test_allocator {
    int64_t calls;   /* of allocate, failed ones included */
    int64_t live;    /* blocks not freed yet */
    int64_t fail_at; /* this call fails, counted from 1; 0: none */
    bool fail_after; /* all calls after it fail too */
    bool misused; /* a block was overrun or freed twice, or the alignment asked for is no power of two up to
                     4096 */
    guard_block blocks[ALLOCATOR_MAX_BLOCKS];
} test_allocator;

/* For softattn_context_set_allocator, with the test_allocator as user. */
void *test_allocate(void *user, uint64_t bytes, uint64_t alignment);
void test_free(void *user, void *memory);

/* Starts to count from 0 and makes call number fail_at fail. */
void test_allocator_fail_at(test_allocator *allocator, int64_t fail_at, bool fail_after);

#endif
