/*
 * Attention problems for tests: their arrays, and running them.
 */
#include "attention_case.h"

#include "contexts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Queries, keys, values ----------------------------------------------------------------------------- */

/* One of q, k, v and out, in the case's layout. */
static void create_sequences(attention_case *c, test_array *array, int64_t heads, int64_t seq, int64_t dim,
                             bool is_output) {
    const attention_options *const o = &c->options;
    const int64_t shape[4] = {o->batch, heads, seq, dim};
    const int64_t seq_first[4] = {seq * heads * dim, dim, heads * dim, 1};
    switch (o->layout) {
    case ATTENTION_SEQ_FIRST:
    case ATTENTION_PACKED: array_create_strided(array, o->type, 4, shape, seq_first, o->side); break;
    case ATTENTION_PADDED: array_create(array, o->type, 4, shape, ARRAY_PADDED, o->side); break;
    case ATTENTION_TRANSPOSED: array_create(array, o->type, 4, shape, ARRAY_TRANSPOSED, o->side); break;
    case ATTENTION_BACKWARDS:
        array_create(array, o->type, 4, shape, is_output ? ARRAY_SPREAD : ARRAY_BACKWARDS, o->side);
        break;
    default: array_create(array, o->type, 4, shape, ARRAY_COMPACT, o->side); break;
    }
}

/* q, k and v as views of one array [batch][seq][heads_q + 2 heads_kv][dim]. */
static void create_packed_inputs(attention_case *c) {
    const attention_options *const o = &c->options;
    const int64_t heads = o->heads_q + 2 * o->heads_kv, seq = o->seq_q, dim = o->dim_qk;
    const int64_t packed_shape[4] = {o->batch, seq, heads, dim};
    const int64_t strides[4] = {seq * heads * dim, dim, heads * dim, 1};
    const int64_t q_shape[4] = {o->batch, o->heads_q, seq, dim},
                  kv_shape[4] = {o->batch, o->heads_kv, seq, dim};
    array_create(&c->packed, o->type, 4, packed_shape, ARRAY_COMPACT, o->side);
    array_create_view(&c->q, &c->packed, 4, q_shape, strides, 0);
    array_create_view(&c->k, &c->packed, 4, kv_shape, strides, o->heads_q * dim);
    array_create_view(&c->v, &c->packed, 4, kv_shape, strides, (o->heads_q + o->heads_kv) * dim);
}

static void create_inputs(attention_case *c, random_source *random) {
    const attention_options *const o = &c->options;
    if (o->layout == ATTENTION_PACKED) {
        create_packed_inputs(c);
    } else {
        create_sequences(c, &c->q, o->heads_q, o->seq_q, o->dim_qk, false);
        create_sequences(c, &c->k, o->heads_kv, o->seq_kv, o->dim_qk, false);
        create_sequences(c, &c->v, o->heads_kv, o->seq_kv, o->dim_v, false);
    }
    array_fill_normal(&c->q, random, o->deviation);
    array_fill_normal(&c->k, random, o->deviation);
    array_fill_normal(&c->v, random, o->deviation);
    c->args.q = &c->q.tensor;
    c->args.k = &c->k.tensor;
    c->args.v = &c->v.tensor;
}

/* ---- Masks and what changes scores --------------------------------------------------------------------- */

/* An operand that broadcasts to `shape`: its single axes have size 1, and half of the time leading axes of
 * size 1 are left out. */
