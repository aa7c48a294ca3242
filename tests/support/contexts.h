/*
 * Contexts and instruction sets for tests that repeat a case on each.
 */
#ifndef TEST_SUPPORT_CONTEXTS_H
#define TEST_SUPPORT_CONTEXTS_H

#include <softattn/softattn.h>

#include <stdbool.h>

/* A context with this instruction set (NULL: the best) and thread count; ends the program where there is
 * none. */
softattn_context *context_create(const char *isa, int32_t threads);

/* Whether the instruction set has fused multiply-add, and so owes the same bits as "generic". */
bool isa_is_exact(const char *isa);

/* This thread's last detail text. Static storage, overwritten by the next call. */
const char *last_error(void);

#endif
