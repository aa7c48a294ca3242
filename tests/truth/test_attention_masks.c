/*
 * Every mask of attention, and everything else that changes scores or weights, against the oracle: alone with its
 * border at and next to the borders of tiles (128 keys) and chunks (512), hiding all keys, and in random
 * combination. Each problem runs on both engines and every instruction set.
 */
#include "attention_case.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>

enum { RANDOM_PROBLEMS = 260, MOST_CONTEXTS = 16 };

static softattn_context *contexts[MOST_CONTEXTS]; /* one per instruction set */
static int32_t context_count;

static void create_contexts(void) {
    for (; context_count < softattn_isa_count() && context_count < MOST_CONTEXTS; context_count++) {
        contexts[context_count] = context_create(softattn_isa_name(context_count), 1);
    }
}

static void destroy_contexts(void) {
    for (int32_t i = 0; i < context_count; i++) {
        softattn_context_destroy(contexts[i]);
    }
}

static void check_everywhere(attention_case *c, const char *what) {
    oracle_attention_results expected = attention_case_expected(c);
    for (int32_t i = 0; i < context_count; i++) {
        for (int32_t engine = SOFTATTN_ENGINE_FUSED; engine <= SOFTATTN_ENGINE_BLAS; engine++) {
            if (engine == SOFTATTN_ENGINE_FUSED && c->options.wants_weights) {
                continue;
            }
            c->options.engine = engine;
            attention_case_forget_outputs(c);
            EXPECT(attention_case_differences_from(c, contexts[i], &expected) == 0, "%s on %s: %s", what,
                   softattn_context_isa(contexts[i]), attention_case_text(c));
        }
    }
    oracle_attention_results_destroy(&expected);
}

/* ---- Each alone, with its border at key `border` ------------------------------------------------------- */

static void causal(attention_options *o, int64_t border) {
    o->causal = SOFTATTN_CAUSAL_OFFSET;
    o->offset = border - 1;
}

static void window_on_the_left(attention_options *o, int64_t border) {
    o->has_window = true;
    o->alignment = SOFTATTN_CAUSAL_OFFSET;
    o->offset = o->seq_kv;
    o->window_left = o->seq_kv - border;
    o->window_right = -1;
}

static void window_on_the_right(attention_options *o, int64_t border) {
    o->has_window = true;
    o->alignment = SOFTATTN_CAUSAL_TOP_LEFT;
    o->window_left = -1;
    o->window_right = border - 1;
}

static void narrow_window(attention_options *o, int64_t border) {
    o->has_window = true;
    o->alignment = SOFTATTN_CAUSAL_OFFSET;
    o->offset = border;
    o->window_left = 9;
    o->window_right = 4;
}

/* Longer than a tile, so that tiles between hidden ones are full. */
static void long_window(attention_options *o, int64_t border) {
    narrow_window(o, border);
    o->window_left = 300;
    o->window_right = 200;
}

static void causal_window(attention_options *o, int64_t border) {
    o->has_window = true;
    o->causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
    o->window_left = border;
    o->window_right = 1; /* beyond the causal border, so without effect */
}

static void alibi(attention_options *o, int64_t border) {
    o->has_alibi = true;
    o->alignment = SOFTATTN_CAUSAL_OFFSET;
    o->offset = border;
}

static void softcap(attention_options *o, int64_t border) { o->softcap = border % 2 ? 0.7 : 20.0; }
static void sink(attention_options *o, int64_t border) {
    o->has_sink = true;
    causal(o, border);
}

static void dropout(attention_options *o, int64_t border) {
    o->dropout = 0.3;
    o->dropout_seed = (uint64_t)border << 40 | 7;
    o->dropout_offset = (uint64_t)border << 30;
}

static void keep(attention_options *o, int64_t border) {
    (void)border;
    o->has_keep = true;
}

static void bias(attention_options *o, int64_t border) {
    (void)border;
    o->has_bias = true;
}