static void create_broadcast(attention_case *c, test_array *array, array_type type, int32_t rank,
                             const int64_t *shape, random_source *random) {
    int64_t sizes[4];
    int32_t left_out = 0;
    for (int32_t axis = 0; axis < rank; axis++) {
        sizes[axis] = c->options.single_axes >> axis & 1 ? 1 : shape[axis];
    }
    while (left_out < rank - 1 && sizes[left_out] == 1 && random_below(random, 2) == 0) {
        left_out++;
    }
    array_create(array, type, rank - left_out, sizes + left_out,
                 random_below(random, 2) ? ARRAY_COMPACT : ARRAY_TRANSPOSED, c->options.side);
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static void create_masks(attention_case *c, random_source *random) {
    const attention_options *const o = &c->options;
    const int64_t shape[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    const array_type bytes = random_below(random, 2) ? ARRAY_U8 : ARRAY_BOOL;
    if (o->has_bias) {
        create_broadcast(c, &c->bias, o->type, 4, shape, random);
        array_fill_normal(&c->bias, random, 1.0);
        c->args.bias = &c->bias.tensor;
    }
    if (o->has_keep) {
        create_broadcast(c, &c->keep, bytes, 4, shape, random);
        array_fill_keep(&c->keep, random, o->keep_probability);
        c->args.keep_mask = &c->keep.tensor;
    }
    if (o->block_k > 0) {
        const int64_t blocks[4] = {o->batch, o->heads_q, ceil_div(o->seq_q, o->block_q),
                                   ceil_div(o->seq_kv, o->block_k)};
        create_broadcast(c, &c->block_mask, bytes, 4, blocks, random);
        array_fill_keep(&c->block_mask, random, o->keep_probability);
        c->args.block_mask = &c->block_mask.tensor;
    }
}

static void create_slopes_and_sinks(attention_case *c, random_source *random) {
    const attention_options *const o = &c->options;
    const int64_t heads[2] = {attention_case_sequences(c), o->heads_q};
    if (o->has_alibi) {
        create_broadcast(c, &c->alibi, o->type, 2, heads, random);
        array_fill_uniform(&c->alibi, random, -0.1, 0.5);
        c->args.alibi_slopes = &c->alibi.tensor;
    }
    if (o->has_sink) {
        array_create(&c->sink, o->type, 1, &heads[1], ARRAY_PADDED, o->side);
        array_fill_normal(&c->sink, random, 2.0);
        c->args.sink = &c->sink.tensor;
    }
}

/* ---- Sequences ----------------------------------------------------------------------------------------- */

/* A third of the time one of the ends. */
static int64_t random_length(int64_t most, random_source *random) {
    const int64_t choice = random_below(random, 6);
    return choice == 0 ? 0 : choice == 1 ? most : random_between(random, 0, most);
}

static const softattn_tensor *create_list(attention_case *c, test_array *array, int64_t count, int64_t most,
                                          random_source *random) {
    array_create(array, ARRAY_I32, 1, &count, ARRAY_COMPACT, c->options.side);
    for (int64_t i = 0; i < count; i++) {
        array_set(array, i, (double)random_length(most, random));
    }
    return &array->tensor;
}

/* Ascending, as offsets must be. */
static void sort_list(test_array *array) {
    for (int64_t i = 1; i < array_count(array); i++) {
        for (int64_t j = i; j > 0 && array_get(array, j - 1) > array_get(array, j); j--) {
            const double larger = array_get(array, j - 1);
            array_set(array, j - 1, array_get(array, j));
            array_set(array, j, larger);
        }
    }
}

static void create_lists(attention_case *c, random_source *random) {
    const attention_options *const o = &c->options;
    const int64_t sequences = attention_case_sequences(c);
    if (o->has_query_lengths) {
        c->args.query_lengths = create_list(c, &c->query_lengths, sequences, o->seq_q, random);
    }
    if (o->has_key_lengths) {
        c->args.key_lengths = create_list(c, &c->key_lengths, sequences, o->seq_kv, random);
    }
    if (o->has_key_starts) {
        c->args.key_starts = create_list(c, &c->key_starts, sequences, o->seq_kv, random);
    }
    if (o->sequences > 0) {
        c->args.query_offsets = create_list(c, &c->query_offsets, sequences + 1, o->seq_q, random);
        c->args.key_offsets = create_list(c, &c->key_offsets, sequences + 1, o->seq_kv, random);
        sort_list(&c->query_offsets);
        sort_list(&c->key_offsets);
    }
}

int64_t attention_case_sequences(const attention_case *c) {
    return c->options.sequences > 0 ? c->options.sequences : c->options.batch;
}

attention_sequence attention_case_sequence(const attention_case *c, int64_t index) {
    const attention_options *const o = &c->options;
    if (o->sequences == 0) {
        return (attention_sequence){.index = index, .batch = index, .rows = o->seq_q, .keys = o->seq_kv};
    }
    const int64_t query = (int64_t)array_get(&c->query_offsets, index);
    const int64_t key = (int64_t)array_get(&c->key_offsets, index);
    return (attention_sequence){.index = index,
                                .first_query = query,
                                .first_key = key,
                                .rows = (int64_t)array_get(&c->query_offsets, index + 1) - query,
                                .keys = (int64_t)array_get(&c->key_offsets, index + 1) - key};
}

/* What the list, if given, leaves of `most`. */
static int64_t length_of(const softattn_tensor *given, const test_array *list, int64_t index, int64_t most) {
    const int64_t length = given ? (int64_t)array_get(list, index) : most;
    return length < most ? length : most;
}

int64_t attention_case_offset(const attention_case *c, const attention_sequence *sequence) {
    const attention_options *const o = &c->options;
    switch (o->causal != SOFTATTN_CAUSAL_NONE ? o->causal : o->alignment) {
    case SOFTATTN_CAUSAL_OFFSET: return o->offset;
    case SOFTATTN_CAUSAL_BOTTOM_RIGHT:
        return length_of(c->args.key_lengths, &c->key_lengths, sequence->index, sequence->keys) -
               length_of(c->args.query_lengths, &c->query_lengths, sequence->index, sequence->rows);
    default: return 0;
    }
}

/* ---- The whole ----------------------------------------------------------------------------------------- */

static void create_outputs(attention_case *c) {
    const attention_options *const o = &c->options;
    const int64_t shape[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    const array_layout layout = o->layout == ATTENTION_COMPACT ? ARRAY_COMPACT : ARRAY_PADDED;
    create_sequences(c, &c->out, o->heads_q, o->seq_q, o->dim_v, true);
    array_create(&c->lse, o->type, 3, shape, layout, o->side);
    c->args.out = &c->out.tensor;
    c->args.lse = &c->lse.tensor;
    if (o->wants_weights) {
        array_create(&c->weights, o->type, 4, shape, layout, o->side);
        c->args.weights = &c->weights.tensor;
    }
}

void attention_case_create(attention_case *c, const attention_options *options, random_source *random) {
    memset(c, 0, sizeof *c);
    c->options = *options;
    c->args.struct_size = sizeof c->args;
    c->args.dropout_seed = options->dropout_seed;
    c->args.dropout_offset = options->dropout_offset;
    create_inputs(c, random);
    create_masks(c, random);
    create_slopes_and_sinks(c, random);
    create_lists(c, random);
    create_outputs(c);
}

void attention_case_destroy(attention_case *c) {
    test_array *const arrays[] = {&c->q,
                                  &c->k,
                                  &c->v,
                                  &c->packed,
                                  &c->out,
                                  &c->bias,
                                  &c->keep,
                                  &c->lse,
                                  &c->weights,
                                  &c->alibi,
                                  &c->sink,
                                  &c->block_mask,
                                  &c->query_lengths,
                                  &c->key_lengths,
                                  &c->key_starts,
                                  &c->query_offsets,
                                  &c->key_offsets};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

void attention_case_forget_outputs(attention_case *c) {
    array_forget(&c->out);
    array_forget(&c->lse);
    array_forget(&c->weights);
}

const char *attention_case_text(const attention_case *c) { return attention_options_text(&c->options); }

/* ---- Running ------------------------------------------------------------------------------------------- */

static bool set_up(softattn_attention *attention, const attention_options *o) {
    return (!o->has_scale || softattn_attention_set_scale(attention, o->scale) == SOFTATTN_OK) &&
           softattn_attention_set_causal(attention, o->causal, o->offset) == SOFTATTN_OK &&
           softattn_attention_set_alignment(attention, o->alignment, o->offset) == SOFTATTN_OK &&
           (!o->has_window ||
            softattn_attention_set_window(attention, o->window_left, o->window_right) == SOFTATTN_OK) &&
           softattn_attention_set_softcap(attention, o->softcap) == SOFTATTN_OK &&
           softattn_attention_set_dropout(attention, o->dropout) == SOFTATTN_OK &&
           (o->block_k == 0 ||
            softattn_attention_set_block_size(attention, o->block_q, o->block_k) == SOFTATTN_OK) &&
           softattn_attention_set_engine(attention, o->engine) == SOFTATTN_OK;
}

softattn_attention *attention_case_handle(const attention_case *c, const softattn_context *context) {
    softattn_attention *attention = NULL;
    if (softattn_attention_create(context, &attention) != SOFTATTN_OK || !set_up(attention, &c->options)) {
        fprintf(stderr, "cannot set up %s: %s\n", attention_case_text(c), last_error());
        exit(EXIT_FAILURE);
    }
    return attention;
}

bool attention_case_is_served(const attention_case *c, const softattn_context *context) {
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    softattn_attention *const attention = attention_case_handle(c, context);
    const int32_t status = softattn_attention_describe(attention, &c->args, &plan);
    softattn_attention_destroy(attention);
    return status != SOFTATTN_ERROR_UNSUPPORTED;
}

int32_t attention_case_run(attention_case *c, const softattn_context *context) {
    softattn_attention *const attention = attention_case_handle(c, context);
    const int32_t status = softattn_attention_run(attention, &c->args);
    softattn_attention_destroy(attention);
    return status;
}
