/*
 * Implementations of softattn_parallel_for_function that keep to its contract and to nothing else.
 */
#ifndef TEST_TRUTH_ADVERSARIAL_POOLS_H
#define TEST_TRUTH_ADVERSARIAL_POOLS_H

#include <softattn/softattn.h>

typedef struct adversarial_pool {
    const char *name;
    softattn_parallel_for_function parallel_for;
} adversarial_pool;

enum { ADVERSARIAL_POOLS = 4 };

extern const adversarial_pool adversarial_pools[ADVERSARIAL_POOLS];

/* What the pools take as user. The nested one calls inner, which may run on the same context, between tasks. */
typedef struct pool_state {
    int64_t tasks; /* run so far, those of inner calls included */
    void (*inner)(void *inner_user);
    void *inner_user;
    int depth;
} pool_state;

#endif
