/*
 * Attention with another normalizer than softmax: its weights are those of the row-wise operation on the scores, bit by bit,
 * with any masks; outputs are their products with the values; masked keys have no effect; softmax-plus-one is a sink of 0 on
 * every engine; what a normalizer has not is refused.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_PROBLEMS = 30, NORMALIZERS = 8 };

static const double sigmoid_bias = -2;

static softattn_attention *handle_of(const attention_case *c, int32_t normalizer,
                                     const softattn_context *context) {
    softattn_attention *const attention = attention_case_handle(c, context);
    EXPECT(softattn_attention_set_normalizer(attention, normalizer) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_attention_set_sigmoid_bias(attention, sigmoid_bias) == SOFTATTN_OK, "%s", last_error());
    return attention;
}

static void run_case(attention_case *c, int32_t normalizer, const softattn_context *context) {
    softattn_attention *const attention = handle_of(c, normalizer, context);
    softattn_attention_args args = c->args;
    args.lse = NULL;
    EXPECT(softattn_attention_run(attention, &args) == SOFTATTN_OK, "%d: %s", (int)normalizer, last_error());
    softattn_attention_destroy(attention);
}

/* Any masks, and weights that are returned. */
static attention_options random_options(random_source *random) {
    attention_options options = attention_options_random(random);
    attention_options_add_masks(&options, random);
    options.sequences = 0; /* those leave rows of the weights unwritten */
    options.wants_weights = true;
    options.has_sink = false;
    options.dropout = 0;
    options.engine = SOFTATTN_ENGINE_AUTO;
    return options;
}

/* ---- Weights and outputs ---- */

/* The scores that NONE gives, -infinity where masked, which is where no mask keeps the key or the bias is -infinity. */
static void read_scores(attention_case *c, test_array *scores, const softattn_context *context) {
    run_case(c, SOFTATTN_NORMALIZER_NONE, context);
    bool *const visible = attention_case_visible(c);
    int64_t differences = 0;
    array_create(scores, c->options.type, 4, c->weights.shape, ARRAY_COMPACT, GUARD_AFTER);
    for (int64_t i = 0; i < array_count(&c->weights); i++) {
        const double score = array_get(&c->weights, i);
        const bool is_masked = score == 0 && signbit(score);
        differences += is_masked == visible[i];
        array_set(scores, i, is_masked ? -HUGE_VAL : score);
    }
    EXPECT(differences == 0, "%d places are masked where they are visible or the reverse: %s",
           (int)differences, attention_case_text(c));
    free(visible);
}

static void weigh_rows(const test_array *scores, test_array *weights, int32_t normalizer,
                       const softattn_context *context) {
    softattn_softmax *softmax = NULL;
    const softattn_softmax_args args = {
        .struct_size = sizeof args, .x = &scores->tensor, .y = &weights->tensor};
    EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_normalizer(softmax, normalizer) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_sigmoid_bias(softmax, sigmoid_bias) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_empty_row(softmax, SOFTATTN_EMPTY_ROW_ZERO) == SOFTATTN_OK, "%s",
           last_error());
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
    softattn_softmax_destroy(softmax);
}

/* Sums of seq_kv products in any order: at most that many roundings of their absolute sum. */
static int64_t count_other_outputs(attention_case *c) {
    const attention_options *o = &c->options;
    const double u = o->type == ARRAY_F32 ? 0x1p-24 : 0x1p-53;
    int64_t differences = 0;
    for (int64_t row = 0; row < o->batch * o->heads_q * o->seq_q; row++) {
        const int64_t head = row / o->seq_q % o->heads_q, batch = row / o->seq_q / o->heads_q;
        const int64_t head_kv = batch * o->heads_kv + head / (o->heads_q / o->heads_kv);
        for (int64_t d = 0; d < o->dim_v; d++) {
            double sum = 0, size = 0;
            for (int64_t key = 0; key < o->seq_kv; key++) {
                const double term = array_get(&c->weights, row * o->seq_kv + key) *
                                    array_get(&c->v, (head_kv * o->seq_kv + key) * o->dim_v + d);
                sum += term;
                size += fabs(term);
            }
            const double out = array_get(&c->out, row * o->dim_v + d);
            differences += !(fabs(out - sum) <= 2 * u * (double)(o->seq_kv + 2) * size);
        }
    }
    return differences;
}

