/*
 * Attention problems for tests.
 */
#include "attention_case.h"

#include "compare.h"
#include "contexts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

attention_options attention_options_plain(array_type type, int64_t heads, int64_t seq, int64_t dim) {
    return (attention_options){.type = type,
                               .batch = 1,
                               .heads_q = heads,
                               .heads_kv = heads,
                               .seq_q = seq,
                               .seq_kv = seq,
                               .dim_qk = dim,
                               .dim_v = dim,
                               .keep_probability = 0.7,
                               .deviation = 1.0};
}

attention_options attention_options_random(random_source *random) {
    static const double scales[] = {0.0, -0.5, 0.125, 1.0};
    attention_options o = {.type = random_below(random, 2) ? ARRAY_F32 : ARRAY_F64,
                           .batch = random_between(random, 1, 2),
                           .heads_kv = random_between(random, 1, 3),
                           .seq_q = random_between(random, 1, 40),
                           .seq_kv = random_between(random, 1, 150),
                           .dim_qk = random_between(random, 1, 70),
                           .dim_v = random_between(random, 1, 70),
                           .layout = (attention_layout)random_below(random, ATTENTION_LAYOUTS),
                           .side = random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE,
                           .has_scale = random_below(random, 2) == 0,
                           .scale = scales[random_below(random, sizeof scales / sizeof *scales)],
                           .causal = (int32_t)random_below(random, 4),
                           .offset = random_between(random, -5, 120),
                           .has_bias = random_below(random, 2) == 0,
                           .has_keep = random_below(random, 2) == 0,
                           .single_axes = (uint32_t)random_below(random, 16),
                           .keep_probability = random_below(random, 3) == 0 ? 0.05 : 0.7,
                           .wants_weights = random_below(random, 2) == 0,
                           .deviation = random_below(random, 4) == 0 ? 3.0 : 1.0};
    o.heads_q = o.heads_kv * random_between(random, 1, 4);
    if (o.layout == ATTENTION_PACKED) {
        o.seq_kv = o.seq_q;
        o.dim_v = o.dim_qk;
    }
    return o;
}

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
}

static void create_masks(attention_case *c, random_source *random) {
    const attention_options *const o = &c->options;
    int64_t shape[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    for (int axis = 0; axis < 4; axis++) {
        shape[axis] = o->single_axes >> axis & 1 ? 1 : shape[axis];
    }
    /* Leading axes of size 1 may be left out: half of the time they are. */
    int32_t left_out = 0;
    while (left_out < 3 && shape[left_out] == 1 && random_below(random, 2) == 0) {
        left_out++;
    }
    const array_layout layout = random_below(random, 2) ? ARRAY_COMPACT : ARRAY_TRANSPOSED;
    if (o->has_bias) {
        array_create(&c->bias, o->type, 4 - left_out, shape + left_out, layout, o->side);
        array_fill_normal(&c->bias, random, 1.0);
        c->args.bias = &c->bias.tensor;
    }
    if (o->has_keep) {
        array_create(&c->keep, random_below(random, 2) ? ARRAY_U8 : ARRAY_BOOL, 4 - left_out,
                     shape + left_out, layout, o->side);
        array_fill_keep(&c->keep, random, o->keep_probability);
        c->args.keep_mask = &c->keep.tensor;
    }
}

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
    create_inputs(c, random);
    c->args.q = &c->q.tensor;
    c->args.k = &c->k.tensor;
    c->args.v = &c->v.tensor;
    create_masks(c, random);
    create_outputs(c);
}

