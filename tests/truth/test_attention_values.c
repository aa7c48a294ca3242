/*
 * Attention against the oracle, on every instruction set and every engine: random legal problems, every
 * length around the tile borders, and the values where floating-point numbers are special.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <string.h>

enum { RANDOM_PROBLEMS = 120 };

static const int32_t engines[] = {SOFTATTN_ENGINE_AUTO, SOFTATTN_ENGINE_BLAS, SOFTATTN_ENGINE_FUSED};
enum { ENGINES = sizeof engines / sizeof *engines };

static const char *where(const softattn_context *context) { return softattn_context_isa(context); }

/* A case with contents drawn from `random` and then changed by `prepare` (NULL: not changed), on every
 * engine. One that the library does not offer for the problem is left out, which only the fused engine may
 * be. */
static void check_on_every_engine(const attention_options *options, void (*prepare)(attention_case *c),
                                  const softattn_context *context, random_source *random) {
    attention_case c;
    attention_case_create(&c, options, random);
    if (prepare) {
        prepare(&c);
    }
    oracle_attention_results expected = attention_case_expected(&c);
    for (int i = 0; i < ENGINES; i++) {
        c.options.engine = engines[i];
        if (engines[i] == SOFTATTN_ENGINE_FUSED && !attention_case_is_served(&c, context)) {
            continue;
        }
        attention_case_forget_outputs(&c);
        EXPECT(attention_case_differences_from(&c, context, &expected) == 0, "on %s: %s", where(context),
               attention_case_text(&c));
    }
    oracle_attention_results_destroy(&expected);
    attention_case_destroy(&c);
}

static void random_problems_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const attention_options options = attention_options_random(random);
        check_on_every_engine(&options, NULL, context, random);
    }
}

/* Lengths at, before and after everything that keys or queries are likely to be cut into. */
static void lengths_around_tile_borders_match_the_oracle(const softattn_context *context,
                                                         random_source *random) {
    static const int64_t lengths[] = {1,  2,  3,  7,   8,   9,   15,  16,  17,  31,  32,  33,
                                      63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        attention_options keys = attention_options_plain(ARRAY_F32, 1, 3, 5);
        keys.seq_kv = lengths[i];
        check_on_every_engine(&keys, NULL, context, random);
        keys.type = ARRAY_F64;
        keys.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
        check_on_every_engine(&keys, NULL, context, random);
        attention_options queries = attention_options_plain(ARRAY_F32, 1, lengths[i], 4);
        queries.seq_kv = 20;
        queries.causal = SOFTATTN_CAUSAL_TOP_LEFT;
        check_on_every_engine(&queries, NULL, context, random);
        attention_options dims = attention_options_plain(ARRAY_F32, 1, 5, lengths[i]);
        dims.dim_v = lengths[sizeof lengths / sizeof *lengths - 1 - i];
        check_on_every_engine(&dims, NULL, context, random);
    }
}

/* Causal borders that fall at, before and after tile borders, some rows empty, more queries than keys and
 * fewer. */
static void causal_offsets_match_the_oracle(const softattn_context *context, random_source *random) {
    static const int64_t offsets[] = {-200, -70, -64, -63, -1, 0, 1, 63, 64, 65, 200};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        attention_options options = attention_options_plain(i % 2 ? ARRAY_F64 : ARRAY_F32, 2, 70, 8);
        options.seq_kv = 130;
        options.causal = SOFTATTN_CAUSAL_OFFSET;
        options.offset = offsets[i];
        options.wants_weights = i % 3 == 0;
        check_on_every_engine(&options, NULL, context, random);
    }
    attention_options more_queries = attention_options_plain(ARRAY_F32, 1, 90, 8);
    more_queries.seq_kv = 40;
    more_queries.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
    check_on_every_engine(&more_queries, NULL, context, random);
}

/* ---- Masks ---- */

/* Row 1 keeps nothing; row 2 only the last key, so that whole tiles of keys lie masked before it; row 3 every
 * second tile of 64. */
static void keep_little(attention_case *c) {
    const int64_t keys = c->options.seq_kv;
    for (int64_t key = 0; key < keys; key++) {
        array_set(&c->keep, keys + key, 0.0);
        array_set(&c->keep, 2 * keys + key, key == keys - 1);
        array_set(&c->keep, 3 * keys + key, key / 64 % 2 == 1);
    }
}

