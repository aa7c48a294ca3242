/*
 * softattn_linear_attention_run: from the caller's tensors to a checked problem for the engine.
 *
 * Checks in order: handle and struct, each tensor by itself in the struct's order, how the tensors fit together, the
 * lengths, overlap. The first that fails decides the status.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/arguments.h"
#include "api/context.h"
#include "api/fit.h"
#include "api/linear_attention.h"
#include "api/overlap.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/linear_attention.h"

enum { BATCH, HEADS_Q, HEADS_KV, SEQ_Q, SEQ_KV, DIM_QK, DIM_V, SIZES, NONE = SOFTATTN_NO_SIZE };

static const char *const size_names[SIZES] = {
    [BATCH] = "batch",   [HEADS_Q] = "heads_q", [HEADS_KV] = "heads_kv", [SEQ_Q] = "seq_q",
    [SEQ_KV] = "seq_kv", [DIM_QK] = "dim_qk",   [DIM_V] = "dim_v",
};

enum operand {
    Q,
    K,
    V,
    OUT,
    KEY_LENGTHS,
    INITIAL_STATE,
    INITIAL_NORMALIZER,
    FINAL_STATE,
    FINAL_NORMALIZER,
    OPERANDS
};

static const struct {
    struct softattn_tensor_rule rule;
    struct softattn_layout layout;
    size_t argument; /* where softattn_linear_attention_args has its tensor */
    size_t field;    /* where the problem has its view */
} operands[OPERANDS] = {
#define OPERAND(argument, element, required, is_output, batch, head, row, col)                               \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, is_output}, {false, {batch, head, row, col}},      \
            offsetof(softattn_linear_attention_args, argument),                                              \
            offsetof(struct softattn_linear_attention_problem, argument)                                     \
    }
    [Q] = OPERAND(q, REAL, true, false, BATCH, HEADS_Q, SEQ_Q, DIM_QK),
    [K] = OPERAND(k, REAL, true, false, BATCH, HEADS_KV, SEQ_KV, DIM_QK),
    [V] = OPERAND(v, REAL, true, false, BATCH, HEADS_KV, SEQ_KV, DIM_V),
    [OUT] = OPERAND(out, REAL, true, true, BATCH, HEADS_Q, SEQ_Q, DIM_V),
    [KEY_LENGTHS] = OPERAND(key_lengths, INT32, false, false, BATCH, NONE, NONE, NONE),
    [INITIAL_STATE] = OPERAND(initial_state, REAL, false, false, BATCH, HEADS_KV, DIM_QK, DIM_V),
    [INITIAL_NORMALIZER] = OPERAND(initial_normalizer, REAL, false, false, BATCH, HEADS_KV, DIM_QK, NONE),
    [FINAL_STATE] = OPERAND(final_state, REAL, false, true, BATCH, HEADS_KV, DIM_QK, DIM_V),
    [FINAL_NORMALIZER] = OPERAND(final_normalizer, REAL, false, true, BATCH, HEADS_KV, DIM_QK, NONE),
#undef OPERAND
};

static int32_t read_tensors(const softattn_linear_attention_args *args, bool normalizes,
                            struct softattn_array *arrays) {
    for (int32_t i = 0; i < OPERANDS; i++) {
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, true, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    const bool has_state = arrays[INITIAL_STATE].name != NULL;
    if (normalizes && has_state != (arrays[INITIAL_NORMALIZER].name != NULL)) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "%s: is NULL, but %s is not",
                             operands[has_state ? INITIAL_NORMALIZER : INITIAL_STATE].rule.name,
                             operands[has_state ? INITIAL_STATE : INITIAL_NORMALIZER].rule.name);
    }
    return SOFTATTN_OK;
}

