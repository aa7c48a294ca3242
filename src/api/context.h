/* The context: what an operation runs on. NULL stands for the defaults. */
#ifndef SOFTATTN_API_CONTEXT_H
#define SOFTATTN_API_CONTEXT_H

#include <stdint.h>

#include "api/executor.h"
#include "engine/runtime.h"
#include "kernels/kernels.h"
#include "platform/memory.h"
#include "platform/threads.h"
#include "softattn/softattn.h"

/* Runs only read a context; what changes during runs is behind memory and pool, which are safe from any
 * threads. */
struct softattn_context {
    const struct softattn_isa *isa;
    struct softattn_executor executor;
    struct softattn_pool *pool; /* NULL with one thread or the caller's parallel_for */
    struct softattn_allocator allocator;
    struct softattn_memory *memory;
};

/* What runs on context: kernels for an element type of 2 (f16, bf16) or 4 (f32) bytes, or of 8 (f64), threads and
 * memory, allocator. */
const struct softattn_kernels *softattn_context_kernels(const softattn_context *context,
                                                        int32_t element_bytes);
struct softattn_runtime softattn_context_runtime(const softattn_context *context);
const struct softattn_allocator *softattn_context_allocator(const softattn_context *context);

#endif
