/*
 * softattn_attention_run and softattn_attention_describe: from the caller's tensors to a checked problem.
 *
 * Checks in order: handle and structs, each tensor by itself in the struct's order, how they fit together,
 * the options against them, the lists' contents, overlap, the workspace. The first that fails decides the
 * status.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/arguments.h"
#include "api/attention.h"
#include "api/attention_call.h"
#include "api/attention_operands.h"
#include "api/attention_sequences.h"
#include "api/attention_solve.h"
#include "api/context.h"
#include "api/options.h"
#include "api/overlap.h"
#include "api/status.h"

_Static_assert((int)SOFTATTN_ALIGN_NONE == SOFTATTN_CAUSAL_NONE &&
                   (int)SOFTATTN_ALIGN_TOP_LEFT == SOFTATTN_CAUSAL_TOP_LEFT &&
                   (int)SOFTATTN_ALIGN_BOTTOM_RIGHT == SOFTATTN_CAUSAL_BOTTOM_RIGHT &&
                   (int)SOFTATTN_ALIGN_OFFSET == SOFTATTN_CAUSAL_OFFSET,
               "the engines number causal alignments as the public header does");

/* 1 / sqrt(dim_qk). Without dimensions every score is an empty sum, which no scale changes. */
static double default_scale(int64_t dim_qk) { return dim_qk == 0 ? 1 : 1 / sqrt((double)dim_qk); }

/* What fitting the operands needs. */
static struct softattn_attention_problem start_problem(const softattn_attention *attention) {
    return (struct softattn_attention_problem){.block_q = attention->block_q, .block_k = attention->block_k};
}

/* Softmax-plus-one is softmax with a sink of 0, so that every engine has it. */
static int32_t set_normalizer(const struct softattn_normalizer *normalizer,
                              struct softattn_attention_call *call) {
    static const double zero = 0; /* of either type */
    const struct softattn_array *arrays = call->arrays;
    struct softattn_attention_problem *problem = &call->problem;
    if (normalizer->kind == SOFTATTN_NORMALIZER_SOFTMAX) {
        return SOFTATTN_OK;
    }
    if (arrays[SOFTATTN_OPERAND_SINK].name != NULL) {
        return softattn_fail(SOFTATTN_ERROR_UNSUPPORTED,
                             "sink: only SOFTATTN_NORMALIZER_SOFTMAX has one, and the normalizer is %d",
                             (int)normalizer->kind);
    }
    if (normalizer->kind == SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE) {
        problem->sink = (struct softattn_view){.data = (char *)(uintptr_t)&zero};
        return SOFTATTN_OK;
    }
    problem->normalizer = normalizer->kind;
    problem->sigmoid_bias = normalizer->sigmoid_bias;
    return arrays[SOFTATTN_OPERAND_LSE].name != NULL
               ? softattn_normalizer_require_softmax(normalizer, "lse")
               : softattn_normalizer_check_bias(normalizer, arrays[SOFTATTN_OPERAND_Q].element_bytes);
}

static int32_t set_options(const softattn_attention *attention, struct softattn_attention_call *call) {
    struct softattn_attention_problem *problem = &call->problem;
    const int32_t real_bytes = call->arrays[SOFTATTN_OPERAND_Q].element_bytes;
    const bool causal = attention->causal != SOFTATTN_CAUSAL_NONE;
    problem->kernels = softattn_context_kernels(attention->handle.context, real_bytes);
    problem->scale = attention->has_scale ? attention->scale : default_scale(problem->dim_qk);
    problem->causal = (enum softattn_causal)attention->causal;
    problem->align = (enum softattn_causal)attention->alignment;
    problem->causal_offset = causal ? attention->causal_offset : attention->alignment_offset;
    problem->window_left = attention->window_left;
    problem->window_right = attention->window_right;
    problem->softcap = attention->softcap;
    problem->dropout = attention->dropout;
    problem->dropout_seed = call->args.dropout_seed;
    problem->dropout_offset = call->args.dropout_offset;
    int32_t status = softattn_check_scale("scale", problem->scale, real_bytes);
    if (status == SOFTATTN_OK) {
        status = softattn_check_softcap(problem->softcap, real_bytes);
    }
    return status == SOFTATTN_OK ? set_normalizer(&attention->normalizer, call) : status;
}