static int32_t fit_tensors(const struct softattn_array *arrays,
                           struct softattn_linear_attention_problem *problem) {
    struct softattn_sizes sizes = {size_names, {0}, {NULL}};
    int32_t status = SOFTATTN_OK;
    for (int32_t i = 0; i < OPERANDS && status == SOFTATTN_OK; i++) {
        struct softattn_view *view = (void *)((char *)problem + operands[i].field);
        if (arrays[i].name == NULL) {
            continue;
        }
        if (operands[i].rule.element == SOFTATTN_ELEMENT_REAL) {
            status = softattn_require_same_real(&arrays[i], &arrays[Q]);
        }
        if (status == SOFTATTN_OK) {
            status = softattn_fit_view(&arrays[i], &operands[i].layout, &sizes, view);
        }
    }
    problem->batch = sizes.value[BATCH];
    problem->heads_q = sizes.value[HEADS_Q];
    problem->heads_kv = sizes.value[HEADS_KV];
    problem->seq_q = sizes.value[SEQ_Q];
    problem->seq_kv = sizes.value[SEQ_KV];
    problem->dim_qk = sizes.value[DIM_QK];
    problem->dim_v = sizes.value[DIM_V];
    return status == SOFTATTN_OK ? softattn_check_heads(problem->heads_q, problem->heads_kv) : status;
}

static int32_t check_lengths(const struct softattn_linear_attention_problem *problem) {
    for (int64_t i = 0; problem->key_lengths.data != NULL && i < problem->batch; i++) {
        int32_t length;
        memcpy(&length, problem->key_lengths.data + i * problem->key_lengths.batch * (int64_t)sizeof length,
               sizeof length);
        if (length < 0 || length > problem->seq_kv) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                                 "key_lengths: element %" PRId64 " is %" PRId32 ", outside 0 ... %" PRId64, i,
                                 length, problem->seq_kv);
        }
    }
    return SOFTATTN_OK;
}

/* A final array may be written over the initial one; then what holds for the one holds for the other. */
static int32_t check_overlap(struct softattn_array *arrays) {
    for (int32_t i = INITIAL_STATE; i <= INITIAL_NORMALIZER; i++) {
        const struct softattn_array *final = &arrays[i - INITIAL_STATE + FINAL_STATE];
        if (arrays[i].name != NULL && final->name != NULL && softattn_array_same(&arrays[i], final)) {
            arrays[i].name = NULL;
        }
    }
    return softattn_check_overlap(arrays, OPERANDS);
}

static int32_t solve(const softattn_context *context, struct softattn_linear_attention_problem *problem,
                     int32_t real_bytes) {
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    int64_t workers = 0, scratch_bytes = 0;
    problem->kernels = softattn_context_kernels(context, real_bytes);
    if (!softattn_linear_attention_plan(problem, runtime.threads, &workers, &scratch_bytes)) {
        return softattn_fail(SOFTATTN_ERROR_OVERFLOW,
                             "q: the state of dim_qk %" PRId64 " x dim_v %" PRId64
                             " leaves the address range",
                             problem->dim_qk, problem->dim_v);
    }
    if (!softattn_linear_attention_execute(problem, &runtime, workers, scratch_bytes)) {
        return softattn_fail_memory((uint64_t)scratch_bytes);
    }
    return SOFTATTN_OK;
}

int32_t softattn_linear_attention_run(const softattn_linear_attention *attention,
                                      const softattn_linear_attention_args *args) {
    const uint64_t first_bytes =
        offsetof(softattn_linear_attention_args, final_normalizer) + sizeof args->final_normalizer;
    softattn_linear_attention_args known;
    struct softattn_array arrays[OPERANDS];
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    struct softattn_linear_attention_problem problem = {.maps_features = attention->feature_map ==
                                                                         SOFTATTN_FEATURE_MAP_ELU_PLUS_ONE,
                                                        .normalizes = !attention->skips_normalization,
                                                        .causal = (enum softattn_causal)attention->causal,
                                                        .causal_offset = attention->causal_offset};
    int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    if (status == SOFTATTN_OK) {
        status = read_tensors(&known, problem.normalizes, arrays);
    }
    if (status == SOFTATTN_OK) {
        status = fit_tensors(arrays, &problem);
    }
    if (status == SOFTATTN_OK) {
        status = check_lengths(&problem);
    }
    if (status == SOFTATTN_OK) {
        status = check_overlap(arrays);
    }
    return status == SOFTATTN_OK ? solve(attention->handle.context, &problem, arrays[Q].element_bytes)
                                 : status;
}
