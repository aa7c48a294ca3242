/*
 * What a mask of attention hides has no effect, bit for bit, on both engines and every instruction set, whatever hides it:
 * causal order, windows, lengths, starts, packing, keep masks, biases, block masks, alone and combined. Poisoned
 * are keys and values that no query sees, biases of hidden places, and queries that see nothing; then keys that
 * some queries see, which must leave the others alone; then slopes, which must leave alone who sees nothing.
 */
#include "attention_case.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_PROBLEMS = 60, SPOILED_KEYS = 5 };

static const double poisons[] = {NAN, HUGE_VAL, -HUGE_VAL, 1e38};
enum { POISONS = sizeof poisons / sizeof *poisons };

/* Two equal cases: one stays as it is, the other is poisoned. */
typedef struct pair {
    attention_case clean, poisoned;
    bool *visible; /* [batch][heads_q][seq_q][seq_kv] */
} pair;

/* Every third bias masks. */
static void mask_by_bias(test_array *bias) {
    for (int64_t i = 0; i < array_count(bias); i += 3) {
        array_set(bias, i, -HUGE_VAL);
    }
}

static void create_pair(pair *p, const attention_options *options, random_source *random) {
    random_source contents = *random;
    attention_case_create(&p->clean, options, random);
    attention_case_create(&p->poisoned, options, &contents);
    if (options->has_bias) {
        mask_by_bias(&p->clean.bias);
        mask_by_bias(&p->poisoned.bias);
    }
    p->visible = attention_case_visible(&p->clean);
}

static void destroy_pair(pair *p) {
    attention_case_destroy(&p->clean);
    attention_case_destroy(&p->poisoned);
    free(p->visible);
}

/* ---- Who sees what ------------------------------------------------------------------------------------- */

/* Whether query row (of all batches and heads) sees the key. */
static bool row_sees(const pair *p, int64_t row, int64_t key) {
    return p->visible[row * p->clean.options.seq_kv + key];
}

static bool row_sees_nothing(const pair *p, int64_t row) {
    for (int64_t key = 0; key < p->clean.options.seq_kv; key++) {
        if (row_sees(p, row, key)) {
            return false;
        }
    }
    return true;
}

/* Whether any query that reads this key/value head (of all batches) sees the key. */
static bool head_sees(const pair *p, int64_t head_kv, int64_t key) {
    const attention_options *const o = &p->clean.options;
    const int64_t rows = o->heads_q / o->heads_kv * o->seq_q; /* of the group, one after another */
    for (int64_t row = head_kv * rows; row < (head_kv + 1) * rows; row++) {
        if (row_sees(p, row, key)) {
            return true;
        }
    }
    return false;
}

/* ---- Poisoning ----------------------------------------------------------------------------------------- */

static void fill_row(test_array *array, int64_t row, int64_t width, double value) {
    for (int64_t i = 0; i < width; i++) {
        array_set(array, row * width + i, value);
    }
}

static void poison_hidden_keys(pair *p, double poison) {
    const attention_options *const o = &p->clean.options;
    for (int64_t i = 0; i < o->batch * o->heads_kv * o->seq_kv; i++) {
        if (!head_sees(p, i / o->seq_kv, i % o->seq_kv)) {
            fill_row(&p->poisoned.k, i, o->dim_qk, poison);
            fill_row(&p->poisoned.v, i, o->dim_v, poison);
        }
    }
}

static void poison_blind_queries(pair *p, double poison) {
    const attention_options *const o = &p->clean.options;
    for (int64_t row = 0; row < o->batch * o->heads_q * o->seq_q; row++) {
        if (row_sees_nothing(p, row)) {
            fill_row(&p->poisoned.q, row, o->dim_qk, poison);
        }
    }
}

/* Biases of hidden places, but for those that hide their place themselves; unless places share a bias. */
static void poison_hidden_biases(pair *p, double poison) {
    test_array *const bias = &p->poisoned.bias;
    const bool has_bias = p->clean.options.has_bias && p->clean.options.single_axes == 0;
    for (int64_t i = 0; has_bias && i < array_count(bias); i++) {
        if (!p->visible[i] && array_get(bias, i) != -HUGE_VAL) {
            array_set(bias, i, poison);
        }
    }
}

static bool same_memory(const test_array *a, const test_array *b) {
    return memcmp(a->block.data, b->block.data, a->block.bytes) == 0;
}

