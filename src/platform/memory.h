/*
 * Scratch memory: an allocator plus a small cache of released blocks, so that repeated runs of one shape do not
 * allocate.
 *
 * Cache rule: a request takes the smallest cached block that is large enough. Where none is, the largest cached one is
 * given back to the allocator before a new block is taken, so there are never more blocks than were in use at once.
 * A release that finds SOFTATTN_MEMORY_CACHED blocks in the cache gives its block back to the allocator. Block sizes
 * are rounded up by at most a quarter, so that slowly growing requests rarely allocate.
 */
#ifndef SOFTATTN_PLATFORM_MEMORY_H
#define SOFTATTN_PLATFORM_MEMORY_H

#include <stdint.h>

/* Alignment of acquired blocks: a cache line, and the widest vector register of fixed size. */
#define SOFTATTN_MEMORY_ALIGNMENT 64
#define SOFTATTN_MEMORY_CACHED    16

/* The function types are those of the public header. */
struct softattn_allocator {
    void *(*allocate)(void *user, uint64_t bytes, uint64_t alignment);
    void (*free_memory)(void *user, void *memory);
    void *user;
};

/* The C library's aligned_alloc and free. */
extern const struct softattn_allocator softattn_default_allocator;

struct softattn_memory;

/* The struct itself comes from the allocator too, and goes back to the one it came from. allocator is copied; NULL
 * means the default. 0, or -1 when memory is short (*out is then untouched). */
int softattn_memory_create(const struct softattn_allocator *allocator, struct softattn_memory **out);

/* Frees the cache and the struct. Every block must have been released. NULL is accepted. */
void softattn_memory_destroy(struct softattn_memory *memory);

/* Frees cached blocks with the old allocator; later blocks come from the new one (NULL: the default). Every block must
 * have been released. */
void softattn_memory_set_allocator(struct softattn_memory *memory,
                                   const struct softattn_allocator *allocator);

/* At least `bytes` of memory with SOFTATTN_MEMORY_ALIGNMENT, contents undefined; NULL when memory is short. bytes may
 * be 0. memory NULL: the default allocator, no cache. Safe from any threads at once; call it only on threads of the
 * application, where its allocator may run. */
void *softattn_memory_acquire(struct softattn_memory *memory, uint64_t bytes);

/* Returns a block to the memory that it was acquired from. block may be NULL. */
void softattn_memory_release(struct softattn_memory *memory, void *block);

#endif