static void block_mask(attention_options *o, int64_t border) {
    o->block_q = 3;
    o->block_k = border;
}

static void key_lengths(attention_options *o, int64_t border) {
    (void)border;
    o->has_key_lengths = true;
    o->causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
}

static void key_starts(attention_options *o, int64_t border) {
    (void)border;
    o->has_key_starts = true;
}

static void query_lengths(attention_options *o, int64_t border) {
    (void)border;
    o->has_query_lengths = true;
    o->causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
}

static void packed_sequences(attention_options *o, int64_t border) {
    o->sequences = 4;
    o->causal = border % 2 ? SOFTATTN_CAUSAL_BOTTOM_RIGHT : SOFTATTN_CAUSAL_NONE;
}

/* Odd rows see the keys before the border, even ones the others. */
static void split_rows(test_array *mask, int64_t keys, int64_t border, double hidden) {
    for (int64_t i = 0; i < array_count(mask); i++) {
        if ((i % keys < border) != (i / keys % 2 == 1)) {
            array_set(mask, i, hidden);
        }
    }
}

static void split_keep(attention_case *c, int64_t border) {
    array_fill(&c->keep, 1.0);
    split_rows(&c->keep, c->options.seq_kv, border, 0.0);
}

static void split_bias(attention_case *c, int64_t border) {
    split_rows(&c->bias, c->options.seq_kv, border, -HUGE_VAL);
}

static void set_key_lengths(attention_case *c, int64_t border) {
    array_fill(&c->key_lengths, (double)border);
}
static void set_key_starts(attention_case *c, int64_t border) { array_fill(&c->key_starts, (double)border); }
static void set_query_lengths(attention_case *c, int64_t border) {
    array_fill(&c->query_lengths, (double)(border % (c->options.seq_q + 1)));
}

/* 0, border, border, border + 1, the end: sequence 1 has queries but no keys. */
static void set_offsets(attention_case *c, int64_t border) {
    const int64_t keys[5] = {0, border, border, border + 1, c->options.seq_kv};
    for (int64_t i = 0; i < 5; i++) {
        array_set(&c->key_offsets, i, (double)keys[i]);
        array_set(&c->query_offsets, i, (double)(c->options.seq_q * i / 4));
    }
}

static const struct alone {
    const char *name;
    void (*choose)(attention_options *options, int64_t border);
    void (*prepare)(attention_case *c, int64_t border); /* or NULL */
} alone[] = {
    {"causal", causal, NULL},
    {"window on the left", window_on_the_left, NULL},
    {"window on the right", window_on_the_right, NULL},
    {"narrow window", narrow_window, NULL},
    {"long window", long_window, NULL},
    {"causal window", causal_window, NULL},
    {"ALiBi", alibi, NULL},
    {"soft-cap", softcap, NULL},
    {"sink", sink, NULL},
    {"dropout", dropout, NULL},
    {"keep mask", keep, split_keep},
    {"bias", bias, split_bias},
    {"block mask", block_mask, NULL},
    {"key lengths", key_lengths, set_key_lengths},
    {"key starts", key_starts, set_key_starts},
    {"query lengths", query_lengths, set_query_lengths},
    {"packed sequences", packed_sequences, set_offsets},
};

