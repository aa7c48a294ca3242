/*
 * The table of attention's tensors. Adding one is a line here, an index in the header and a field in the arguments and
 * in the problem.
 */
#include "api/attention_operands.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/status.h"
#include "api/tensor.h"

/* The named sizes of a problem. The first operand of the table that has one decides it, the others must agree. */
enum size { BATCH, HEADS_Q, HEADS_KV, SEQ_Q, SEQ_KV, DIM_QK, DIM_V, SIZES, NO_SIZE = -1 };

static const char *const size_names[SIZES] = {"batch",  "heads_q", "heads_kv", "seq_q",
                                              "seq_kv", "dim_qk",  "dim_v"};

/* The axes of struct softattn_view: batch, head, row, column. */
enum { COLUMN = 3, VIEW_AXES };

static const struct operand {
    struct softattn_tensor_rule rule;
    bool broadcasts;           /* sizes may be 1, leading dimensions may be missing */
    enum size axes[VIEW_AXES]; /* the size along each axis of its view; NO_SIZE: it has no such dimension */
    size_t argument;           /* where softattn_attention_args has its tensor */
    size_t view;               /* where struct softattn_attention_problem has its view */
} operands[] = {
#define AXES(batch, head, row, col)                                                                          \
    { batch, head, row, col }
#define OPERAND(element, required, is_output, broadcasts, axes, argument, field)                             \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, is_output}, broadcasts, axes,                      \
            offsetof(softattn_attention_args, argument), offsetof(struct softattn_attention_problem, field)  \
    }
    [SOFTATTN_OPERAND_Q] = OPERAND(REAL, true, false, false, AXES(BATCH, HEADS_Q, SEQ_Q, DIM_QK), q, q),
    [SOFTATTN_OPERAND_K] = OPERAND(REAL, true, false, false, AXES(BATCH, HEADS_KV, SEQ_KV, DIM_QK), k, k),
    [SOFTATTN_OPERAND_V] = OPERAND(REAL, true, false, false, AXES(BATCH, HEADS_KV, SEQ_KV, DIM_V), v, v),
    [SOFTATTN_OPERAND_OUT] = OPERAND(REAL, true, true, false, AXES(BATCH, HEADS_Q, SEQ_Q, DIM_V), out, out),
    [SOFTATTN_OPERAND_BIAS] =
        OPERAND(REAL, false, false, true, AXES(BATCH, HEADS_Q, SEQ_Q, SEQ_KV), bias, bias),
    [SOFTATTN_OPERAND_KEEP_MASK] =
        OPERAND(BYTE, false, false, true, AXES(BATCH, HEADS_Q, SEQ_Q, SEQ_KV), keep_mask, keep),
    [SOFTATTN_OPERAND_LSE] =
        OPERAND(REAL, false, true, false, AXES(BATCH, HEADS_Q, SEQ_Q, NO_SIZE), lse, lse),
    [SOFTATTN_OPERAND_WEIGHTS] =
        OPERAND(REAL, false, true, false, AXES(BATCH, HEADS_Q, SEQ_Q, SEQ_KV), weights, weights),
#undef OPERAND
#undef AXES
};

enum { TENSORS = sizeof operands / sizeof operands[0] };

_Static_assert((int)TENSORS == (int)SOFTATTN_OPERAND_WORKSPACE,
               "every operand but the workspace is a tensor");

/* ---- Each by itself ---- */

/* The workspace as a row of bytes; not given where it is NULL. */
static int32_t read_workspace(const softattn_attention_args *args, struct softattn_array *array) {
    array->name = NULL;
    if (args->workspace == NULL) {
        return SOFTATTN_OK;
    }
    if (args->workspace_bytes > INT64_MAX) {
        return softattn_fail(SOFTATTN_ERROR_OVERFLOW, "workspace_bytes: %" PRIu64 " leaves the address range",
                             args->workspace_bytes);
    }
    array->name = "workspace";
    array->data = args->workspace;
    array->rank = 1;
    array->element_bytes = 1;
    array->is_output = true;
    array->shape[0] = (int64_t)args->workspace_bytes;
    array->stride[0] = 1;
    return softattn_array_check(array, true);
}

