/* Allocates operation handles from their context's allocator. */
#include "api/handle.h"

#include <stddef.h>
#include <string.h>

#include "api/context.h"
#include "api/status.h"

void *softattn_handle_create(const softattn_context *context, uint64_t bytes) {
    const struct softattn_allocator *allocator = softattn_context_allocator(context);
    struct softattn_handle *handle = allocator->allocate(allocator->user, bytes, SOFTATTN_MEMORY_ALIGNMENT);
    if (handle == NULL) {
        (void)softattn_fail_memory(bytes);
        return NULL;
    }
    memset(handle, 0, (size_t)bytes);
    handle->context = context;
    handle->allocator = *allocator;
    return handle;
}

void softattn_handle_destroy(void *handle) {
    if (handle == NULL) {
        return;
    }
    const struct softattn_allocator allocator = ((struct softattn_handle *)handle)->allocator;
    allocator.free_memory(allocator.user, handle);
}