static void each_mask_alone_matches_the_oracle(random_source *random) {
    static const int64_t borders[] = {1, 8, 127, 128, 129, 511, 512, 513};
    static const int64_t queries[] = {2, 67}; /* few take the decoding layout, many the other */
    int turn = 0;
    for (size_t mask = 0; mask < sizeof alone / sizeof *alone; mask++) {
        for (size_t i = 0; i < sizeof borders / sizeof *borders; i++) {
            for (int many = 0; many < 2; many++, turn++) {
                attention_options o =
                    attention_options_plain(turn % 3 ? ARRAY_F32 : ARRAY_F64, 2, queries[many], 5);
                o.heads_kv = 1;
                o.seq_kv = 620;
                o.keep_probability = 0.5;
                o.layout = turn % 2 ? ATTENTION_COMPACT : ATTENTION_SEQ_FIRST;
                o.wants_weights = turn % 5 == 0;
                alone[mask].choose(&o, borders[i]);
                attention_case c;
                attention_case_create(&c, &o, random);
                if (alone[mask].prepare) {
                    alone[mask].prepare(&c, borders[i]);
                }
                check_everywhere(&c, alone[mask].name);
                attention_case_destroy(&c);
            }
        }
    }
}

/* ---- Rows that see nothing ----------------------------------------------------------------------------- */

static void hide_all_by_keep(attention_case *c) { array_fill(&c->keep, 0.0); }
static void hide_all_by_bias(attention_case *c) { array_fill(&c->bias, -HUGE_VAL); }
static void hide_all_by_blocks(attention_case *c) { array_fill(&c->block_mask, 0.0); }
static void hide_all_by_lengths(attention_case *c) { array_fill(&c->key_lengths, 0.0); }
static void hide_all_by_starts(attention_case *c) { array_fill(&c->key_starts, (double)c->options.seq_kv); }
static void hide_all_by_query_lengths(attention_case *c) { array_fill(&c->query_lengths, 0.0); }
static void leave_all_outside(attention_case *c) {
    array_fill(&c->query_offsets, 3.0);
    array_fill(&c->key_offsets, (double)c->options.seq_kv);
}
static void hide_first_rows(attention_case *c) { (void)c; }

static void rows_that_see_nothing_match_the_oracle(random_source *random) {
    static const struct {
        attention_options with;
        void (*prepare)(attention_case *c);
    } ways[] = {
        {{.has_keep = true}, hide_all_by_keep},
        {{.has_bias = true}, hide_all_by_bias},
        {{.block_q = 64, .block_k = 64}, hide_all_by_blocks},
        {{.has_key_lengths = true}, hide_all_by_lengths},
        {{.has_key_starts = true}, hide_all_by_starts},
        {{.has_query_lengths = true}, hide_all_by_query_lengths},
        {{.sequences = 3}, leave_all_outside},
        {{.causal = SOFTATTN_CAUSAL_OFFSET, .offset = -7}, hide_first_rows},
        {{.causal = SOFTATTN_CAUSAL_OFFSET, .offset = -(INT64_C(1) << 53)}, hide_first_rows},
        {{.has_window = true, .window_right = 3, .alignment = SOFTATTN_CAUSAL_OFFSET, .offset = -9},
         hide_first_rows},
        {{.has_window = true, .window_left = 3, .alignment = SOFTATTN_CAUSAL_OFFSET, .offset = 130},
         hide_first_rows},
        {{.has_window = true,
          .window_left = INT64_MAX,
          .window_right = INT64_MAX,
          .alignment = SOFTATTN_CAUSAL_OFFSET,
          .offset = INT64_C(1) << 53},
         hide_first_rows},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        for (int variant = 0; variant < 16; variant++) {
            attention_options o = ways[i].with;
            o.type = variant & 1 ? ARRAY_F64 : ARRAY_F32;
            o.batch = 1;
            o.heads_q = o.heads_kv = 2;
            o.seq_q = variant & 2 ? 60 : 3;
            o.seq_kv = 140;
            o.dim_qk = o.dim_v = 6;
            o.deviation = 1.0;
            o.has_sink = variant & 4;
            o.wants_weights = variant & 8;
            attention_case c;
            attention_case_create(&c, &o, random);
            ways[i].prepare(&c);
            check_everywhere(&c, "nothing to see");
            attention_case_destroy(&c);
        }
    }
}

/* ---- Special sinks ------------------------------------------------------------------------------------- */

/* -infinity is no sink; far above all scores it takes the whole weight, far below none; NaN and +infinity spoil
 * the rows of their head. */
