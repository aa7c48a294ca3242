/*
 * What stands in a masked place has no effect, ever: rows that do not see a place are the same bits whether
 * it holds zero, NaN, an infinity or a huge number.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "softmax_case.h"

#include <math.h>
#include <string.h>

static const double poisons[] = {NAN, HUGE_VAL, -HUGE_VAL, 1e38, -1e38};
enum { POISONS = sizeof poisons / sizeof *poisons };

/* ---- Attention ----------------------------------------------------------------------------------------- */

/* The ways of masking that a case may combine. */
typedef struct masking {
    int32_t causal;
    bool has_keep, has_bias;
    uint32_t single_axes;
} masking;

static const masking maskings[] = {
    {SOFTATTN_CAUSAL_TOP_LEFT, false, false, 0},   {SOFTATTN_CAUSAL_BOTTOM_RIGHT, false, false, 0},
    {SOFTATTN_CAUSAL_NONE, true, false, 0},        {SOFTATTN_CAUSAL_NONE, true, false, 0x6},
    {SOFTATTN_CAUSAL_NONE, false, true, 0},        {SOFTATTN_CAUSAL_NONE, false, true, 0x6},
    {SOFTATTN_CAUSAL_BOTTOM_RIGHT, true, true, 0},
};

/* Every third bias masks. */
static void mask_by_bias(test_array *bias) {
    for (int64_t i = 0; i < array_count(bias); i += 3) {
        array_set(bias, i, -HUGE_VAL);
    }
}

/* The mask's value for place, (batch, head, query, key). */
static double broadcast_value(const test_array *array, const int64_t place[4]) {
    int64_t index = 0;
    const int32_t missing = 4 - array->tensor.ndim;
    for (int32_t axis = missing; axis < 4; axis++) {
        const int64_t size = array->shape[axis - missing];
        index = index * size + (size == 1 ? 0 : place[axis]);
    }
    return array_get(array, index);
}

static bool sees(const attention_case *c, const int64_t place[4]) {
    const attention_options *const o = &c->options;
    const int64_t offset = o->causal == SOFTATTN_CAUSAL_BOTTOM_RIGHT ? o->seq_kv - o->seq_q : 0;
    if (o->causal != SOFTATTN_CAUSAL_NONE && place[3] > place[2] + offset) {
        return false;
    }
    return !(o->has_keep && broadcast_value(&c->keep, place) == 0.0) &&
           !(o->has_bias && broadcast_value(&c->bias, place) == -HUGE_VAL);
}

/* Writes value to these keys of K and V in every batch and head. */
static void set_keys(attention_case *c, const int64_t *keys, int count, double value) {
    const attention_options *const o = &c->options;
    for (int64_t head = 0; head < o->batch * o->heads_kv; head++) {
        for (int i = 0; i < count; i++) {
            const int64_t row = head * o->seq_kv + keys[i];
            for (int64_t d = 0; d < o->dim_qk; d++) {
                array_set(&c->k, row * o->dim_qk + d, value);
            }
            for (int64_t d = 0; d < o->dim_v; d++) {
                array_set(&c->v, row * o->dim_v + d, value);
            }
        }
    }
}

static bool row_sees_any(const attention_case *c, int64_t row, const int64_t *keys, int count) {
    const attention_options *const o = &c->options;
    for (int i = 0; i < count; i++) {
        const int64_t place[4] = {row / o->seq_q / o->heads_q, row / o->seq_q % o->heads_q, row % o->seq_q,
                                  keys[i]};
        if (sees(c, place)) {
            return true;
        }
    }
    return false;
}

/* Some keys, late ones mostly, that query 0 of batch 0 and head 0 does not see. */
static void choose_keys(const attention_case *c, int64_t *keys, int count, random_source *random) {
    int found = 0;
    for (int64_t key = c->options.seq_kv - 1; found<count; key = key> 0 ? key - 1 : c->options.seq_kv - 1) {
        const int64_t place[4] = {0, 0, 0, key};
        if (!sees(c, place) && random_below(random, 4) == 0) {
            keys[found++] = key;
        }
    }
}

static bool same_bits(const test_array *a, const test_array *b, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i++) {
        if (memcmp(array_at(a, i), array_at(b, i), array_element_bytes(a->type)) != 0) {
            return false;
        }
    }
    return true;
}