void attention_case_destroy(attention_case *c) {
    test_array *const arrays[] = {&c->q,    &c->k,    &c->v,   &c->packed, &c->out,
                                  &c->bias, &c->keep, &c->lse, &c->weights};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

void attention_case_forget_outputs(attention_case *c) {
    array_forget(&c->out);
    array_forget(&c->lse);
    array_forget(&c->weights);
}

softattn_attention *attention_case_handle(const attention_case *c, const softattn_context *context) {
    const attention_options *const o = &c->options;
    softattn_attention *attention = NULL;
    if (softattn_attention_create(context, &attention) != SOFTATTN_OK ||
        (o->has_scale && softattn_attention_set_scale(attention, o->scale) != SOFTATTN_OK) ||
        softattn_attention_set_causal(attention, o->causal, o->offset) != SOFTATTN_OK ||
        softattn_attention_set_engine(attention, o->engine) != SOFTATTN_OK) {
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

oracle_attention_results attention_case_expected(const attention_case *c) {
    const attention_options *const o = &c->options;
    const int64_t scores[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    double *const q = array_read(&c->q, 4, c->q.shape);
    double *const k = array_read(&c->k, 4, c->k.shape);
    double *const v = array_read(&c->v, 4, c->v.shape);
    double *const bias = o->has_bias ? array_read(&c->bias, 4, scores) : NULL;
    double *const keep = o->has_keep ? array_read(&c->keep, 4, scores) : NULL;
    const oracle_attention problem = {
        .batch = o->batch,
        .heads_q = o->heads_q,
        .heads_kv = o->heads_kv,
        .seq_q = o->seq_q,
        .seq_kv = o->seq_kv,
        .dim_qk = o->dim_qk,
        .dim_v = o->dim_v,
        .q = q,
        .k = k,
        .v = v,
        .scale = o->has_scale ? o->scale : 1.0 / sqrt((double)o->dim_qk),
        .bias = bias,
        .keep = keep,
        .causal = (oracle_causal)o->causal,
        .offset = o->offset,
        .precision = o->type == ARRAY_F32 ? oracle_f32 : oracle_f64,
    };
    const oracle_attention_results results = oracle_attention_compute(&problem);
    free(q);
    free(k);
    free(v);
    free(bias);
    free(keep);
    return results;
}

int64_t attention_case_differences_from(attention_case *c, const softattn_context *context,
                                        const oracle_attention_results *expected) {
    if (attention_case_run(c, context) != SOFTATTN_OK) {
        fprintf(stderr, "run failed: %s\n", last_error());
        return 1;
    }
    int64_t differences = compare_with_oracle("out", &c->out, &expected->out) +
                          compare_with_oracle("lse", &c->lse, &expected->lse) +
                          !array_gaps_untouched(&c->out) + !array_gaps_untouched(&c->lse);
    if (c->options.wants_weights) {
        differences += compare_with_oracle("weights", &c->weights, &expected->weights);
        differences += !array_gaps_untouched(&c->weights);
    }
    return differences;
}

int64_t attention_case_differences(attention_case *c, const softattn_context *context) {
    oracle_attention_results expected = attention_case_expected(c);
    const int64_t differences = attention_case_differences_from(c, context, &expected);
    oracle_attention_results_destroy(&expected);
    return differences;
}

const char *attention_case_text(const attention_case *c) {
    static const char *const layouts[ATTENTION_LAYOUTS] = {"compact", "seq first",  "packed",
                                                           "padded",  "transposed", "backwards"};
    static char text[320];
    const attention_options *const o = &c->options;
    snprintf(text, sizeof text,
             "%s batch %" PRId64 " heads %" PRId64 "/%" PRId64 " seq %" PRId64 " x %" PRId64 " dim %" PRId64
             "/%" PRId64 " %s, engine %d, scale %g (%s), causal %d %+" PRId64
             ", bias %d, keep %d, single axes %x, weights %d",
             o->type == ARRAY_F32 ? "f32" : "f64", o->batch, o->heads_q, o->heads_kv, o->seq_q, o->seq_kv,
             o->dim_qk, o->dim_v, layouts[o->layout], (int)o->engine, o->scale,
             o->has_scale ? "set" : "default", (int)o->causal, o->offset, o->has_bias, o->has_keep,
             (unsigned)o->single_axes, o->wants_weights);
    return text;
}