static void special_sinks_match_the_oracle(random_source *random) {
    static const double sinks[] = {-HUGE_VAL, 80.0, -80.0, 0.0, NAN, HUGE_VAL};
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++) {
        for (int variant = 0; variant < 8; variant++) {
            attention_options o = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 2, 40, 7);
            o.seq_q = variant & 2 ? 40 : 3;
            o.causal = SOFTATTN_CAUSAL_OFFSET; /* row 0 is empty */
            o.offset = -1;
            o.has_sink = true;
            o.wants_weights = variant & 4;
            attention_case c;
            attention_case_create(&c, &o, random);
            array_set(&c.sink, 1, sinks[i]);
            check_everywhere(&c, "special sink");
            attention_case_destroy(&c);
        }
    }
}

/* Rows of two heads in one block see the ends of a tile, and the block mask leaves its middle. */
static void block_masks_between_what_rows_see_match_the_oracle(random_source *random) {
    enum { SEQ = 40, KEYS = 8, KEPT = 2 };
    for (int variant = 0; variant < 4; variant++) {
        attention_options o = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 2, SEQ, 7);
        o.heads_kv = 1;
        o.causal = SOFTATTN_CAUSAL_TOP_LEFT;
        o.has_window = true;
        o.window_left = variant & 2 ? 3 : 0;
        o.block_q = SEQ;
        o.block_k = KEYS;
        o.keep_probability = 0;
        attention_case c;
        attention_case_create(&c, &o, random);
        for (int64_t i = 0; i < array_count(&c.block_mask); i++) {
            array_set(&c.block_mask, i, i % (SEQ / KEYS) == KEPT);
        }
        check_everywhere(&c, "a block mask between what rows see");
        attention_case_destroy(&c);
    }
}

/* A row whose scores are all -infinity is 0 even if it has a sink, whatever the values are. */
static void rows_without_weight_beside_a_sink_match_the_oracle(random_source *random) {
    for (int variant = 0; variant < 8; variant++) {
        attention_options o = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 2, 40, 7);
        o.seq_q = variant & 2 ? 40 : 3;
        o.has_sink = true;
        o.wants_weights = variant & 4;
        attention_case c;
        attention_case_create(&c, &o, random);
        array_fill(&c.q, 1.0);
        array_fill(&c.k, -HUGE_VAL);
        array_set(&c.v, 9 * o.dim_v + 3, NAN);
        check_everywhere(&c, "no weight beside a sink");
        attention_case_destroy(&c);
    }
}

/* ---- All together -------------------------------------------------------------------------------------- */

static void random_combinations_match_the_oracle(random_source *random) {
    static const int64_t keys[] = {5, 33, 127, 128, 129, 300, 511, 512, 513, 700, 1100};
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        attention_options o = attention_options_random(random);
        o.seq_q = random_below(random, 3) ? random_between(random, 1, 12) : random_between(random, 1, 110);
        o.seq_kv = keys[random_below(random, sizeof keys / sizeof *keys)];
        o.dim_qk = random_between(random, 1, 20);
        o.dim_v = random_between(random, 1, 20);
        o.layout = o.layout == ATTENTION_PACKED ? ATTENTION_COMPACT : o.layout;
        attention_options_add_masks(&o, random);
        attention_case c;
        attention_case_create(&c, &o, random);
        check_everywhere(&c, "random combination");
        attention_case_destroy(&c);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_masks");
    create_contexts();
    each_mask_alone_matches_the_oracle(&random);
    rows_that_see_nothing_match_the_oracle(&random);
    block_masks_between_what_rows_see_match_the_oracle(&random);
    special_sinks_match_the_oracle(&random);
    rows_without_weight_beside_a_sink_match_the_oracle(&random);
    random_combinations_match_the_oracle(&random);
    destroy_contexts();
    return expect_summary();
}