/* The same by bias. */
static void mask_much_by_bias(attention_case *c) {
    const int64_t keys = c->options.seq_kv;
    for (int64_t key = 0; key < keys; key++) {
        array_set(&c->bias, keys + key, -HUGE_VAL);
        array_set(&c->bias, 2 * keys + key, key == keys - 1 ? 0.0 : -HUGE_VAL);
        array_set(&c->bias, 3 * keys + key, key / 64 % 2 == 1 ? 0.0 : -HUGE_VAL);
    }
}

/* Large finite negative biases are no masks: a row of them alone is an ordinary softmax. */
static void bias_by_large_numbers(attention_case *c) {
    const int64_t keys = c->options.seq_kv;
    for (int64_t key = 0; key < keys; key++) {
        array_set(&c->bias, keys + key, -10000.0);
        array_set(&c->bias, 2 * keys + key, key == 0 ? 0.0 : -1e30);
        array_set(&c->bias, 3 * keys + key, -1e30);
    }
}

static void masked_tiles_and_rows_match_the_oracle(const softattn_context *context, random_source *random) {
    attention_options options = attention_options_plain(ARRAY_F32, 1, 5, 6);
    options.seq_kv = 700;
    options.wants_weights = false;
    options.has_keep = true;
    check_on_every_engine(&options, keep_little, context, random);
    options.wants_weights = true;
    check_on_every_engine(&options, keep_little, context, random);
    options.has_keep = false;
    options.has_bias = true;
    options.wants_weights = false;
    check_on_every_engine(&options, mask_much_by_bias, context, random);
    options.type = ARRAY_F64;
    options.wants_weights = true;
    check_on_every_engine(&options, mask_much_by_bias, context, random);
    check_on_every_engine(&options, bias_by_large_numbers, context, random);
}

/* ---- Special values ---- */

enum { SPOILED_KEY = 70 };

static void spoil_a_query(attention_case *c) { array_set(&c->q, 2 * c->options.dim_qk + 1, NAN); }
static void spoil_a_key(attention_case *c) { array_set(&c->k, SPOILED_KEY * c->options.dim_qk, NAN); }
static void spoil_a_value(attention_case *c) { array_set(&c->v, SPOILED_KEY * c->options.dim_v + 3, NAN); }
static void make_a_value_infinite(attention_case *c) {
    array_set(&c->v, SPOILED_KEY * c->options.dim_v + 3, HUGE_VAL);
}
/* The sign of each query's element decides between a score of +infinity and of -infinity. */
static void make_a_key_infinite(attention_case *c) {
    array_set(&c->k, SPOILED_KEY * c->options.dim_qk, HUGE_VAL);
}
static void make_a_bias_infinite(attention_case *c) {
    array_set(&c->bias, c->options.seq_kv + SPOILED_KEY, HUGE_VAL);
}
static void spoil_a_bias(attention_case *c) { array_set(&c->bias, c->options.seq_kv + SPOILED_KEY, NAN); }

/* All scores -infinity: no key is masked, but none has a weight. The rows are empty whatever the values. */
static void make_all_scores_minus_infinity(attention_case *c) {
    array_fill(&c->q, 1.0);
    array_fill(&c->k, -HUGE_VAL);
}
static void make_all_scores_minus_infinity_and_spoil_a_value(attention_case *c) {
    make_all_scores_minus_infinity(c);
    spoil_a_value(c);
}

/* Weight 0 does not hide a value: 0 times infinity or NaN is NaN. */
static void spoil_a_value_of_weight_0(attention_case *c) {
    array_fill(&c->q, 1.0);
    for (int64_t d = 0; d < c->options.dim_qk; d++) {
        array_set(&c->k, SPOILED_KEY * c->options.dim_qk + d, -HUGE_VAL);
    }
    spoil_a_value(c);
}

/* Beside such a sink all weights are 0; still a value that is seen shows. */
static void outweigh_by_sinks_and_spoil_a_value(attention_case *c) {
    array_fill(&c->sink, 1e4);
    spoil_a_value(c);
}

