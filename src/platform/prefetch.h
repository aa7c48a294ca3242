/*
 * Asks for memory that will be needed soon. Hints only: any address is allowed. They go to the first-level cache, and from
 * there to the second: asked for into the second alone they arrive late.
 */
#ifndef SOFTATTN_PLATFORM_PREFETCH_H
#define SOFTATTN_PLATFORM_PREFETCH_H

#include <stdint.h>

enum { SOFTATTN_CACHE_LINE = 64 };

/* gcc takes a function that does nothing but ask for one without effects, and drops its calls. */
#define SOFTATTN_KEEP_CALLS __asm__ volatile("")

/* bytes from address on, to be read. */
static inline void softattn_prefetch_read(const char *address, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += SOFTATTN_CACHE_LINE) {
        __builtin_prefetch(address + i, 0, 3);
    }
    SOFTATTN_KEEP_CALLS;
}

/* bytes from address on, to be written. */
static inline void softattn_prefetch_write(const char *address, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += SOFTATTN_CACHE_LINE) {
        __builtin_prefetch(address + i, 1, 3);
    }
    SOFTATTN_KEEP_CALLS;
}

#endif
