/*
 * Guarded blocks on mmap and mprotect.
 */
#define _DEFAULT_SOURCE
#include "guard.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *map(size_t bytes, int protection) {
    void *memory = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("guard: mmap");
        abort();
    }
    return memory;
}

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void guard_create(guard_block *block, size_t bytes, size_t alignment, guard_side side) {
    const size_t page = page_bytes();
    const size_t used = (bytes + page - 1) / page * page;
    block->bytes = bytes;
    block->mapping_bytes = used + 2 * page;
    block->mapping = map(block->mapping_bytes, PROT_NONE);
    unsigned char *const first = block->mapping + page;
    if (used > 0 && mprotect(first, used, PROT_READ | PROT_WRITE) != 0) {
        perror("guard: mprotect");
        abort();
    }
    memset(first, GUARD_SENTINEL, used);
    block->data = first;
    if (side == GUARD_AFTER) {
        block->data += (used - bytes) / alignment * alignment;
    }
}

void guard_destroy(guard_block *block) {
    munmap(block->mapping, block->mapping_bytes);
    memset(block, 0, sizeof *block);
}

static bool all_sentinels(const unsigned char *from, const unsigned char *to) {
    while (from < to && *from == GUARD_SENTINEL) {
        from++;
    }
    return from == to;
}

bool guard_surroundings_untouched(const guard_block *block) {
    const size_t page = page_bytes();
    const unsigned char *const first = block->mapping + page;
    const unsigned char *const end = block->mapping + block->mapping_bytes - page;
    return all_sentinels(first, block->data) && all_sentinels(block->data + block->bytes, end);
}

void *guard_forbidden(void) {
    static void *memory;
    if (!memory) {
        memory = map((size_t)1 << 20, PROT_NONE);
    }
    return memory;
}
