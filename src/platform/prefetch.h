/* Asks for memory that will be needed soon. Hints only: any address is allowed. */
#ifndef SOFTATTN_PLATFORM_PREFETCH_H
#define SOFTATTN_PLATFORM_PREFETCH_H

#include <stdint.h>

enum { SOFTATTN_CACHE_LINE = 64 };

/* bytes from address on, to be read, into the second-level cache. */
static inline void softattn_prefetch_read(const char *address, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += SOFTATTN_CACHE_LINE) {
        __builtin_prefetch(address + i, 0, 2);
    }
}

/* bytes from address on, to be written. */
static inline void softattn_prefetch_write(const char *address, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += SOFTATTN_CACHE_LINE) {
        __builtin_prefetch(address + i, 1, 2);
    }
}

#endif