/* Rows that see none of the keys and yet differ between the runs; *blind: all that see none of them. */
static int64_t changed_rows(const attention_case *clean, const attention_case *poisoned, const int64_t *keys,
                            int count, int64_t *blind) {
    const attention_options *const o = &clean->options;
    int64_t changed = 0;
    *blind = 0;
    for (int64_t row = 0; row < o->batch * o->heads_q * o->seq_q; row++) {
        if (row_sees_any(clean, row, keys, count)) {
            continue;
        }
        ++*blind;
        changed +=
            !same_bits(&clean->out, &poisoned->out, row * o->dim_v, o->dim_v) ||
            !same_bits(&clean->lse, &poisoned->lse, row, 1) ||
            (o->wants_weights && !same_bits(&clean->weights, &poisoned->weights, row * o->seq_kv, o->seq_kv));
    }
    return changed;
}

static void create_masked_case(attention_case *c, const attention_options *options, random_source random) {
    attention_case_create(c, options, &random);
    if (options->has_bias) {
        mask_by_bias(&c->bias);
    }
}

static void check_attention(const attention_options *options, const softattn_context *context,
                            random_source *random) {
    enum { KEYS = 3 };
    attention_case clean, poisoned;
    create_masked_case(&clean, options, *random);
    create_masked_case(&poisoned, options, *random);
    (void)random_bits(random); /* so that the next case has other contents */
    if (options->engine != SOFTATTN_ENGINE_FUSED || attention_case_is_served(&clean, context)) {
        int64_t keys[KEYS];
        choose_keys(&clean, keys, KEYS, random);
        int64_t blind = 0;
        set_keys(&clean, keys, KEYS, 0.0);
        EXPECT(attention_case_run(&clean, context) == SOFTATTN_OK, "%s", last_error());
        for (int i = 0; i < POISONS; i++) {
            set_keys(&poisoned, keys, KEYS, poisons[i]);
            EXPECT(attention_case_run(&poisoned, context) == SOFTATTN_OK, "%s", last_error());
            const int64_t changed = changed_rows(&clean, &poisoned, keys, KEYS, &blind);
            EXPECT(changed == 0, "%d of %d rows changed by masked %g on %s: %s", (int)changed, (int)blind,
                   poisons[i], softattn_context_isa(context), attention_case_text(&clean));
        }
        EXPECT(blind > 0, "no row tested: %s", attention_case_text(&clean));
    }
    attention_case_destroy(&clean);
    attention_case_destroy(&poisoned);
}

static void masked_keys_and_values_do_not_change_other_rows(const softattn_context *context,
                                                            random_source *random) {
    for (size_t i = 0; i < sizeof maskings / sizeof *maskings; i++) {
        for (int32_t variant = 0; variant < 3 * 2 * 2; variant++) {
            attention_options options =
                attention_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 2, 40, 9);
            options.batch = 2;
            options.seq_kv = 150;
            options.dim_v = 17;
            options.causal = maskings[i].causal;
            options.has_keep = maskings[i].has_keep;
            options.has_bias = maskings[i].has_bias;
            options.single_axes = maskings[i].single_axes;
            options.keep_probability = 0.2;
            options.wants_weights = variant / 2 % 2 == 1;
            options.engine = variant / 4;
            check_attention(&options, context, random);
        }
    }
}

/* A NaN bias is hidden by a structural mask at the same place. */
static void masked_biases_do_not_change_any_row(const softattn_context *context, random_source *random) {
    for (int32_t engine = 0; engine < 3; engine++) {
        attention_options options = attention_options_plain(ARRAY_F32, 1, 20, 9);
        options.seq_kv = 100;
        options.has_bias = true;
        options.has_keep = true;
        options.causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT;
        options.engine = engine;
        attention_case clean, poisoned;
        random_source contents = *random;
        attention_case_create(&clean, &options, &contents);
        attention_case_create(&poisoned, &options, random);
        if (engine != SOFTATTN_ENGINE_FUSED || attention_case_is_served(&clean, context)) {
            for (int64_t i = 0; i < 20 * 100; i++) {
                const int64_t place[4] = {0, 0, i / 100, i % 100};
                if (!sees(&poisoned, place)) {
                    array_set(&poisoned.bias, i, poisons[i % POISONS]);
                }
            }
            EXPECT(attention_case_run(&clean, context) == SOFTATTN_OK, "%s", last_error());
            EXPECT(attention_case_run(&poisoned, context) == SOFTATTN_OK, "%s", last_error());
            EXPECT(compare_bits("out", &poisoned.out, &clean.out) == 0, "on %s, engine %d",
                   softattn_context_isa(context), (int)engine);
            EXPECT(compare_bits("lse", &poisoned.lse, &clean.lse) == 0, "on %s, engine %d",
                   softattn_context_isa(context), (int)engine);
        }
        attention_case_destroy(&clean);
        attention_case_destroy(&poisoned);
    }
}

