/*
 * Attention by the fused engine gives the same bits whichever mask hides a place: what causal order, windows,
 * lengths, starts and block masks hide, a keep mask or a bias of -infinity can hide as well. A bias has the tiles that it
 * hides computed, all others let whole tiles be left out.
 */
#include "attention_case.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <stdlib.h>

enum { PROBLEMS = 60 };

/* Any masks, but one sequence, so that one offset says how its positions correspond. Queries after a length are
 * left out: they have no sink, hidden ones do. */
static attention_options random_options(random_source *random) {
    attention_options o = attention_options_random(random);
    o.layout = o.layout == ATTENTION_PACKED ? ATTENTION_COMPACT : o.layout;
    o.seq_q = random_between(random, 1, random_below(random, 2) ? 8 : 100);
    o.seq_kv = random_between(random, 1, random_below(random, 2) ? 300 : 1300);
    o.dim_qk = random_between(random, 1, 20);
    o.dim_v = random_between(random, 1, 20);
    attention_options_add_masks(&o, random);
    o.batch = 1;
    o.sequences = 0;
    o.has_query_lengths = false;
    o.engine = SOFTATTN_ENGINE_FUSED;
    o.wants_weights = false;
    return o;
}

/* Without any mask but one of single places; ALiBi keeps its positions. */
static attention_options options_without_masks(const attention_case *c) {
    const attention_sequence sequence = attention_case_sequence(c, 0);
    attention_options o = c->options;
    o.offset = attention_case_offset(c, &sequence);
    o.causal = SOFTATTN_CAUSAL_NONE;
    o.alignment = SOFTATTN_CAUSAL_OFFSET;
    o.has_window = o.has_key_lengths = o.has_key_starts = o.has_bias = o.has_keep = false;
    o.block_q = o.block_k = 0;
    o.single_axes = 0;
    return o;
}

/* The other's operands, but its masks and outputs. */
static void take_operands(attention_case *to, const attention_case *from) {
    const softattn_attention_args own = to->args;
    to->args.q = from->args.q;
    to->args.k = from->args.k;
    to->args.v = from->args.v;
    to->args.alibi_slopes = from->args.alibi_slopes;
    to->args.sink = from->args.sink;
    to->args.keep_mask = own.keep_mask ? own.keep_mask : from->args.keep_mask;
    to->args.bias = own.bias ? own.bias : from->args.bias;
}

static void expect_same(attention_case *c, const attention_case *masked, const softattn_context *context,
                        const char *how) {
    EXPECT(attention_case_run(c, context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(attention_case_differing_bits(c, masked) == 0, "masked by %s on %s: %s", how,
           softattn_context_isa(context), attention_case_text(masked));
}

/* One keep mask for all masks; a bias stays for what it adds. */
static void check_keep_mask(const attention_case *masked, const bool *visible,
                            const softattn_context *context, random_source *random) {
    attention_options o = options_without_masks(masked);
    attention_case c;
    o.has_keep = true;
    attention_case_create(&c, &o, random);
    for (int64_t i = 0; i < array_count(&c.keep); i++) {
        array_set(&c.keep, i, visible[i] ? (double)random_between(random, 1, 255) : 0.0);
    }
    take_operands(&c, masked);
    expect_same(&c, masked, context, "a keep mask");
    attention_case_destroy(&c);
}

/* One bias for all masks and for the bias that was there. */
static void check_bias(const attention_case *masked, const bool *visible, const softattn_context *context,
                       random_source *random) {
    attention_options o = options_without_masks(masked);
    const int64_t shape[4] = {1, o.heads_q, o.seq_q, o.seq_kv};
    attention_case c;
    o.has_bias = true;
    attention_case_create(&c, &o, random);
    double *const values = masked->options.has_bias ? array_read(&masked->bias, 4, shape) : NULL;
    for (int64_t i = 0; i < array_count(&c.bias); i++) {
        array_set(&c.bias, i, !visible[i] ? -HUGE_VAL : values ? values[i] : 0.0);
    }
    take_operands(&c, masked);
    c.args.keep_mask = NULL;
    expect_same(&c, masked, context, "a bias");
    free(values);
    attention_case_destroy(&c);
}

static void every_way_of_masking_gives_the_same_bits(const softattn_context *context, random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        const attention_options o = random_options(random);
        attention_case masked;
        attention_case_create(&masked, &o, random);
        bool *const visible = attention_case_visible(&masked);
        EXPECT(attention_case_run(&masked, context) == SOFTATTN_OK, "%s", last_error());
        check_keep_mask(&masked, visible, context, random);
        check_bias(&masked, visible, context, random);
        free(visible);
        attention_case_destroy(&masked);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_bits_however_masked");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        every_way_of_masking_gives_the_same_bits(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
