/*
 * Scratch blocks with a small cache. See memory.h for the rules.
 *
 * A block starts with a header that fills one alignment unit; the caller gets what follows.
 */
#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fork.h"

/* ---- The default allocator ---- */

static void *default_allocate(void *user, uint64_t bytes, uint64_t alignment) {
    (void)user;
    /* aligned_alloc wants a multiple of the alignment. */
    if (bytes > SIZE_MAX - alignment) {
        return NULL;
    }
    size_t rounded = (size_t)((bytes + alignment - 1) / alignment * alignment);
    int saved_errno = errno;
    void *memory = aligned_alloc((size_t)alignment, rounded);
    /* Volatile, because compilers believe that allocation leaves errno alone, and drop a plain restoration. */
    *(volatile int *)&errno = saved_errno;
    return memory;
}

static void default_free(void *user, void *memory) {
    (void)user;
    free(memory);
}

const struct softattn_allocator softattn_default_allocator = {default_allocate, default_free, NULL};

/* ---- Blocks ---- */

struct block {
    _Alignas(SOFTATTN_MEMORY_ALIGNMENT) uint64_t capacity; /* bytes after the header */
};

_Static_assert(sizeof(struct block) == SOFTATTN_MEMORY_ALIGNMENT, "the caller's part must be aligned");

static void *block_payload(struct block *block) { return block + 1; }

static struct block *payload_block(void *payload) { return (struct block *)payload - 1; }

/* Rounds up to four steps per power of two; false when the block's size does not fit. */
static bool round_capacity(uint64_t bytes, uint64_t *capacity) {
    if (bytes > UINT64_MAX / 4) {
        return false;
    }
    uint64_t step = SOFTATTN_MEMORY_ALIGNMENT;
    while (step * 8 <= bytes) {
        step *= 2;
    }
    *capacity = bytes > 0 ? (bytes + step - 1) / step * step : step;
    return true;
}

static struct block *block_allocate(const struct softattn_allocator *allocator, uint64_t bytes) {
    uint64_t capacity;
    if (!round_capacity(bytes, &capacity)) {
        return NULL;
    }
    struct block *block =
        allocator->allocate(allocator->user, sizeof(struct block) + capacity, SOFTATTN_MEMORY_ALIGNMENT);
    if (block != NULL) {
        block->capacity = capacity;
    }
    return block;
}

static void block_free(const struct softattn_allocator *allocator, struct block *block) {
    if (block != NULL) {
        allocator->free_memory(allocator->user, block);
    }
}

/* ---- The cache ---- */

struct softattn_memory {
    struct softattn_allocator owner; /* what this struct came from */
    struct softattn_allocator allocator;
    struct softattn_fork_guard fork_guard;
    pthread_mutex_t lock; /* over the two below */
    struct block *cached[SOFTATTN_MEMORY_CACHED];
    int cached_count;
};

/* In a fork's child. If the lock was held, its holder is gone and the cache may be half changed: forget it. */
static void repair_after_fork(void *object) {
    struct softattn_memory *memory = object;
    if (pthread_mutex_trylock(&memory->lock) == 0) {
        pthread_mutex_unlock(&memory->lock);
        return;
    }
    pthread_mutex_init(&memory->lock, NULL);
    memory->cached_count = 0;
}

static void lock_cache(struct softattn_memory *memory) {
    softattn_fork_guard_check(&memory->fork_guard, repair_after_fork, memory);
    pthread_mutex_lock(&memory->lock);
}

static void unlock_cache(struct softattn_memory *memory) { pthread_mutex_unlock(&memory->lock); }

/* Index of the smallest cached block of at least `bytes`; the largest block's where none is; -1 when empty. */
static int best_cached(const struct softattn_memory *memory, uint64_t bytes) {
    int best = -1;
    for (int i = 0; i < memory->cached_count; i++) {
        uint64_t capacity = memory->cached[i]->capacity;
        uint64_t best_capacity = best >= 0 ? memory->cached[best]->capacity : 0;
        bool better =
            best_capacity < bytes ? capacity > best_capacity : capacity >= bytes && capacity < best_capacity;
        if (best < 0 || better) {
            best = i;
        }
    }
    return best;
}

static struct block *take_cached(struct softattn_memory *memory, uint64_t bytes) {
    struct block *block = NULL;
    lock_cache(memory);
    int best = best_cached(memory, bytes);
    if (best >= 0) {
        block = memory->cached[best];
        memory->cached[best] = memory->cached[--memory->cached_count];
    }
    unlock_cache(memory);
    return block;
}

static bool put_cached(struct softattn_memory *memory, struct block *block) {
    lock_cache(memory);
    bool kept = memory->cached_count < SOFTATTN_MEMORY_CACHED;
    if (kept) {
        memory->cached[memory->cached_count++] = block;
    }
    unlock_cache(memory);
    return kept;
}

static void empty_cache(struct softattn_memory *memory) {
    struct block *block;
    while ((block = take_cached(memory, 0)) != NULL) {
        block_free(&memory->allocator, block);
    }
}

/* ---- The interface ---- */

int softattn_memory_create(const struct softattn_allocator *allocator, struct softattn_memory **out) {
    if (allocator == NULL) {
        allocator = &softattn_default_allocator;
    }
    struct softattn_memory *memory =
        allocator->allocate(allocator->user, sizeof *memory, SOFTATTN_MEMORY_ALIGNMENT);
    if (memory == NULL) {
        return -1;
    }
    memory->owner = *allocator;
    memory->allocator = *allocator;
    memory->cached_count = 0;
    if (!softattn_fork_guard_init(&memory->fork_guard) || pthread_mutex_init(&memory->lock, NULL) != 0) {
        allocator->free_memory(allocator->user, memory);
        return -1;
    }
    *out = memory;
    return 0;
}

void softattn_memory_destroy(struct softattn_memory *memory) {
    if (memory == NULL) {
        return;
    }
    empty_cache(memory);
    pthread_mutex_destroy(&memory->lock);
    struct softattn_allocator owner = memory->owner;
    owner.free_memory(owner.user, memory);
}

void softattn_memory_set_allocator(struct softattn_memory *memory,
                                   const struct softattn_allocator *allocator) {
    empty_cache(memory);
    memory->allocator = allocator != NULL ? *allocator : softattn_default_allocator;
}

void *softattn_memory_acquire(struct softattn_memory *memory, uint64_t bytes) {
    const struct softattn_allocator *allocator = &softattn_default_allocator;
    struct block *block = NULL;
    if (memory != NULL) {
        allocator = &memory->allocator;
        block = take_cached(memory, bytes);
        if (block != NULL && block->capacity < bytes) {
            block_free(allocator, block);
            block = NULL;
        }
    }
    if (block == NULL) {
        block = block_allocate(allocator, bytes);
    }
    return block != NULL ? block_payload(block) : NULL;
}

void softattn_memory_release(struct softattn_memory *memory, void *block) {
    if (block == NULL) {
        return;
    }
    if (memory == NULL) {
        block_free(&softattn_default_allocator, payload_block(block));
    } else if (!put_cached(memory, payload_block(block))) {
        block_free(&memory->allocator, payload_block(block));
    }
}
