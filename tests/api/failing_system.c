/*
 * Replacements of malloc, its kin and pthread_create by way of glibc's own second names for them.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "failing_system.h"

#include "sanitizers.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local int64_t counted, fails_at, failed_creations;
static _Thread_local bool fails_after, creation_fails;

void fail_allocation(int64_t fail_at, bool fail_after) {
    counted = 0;
    fails_at = fail_at;
    fails_after = fail_after;
}

int64_t allocations_counted(void) { return counted; }

void fail_thread_creation(bool fail) { creation_fails = fail; }

int64_t failed_thread_creations(void) {
    const int64_t failed = failed_creations;
    failed_creations = 0;
    return failed;
}

#if defined(__GLIBC__) && !ADDRESS_SANITIZER && !THREAD_SANITIZER

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

bool failing_system_is_available(void) { return true; }

/* OpenBLAS takes memory for some small products on some CPUs, and does not look whether it got it. */
static bool is_of_openblas(void *caller) {
    Dl_info object;
    return dladdr(caller, &object) != 0 && strstr(object.dli_fname, "openblas") != NULL;
}

static bool must_fail(void *caller) {
    if (is_of_openblas(caller)) {
        return false;
    }
    counted++;
    if (fails_at > 0 && (counted == fails_at || (fails_after && counted > fails_at))) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

REPLACEMENT void *malloc(size_t bytes) {
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

REPLACEMENT void *calloc(size_t count, size_t bytes) {
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}

REPLACEMENT void *aligned_alloc(size_t alignment, size_t bytes) {
    return must_fail(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, bytes);
}

REPLACEMENT int posix_memalign(void **out, size_t alignment, size_t bytes) {
    void *const memory = aligned_alloc(alignment, bytes);
    if (memory) {
        *out = memory;
    }
    return memory ? 0 : ENOMEM;
}

REPLACEMENT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                               void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (creation_fails) {
        failed_creations++;
        return EAGAIN;
    }
    void *const symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof create);
    return create(thread, attributes, start, argument);
}

#else

bool failing_system_is_available(void) { return false; }

#endif
