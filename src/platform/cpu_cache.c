/*
 * Sizes of the CPU's caches. See cpu.h.
 */
#define _GNU_SOURCE
#include "cpu.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text_file.h"

#define LEVELS 3

static const uint64_t default_bytes[LEVELS] = {UINT64_C(32) << 10, UINT64_C(512) << 10, UINT64_C(8) << 20};

/* First use fills these; 0 is "not yet". Threads that race store the same values. */
static _Atomic uint64_t known_bytes[LEVELS];
static _Atomic uint64_t known_l3_share;

/* "512K", "8M": 0 where text is no size. */
static uint64_t parse_size(const char *text) {
    char *end;
    uint64_t size = strtoull(text, &end, 10);
    if (end == text || size > UINT64_C(1) << 40) {
        return 0;
    }
    return *end == 'K' ? size << 10 : *end == 'M' ? size << 20 : *end == 'G' ? size << 30 : size;
}

/* CPUs in a list such as "0-3,8-11". */
static int32_t parse_cpu_list(const char *text) {
    long count = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        long first = strtol(text, &end, 10);
        long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        if (last < first || last > 1 << 20) {
            return 1;
        }
        count += last - first + 1;
        text = *end == ',' ? end + 1 : end;
    }
    return count > 0 && count <= 1 << 20 ? (int32_t)count : 1;
}

static bool read_attribute(const char *directory, int index, const char *name, char *text, size_t capacity) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/index%d/%s", directory, index, name);
    return length > 0 && (size_t)length < sizeof path && softattn_read_text(path, text, capacity);
}

bool softattn_cpu_cache_read(const char *directory, int level, struct softattn_cpu_cache *cache) {
    char text[256];
    int saved_errno = errno;
    bool found = false;
    for (int index = 0; !found && read_attribute(directory, index, "level", text, sizeof text); index++) {
        if (strtol(text, NULL, 10) != level || !read_attribute(directory, index, "type", text, sizeof text) ||
            strncmp(text, "Instruction", strlen("Instruction")) == 0 ||
            !read_attribute(directory, index, "size", text, sizeof text)) {
            continue;
        }
        cache->bytes = parse_size(text);
        found = cache->bytes > 0;
        cache->sharing =
            read_attribute(directory, index, "shared_cpu_list", text, sizeof text) ? parse_cpu_list(text) : 1;
    }
    errno = saved_errno;
    return found;
}

/* What the C library knows, for systems without sysfs. */
static uint64_t sysconf_bytes(int level) {
    long bytes = 0;
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const int names[LEVELS] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    int saved_errno = errno;
    bytes = sysconf(names[level - 1]);
    errno = saved_errno;
#else
    (void)level;
#endif
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static struct softattn_cpu_cache find_cache(int level) {
    struct softattn_cpu_cache cache;
    if (softattn_cpu_cache_read("/sys/devices/system/cpu/cpu0/cache", level, &cache)) {
        return cache;
    }
    cache.bytes = sysconf_bytes(level);
    cache.sharing = 1;
    if (cache.bytes == 0) {
        cache.bytes = default_bytes[level - 1];
    }
    return cache;
}

uint64_t softattn_cpu_cache_bytes(int level) {
    if (level < 1 || level > LEVELS) {
        return 0;
    }
    _Atomic uint64_t *known = &known_bytes[level - 1];
    uint64_t bytes = atomic_load_explicit(known, memory_order_relaxed);
    if (bytes == 0) {
        bytes = find_cache(level).bytes;
        atomic_store_explicit(known, bytes, memory_order_relaxed);
    }
    return bytes;
}

uint64_t softattn_cpu_l3_share_bytes(void) {
    uint64_t share = atomic_load_explicit(&known_l3_share, memory_order_relaxed);
    if (share == 0) {
        struct softattn_cpu_cache cache = find_cache(3);
        share = cache.bytes / (uint64_t)cache.sharing;
        atomic_store_explicit(&known_l3_share, share, memory_order_relaxed);
    }
    return share;
}
