/* Creating, configuring and destroying a context, and what runs ask of it. */
#include "api/context.h"

#include <stddef.h>

#include "api/environment.h"
#include "api/status.h"

/* ---- Life ---- */

/* The threads of an executor: none for one thread or the caller's parallel_for. Starts no thread. */
static int32_t create_pool(const struct softattn_executor *executor,
                           const struct softattn_allocator *allocator, struct softattn_pool **pool) {
    *pool = NULL;
    if (executor->threads == 1 || executor->parallel_for != NULL) {
        return SOFTATTN_OK;
    }
    if (softattn_pool_create(allocator, executor->threads, pool) != 0) {
        return softattn_fail(SOFTATTN_ERROR_MEMORY, "context: no memory to manage %d threads",
                             (int)executor->threads);
    }
    return SOFTATTN_OK;
}

int32_t softattn_context_create(softattn_context **out) {
    const struct softattn_allocator *allocator = &softattn_default_allocator;
    const struct softattn_executor executor = {NULL, NULL, softattn_default_threads()};
    struct softattn_memory *memory;
    struct softattn_pool *pool;

    if (out == NULL) {
        return softattn_fail_null("out");
    }
    softattn_context *context =
        allocator->allocate(allocator->user, sizeof *context, SOFTATTN_MEMORY_ALIGNMENT);
    if (context == NULL) {
        return softattn_fail_memory(sizeof *context);
    }
    if (softattn_memory_create(allocator, &memory) != 0) {
        allocator->free_memory(allocator->user, context);
        return softattn_fail(SOFTATTN_ERROR_MEMORY, "context: no memory to manage scratch memory");
    }
    const int32_t status = create_pool(&executor, allocator, &pool);
    if (status != SOFTATTN_OK) {
        softattn_memory_destroy(memory);
        allocator->free_memory(allocator->user, context);
        return status;
    }
    *context = (softattn_context){softattn_default_isa(), executor, pool, *allocator, memory};
    *out = context;
    return SOFTATTN_OK;
}

void softattn_context_destroy(softattn_context *context) {
    if (context == NULL) {
        return;
    }
    softattn_pool_destroy(context->pool);
    softattn_memory_destroy(context->memory);
    softattn_default_allocator.free_memory(softattn_default_allocator.user, context);
}

/* ---- Settings ---- */

/* Takes over an executor and an allocator, with a pool made for them. */
static int32_t reconfigure(softattn_context *context, const struct softattn_executor *executor,
                           const struct softattn_allocator *allocator) {
    struct softattn_pool *pool;
    const int32_t status = create_pool(executor, allocator, &pool);
    if (status != SOFTATTN_OK) {
        return status;
    }
    softattn_pool_destroy(context->pool);
    context->pool = pool;
    context->executor = *executor;
    context->allocator = *allocator;
    return SOFTATTN_OK;
}

int32_t softattn_context_set_threads(softattn_context *context, int32_t threads) {
    if (context == NULL) {
        return softattn_fail_null("context");
    }
    if (threads < 0 || threads > SOFTATTN_MAX_THREADS) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "threads: %d is outside 0 ... %d", (int)threads,
                             SOFTATTN_MAX_THREADS);
    }
    struct softattn_executor executor = context->executor;
    executor.threads = threads == 0 ? softattn_process_threads() : threads;
    return reconfigure(context, &executor, &context->allocator);
}

int32_t softattn_context_threads(const softattn_context *context) {
    return context == NULL ? 1 : context->executor.threads;
}

int32_t softattn_context_set_parallel_for(softattn_context *context,
                                          softattn_parallel_for_function parallel_for, void *user,
                                          int32_t threads) {
    if (context == NULL) {
        return softattn_fail_null("context");
    }
    if (parallel_for == NULL) {
        const struct softattn_executor own = {NULL, NULL, context->executor.threads};
        return reconfigure(context, &own, &context->allocator);
    }
    if (threads < 1 || threads > SOFTATTN_MAX_THREADS) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "threads: %d is outside 1 ... %d", (int)threads,
                             SOFTATTN_MAX_THREADS);
    }
    const struct softattn_executor callers = {parallel_for, user, threads};
    return reconfigure(context, &callers, &context->allocator);
}

int32_t softattn_context_set_isa(softattn_context *context, const char *isa) {
    if (context == NULL) {
        return softattn_fail_null("context");
    }
    if (isa == NULL) {
        return softattn_fail_null("isa");
    }
    const struct softattn_isa *found = softattn_isa_find(isa);
    if (found == NULL) {
        return softattn_fail(SOFTATTN_ERROR_UNSUPPORTED,
                             "isa: this build or this CPU has no \"%.32s\"; its best is \"%s\"", isa,
                             softattn_isa_at(0)->name);
    }
    context->isa = found;
    return SOFTATTN_OK;
}

const char *softattn_context_isa(const softattn_context *context) {
    return context == NULL ? softattn_default_isa()->name : context->isa->name;
}

int32_t softattn_context_set_allocator(softattn_context *context, softattn_allocate_function allocate,
                                       softattn_free_function free_memory, void *user) {
    if (context == NULL) {
        return softattn_fail_null("context");
    }
    if ((allocate == NULL) != (free_memory == NULL)) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "%s: is NULL, but %s is not",
                             allocate == NULL ? "allocate" : "free_memory",
                             allocate == NULL ? "free_memory" : "allocate");
    }
    const struct softattn_allocator callers = {allocate, free_memory, user};
    const struct softattn_allocator *allocator = allocate == NULL ? &softattn_default_allocator : &callers;
    const int32_t status = reconfigure(context, &context->executor, allocator);
    if (status == SOFTATTN_OK) {
        softattn_memory_set_allocator(context->memory, allocator);
    }
    return status;
}

/* ---- For runs ---- */

const struct softattn_kernels *softattn_context_kernels(const softattn_context *context,
                                                        int32_t element_bytes) {
    const struct softattn_isa *isa = context == NULL ? softattn_default_isa() : context->isa;
    return element_bytes == 8 ? isa->f64 : isa->f32;
}

static void run_on_pool(void *pool, int64_t jobs, void (*job)(void *job_context, int64_t index),
                        void *job_context) {
    softattn_pool_run(pool, jobs, job, job_context);
}

struct softattn_runtime softattn_context_runtime(const softattn_context *context) {
    struct softattn_runtime runtime = {1, NULL, NULL, NULL};
    if (context == NULL) {
        return runtime;
    }
    runtime.threads = context->executor.threads;
    runtime.memory = context->memory;
    if (runtime.threads == 1) {
        return runtime;
    }
    if (context->executor.parallel_for != NULL) {
        runtime.run_jobs = softattn_executor_run;
        runtime.user = (void *)&context->executor;
    } else {
        runtime.run_jobs = run_on_pool;
        runtime.user = context->pool;
    }
    return runtime;
}

const struct softattn_allocator *softattn_context_allocator(const softattn_context *context) {
    return context == NULL ? &softattn_default_allocator : &context->allocator;
}
