/* From a checked attention problem to the engine that runs it. */
#ifndef SOFTATTN_API_ATTENTION_SOLVE_H
#define SOFTATTN_API_ATTENTION_SOLVE_H

#include <stdint.h>

#include "engine/attention.h"
#include "engine/runtime.h"
#include "softattn/softattn.h"

/* SOFTATTN_ENGINE_FUSED or _BLAS for the engine requested; fails when that one cannot serve the problem. */
int32_t softattn_attention_choose_engine(const struct softattn_attention_problem *problem, int32_t requested,
                                         int32_t *engine);

/* How the engine would run the problem on that many threads. */
struct softattn_attention_shape softattn_attention_shape_of(const struct softattn_attention_problem *problem,
                                                            int32_t engine, int32_t threads);

/* Workspace of any alignment that holds scratch_bytes. */
uint64_t softattn_attention_workspace_bytes(uint64_t scratch_bytes);

/* Runs the problem, which has something to write. workspace NULL: scratch memory comes from the context. */
int32_t softattn_attention_solve(const struct softattn_attention_problem *problem, int32_t engine,
                                 const softattn_context *context, void *workspace, uint64_t workspace_bytes);

#endif