int32_t softattn_attention_read_operands(const softattn_attention_args *args, bool with_memory,
                                         struct softattn_array *arrays) {
    for (int32_t i = 0; i < TENSORS; i++) {
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, with_memory, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    return read_workspace(args, &arrays[SOFTATTN_OPERAND_WORKSPACE]);
}

/* ---- Together ---- */

struct known_sizes {
    int64_t value[SIZES];
    const char *owner[SIZES]; /* name of the operand that decided it; NULL: not yet */
};

static int32_t operand_rank(const struct operand *operand) {
    int32_t rank = 0;
    for (int32_t axis = 0; axis < VIEW_AXES; axis++) {
        rank += operand->axes[axis] != NO_SIZE;
    }
    return rank;
}

/* Batch and heads may be left out; where an operand broadcasts, every dimension. */
static int32_t check_rank(const struct operand *operand, const struct softattn_array *array) {
    const int32_t most = operand_rank(operand);
    const int32_t least = operand->broadcasts ? 0 : most - 2;
    if (array->rank < least || array->rank > most) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: rank %d is outside %d ... %d", array->name,
                             (int)array->rank, (int)least, (int)most);
    }
    return SOFTATTN_OK;
}

static int32_t check_size(const struct operand *operand, const char *name, enum size which, int64_t size,
                          struct known_sizes *sizes) {
    if (sizes->owner[which] == NULL) {
        sizes->owner[which] = name;
        sizes->value[which] = size;
    }
    if (size == sizes->value[which] || (operand->broadcasts && size == 1)) {
        return SOFTATTN_OK;
    }
    return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: %s %" PRId64 " is not %s%s's %" PRId64, name,
                         size_names[which], size, operand->broadcasts ? "1 or " : "", sizes->owner[which],
                         sizes->value[which]);
}

static int32_t fit(const struct operand *operand, const struct softattn_array *array,
                   struct known_sizes *sizes, struct softattn_view *view) {
    int64_t stride[VIEW_AXES] = {0};
    int32_t status = check_rank(operand, array);
    int32_t dimension = array->rank - operand_rank(operand); /* negative: left out */
    for (int32_t axis = 0; axis < VIEW_AXES && status == SOFTATTN_OK; axis++) {
        if (operand->axes[axis] == NO_SIZE) {
            continue;
        }
        const int64_t size = dimension >= 0 ? array->shape[dimension] : 1;
        if (dimension >= 0) {
            /* Columns of one element are contiguous, which engines ask for. */
            const bool single = size == 1 && axis == COLUMN && !operand->broadcasts;
            stride[axis] = single ? 1 : array->stride[dimension];
        }
        status = check_size(operand, array->name, operand->axes[axis], size, sizes);
        dimension++;
    }
    *view = (struct softattn_view){array->data, stride[0], stride[1], stride[2], stride[3]};
    return status;
}

static int32_t check_heads(const struct softattn_attention_problem *problem) {
    const bool divides =
        problem->heads_kv == 0 ? problem->heads_q == 0 : problem->heads_q % problem->heads_kv == 0;
    if (!divides) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "k: heads_kv %" PRId64 " does not divide heads_q %" PRId64,
                             problem->heads_kv, problem->heads_q);
    }
    return SOFTATTN_OK;
}

int32_t softattn_attention_fit_operands(const struct softattn_array *arrays,
                                        struct softattn_attention_problem *problem) {
    struct known_sizes sizes = {{0}, {NULL}};
    for (int32_t i = 0; i < TENSORS; i++) {
        if (arrays[i].name == NULL) {
            continue;
        }
        int32_t status = SOFTATTN_OK;
        if (operands[i].rule.element == SOFTATTN_ELEMENT_REAL) {
            status = softattn_require_same_real(&arrays[i], &arrays[SOFTATTN_OPERAND_Q]);
        }
        if (status == SOFTATTN_OK) {
            struct softattn_view *view = (void *)((char *)problem + operands[i].view);
            status = fit(&operands[i], &arrays[i], &sizes, view);
        }
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    problem->batch = sizes.value[BATCH];
    problem->heads_q = sizes.value[HEADS_Q];
    problem->heads_kv = sizes.value[HEADS_KV];
    problem->seq_q = sizes.value[SEQ_Q];
    problem->seq_kv = sizes.value[SEQ_KV];
    problem->dim_qk = sizes.value[DIM_QK];
    problem->dim_v = sizes.value[DIM_V];
    return check_heads(problem);
}
