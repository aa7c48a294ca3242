/*
 * The counting, guarding, failing allocator.
 */
#include "allocator.h"

#include <stddef.h>

static bool must_fail(const test_allocator *allocator) {
    return allocator->fail_at > 0 && (allocator->calls == allocator->fail_at ||
                                      (allocator->fail_after && allocator->calls > allocator->fail_at));
}

void *test_allocate(void *user, uint64_t bytes, uint64_t alignment) {
    test_allocator *const allocator = user;
    allocator->calls++;
    if (alignment == 0 || alignment > 4096 || (alignment & (alignment - 1)) != 0) {
        allocator->misused = true;
        return NULL;
    }
    if (must_fail(allocator)) {
        return NULL;
    }
    for (int i = 0; i < ALLOCATOR_MAX_BLOCKS; i++) {
        if (!allocator->blocks[i].mapping) {
            guard_create(&allocator->blocks[i], (size_t)bytes, (size_t)alignment, GUARD_AFTER);
            allocator->live++;
            return allocator->blocks[i].data;
        }
    }
    return NULL;
}

void test_free(void *user, void *memory) {
    test_allocator *const allocator = user;
    for (int i = 0; i < ALLOCATOR_MAX_BLOCKS; i++) {
        guard_block *const block = &allocator->blocks[i];
        if (block->mapping && block->data == memory) {
            allocator->misused |= !guard_surroundings_untouched(block);
            guard_destroy(block);
            allocator->live--;
            return;
        }
    }
    allocator->misused = true;
}

void test_allocator_fail_at(test_allocator *allocator, int64_t fail_at, bool fail_after) {
    allocator->calls = 0;
    allocator->fail_at = fail_at;
    allocator->fail_after = fail_after;
}
