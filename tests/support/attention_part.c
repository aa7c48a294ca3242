/*
 * Parts of attention problems.
 */
#include "attention_part.h"

#include "compare.h"
#include "contexts.h"

#include <stdio.h>

/* A view of some of an operand. */
typedef struct part_tensor {
    softattn_tensor tensor;
    int64_t shape[4];
} part_tensor;

typedef struct attention_part {
    part_tensor q, k, v, bias, keep, alibi, sink, block_mask;
    test_array query_lengths, key_lengths, key_starts, out, lse;
    softattn_attention_args args;
} attention_part;

/* The operand with `rank` axes when complete, missing ones leading: at each axis `count` from `first` on, or
 * all that is there where it has size 1. */
static const softattn_tensor *cut(const softattn_tensor *given, const test_array *array, int32_t rank,
                                  const int64_t *first, const int64_t *count, part_tensor *part) {
    if (!given) {
        return NULL;
    }
    const int32_t missing = rank - given->ndim;
    int64_t offset = 0;
    part->tensor = *given;
    part->tensor.shape = part->shape;
    part->tensor.strides = (int64_t *)array->strides;
    for (int32_t axis = 0; axis < given->ndim; axis++) {
        part->shape[axis] = given->shape[axis];
        if (given->shape[axis] > 1) {
            part->shape[axis] = count[axis + missing];
            offset += first[axis + missing] * array->strides[axis];
        }
    }
    part->tensor.data = (char *)given->data + offset * (int64_t)array_element_bytes(array->type);
    return &part->tensor;
}

static void cut_operands(const attention_case *c, const attention_range *range, attention_part *part) {
    const attention_options *const o = &c->options;
    const int64_t group = o->heads_q / o->heads_kv;
    const int64_t heads_kv = range->heads < group ? 1 : range->heads / group;
    const int64_t block_q = o->block_k > 0 ? o->block_q : 1, block_k = o->block_k > 0 ? o->block_k : 1;
    const int64_t of_queries[4] = {range->batch, range->first_head, range->first_query, 0};
    const int64_t of_keys[4] = {range->batch, range->first_head / group, 0, 0};
    const int64_t of_blocks[4] = {range->batch, range->first_head, range->first_query / block_q, 0};
    const int64_t q[4] = {1, range->heads, range->queries, o->dim_qk};
    const int64_t k[4] = {1, heads_kv, o->seq_kv, o->dim_qk};
    const int64_t v[4] = {1, heads_kv, o->seq_kv, o->dim_v};
    const int64_t scores[4] = {1, range->heads, range->queries, o->seq_kv};
    const int64_t blocks[4] = {1, range->heads, (range->queries + block_q - 1) / block_q,
                               (o->seq_kv + block_k - 1) / block_k};
    part->args.q = cut(c->args.q, &c->q, 4, of_queries, q, &part->q);
    part->args.k = cut(c->args.k, &c->k, 4, of_keys, k, &part->k);
    part->args.v = cut(c->args.v, &c->v, 4, of_keys, v, &part->v);
    part->args.bias = cut(c->args.bias, &c->bias, 4, of_queries, scores, &part->bias);
    part->args.keep_mask = cut(c->args.keep_mask, &c->keep, 4, of_queries, scores, &part->keep);
    part->args.block_mask = cut(c->args.block_mask, &c->block_mask, 4, of_blocks, blocks, &part->block_mask);
    part->args.alibi_slopes = cut(c->args.alibi_slopes, &c->alibi, 2, of_queries, q, &part->alibi);
    part->args.sink = cut(c->args.sink, &c->sink, 1, &of_queries[1], &q[1], &part->sink);
}

/* The batch element's entry, `before` fewer, in 0 … most. */
static const softattn_tensor *cut_list(const softattn_tensor *given, const test_array *list, int64_t batch,
                                       int64_t before, int64_t most, test_array *part) {
    const int64_t one = 1;
    if (!given) {
        return NULL;
    }
    const int64_t entry = (int64_t)array_get(list, batch) - before;
    array_create(part, ARRAY_I32, 1, &one, ARRAY_COMPACT, GUARD_AFTER);
    array_set(part, 0, (double)(entry < 0 ? 0 : entry < most ? entry : most));
    return &part->tensor;
}