static void weights_are_those_of_rows(const attention_options *options, const softattn_context *context,
                                      random_source *random) {
    attention_case c;
    test_array scores, expected;
    attention_case_create(&c, options, random);
    read_scores(&c, &scores, context);
    array_create(&expected, options->type, 4, scores.shape, ARRAY_COMPACT, GUARD_AFTER);
    for (int32_t normalizer = SOFTATTN_NORMALIZER_NONE; normalizer < NORMALIZERS; normalizer++) {
        attention_case_forget_outputs(&c);
        run_case(&c, normalizer, context);
        weigh_rows(&scores, &expected, normalizer, context);
        /* plus-one takes another way, by the log-sum-exp */
        EXPECT(normalizer == SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE ||
                   compare_bits("weights", &c.weights, &expected) == 0,
               "normalizer %d on %s: %s", (int)normalizer, softattn_context_isa(context),
               attention_case_text(&c));
        EXPECT(count_other_outputs(&c) == 0, "normalizer %d on %s: %s", (int)normalizer,
               softattn_context_isa(context), attention_case_text(&c));
        EXPECT(array_gaps_untouched(&c.out) && array_gaps_untouched(&c.weights), "%s",
               attention_case_text(&c));
    }
    array_destroy(&scores);
    array_destroy(&expected);
    attention_case_destroy(&c);
}

static void weights_of_random_problems_are_those_of_rows(const softattn_context *context,
                                                         random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const attention_options options = random_options(random);
        weights_are_those_of_rows(&options, context, random);
    }
}

/* Keys and values that no query sees may hold anything; the same without the weights. */
static void masked_keys_have_no_effect(const softattn_context *context, random_source *random) {
    enum { HIDDEN = 5 };
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        attention_options options =
            attention_options_plain(normalizer % 2 ? ARRAY_F32 : ARRAY_F64, 2, 33, 19);
        attention_case c;
        test_array clean;
        options.has_keep = true;
        options.keep_probability = 0.7;
        attention_case_create(&c, &options, random);
        for (int64_t i = 0; i < array_count(&c.keep); i++) {
            if (i % 33 == HIDDEN) {
                array_set(&c.keep, i, 0);
            }
        }
        run_case(&c, normalizer, context);
        array_create(&clean, options.type, 4, c.out.shape, ARRAY_COMPACT, GUARD_AFTER);
        array_copy(&clean, &c.out);
        for (int64_t i = 0; i < array_count(&c.k); i++) {
            if (i / 19 % 33 == HIDDEN) {
                array_set(&c.k, i, NAN);
                array_set(&c.v, i, i % 2 ? NAN : HUGE_VAL);
            }
        }
        run_case(&c, normalizer, context);
        EXPECT(compare_bits("out", &c.out, &clean) == 0, "normalizer %d: %s", (int)normalizer,
               attention_case_text(&c));
        array_destroy(&clean);
        attention_case_destroy(&c);
    }
}

/* A NaN in a query spoils its row, where weights sum to 1 wholly, and no other. */
static void nan_stays_in_its_row(const softattn_context *context, random_source *random) {
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        const attention_options options = attention_options_plain(ARRAY_F32, 1, 20, 8);
        attention_case c;
        attention_case_create(&c, &options, random);
        array_set(&c.q, 7 * 8 + 3, NAN);
        run_case(&c, normalizer, context);
        for (int64_t i = 0; i < array_count(&c.out); i++) {
            EXPECT(isnan(array_get(&c.out, i)) == (i / 8 == 7), "normalizer %d, row %d: %g", (int)normalizer,
                   (int)(i / 8), array_get(&c.out, i));
        }
        attention_case_destroy(&c);
    }
}

/* ---- Softmax-plus-one ---- */