int32_t softattn_attention_read_args(const softattn_attention_args *args,
                                     struct softattn_attention_call *call) {
    const uint64_t first_bytes =
        offsetof(softattn_attention_args, workspace_bytes) + sizeof args->workspace_bytes;
    return softattn_arguments_read("args", args, first_bytes, sizeof call->args, &call->args);
}

int32_t softattn_attention_fit_call(const softattn_attention *attention, bool with_memory,
                                    struct softattn_attention_call *call) {
    call->problem = start_problem(attention);
    int32_t status = softattn_attention_fit_operands(call->arrays, &call->problem);
    if (status == SOFTATTN_OK) {
        status = set_options(attention, call);
    }
    if (status == SOFTATTN_OK && with_memory) {
        status = softattn_attention_check_sequences(&call->problem);
    }
    return status;
}

/* Everything but overlap. with_memory: see softattn_array_check. */
static int32_t read_call(const softattn_attention *attention, const softattn_attention_args *args,
                         bool with_memory, struct softattn_attention_call *call, int32_t *engine) {
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    int32_t status = softattn_attention_read_args(args, call);
    if (status == SOFTATTN_OK) {
        status = softattn_attention_read_operands(&call->args, with_memory, call->arrays);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_fit_call(attention, with_memory, call);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_choose_engine(&call->problem, attention->engine, engine);
    }
    return status;
}

/* Whether there is a sequence, and an output with elements. */
static bool has_work(const struct softattn_attention_call *call) {
    bool work = false;
    for (int32_t i = 0; i < SOFTATTN_OPERAND_WORKSPACE; i++) {
        const struct softattn_array *array = &call->arrays[i];
        work = work || (array->name != NULL && array->is_output && array->elements > 0);
    }
    return work && call->problem.batch > 0;
}

int32_t softattn_attention_run(const softattn_attention *attention, const softattn_attention_args *args) {
    struct softattn_attention_call call;
    int32_t engine = SOFTATTN_ENGINE_AUTO;
    int32_t status = read_call(attention, args, true, &call, &engine);
    if (status == SOFTATTN_OK) {
        status = softattn_check_overlap(call.arrays, SOFTATTN_OPERANDS);
    }
    if (status != SOFTATTN_OK || !has_work(&call)) {
        return status;
    }
    return softattn_attention_solve(&call.problem, engine, attention->handle.context, call.args.workspace,
                                    call.args.workspace_bytes);
}

/* ---- Describing ---- */

static void fill_plan(const softattn_attention *attention, const struct softattn_attention_call *call,
                      int32_t engine, softattn_attention_plan *plan) {
    const softattn_context *context = attention->handle.context;
    plan->engine = engine;
    (void)snprintf(plan->isa, sizeof plan->isa, "%s", call->problem.kernels->isa);
    if (!has_work(call)) {
        return;
    }
    const int32_t threads = softattn_context_runtime(context).threads;
    const struct softattn_attention_shape shape =
        softattn_attention_shape_of(&call->problem, engine, threads);
    plan->threads = shape.tasks < threads ? (int32_t)shape.tasks : threads;
    (void)snprintf(plan->kernel, sizeof plan->kernel, "%s", shape.kernel);
    plan->query_tile = shape.query_tile;
    plan->key_tile = shape.key_tile;
    plan->key_chunk = shape.key_chunk;
    plan->workspace_bytes = softattn_attention_workspace_bytes(shape.scratch_bytes);
}

int32_t softattn_attention_describe(const softattn_attention *attention, const softattn_attention_args *args,
                                    softattn_attention_plan *plan) {
    const uint64_t first_bytes =
        offsetof(softattn_attention_plan, workspace_bytes) + sizeof plan->workspace_bytes;
    softattn_attention_plan known;
    struct softattn_attention_call call;
    int32_t engine = SOFTATTN_ENGINE_AUTO;

    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    int32_t status = softattn_arguments_read("plan", plan, first_bytes, sizeof known, &known);
    if (status == SOFTATTN_OK) {
        status = read_call(attention, args, false, &call, &engine);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    const uint64_t given_bytes = plan->struct_size;
    known = (softattn_attention_plan){.struct_size = given_bytes};
    fill_plan(attention, &call, engine, &known);
    memcpy(plan, &known, (size_t)(given_bytes < sizeof known ? given_bytes : sizeof known));
    return SOFTATTN_OK;
}
