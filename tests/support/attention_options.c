/*
 * Options of attention problems: plain, random, and as text.
 */
#include "attention_case.h"

#include <inttypes.h>
#include <stdio.h>

#define PICK(random, list) ((list)[random_below((random), (int64_t)(sizeof(list) / sizeof *(list)))])

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
                           .scale = PICK(random, scales),
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

static bool one_in(random_source *random, int64_t count) { return random_below(random, count) == 0; }

/* Where queries stand, and what that hides. */
static void add_positions(attention_options *o, random_source *random) {
    static const int64_t windows[] = {-1, 0, 1, 7, 64, 127, 128, 129, 200, 300, 511, 513};
    o->causal = one_in(random, 2) ? (int32_t)random_below(random, 4) : SOFTATTN_CAUSAL_NONE;
    o->alignment = (int32_t)random_below(random, 4);
    o->offset = random_between(random, -o->seq_q, o->seq_kv);
    o->has_window = one_in(random, 3);
    o->window_left = PICK(random, windows);
    o->window_right = PICK(random, windows);
}

static void add_sequences(attention_options *o, random_source *random) {
    o->sequences = one_in(random, 4) ? random_between(random, 0, 5) : 0;
    if (o->sequences > 0) {
        o->batch = 1;
    }
    o->has_query_lengths = one_in(random, 4);
    o->has_key_lengths = one_in(random, 4);
    o->has_key_starts = one_in(random, 4);
}

static void add_scores_and_weights(attention_options *o, random_source *random) {
    static const double caps[] = {0.5, 5.0, 30.0}, probabilities[] = {0.1, 0.3, 0.5, 1.0};
    o->softcap = one_in(random, 4) ? PICK(random, caps) : 0.0;
    o->has_alibi = one_in(random, 4);
    o->has_sink = one_in(random, 4);
    o->dropout = one_in(random, 4) ? PICK(random, probabilities) : 0.0;
    o->dropout_seed = random_bits(random);
    o->dropout_offset = random_bits(random);
}

void attention_options_add_masks(attention_options *o, random_source *random) {
    static const int64_t blocks[] = {1, 3, 16, 63, 64, 65, 100, 128, 200, 512};
    add_positions(o, random);
    add_sequences(o, random);
    add_scores_and_weights(o, random);
    o->has_bias = one_in(random, 4);
    o->has_keep = one_in(random, 4);
    o->single_axes = (uint32_t)random_below(random, 16);
    o->keep_probability = one_in(random, 3) ? 0.05 : 0.7;
    const bool has_blocks = one_in(random, 4);
    o->block_q = has_blocks ? PICK(random, blocks) : 0;
    o->block_k = has_blocks ? PICK(random, blocks) : 0;
}

void attention_options_put_heads_together(attention_options *o, random_source *random) {
    enum { SIDE_BY_SIDE = 512 }; /* columns of each key in all */
    o->layout = ATTENTION_SEQ_FIRST;
    o->engine = SOFTATTN_ENGINE_FUSED;
    o->wants_weights = false;
    o->sequences = 0;
    o->batch = random_between(random, 1, 2);
    o->heads_kv = random_between(random, 2, 40);
    o->heads_q = o->heads_kv * random_between(random, 1, 3);
    o->seq_q = random_between(random, 1, 2);
    o->seq_kv = random_between(random, 1, random_below(random, 2) ? 150 : 2100);
    o->dim_qk = SIDE_BY_SIDE / o->heads_kv + random_between(random, 1, 9);
    o->dim_v = random_between(random, 1, SIDE_BY_SIDE / o->heads_kv);
}

const char *attention_options_text(const attention_options *o) {
    static const char *const layouts[ATTENTION_LAYOUTS] = {"compact", "seq first",  "packed",
                                                           "padded",  "transposed", "backwards"};
    static char text[640];
    snprintf(text, sizeof text,
             "%s batch %" PRId64 " heads %" PRId64 "/%" PRId64 " seq %" PRId64 " x %" PRId64 " dim %" PRId64
             "/%" PRId64 " %s, engine %d, scale %g (%s), cap %g, causal %d align %d %+" PRId64
             ", window %d %" PRId64 " %" PRId64 ", bias %d, keep %d, alibi %d, sink %d, blocks %" PRId64
             " x %" PRId64 ", single axes %x, dropout %g (%#" PRIx64 ", %#" PRIx64
             "), lengths %d %d, starts %d, sequences %" PRId64 ", weights %d",
             o->type == ARRAY_F32 ? "f32" : "f64", o->batch, o->heads_q, o->heads_kv, o->seq_q, o->seq_kv,
             o->dim_qk, o->dim_v, layouts[o->layout], (int)o->engine, o->scale,
             o->has_scale ? "set" : "default", o->softcap, (int)o->causal, (int)o->alignment, o->offset,
             o->has_window, o->window_left, o->window_right, o->has_bias, o->has_keep, o->has_alibi,
             o->has_sink, o->block_q, o->block_k, (unsigned)o->single_axes, o->dropout, o->dropout_seed,
             o->dropout_offset, o->has_query_lengths, o->has_key_lengths, o->has_key_starts, o->sequences,
             o->wants_weights);
    return text;
}
