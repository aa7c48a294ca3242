/*
 * Contexts for tests.
 */
#include "contexts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

softattn_context *context_create(const char *isa, int32_t threads) {
    softattn_context *context = NULL;
    if (softattn_context_create(&context) != SOFTATTN_OK ||
        softattn_context_set_threads(context, threads) != SOFTATTN_OK ||
        (isa && softattn_context_set_isa(context, isa) != SOFTATTN_OK)) {
        fprintf(stderr, "no context with isa %s and %d threads: %s\n", isa ? isa : "(best)", (int)threads,
                last_error());
        exit(EXIT_FAILURE);
    }
    return context;
}

bool isa_is_exact(const char *isa) { return strcmp(isa, "sse2") != 0; }

const char *last_error(void) {
    static char text[1024];
    softattn_last_error(text, sizeof text);
    return text;
}
