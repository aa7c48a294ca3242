/*
 * The table of attention's tensors. Adding one is a line here, an index in the header and a field in the
 * arguments and in the problem.
 */
#include "api/attention_operands.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/fit.h"
#include "api/status.h"
#include "api/tensor.h"

enum {
    BATCH,
    HEADS_Q,
    HEADS_KV,
    SEQ_Q,
    SEQ_KV,
    DIM_QK,
    DIM_V,
    SEQUENCES, /* batch, or the number of packed sequences */
    OFFSETS,   /* one more */
    BLOCKS_Q,
    BLOCKS_K,
    SIZES,
    NONE = SOFTATTN_NO_SIZE
};

static const char *const size_names[SIZES] = {
    [BATCH] = "batch",
    [HEADS_Q] = "heads_q",
    [HEADS_KV] = "heads_kv",
    [SEQ_Q] = "seq_q",
    [SEQ_KV] = "seq_kv",
    [DIM_QK] = "dim_qk",
    [DIM_V] = "dim_v",
    [SEQUENCES] = "batch",
    [OFFSETS] = "sequences + 1",
    [BLOCKS_Q] = "blocks of queries",
    [BLOCKS_K] = "blocks of keys",
};

_Static_assert((int)SIZES <= (int)SOFTATTN_MAX_SIZES, "struct softattn_sizes holds every size");

/* Words for the table's flags. */
enum { OPTIONAL, REQUIRED };
enum { INPUT, OUTPUT };
enum { EXACT, BROADCAST };

static const struct operand {
    struct softattn_tensor_rule rule;
    struct softattn_layout layout;
    size_t argument; /* where softattn_attention_args has its tensor */
    size_t field;    /* where struct softattn_attention_problem has its view; of int32 lists: its pointer */
} operands[] = {
#define OPERAND(argument, element, required, direction, field, fit, batch, head, row, col)                   \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, direction}, {fit, {batch, head, row, col}},        \
            offsetof(softattn_attention_args, argument), offsetof(struct softattn_attention_problem, field)  \
    }
    [SOFTATTN_OPERAND_Q] = OPERAND(q, REAL, REQUIRED, INPUT, q, EXACT, BATCH, HEADS_Q, SEQ_Q, DIM_QK),
    [SOFTATTN_OPERAND_K] = OPERAND(k, REAL, REQUIRED, INPUT, k, EXACT, BATCH, HEADS_KV, SEQ_KV, DIM_QK),
    [SOFTATTN_OPERAND_V] = OPERAND(v, REAL, REQUIRED, INPUT, v, EXACT, BATCH, HEADS_KV, SEQ_KV, DIM_V),
    [SOFTATTN_OPERAND_OUT] = OPERAND(out, REAL, REQUIRED, OUTPUT, out, EXACT, BATCH, HEADS_Q, SEQ_Q, DIM_V),
    [SOFTATTN_OPERAND_BIAS] =
        OPERAND(bias, REAL, OPTIONAL, INPUT, bias, BROADCAST, BATCH, HEADS_Q, SEQ_Q, SEQ_KV),
    [SOFTATTN_OPERAND_KEEP_MASK] =
        OPERAND(keep_mask, BYTE, OPTIONAL, INPUT, keep, BROADCAST, BATCH, HEADS_Q, SEQ_Q, SEQ_KV),
    [SOFTATTN_OPERAND_LSE] = OPERAND(lse, REAL, OPTIONAL, OUTPUT, lse, EXACT, BATCH, HEADS_Q, SEQ_Q, NONE),
    [SOFTATTN_OPERAND_WEIGHTS] =
        OPERAND(weights, REAL, OPTIONAL, OUTPUT, weights, EXACT, BATCH, HEADS_Q, SEQ_Q, SEQ_KV),
    [SOFTATTN_OPERAND_ALIBI_SLOPES] =
        OPERAND(alibi_slopes, REAL, OPTIONAL, INPUT, alibi, BROADCAST, SEQUENCES, HEADS_Q, NONE, NONE),
    [SOFTATTN_OPERAND_SINK] = OPERAND(sink, REAL, OPTIONAL, INPUT, sink, EXACT, NONE, HEADS_Q, NONE, NONE),
    [SOFTATTN_OPERAND_QUERY_LENGTHS] =
        OPERAND(query_lengths, INT32, OPTIONAL, INPUT, query_lengths, EXACT, SEQUENCES, NONE, NONE, NONE),
    [SOFTATTN_OPERAND_KEY_LENGTHS] =
        OPERAND(key_lengths, INT32, OPTIONAL, INPUT, key_lengths, EXACT, SEQUENCES, NONE, NONE, NONE),
    [SOFTATTN_OPERAND_KEY_STARTS] =
        OPERAND(key_starts, INT32, OPTIONAL, INPUT, key_starts, EXACT, SEQUENCES, NONE, NONE, NONE),
    [SOFTATTN_OPERAND_QUERY_OFFSETS] =
        OPERAND(query_offsets, INT32, OPTIONAL, INPUT, query_offsets, EXACT, OFFSETS, NONE, NONE, NONE),
    [SOFTATTN_OPERAND_KEY_OFFSETS] =
        OPERAND(key_offsets, INT32, OPTIONAL, INPUT, key_offsets, EXACT, OFFSETS, NONE, NONE, NONE),
    [SOFTATTN_OPERAND_BLOCK_MASK] =
        OPERAND(block_mask, BYTE, OPTIONAL, INPUT, block_map, BROADCAST, BATCH, HEADS_Q, BLOCKS_Q, BLOCKS_K),
