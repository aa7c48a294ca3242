/*
 * Dropout: which weights fall is the function of seed, offset, batch, head, query and key that the header
 * documents, computed here by an implementation of its own; the log-sum-exp does not know of it. On both engines
 * and every instruction set.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "philox.h"

#include <math.h>

/* The known answers that the authors of Philox publish with it (Random123, kat_vectors). */
static void philox_gives_the_published_words(void) {
    static const struct {
        philox_block counter;
        uint32_t key_low, key_high;
        philox_block words;
    } known[] = {
        {{{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         0xffffffff,
         0xffffffff,
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         0xa4093822,
         0x299f31d0,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const philox_block words = philox4x32_10(known[i].counter, known[i].key_low, known[i].key_high);
        for (int word = 0; word < 4; word++) {
            EXPECT(words.word[word] == known[i].words.word[word], "vector %d, word %d", (int)i, word);
        }
    }
}

/* Queries of zeros give every key the same weight, and values of the identity matrix show each weight alone. */
static void show_the_weights(attention_case *c) {
    const int64_t keys = c->options.seq_kv;
    array_fill(&c->q, 0.0);
    for (int64_t i = 0; i < array_count(&c->v); i++) {
        array_set(&c->v, i, i % keys == i / keys % keys ? 1.0 : 0.0);
    }
}

static attention_options options_with_dropout(array_type type, int64_t queries, int64_t keys,
                                              double probability) {
    attention_options o = attention_options_plain(type, 2, queries, 3);
    o.batch = 2;
    o.heads_kv = 1;
    o.seq_kv = o.dim_v = keys;
    o.dropout = probability;
    return o;
}

/* Compares every weight with the mask; returns how many were kept. */
static int64_t count_kept(const attention_case *c, const char *isa) {
    const attention_options *const o = &c->options;
    const dropout_mask mask = {o->dropout, o->dropout_seed, o->dropout_offset};
    int64_t kept = 0, wrong = 0;
    for (int64_t i = 0; i < array_count(&c->out); i++) {
        const int64_t row = i / o->seq_kv;
        const bool keeps = dropout_mask_keeps(&mask, row / o->seq_q, row % o->seq_q, i % o->seq_kv);
        kept += keeps;
        wrong += keeps != (array_get(&c->out, i) != 0.0);
    }
    EXPECT(wrong == 0, "%d weights fell that should not, or did not, on %s: %s", (int)wrong, isa,
           attention_case_text(c));
    return kept;
}

static void the_mask_is_the_documented_one(const softattn_context *context, random_source *random) {
    static const double probabilities[] = {0.3, 0.5, 0x1p-32, 1.0 - 0x1p-32};
    for (int variant = 0; variant < 16; variant++) {
        attention_options o = options_with_dropout(variant & 1 ? ARRAY_F64 : ARRAY_F32, variant & 2 ? 9 : 1,
                                                   150 + variant, probabilities[variant % 4]);
        o.engine = variant & 4 ? SOFTATTN_ENGINE_BLAS : SOFTATTN_ENGINE_FUSED;
        o.dropout_seed = random_bits(random);
        o.dropout_offset = random_bits(random);
        attention_case c;
        attention_case_create(&c, &o, random);
        show_the_weights(&c);
        EXPECT(attention_case_differences(&c, context) == 0, "%s", attention_case_text(&c));
        count_kept(&c, softattn_context_isa(context));
        attention_case_destroy(&c);
    }
}

/* Of n weights that are kept with probability p, n p are expected, with a deviation of sqrt(n p (1 - p)). */
static void as_many_weights_are_kept_as_is_likely(const softattn_context *context, random_source *random) {
    attention_options o = options_with_dropout(ARRAY_F32, 64, 256, 0.3);
    attention_case c;
    attention_case_create(&c, &o, random);
    show_the_weights(&c);
    EXPECT(attention_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
    const double all = (double)array_count(&c.out), kept = (double)count_kept(&c, "the best");
    EXPECT(fabs(kept - 0.7 * all) < 5 * sqrt(all * 0.7 * 0.3), "%g of %g weights are kept", kept, all);
    attention_case_destroy(&c);
}

/* u < probability, for a weight whose u is known, with the probability at u and at the next numbers. */
static void the_threshold_is_exact(const softattn_context *context, random_source *random) {
    const dropout_mask any = {0};
    const double u = dropout_mask_word(&any, 0, 0, 0) * 0x1p-32;
    const double probabilities[] = {u, nextafter(u, 1), nextafter(u, 0), u + 0x1p-33, u + 0x1p-32};
    for (size_t i = 0; i < sizeof probabilities / sizeof *probabilities; i++) {
        for (int32_t engine = SOFTATTN_ENGINE_FUSED; engine <= SOFTATTN_ENGINE_BLAS; engine++) {
            attention_options o = options_with_dropout(ARRAY_F64, 1, 1, probabilities[i]);
            o.engine = engine;
            attention_case c;
            attention_case_create(&c, &o, random);
            show_the_weights(&c);
            EXPECT(attention_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
            EXPECT((array_get(&c.out, 0) == 0.0) == (u < probabilities[i]), "u %a, probability %a", u,
                   probabilities[i]);
            attention_case_destroy(&c);
        }
    }
}

/* Probability 0 is no dropout, bit for bit; and no probability changes the log-sum-exp. */
static void dropout_leaves_what_it_does_not_drop(const softattn_context *context, random_source *random) {
    static const double probabilities[] = {0.0, 0.3, 1.0};
    for (int variant = 0; variant < 12; variant++) {
        attention_options o =
            attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 2, variant & 2 ? 70 : 2, 9);
        o.seq_kv = 600;
        o.engine = SOFTATTN_ENGINE_FUSED;
        o.has_sink = variant & 4;
        random_source contents = *random;
        attention_case without, with;
        attention_case_create(&without, &o, random);
        o.dropout = probabilities[variant % 3];
        o.dropout_seed = o.dropout_offset = UINT64_MAX;
        attention_case_create(&with, &o, &contents);
        EXPECT(attention_case_run(&without, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(attention_case_run(&with, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("lse", &with.lse, &without.lse) == 0, "%s", attention_case_text(&with));
        EXPECT(o.dropout > 0 || compare_bits("out", &with.out, &without.out) == 0, "%s",
               attention_case_text(&with));
        for (int64_t i = 0; i < array_count(&with.out) && o.dropout == 1.0; i++) {
            EXPECT(array_get(&with.out, i) == 0.0, "all weights are dropped");
        }
        attention_case_destroy(&without);
        attention_case_destroy(&with);
    }
}

/* The returned weights are the probabilities, dropped or not. */
static void returned_weights_are_those_before_dropout(const softattn_context *context,
                                                      random_source *random) {
    attention_options o = attention_options_plain(ARRAY_F64, 2, 30, 9);
    o.dropout = 0.5;
    o.wants_weights = true;
    attention_case c;
    attention_case_create(&c, &o, random);
    EXPECT(attention_case_differences(&c, context) == 0, "%s", attention_case_text(&c));
    for (int64_t row = 0; row < 2 * 30; row++) {
        double sum = 0;
        for (int64_t key = 0; key < 30; key++) {
            sum += array_get(&c.weights, row * 30 + key);
        }
        /* 30 weights, each within a relative error below 2^-45, as the oracle's bound on them is */
        EXPECT(fabs(sum - 1) < 0x1p-45, "weights of row %d sum to %.17g", (int)row, sum);
    }
    attention_case_destroy(&c);
}

int main(void) {
    random_source random;
    random_start(&random, "test_dropout");
    philox_gives_the_published_words();
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        the_mask_is_the_documented_one(context, &random);
        the_threshold_is_exact(context, &random);
        dropout_leaves_what_it_does_not_drop(context, &random);
        returned_weights_are_those_before_dropout(context, &random);
        softattn_context_destroy(context);
    }
    softattn_context *const best = context_create(NULL, 1);
    as_many_weights_are_kept_as_is_likely(best, &random);
    softattn_context_destroy(best);
    return expect_summary();
}
