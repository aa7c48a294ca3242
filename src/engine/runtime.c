/* Jobs on the runtime's threads. */
#include "engine/runtime.h"

#include <stddef.h>

void softattn_runtime_run(const struct softattn_runtime *runtime, int64_t jobs,
                          void (*job)(void *job_context, int64_t index), void *job_context) {
    if (runtime->run_jobs != NULL && runtime->threads > 1 && jobs > 1) {
        runtime->run_jobs(runtime->user, jobs, job, job_context);
        return;
    }
    for (int64_t index = 0; index < jobs; index++) {
        job(job_context, index);
    }
}