static void cut_lists(const attention_case *c, const attention_range *range, attention_part *part) {
    const int64_t keys = c->options.seq_kv;
    part->args.query_lengths = cut_list(c->args.query_lengths, &c->query_lengths, range->batch,
                                        range->first_query, range->queries, &part->query_lengths);
    part->args.key_lengths =
        cut_list(c->args.key_lengths, &c->key_lengths, range->batch, 0, keys, &part->key_lengths);
    part->args.key_starts =
        cut_list(c->args.key_starts, &c->key_starts, range->batch, 0, keys, &part->key_starts);
}

static void create_part(const attention_case *c, const attention_range *range, attention_part *part) {
    const attention_options *const o = &c->options;
    const int64_t shape[4] = {1, range->heads, range->queries, o->dim_v};
    *part = (attention_part){.args = {.struct_size = sizeof part->args}};
    cut_operands(c, range, part);
    cut_lists(c, range, part);
    array_create(&part->out, o->type, 4, shape, ARRAY_COMPACT, o->side);
    array_create(&part->lse, o->type, 3, shape, ARRAY_COMPACT, o->side);
    part->args.out = &part->out.tensor;
    part->args.lse = &part->lse.tensor;
    /* the dropout's counter has batch * heads_q + head + high half of the offset, modulo 2^32 */
    part->args.dropout_seed = o->dropout_seed;
    part->args.dropout_offset =
        o->dropout_offset + ((uint64_t)(range->batch * o->heads_q + range->first_head) << 32);
}

static void destroy_part(attention_part *part) {
    array_destroy(&part->query_lengths);
    array_destroy(&part->key_lengths);
    array_destroy(&part->key_starts);
    array_destroy(&part->out);
    array_destroy(&part->lse);
}

/* Runs with the position of the part's first query said as an offset. */
static int32_t run_part(const attention_case *c, const attention_range *range, const attention_part *part,
                        const softattn_context *context) {
    const attention_sequence sequence = attention_case_sequence(c, range->batch);
    const int64_t offset = attention_case_offset(c, &sequence) + range->first_query;
    softattn_attention *const attention = attention_case_handle(c, context);
    int32_t status = softattn_attention_set_alignment(attention, SOFTATTN_CAUSAL_OFFSET, offset);
    if (status == SOFTATTN_OK && c->options.causal != SOFTATTN_CAUSAL_NONE) {
        status = softattn_attention_set_causal(attention, SOFTATTN_CAUSAL_OFFSET, offset);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_run(attention, &part->args);
    }
    softattn_attention_destroy(attention);
    return status;
}

/* The whole's results that the part's array should equal: rank 4 for out, 3 for lse. */
static int64_t count_differences(const char *what, const test_array *actual, const test_array *whole,
                                 const attention_range *range) {
    const int64_t first[4] = {range->batch, range->first_head, range->first_query, 0};
    const int32_t rank = whole->tensor.ndim;
    int64_t offset = 0;
    test_array expected;
    for (int32_t axis = 0; axis < rank; axis++) {
        offset += first[axis] * whole->strides[axis];
    }
    array_create_view(&expected, whole, rank, actual->shape, whole->strides, offset);
    return compare_bits(what, actual, &expected);
}

int64_t attention_part_differing_bits(const attention_case *whole, const attention_range *range,
                                      const softattn_context *context) {
    attention_part part;
    int64_t differences = 1;
    create_part(whole, range, &part);
    if (run_part(whole, range, &part, context) == SOFTATTN_OK) {
        differences = count_differences("out", &part.out, &whole->out, range) +
                      count_differences("lse", &part.lse, &whole->lse, range);
    } else {
        fprintf(stderr, "the part's run failed: %s\n", last_error());
    }
    destroy_part(&part);
    return differences;
}