static void special_values_reach_exactly_the_rows_that_see_them(const softattn_context *context,
                                                                random_source *random) {
    static void (*const spoilers[])(attention_case *) = {
        spoil_a_query,
        spoil_a_key,
        spoil_a_value,
        make_a_value_infinite,
        make_a_key_infinite,
        make_all_scores_minus_infinity,
        make_all_scores_minus_infinity_and_spoil_a_value,
        spoil_a_value_of_weight_0,
    };
    for (size_t i = 0; i < sizeof spoilers / sizeof *spoilers; i++) {
        attention_options options = attention_options_plain(i % 2 ? ARRAY_F64 : ARRAY_F32, 1, 90, 7);
        options.causal = SOFTATTN_CAUSAL_TOP_LEFT;
        check_on_every_engine(&options, spoilers[i], context, random);
        options.type = i % 2 ? ARRAY_F32 : ARRAY_F64;
        options.causal = SOFTATTN_CAUSAL_NONE;
        options.wants_weights = true;
        check_on_every_engine(&options, spoilers[i], context, random);
    }
}

static void a_spoiled_value_shows_beside_a_large_sink(const softattn_context *context,
                                                      random_source *random) {
    for (int variant = 0; variant < 4; variant++) {
        attention_options options = attention_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 1, 90, 7);
        options.seq_q = variant < 2 ? 90 : 1;
        options.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
        options.has_sink = true;
        check_on_every_engine(&options, outweigh_by_sinks_and_spoil_a_value, context, random);
    }
}

static void infinite_and_nan_biases_spoil_their_row(const softattn_context *context, random_source *random) {
    attention_options options = attention_options_plain(ARRAY_F32, 1, 90, 7);
    options.has_bias = true;
    for (int i = 0; i < 2; i++) {
        options.wants_weights = i == 1;
        check_on_every_engine(&options, make_a_bias_infinite, context, random);
        check_on_every_engine(&options, spoil_a_bias, context, random);
    }
}

/* Scores exact in any arithmetic, and one key so far above the others that it takes the whole weight. */
static void one_dominant_score_takes_the_whole_weight(const softattn_context *context) {
    static const float k[3] = {10000, 200, 1}, v[3] = {5, 6, 7}, huge_k[3] = {1e-30f, 3e37f, 1};
    const float q = 1;
    float out = 0;
    EXPECT(softattn_attention_f32(context, 1, 1, 1, 1, 3, 1, 1, &q, k, v, &out, SOFTATTN_CAUSAL_NONE) ==
               SOFTATTN_OK,
           "%s", last_error());
    EXPECT(out == 5.0f, "10000, 200, 1: %g", (double)out);
    EXPECT(softattn_attention_f32(context, 1, 1, 1, 1, 3, 1, 1, &q, huge_k, v, &out, SOFTATTN_CAUSAL_NONE) ==
               SOFTATTN_OK,
           "%s", last_error());
    EXPECT(out == 6.0f, "3e37 among small scores: %g", (double)out);
}

/* ---- The same problem said in other ways ---- */

static void flat_functions_equal_the_handle(const softattn_context *context, random_source *random) {
    for (int32_t i = 0; i < 6; i++) {
        attention_options o = attention_options_plain(i % 2 ? ARRAY_F64 : ARRAY_F32, 4, 9, 12);
        o.batch = 2;
        o.heads_kv = 2;
        o.seq_kv = 13;
        o.dim_v = 5;
        o.causal = i / 2;
        attention_case c;
        test_array flat;
        attention_case_create(&c, &o, random);
        array_create(&flat, o.type, 4, c.out.shape, ARRAY_COMPACT, GUARD_AFTER);
        const int32_t status =
            i % 2 ? softattn_attention_f64(context, o.batch, o.heads_q, o.heads_kv, o.seq_q, o.seq_kv,
                                           o.dim_qk, o.dim_v, c.q.tensor.data, c.k.tensor.data,
                                           c.v.tensor.data, flat.tensor.data, o.causal)
                  : softattn_attention_f32(context, o.batch, o.heads_q, o.heads_kv, o.seq_q, o.seq_kv,
                                           o.dim_qk, o.dim_v, c.q.tensor.data, c.k.tensor.data,
                                           c.v.tensor.data, flat.tensor.data, o.causal);
        EXPECT(status == SOFTATTN_OK, "%s", last_error());
        EXPECT(attention_case_differences(&c, context) == 0, "%s", attention_case_text(&c));
        EXPECT(compare_bits("flat", &flat, &c.out) == 0, "%s", attention_case_text(&c));
        array_destroy(&flat);
        attention_case_destroy(&c);
    }
}

