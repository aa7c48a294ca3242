/*
 * softattn_attention_merge: from the caller's tensors to a checked problem for the merge engine.
 *
 * Checks in order: the number of parts, each tensor by itself (outs, lses, out, lse), how they fit together,
 * overlap.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "api/context.h"
#include "api/fit.h"
#include "api/overlap.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/merge.h"
#include "platform/memory.h"

/* More than any cut has; keeps what is noted of the parts small. */
enum { MAX_PARTS = 1 << 20 };

enum { BATCH, HEADS, SEQ, DIM, SIZES };

static const char *const size_names[SIZES] = {"batch", "heads", "seq", "dim"};

static const struct softattn_layout out_layout = {false, {BATCH, HEADS, SEQ, DIM}};
static const struct softattn_layout lse_layout = {false, {BATCH, HEADS, SEQ, SOFTATTN_NO_SIZE}};

/*
 * The tensors of a call, by number: outs[p] is p, lses[p] is parts + p, then come out and lse. The lists have
 * an element for each and lie in one block of memory.
 */
struct call {
    int64_t parts, tensors;
    struct softattn_array *arrays;
    struct softattn_view *views;
    struct part_name {
        char text[24];
    } * names;
};

static uint64_t list_bytes(const struct call *call) {
    return (uint64_t)call->tensors * (sizeof *call->arrays + sizeof *call->views + sizeof *call->names);
}

static void place_lists(struct call *call, void *block) {
    call->arrays = block;
    call->views = (void *)(call->arrays + call->tensors);
    call->names = (void *)(call->views + call->tensors);
}

/* ---- Checks ---- */

static int32_t read_part(const char *list, int64_t part, const softattn_tensor *const *tensors,
                         struct call *call, int64_t number) {
    const struct softattn_tensor_rule rule = {call->names[number].text, SOFTATTN_ELEMENT_REAL, true, false};
    (void)snprintf(call->names[number].text, sizeof call->names[number].text, "%s[%" PRId64 "]", list, part);
    return softattn_tensor_read(&tensors[part], 0, &rule, true, &call->arrays[number]);
}

static int32_t read_tensors(const softattn_tensor *const *outs, const softattn_tensor *const *lses,
                            const softattn_tensor *out, const softattn_tensor *lse, struct call *call) {
    const struct softattn_tensor_rule out_rule = {"out", SOFTATTN_ELEMENT_REAL, true, true};
    const struct softattn_tensor_rule lse_rule = {"lse", SOFTATTN_ELEMENT_REAL, false, true};
    int32_t status = SOFTATTN_OK;
    for (int64_t part = 0; part < call->parts && status == SOFTATTN_OK; part++) {
        status = read_part("outs", part, outs, call, part);
    }
    for (int64_t part = 0; part < call->parts && status == SOFTATTN_OK; part++) {
        status = read_part("lses", part, lses, call, call->parts + part);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_tensor_read(&out, 0, &out_rule, true, &call->arrays[2 * call->parts]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_tensor_read(&lse, 0, &lse_rule, true, &call->arrays[2 * call->parts + 1]);
    }
    return status;
}

static int32_t fit_tensors(struct call *call, struct softattn_merge_problem *problem) {
    struct softattn_sizes sizes = {size_names, {0}, {NULL}};
    int32_t status = SOFTATTN_OK;
    for (int64_t i = 0; i < call->tensors && status == SOFTATTN_OK; i++) {
        const bool is_out = i < call->parts || i == 2 * call->parts;
        call->views[i] = (struct softattn_view){NULL, 0, 0, 0, 0};
        if (call->arrays[i].name == NULL) {
            continue;
        }
        status = softattn_require_same_real(&call->arrays[i], &call->arrays[0]);
        if (status == SOFTATTN_OK) {
            status = softattn_fit_view(&call->arrays[i], is_out ? &out_layout : &lse_layout, &sizes,
                                       &call->views[i]);
        }
    }
    problem->batch = sizes.value[BATCH];
    problem->heads = sizes.value[HEADS];
    problem->seq = sizes.value[SEQ];
    problem->dim = sizes.value[DIM];
    return status;
}

/* An output may be the first part's own memory; then what holds for it holds for that part. */
static int32_t check_overlap(const struct call *call) {
    for (int64_t kind = 0; kind < 2; kind++) {
        struct softattn_array *first = &call->arrays[kind * call->parts];
        const struct softattn_array *output = &call->arrays[2 * call->parts + kind];
        if (output->name != NULL && softattn_array_same(first, output)) {
            first->name = NULL;
        }
    }
    return softattn_check_overlap(call->arrays, call->tensors);
}

/* ---- Running ---- */

static int32_t merge(const softattn_context *context, struct call *call) {
    struct softattn_merge_problem problem = {.parts = call->parts};
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    const int32_t real_bytes = call->arrays[0].element_bytes;
    int32_t status = fit_tensors(call, &problem);
    if (status == SOFTATTN_OK) {
        status = check_overlap(call);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    problem.kernels = softattn_context_kernels(context, real_bytes);
    problem.outs = call->views;
    problem.lses = call->views + call->parts;
    problem.out = call->views[2 * call->parts];
    problem.lse = call->views[2 * call->parts + 1];
    if (!softattn_merge_execute(&problem, &runtime)) {
        return softattn_fail_scratch();
    }
    return SOFTATTN_OK;
}

int32_t softattn_attention_merge(const softattn_context *context, int64_t parts,
                                 const softattn_tensor *const *outs, const softattn_tensor *const *lses,
                                 const softattn_tensor *out, const softattn_tensor *lse) {
    struct call call = {.parts = parts};
    if (outs == NULL || lses == NULL) {
        return softattn_fail_null(outs == NULL ? "outs" : "lses");
    }
    if (parts < 1 || parts > MAX_PARTS) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "parts: %" PRId64 " is outside 1 ... %d", parts,
                             MAX_PARTS);
    }
    call.tensors = 2 * parts + 2;
    struct softattn_memory *memory = softattn_context_runtime(context).memory;
    void *block = softattn_memory_acquire(memory, list_bytes(&call));
    if (block == NULL) {
        return softattn_fail_memory(list_bytes(&call));
    }
    place_lists(&call, block);
    int32_t status = read_tensors(outs, lses, out, lse, &call);
    if (status == SOFTATTN_OK) {
        status = merge(context, &call);
    }
    softattn_memory_release(memory, block);
    return status;
}