static void plus_one_is_a_sink_of_0(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        attention_options options = random_options(random);
        attention_case plain, sink;
        options.engine = (int32_t)(i % 3);
        options.wants_weights = options.engine != SOFTATTN_ENGINE_FUSED;
        attention_options with_sink = options;
        with_sink.has_sink = true;
        random_source same = *random;
        attention_case_create(&plain, &options, random);
        attention_case_create(&sink, &with_sink, &same);
        /* the sinks may have been drawn before other contents */
        array_copy(&sink.q, &plain.q);
        array_copy(&sink.k, &plain.k);
        array_copy(&sink.v, &plain.v);
        plain.args.sink = NULL;
        sink.args = plain.args;
        array_fill(&sink.sink, 0);
        sink.args.sink = &sink.sink.tensor;
        sink.args.out = &sink.out.tensor;
        sink.args.lse = plain.args.lse == NULL ? NULL : &sink.lse.tensor;
        sink.args.weights = plain.args.weights == NULL ? NULL : &sink.weights.tensor;
        softattn_attention *const one = handle_of(&plain, SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE, context);
        EXPECT(softattn_attention_run(one, &plain.args) == SOFTATTN_OK, "%s", last_error());
        EXPECT(attention_case_run(&sink, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(attention_case_differing_bits(&plain, &sink) == 0, "%s", attention_case_text(&sink));
        softattn_attention_destroy(one);
        attention_case_destroy(&plain);
        attention_case_destroy(&sink);
    }
}

/* ---- Engines and bad input ---- */

static void what_is_not_served_is_refused(const softattn_context *context, random_source *random) {
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        const bool is_softmax = normalizer == SOFTATTN_NORMALIZER_SOFTMAX;
        const bool has_lse = is_softmax || normalizer == SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE;
        attention_options options = attention_options_plain(ARRAY_F32, 1, 5, 4);
        attention_case c;
        options.has_sink = true;
        attention_case_create(&c, &options, random);
        softattn_attention_args args = c.args;
        softattn_attention *const attention = handle_of(&c, normalizer, context);
        args.lse = NULL;
        EXPECT(softattn_attention_run(attention, &args) ==
                   (is_softmax ? SOFTATTN_OK : SOFTATTN_ERROR_UNSUPPORTED),
               "a sink with normalizer %d", (int)normalizer);
        args = c.args;
        args.sink = NULL;
        args.lse = &c.lse.tensor;
        attention_case_forget_outputs(&c);
        EXPECT(softattn_attention_run(attention, &args) ==
                   (has_lse ? SOFTATTN_OK : SOFTATTN_ERROR_UNSUPPORTED),
               "lse with normalizer %d", (int)normalizer);
        EXPECT(has_lse || (array_untouched(&c.out) && array_untouched(&c.lse)), "outputs of normalizer %d",
               (int)normalizer);
        args.lse = NULL;
        softattn_attention_plan plan = {.struct_size = sizeof plan};
        EXPECT(softattn_attention_describe(attention, &args, &plan) == SOFTATTN_OK, "%s", last_error());
        EXPECT(plan.engine == (has_lse ? SOFTATTN_ENGINE_FUSED : SOFTATTN_ENGINE_BLAS),
               "engine %d with normalizer %d", (int)plan.engine, (int)normalizer);
        EXPECT(softattn_attention_set_engine(attention, SOFTATTN_ENGINE_FUSED) == SOFTATTN_OK, "%s",
               last_error());
        EXPECT(softattn_attention_run(attention, &args) ==
                   (has_lse ? SOFTATTN_OK : SOFTATTN_ERROR_UNSUPPORTED),
               "the fused engine with normalizer %d", (int)normalizer);
        const softattn_diagnosis diagnosis = {.struct_size = sizeof diagnosis, .entropy = &c.lse.tensor};
        EXPECT(softattn_attention_diagnose(attention, &args, &diagnosis) ==
                   (has_lse ? SOFTATTN_OK : SOFTATTN_ERROR_UNSUPPORTED),
               "a diagnosis with normalizer %d", (int)normalizer);
        softattn_attention_destroy(attention);
        attention_case_destroy(&c);
    }
}

static void bad_options_are_refused(const softattn_context *context, random_source *random) {
    const attention_options options = attention_options_plain(ARRAY_F32, 1, 5, 4);
    attention_case c;
    attention_case_create(&c, &options, random);
    softattn_attention *const attention = handle_of(&c, SOFTATTN_NORMALIZER_SIGMOID, context);
    softattn_attention_args args = c.args;
    args.lse = NULL;
    EXPECT(softattn_attention_set_normalizer(NULL, 0) == SOFTATTN_ERROR_NULL, "%s", last_error());
    EXPECT(softattn_attention_set_sigmoid_bias(NULL, 0) == SOFTATTN_ERROR_NULL, "%s", last_error());
    EXPECT(softattn_attention_set_normalizer(attention, -1) == SOFTATTN_ERROR_ARGUMENT, "%s", last_error());
    EXPECT(softattn_attention_set_normalizer(attention, NORMALIZERS) == SOFTATTN_ERROR_ARGUMENT, "%s",
           last_error());
    EXPECT(softattn_attention_set_sigmoid_bias(attention, NAN) == SOFTATTN_ERROR_ARGUMENT, "%s",
           last_error());
    EXPECT(softattn_attention_set_sigmoid_bias(attention, -1e300) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_attention_run(attention, &args) == SOFTATTN_ERROR_ARGUMENT, "%s", last_error());
    EXPECT(array_untouched(&c.out), "the output was written");
    softattn_attention_destroy(attention);
    attention_case_destroy(&c);
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_normalizers");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1 + i % 2 * 2);
        weights_of_random_problems_are_those_of_rows(context, &random);
        masked_keys_have_no_effect(context, &random);
        nan_stays_in_its_row(context, &random);
        plus_one_is_a_sink_of_0(context, &random);
        what_is_not_served_is_refused(context, &random);
        bad_options_are_refused(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
