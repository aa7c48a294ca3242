/* Engine choice, scratch memory and execution of an attention problem. */
#include "api/attention_solve.h"

#include <inttypes.h>
#include <stddef.h>

#include "api/context.h"
#include "api/status.h"
#include "platform/memory.h"

int32_t softattn_attention_choose_engine(const struct softattn_attention_problem *problem, int32_t requested,
                                         int32_t *engine) {
    if (requested == SOFTATTN_ENGINE_FUSED && problem->weights.data != NULL) {
        return softattn_fail(SOFTATTN_ERROR_UNSUPPORTED,
                             "weights: the fused engine, which was asked for, never has them; "
                             "SOFTATTN_ENGINE_AUTO and _BLAS do");
    }
    if (requested == SOFTATTN_ENGINE_FUSED && problem->normalizer != SOFTATTN_NORMALIZE_SOFTMAX) {
        return softattn_fail(
            SOFTATTN_ERROR_UNSUPPORTED,
            "normalizer: the fused engine, which was asked for, has softmax and plus-one only; "
            "SOFTATTN_ENGINE_AUTO and _BLAS have all");
    }
    *engine = requested;
    if (requested == SOFTATTN_ENGINE_AUTO) {
        *engine = softattn_fused_serves(problem) ? SOFTATTN_ENGINE_FUSED : SOFTATTN_ENGINE_BLAS;
    }
    return SOFTATTN_OK;
}

struct softattn_attention_shape softattn_attention_shape_of(const struct softattn_attention_problem *problem,
                                                            int32_t engine, int32_t threads) {
    struct softattn_attention_shape shape;
    if (engine == SOFTATTN_ENGINE_FUSED) {
        softattn_fused_plan(problem, threads, &shape);
    } else {
        softattn_blas_plan(problem, threads, &shape);
    }
    return shape;
}

/* ---- Scratch memory ---- */

uint64_t softattn_attention_workspace_bytes(uint64_t scratch_bytes) {
    return scratch_bytes == 0 ? 0 : scratch_bytes + SOFTATTN_MEMORY_ALIGNMENT - 1;
}

/* The aligned part of the caller's workspace. */
static int32_t align_workspace(void *workspace, uint64_t workspace_bytes, uint64_t scratch_bytes,
                               void **scratch) {
    const uint64_t misaligned = (uintptr_t)workspace % SOFTATTN_MEMORY_ALIGNMENT;
    const uint64_t skipped = misaligned == 0 ? 0 : SOFTATTN_MEMORY_ALIGNMENT - misaligned;
    if (scratch_bytes > 0 && (workspace_bytes < skipped || workspace_bytes - skipped < scratch_bytes)) {
        return softattn_fail(SOFTATTN_ERROR_MEMORY,
                             "workspace: %" PRIu64 " bytes, but this run takes %" PRIu64, workspace_bytes,
                             softattn_attention_workspace_bytes(scratch_bytes));
    }
    *scratch = (char *)workspace + skipped;
    return SOFTATTN_OK;
}

static int32_t acquire_scratch(struct softattn_memory *memory, uint64_t scratch_bytes, void **scratch) {
    *scratch = NULL;
    if (scratch_bytes > 0) {
        *scratch = softattn_memory_acquire(memory, scratch_bytes);
        if (*scratch == NULL) {
            return softattn_fail_memory(scratch_bytes);
        }
    }
    return SOFTATTN_OK;
}

/* ---- Running ---- */

int32_t softattn_attention_solve(const struct softattn_attention_problem *problem, int32_t engine,
                                 const softattn_context *context, void *workspace, uint64_t workspace_bytes) {
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    const struct softattn_attention_shape shape =
        softattn_attention_shape_of(problem, engine, runtime.threads);
    void *scratch;
    const int32_t status = workspace != NULL
                               ? align_workspace(workspace, workspace_bytes, shape.scratch_bytes, &scratch)
                               : acquire_scratch(runtime.memory, shape.scratch_bytes, &scratch);
    if (status != SOFTATTN_OK) {
        return status;
    }
    if (engine == SOFTATTN_ENGINE_FUSED) {
        softattn_fused_execute(problem, &runtime, scratch);
    } else {
        softattn_blas_execute(problem, &runtime, scratch);
    }
    if (workspace == NULL) {
        softattn_memory_release(runtime.memory, scratch);
    }
    return SOFTATTN_OK;
}
