/* The memory of operation handles. */
#ifndef SOFTATTN_API_HANDLE_H
#define SOFTATTN_API_HANDLE_H

#include <stdint.h>

#include "platform/memory.h"
#include "softattn/softattn.h"

/* Every handle starts with this. */
struct softattn_handle {
    const softattn_context *context;
    struct softattn_allocator allocator; /* the context's when the handle was created: frees it */
};

/* bytes of zeros that start with a filled softattn_handle; NULL, with the detail text set, when memory is
 * short. */
void *softattn_handle_create(const softattn_context *context, uint64_t bytes);

/* NULL is accepted. */
void softattn_handle_destroy(void *handle);

#endif