/* ---- Softmax ------------------------------------------------------------------------------------------- */

enum { ROWS = 6, COLS = 75 };

typedef enum softmax_mask { BY_KEEP, BY_LENGTHS, BY_CAUSAL, BY_BIAS, SOFTMAX_MASKS } softmax_mask;

static bool softmax_sees(const softmax_case *c, softmax_mask mask, int64_t row, int64_t col) {
    switch (mask) {
    case BY_KEEP: return array_get(&c->keep, row * COLS + col) != 0.0;
    case BY_LENGTHS: return (double)col < array_get(&c->lengths, row);
    case BY_CAUSAL: return col <= row + c->options.offset;
    default: return array_get(&c->bias, row * COLS + col) != -HUGE_VAL;
    }
}

/* Writes to the masked places of x, and of the bias unless that is the mask. */
static void poison_masked_scores(softmax_case *c, softmax_mask mask, double poison) {
    for (int64_t i = 0; i < ROWS * COLS; i++) {
        if (!softmax_sees(c, mask, i / COLS, i % COLS)) {
            array_set(&c->x, i, poison);
            if (c->options.bias.given && mask != BY_BIAS) {
                array_set(&c->bias, i, poison);
            }
        }
    }
}

static void create_masked_softmax(softmax_case *c, const softmax_options *options, softmax_mask mask,
                                  random_source random) {
    softmax_case_create(c, options, &random);
    if (mask == BY_BIAS) {
        mask_by_bias(&c->bias);
    }
    poison_masked_scores(c, mask, 0.0);
}

static void check_softmax(softmax_mask mask, int variant, const softattn_context *context,
                          random_source *random) {
    softmax_options options = softmax_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, ROWS, COLS);
    options.layout = variant & 2 ? ARRAY_TRANSPOSED : ARRAY_COMPACT;
    options.output = variant & 4 ? SOFTATTN_OUTPUT_LOG_PROBABILITIES : SOFTATTN_OUTPUT_PROBABILITIES;
    options.bias.given = mask == BY_BIAS || variant & 8;
    options.keep.given = mask == BY_KEEP;
    options.lengths.given = mask == BY_LENGTHS;
    options.causal = mask == BY_CAUSAL ? SOFTATTN_CAUSAL_OFFSET : SOFTATTN_CAUSAL_NONE;
    options.offset = 33;
    softmax_case clean, poisoned;
    create_masked_softmax(&clean, &options, mask, *random);
    EXPECT(softmax_case_run(&clean, context) == SOFTATTN_OK, "%s", last_error());
    for (int i = 0; i < POISONS; i++) {
        create_masked_softmax(&poisoned, &options, mask, *random);
        poison_masked_scores(&poisoned, mask, poisons[i]);
        EXPECT(softmax_case_run(&poisoned, context) == SOFTATTN_OK, "%s", last_error());
        const int64_t differences = compare_bits("y", &poisoned.y, &clean.y) +
                                    compare_bits("lse", &poisoned.lse, &clean.lse) +
                                    compare_bits("row_max", &poisoned.row_max, &clean.row_max);
        EXPECT(differences == 0, "masked %g on %s: %s", poisons[i], softattn_context_isa(context),
               softmax_case_text(&clean));
        softmax_case_destroy(&poisoned);
    }
    softmax_case_destroy(&clean);
    (void)random_bits(random); /* so that the next case has other contents */
}

static void masked_scores_do_not_change_softmax(const softattn_context *context, random_source *random) {
    for (int mask = 0; mask < SOFTMAX_MASKS; mask++) {
        for (int variant = 0; variant < 16; variant++) {
            check_softmax((softmax_mask)mask, variant, context, random);
        }
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_masked_contents_have_no_effect");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        masked_scores_do_not_change_softmax(context, &random);
        masked_keys_and_values_do_not_change_other_rows(context, &random);
        masked_biases_do_not_change_any_row(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