#undef OPERAND
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

int32_t softattn_attention_read_score_operands(const softattn_attention_args *args,
                                               struct softattn_array *arrays) {
    arrays[SOFTATTN_OPERAND_WORKSPACE].name = NULL;
    for (int32_t i = 0; i < TENSORS; i++) {
        arrays[i].name = NULL;
        if (i == SOFTATTN_OPERAND_V || operands[i].rule.is_output) {
            continue;
        }
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, true, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    return SOFTATTN_OK;
}

/* ---- Together ---- */

static void decide(struct softattn_sizes *sizes, int32_t which, int64_t value, const char *owner) {
    sizes->value[which] = value;
    sizes->owner[which] = owner;
}

static int64_t blocks(int64_t size, int64_t block) { return size / block + (size % block != 0); }

/* Sequences are the batch, or packed into the seq axes of a batch of 1. */
static int32_t count_sequences(const struct softattn_array *arrays, struct softattn_sizes *sizes) {
    const struct softattn_array *queries = &arrays[SOFTATTN_OPERAND_QUERY_OFFSETS];
    const struct softattn_array *keys = &arrays[SOFTATTN_OPERAND_KEY_OFFSETS];
    int64_t sequences = sizes->value[BATCH];
    const char *owner = sizes->owner[BATCH];
    if ((queries->name == NULL) != (keys->name == NULL)) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "%s: is NULL, but %s is not",
                             queries->name == NULL ? "query_offsets" : "key_offsets",
                             queries->name == NULL ? keys->name : queries->name);
    }
    if (queries->name != NULL) {
        if (queries->rank != 1 || queries->shape[0] < 1) {
            return softattn_fail(SOFTATTN_ERROR_SHAPE, "%s: shape %s is not [sequences + 1]", queries->name,
                                 softattn_shape_text(queries->rank, queries->shape).text);
        }
        if (sizes->value[BATCH] != 1) {
            return softattn_fail(SOFTATTN_ERROR_SHAPE, "q: batch %" PRId64 " is not 1, with query_offsets",
                                 sizes->value[BATCH]);
        }
        sequences = queries->shape[0] - 1;
        owner = queries->name;
    }
    decide(sizes, SEQUENCES, sequences, owner);
    decide(sizes, OFFSETS, sequences + 1, owner);
    return SOFTATTN_OK;
}

/* The engines walk lists of lengths as plain arrays. */
static int32_t fit_list(const struct softattn_array *array, void *field) {
    const int32_t *list = (const int32_t *)(const void *)array->data;
    if (array->elements > 1 && array->stride[0] != 1) {
        return softattn_fail(SOFTATTN_ERROR_STRIDE, "%s: stride[0] is %" PRId64 ", but it must be compact",
                             array->name, array->stride[0]);
    }
    memcpy(field, &list, sizeof list);
    return SOFTATTN_OK;
}

static int32_t fit(const struct operand *operand, const struct softattn_array *array,
                   const struct softattn_array *q, struct softattn_sizes *sizes,
                   struct softattn_attention_problem *problem) {
    void *field = (char *)problem + operand->field;
    struct softattn_view view;
    int32_t status = SOFTATTN_OK;
    if (operand->rule.element == SOFTATTN_ELEMENT_REAL) {
        status = softattn_require_same_real(array, q);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_fit_view(array, &operand->layout, sizes, &view);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    if (operand->rule.element == SOFTATTN_ELEMENT_INT32) {
        return fit_list(array, field);
    }
    memcpy(field, &view, sizeof view);
    return SOFTATTN_OK;
}

/* Operands first ... end - 1 of the table, where given. */
static int32_t fit_range(const struct softattn_array *arrays, int32_t first, int32_t end,
                         struct softattn_sizes *sizes, struct softattn_attention_problem *problem) {
    int32_t status = SOFTATTN_OK;
    for (int32_t i = first; i < end && status == SOFTATTN_OK; i++) {
        if (arrays[i].name != NULL) {
            status = fit(&operands[i], &arrays[i], &arrays[SOFTATTN_OPERAND_Q], sizes, problem);
        }
    }
    return status;
}

int32_t softattn_attention_fit_operands(const struct softattn_array *arrays,
                                        struct softattn_attention_problem *problem) {
    const int32_t first_option = SOFTATTN_OPERAND_OUT + 1; /* q, k, v and out decide the sizes */
    struct softattn_sizes sizes = {size_names, {0}, {NULL}};
    int32_t status = fit_range(arrays, 0, first_option, &sizes, problem);
    if (status == SOFTATTN_OK) {
        status = softattn_check_heads(sizes.value[HEADS_Q], sizes.value[HEADS_KV]);
    }
    if (status == SOFTATTN_OK) {
        status = count_sequences(arrays, &sizes);
    }
    if (status == SOFTATTN_OK) {
        decide(&sizes, BLOCKS_Q, blocks(sizes.value[SEQ_Q], problem->block_q), "q");
        decide(&sizes, BLOCKS_K, blocks(sizes.value[SEQ_KV], problem->block_k), "k");
        status = fit_range(arrays, first_option, TENSORS, &sizes, problem);
    }
    problem->batch = sizes.value[SEQUENCES];
    problem->heads_q = sizes.value[HEADS_Q];
    problem->heads_kv = sizes.value[HEADS_KV];
    problem->seq_q = sizes.value[SEQ_Q];
    problem->seq_kv = sizes.value[SEQ_KV];
    problem->dim_qk = sizes.value[DIM_QK];
    problem->dim_v = sizes.value[DIM_V];
    return status;
}