/* Runs both; whether all outputs are the same, gaps and unwritten rows included. */
static void expect_same(pair *p, const softattn_context *context, double poison) {
    attention_case_forget_outputs(&p->poisoned);
    EXPECT(attention_case_run(&p->poisoned, context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(same_memory(&p->poisoned.out, &p->clean.out) && same_memory(&p->poisoned.lse, &p->clean.lse) &&
               (!p->clean.options.wants_weights || same_memory(&p->poisoned.weights, &p->clean.weights)),
           "hidden %g on %s: %s", poison, softattn_context_isa(context), attention_case_text(&p->clean));
}

/* ---- Nobody sees it ------------------------------------------------------------------------------------ */

static void check_hidden_places(const attention_options *options, const softattn_context *context,
                                random_source *random) {
    pair p;
    create_pair(&p, options, random);
    EXPECT(attention_case_run(&p.clean, context) == SOFTATTN_OK, "%s", last_error());
    for (int i = 0; i < POISONS; i++) {
        poison_hidden_keys(&p, poisons[i]);
        poison_blind_queries(&p, poisons[i]);
        poison_hidden_biases(&p, poisons[i]);
        expect_same(&p, context, poisons[i]);
    }
    destroy_pair(&p);
}

/* ---- Some see it --------------------------------------------------------------------------------------- */

static bool same_row(const test_array *a, const test_array *b, int64_t row, int64_t width) {
    for (int64_t i = row * width; i < (row + 1) * width; i++) {
        if (memcmp(array_at(a, i), array_at(b, i), array_element_bytes(a->type)) != 0) {
            return false;
        }
    }
    return true;
}

static bool same_outputs(const pair *p, int64_t row) {
    const attention_options *const o = &p->clean.options;
    return same_row(&p->poisoned.out, &p->clean.out, row, o->dim_v) &&
           same_row(&p->poisoned.lse, &p->clean.lse, row, 1) &&
           (!o->wants_weights || same_row(&p->poisoned.weights, &p->clean.weights, row, o->seq_kv));
}

/* Rows that see none of the keys must be as they were; returns how many there are. */
static int64_t check_blind_rows(const pair *p, const int64_t *keys, const softattn_context *context,
                                double poison) {
    const attention_options *const o = &p->clean.options;
    int64_t blind = 0, changed = 0;
    for (int64_t row = 0; row < o->batch * o->heads_q * o->seq_q; row++) {
        bool sees = false;
        for (int i = 0; i < SPOILED_KEYS; i++) {
            sees = sees || row_sees(p, row, keys[i]);
        }
        blind += !sees;
        changed += !sees && !same_outputs(p, row);
    }
    EXPECT(changed == 0, "%d of %d rows changed by %g in keys they do not see, on %s: %s", (int)changed,
           (int)blind, poison, softattn_context_isa(context), attention_case_text(&p->clean));
    return blind;
}

/* Keys that one row does not see, where there are any. */
static void choose_keys(const pair *p, int64_t *keys, random_source *random) {
    const attention_options *const o = &p->clean.options;
    const int64_t row = random_below(random, o->batch * o->heads_q * o->seq_q);
    for (int i = 0; i < SPOILED_KEYS; i++) {
        keys[i] = random_below(random, o->seq_kv);
        for (int64_t tries = 0; row_sees(p, row, keys[i]) && tries < o->seq_kv; tries++) {
            keys[i] = (keys[i] + 1) % o->seq_kv;
        }
    }
}

/* Poisons a few keys for all batches and heads; returns how many rows did not see any of them. */
static int64_t check_other_rows(const attention_options *options, const softattn_context *context,
                                random_source *random) {
    int64_t keys[SPOILED_KEYS], blind = 0;
    pair p;
    create_pair(&p, options, random);
    EXPECT(attention_case_run(&p.clean, context) == SOFTATTN_OK, "%s", last_error());
    choose_keys(&p, keys, random);
    for (int i = 0; i < POISONS; i++) {
        for (int64_t j = 0; j < options->batch * options->heads_kv * SPOILED_KEYS; j++) {
            const int64_t row = j / SPOILED_KEYS * options->seq_kv + keys[j % SPOILED_KEYS];
            fill_row(&p.poisoned.k, row, options->dim_qk, poisons[i]);
            fill_row(&p.poisoned.v, row, options->dim_v, poisons[i]);
        }
        attention_case_forget_outputs(&p.poisoned);
        EXPECT(attention_case_run(&p.poisoned, context) == SOFTATTN_OK, "%s", last_error());
        blind += check_blind_rows(&p, keys, context, poisons[i]);
    }
    destroy_pair(&p);
    return blind;
}

/* ---- Slopes -------------------------------------------------------------------------------------------- */

static void hide_first_rows(test_array *mask, int64_t matrices, double hidden) {
    const int64_t rows = mask->tensor.shape[2], cols = mask->tensor.shape[3];
    for (int64_t i = 0; i < matrices; i++) {
        fill_row(mask, i * rows, cols, hidden);
    }
}

/* The first query, or block of queries, of every head sees nothing. */
static void hide_first_queries(attention_case *c) {
    const int64_t matrices = c->options.batch * c->options.heads_q;
    if (c->options.has_keep) {
        hide_first_rows(&c->keep, matrices, 0);
    }
    if (c->options.has_bias) {
        hide_first_rows(&c->bias, matrices, -HUGE_VAL);
    }
    if (c->options.block_k > 0) {
        hide_first_rows(&c->block_mask, matrices, 0);
    }
}

/* Returns how many rows see nothing. */
static int64_t check_slopes(const attention_options *options, const softattn_context *context,
                            random_source *random) {
    const int64_t rows = options->batch * options->heads_q * options->seq_q;
    int64_t blind = 0;
    pair p;
    create_pair(&p, options, random);
    if (options->single_axes == 0) {
        hide_first_queries(&p.clean);
        hide_first_queries(&p.poisoned);
        free(p.visible);
        p.visible = attention_case_visible(&p.clean);
    }
    EXPECT(attention_case_run(&p.clean, context) == SOFTATTN_OK, "%s", last_error());
    for (int i = 0; i < POISONS; i++) {
        int64_t changed = 0;
        array_fill(&p.poisoned.alibi, poisons[i]);
        attention_case_forget_outputs(&p.poisoned);
        EXPECT(attention_case_run(&p.poisoned, context) == SOFTATTN_OK, "%s", last_error());
        for (int64_t row = 0; row < rows; row++) {
            blind += row_sees_nothing(&p, row);
            changed += row_sees_nothing(&p, row) && !same_outputs(&p, row);
        }
        EXPECT(changed == 0, "%d rows that see nothing changed by slopes of %g, on %s: %s", (int)changed,
               poisons[i], softattn_context_isa(context), attention_case_text(&p.clean));
    }
    destroy_pair(&p);
    return blind;
}

/* ---- The masks ----------------------------------------------------------------------------------------- */

static const attention_options masks[] = {
    {.causal = SOFTATTN_CAUSAL_TOP_LEFT},
    {.causal = SOFTATTN_CAUSAL_OFFSET, .offset = 140},
    {.has_window = true, .window_left = 5, .window_right = 9, .alignment = SOFTATTN_CAUSAL_BOTTOM_RIGHT},
    {.has_window = true, .window_left = 130, .window_right = -1, .alignment = SOFTATTN_CAUSAL_BOTTOM_RIGHT},
    {.has_window = true, .window_left = -1, .window_right = 100},
    {.has_key_lengths = true},
    {.has_key_starts = true},
    {.has_query_lengths = true},
    {.sequences = 3},
    {.has_keep = true},
    {.has_keep = true, .single_axes = 7},
    {.has_keep = true, .single_axes = 6},
    {.has_bias = true},
    {.has_bias = true, .single_axes = 6},
    {.has_bias = true, .causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT},
    {.has_bias = true, .has_keep = true, .causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT},
    {.block_q = 4, .block_k = 1},
    {.block_q = 16, .block_k = 63},
    {.block_q = 64, .block_k = 128},
    {.block_q = 1, .block_k = 150, .single_axes = 3},
};

static attention_options masked_options(size_t mask, int variant) {
    attention_options o = masks[mask];
    o.type = variant & 1 ? ARRAY_F64 : ARRAY_F32;
    o.engine = variant & 2 ? SOFTATTN_ENGINE_BLAS : SOFTATTN_ENGINE_FUSED;
    o.batch = o.sequences > 0 ? 1 : 2;
    o.heads_q = 2;
    o.heads_kv = 1;
    o.seq_q = variant & 4 ? 50 : 2;
    o.seq_kv = 280;
    o.dim_qk = o.dim_v = 5;
    o.deviation = 1.0;
    o.keep_probability = 0.3;
    o.wants_weights = variant == 2;
    return o;
}

static void each_mask_hides_what_it_should(const softattn_context *context, random_source *random) {
    for (size_t mask = 0; mask < sizeof masks / sizeof *masks; mask++) {
        int64_t blind = 0;
        for (int variant = 0; variant < 8; variant++) {
            const attention_options o = masked_options(mask, variant);
            check_hidden_places(&o, context, random);
            blind += check_other_rows(&o, context, random);
        }
        EXPECT(blind > 0, "mask %d hid no key from any row", (int)mask);
    }
}

static void masks_hide_from_slopes(const softattn_context *context, random_source *random) {
    static const int64_t keys[] = {1, 20, 280};
    int64_t blind = 0;
    for (size_t mask = 0; mask < sizeof masks / sizeof *masks; mask++) {
        for (int variant = 0; variant < 8 * 3; variant++) {
            attention_options o = masked_options(mask, variant % 8);
            o.has_alibi = true;
            o.seq_kv = keys[variant / 8];
            blind += check_slopes(&o, context, random);
        }
    }
    EXPECT(blind > 0, "every row saw something");
}

static void random_combinations_hide_what_they_should(const softattn_context *context,
                                                      random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        attention_options o = attention_options_random(random);
        attention_options_add_masks(&o, random);
        o.engine = random_below(random, 2) ? SOFTATTN_ENGINE_FUSED : SOFTATTN_ENGINE_BLAS;
        o.wants_weights = o.wants_weights && o.engine == SOFTATTN_ENGINE_BLAS;
        check_hidden_places(&o, context, random);
        check_other_rows(&o, context, random);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_masks_hide_everything");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        each_mask_hides_what_it_should(context, &random);
        masks_hide_from_slopes(context, &random);
        random_combinations_hide_what_they_should(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