/* Drops the leading axes of size 1. */
static void lower_rank(test_array *array, int32_t axes) {
    array->tensor.ndim -= axes;
    memmove(array->shape, array->shape + axes, (size_t)array->tensor.ndim * sizeof *array->shape);
    memmove(array->strides, array->strides + axes, (size_t)array->tensor.ndim * sizeof *array->strides);
}

static void tensors_of_rank_2_and_3_have_leading_sizes_1(const softattn_context *context,
                                                         random_source *random) {
    for (int32_t left_out = 1; left_out <= 2; left_out++) {
        attention_options options = attention_options_plain(ARRAY_F32, left_out == 1 ? 3 : 1, 11, 6);
        options.seq_kv = 17;
        attention_case whole, lower;
        random_source contents = *random;
        attention_case_create(&whole, &options, random);
        attention_case_create(&lower, &options, &contents);
        test_array *const arrays[] = {&lower.q, &lower.k, &lower.v, &lower.out, &lower.lse};
        for (int i = 0; i < 5; i++) {
            lower_rank(arrays[i], left_out);
        }
        EXPECT(attention_case_differences(&whole, context) == 0, "%s", attention_case_text(&whole));
        EXPECT(attention_case_run(&lower, context) == SOFTATTN_OK, "rank %d: %s", 4 - (int)left_out,
               last_error());
        EXPECT(memcmp(lower.out.block.data, whole.out.block.data, whole.out.block.bytes) == 0, "out");
        EXPECT(memcmp(lower.lse.block.data, whole.lse.block.data, whole.lse.block.bytes) == 0, "lse");
        attention_case_destroy(&whole);
        attention_case_destroy(&lower);
    }
}

/* Without weights and without lse the output has the same values. */
static void optional_outputs_may_be_left_out(const softattn_context *context, random_source *random) {
    attention_options options = attention_options_plain(ARRAY_F32, 2, 33, 16);
    attention_case c;
    attention_case_create(&c, &options, random);
    c.args.lse = NULL;
    EXPECT(attention_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(array_untouched(&c.lse), "lse was not asked for");
    c.args.lse = &c.lse.tensor;
    EXPECT(attention_case_differences(&c, context) == 0, "%s", attention_case_text(&c));
    attention_case_destroy(&c);
}

/* Set, then back to the default; 0 and negative scales are scales like others (random problems have them
 * too). */
static void use_default_scale_forgets_the_scale_set(const softattn_context *context, random_source *random) {
    attention_options options = attention_options_plain(ARRAY_F64, 1, 6, 9);
    attention_case c;
    test_array first;
    attention_case_create(&c, &options, random);
    EXPECT(attention_case_differences(&c, context) == 0, "%s", attention_case_text(&c));
    array_create(&first, ARRAY_F64, 4, c.out.shape, ARRAY_COMPACT, GUARD_AFTER);
    array_copy(&first, &c.out);
    softattn_attention *const attention = attention_case_handle(&c, context);
    EXPECT(softattn_attention_set_scale(attention, -7.0) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_attention_run(attention, &c.args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(memcmp(first.block.data, c.out.block.data, first.block.bytes) != 0, "scale -7 changes the output");
    EXPECT(softattn_attention_use_default_scale(attention) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_attention_run(attention, &c.args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(compare_bits("default scale", &c.out, &first) == 0, "1 / sqrt(dim_qk) again");
    softattn_attention_destroy(attention);
    array_destroy(&first);
    attention_case_destroy(&c);
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_values");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        random_problems_match_the_oracle(context, &random);
        lengths_around_tile_borders_match_the_oracle(context, &random);
        causal_offsets_match_the_oracle(context, &random);
        masked_tiles_and_rows_match_the_oracle(context, &random);
        special_values_reach_exactly_the_rows_that_see_them(context, &random);
        a_spoiled_value_shows_beside_a_large_sink(context, &random);
        infinite_and_nan_biases_spoil_their_row(context, &random);
        one_dominant_score_takes_the_whole_weight(context);
        flat_functions_equal_the_handle(context, &random);
        tensors_of_rank_2_and_3_have_leading_sizes_1(context, &random);
        optional_outputs_may_be_left_out(context, &random);
        use_default_scale_forgets_the_scale_set(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
