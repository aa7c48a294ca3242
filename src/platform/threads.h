/*
 * A pool of threads that runs numbered jobs.
 */
#ifndef SOFTATTN_PLATFORM_THREADS_H
#define SOFTATTN_PLATFORM_THREADS_H

#include <stdint.h>

#include "memory.h"

typedef void (*softattn_job_function)(void *job_context, int64_t index);

struct softattn_pool;

/* A pool that runs at most `threads` (1 … 1024) jobs of one run at once. Starts no thread: a run starts those that it
 * has jobs for. allocator NULL: the default. 0, or -1 when memory is short (*out is then untouched). */
int softattn_pool_create(const struct softattn_allocator *allocator, int32_t threads,
                         struct softattn_pool **out);

/* Ends the threads and frees the pool; no run may be under way. NULL is accepted. */
void softattn_pool_destroy(struct softattn_pool *pool);

/*
 * Runs function(job_context, i) once for each i in 0 … jobs - 1, lower numbers started first, and returns when all have
 * ended. The caller takes part; pool NULL means the caller alone.
 *   - Any threads may call it at once. One run at a time has the pool's threads; the others, and runs from inside a
 *     job, execute on their caller alone.
 *   - Jobs must not wait for each other: a run goes on with as many threads as could be started, perhaps none.
 *   - Jobs run with the caller's floating-point control settings on whichever thread.
 *   - After fork the child may go on using a pool that no run of the forking thread was using.
 *   - The calling thread is not cancelled while it waits.
 */
void softattn_pool_run(struct softattn_pool *pool, int64_t jobs, softattn_job_function function,
                       void *job_context);

#endif
