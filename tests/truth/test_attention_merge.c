/*
 * softattn_attention_merge: attention over parts of the keys, cut anywhere, joins to attention over all of them
 * within the bounds of the oracle; parts without keys have no effect, whatever their output holds; and neither
 * layout, memory in place, threads nor instruction set change a bit.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <string.h>

enum { MOST_PARTS = 7, RANDOM_MERGES = 60, RANDOM_CUTS = 20, MOST_THREADS = 8 };

/* Partial results, and arrays for the merged one. */
typedef struct merging {
    array_type type;
    int64_t shape[4]; /* batch, heads, seq, dim */
    int64_t parts;
    test_array outs[MOST_PARTS], lses[MOST_PARTS], out, lse;
} merging;

static void create_merging(merging *m, array_type type, const int64_t *shape, int64_t parts,
                           array_layout layout) {
    const array_layout of_inputs = layout == ARRAY_SPREAD ? ARRAY_BACKWARDS : layout;
    *m = (merging){.type = type, .parts = parts};
    memcpy(m->shape, shape, sizeof m->shape);
    for (int64_t p = 0; p < parts; p++) {
        array_create(&m->outs[p], type, 4, shape, of_inputs, GUARD_AFTER);
        array_create(&m->lses[p], type, 3, shape, of_inputs, GUARD_BEFORE);
    }
    array_create(&m->out, type, 4, shape, layout, GUARD_BEFORE);
    array_create(&m->lse, type, 3, shape, layout, GUARD_AFTER);
}

static void destroy_merging(merging *m) {
    for (int64_t p = 0; p < m->parts; p++) {
        array_destroy(&m->outs[p]);
        array_destroy(&m->lses[p]);
    }
    array_destroy(&m->out);
    array_destroy(&m->lse);
}

static int32_t merge_into(const merging *m, const softattn_context *context, const test_array *out,
                          const test_array *lse) {
    const softattn_tensor *outs[MOST_PARTS], *lses[MOST_PARTS];
    for (int64_t p = 0; p < m->parts; p++) {
        outs[p] = &m->outs[p].tensor;
        lses[p] = &m->lses[p].tensor;
    }
    return softattn_attention_merge(context, m->parts, outs, lses, &out->tensor, lse ? &lse->tensor : NULL);
}

/* Any numbers; every eighth row of a part is empty, and its output NaN. */
static void fill_parts(merging *m, random_source *random) {
    for (int64_t p = 0; p < m->parts; p++) {
        array_fill_normal(&m->outs[p], random, 1.0);
        array_fill_normal(&m->lses[p], random, 3.0);
        for (int64_t row = 0; row < array_count(&m->lses[p]); row++) {
            if (random_below(random, 8) == 0) {
                array_set(&m->lses[p], row, -HUGE_VAL);
                for (int64_t d = 0; d < m->shape[3]; d++) {
                    array_set(&m->outs[p], row * m->shape[3] + d, NAN);
                }
            }
        }
    }
}

/* ---- Values -------------------------------------------------------------------------------------------- */

static void fill_result(oracle_result *result, const test_array *array) {
    for (int64_t i = 0; i < result->count; i++) {
        result->value[i] = (oracle_real)array_get(array, i);
    }
}

/* What the oracle makes of the parts as they are. */
static oracle_merge_results expected_of(const merging *m) {
    oracle_result outs[MOST_PARTS], lses[MOST_PARTS];
    for (int64_t p = 0; p < m->parts; p++) {
        outs[p] = oracle_result_create(array_count(&m->outs[p]));
        lses[p] = oracle_result_create(array_count(&m->lses[p]));
        fill_result(&outs[p], &m->outs[p]);
        fill_result(&lses[p], &m->lses[p]);
    }
    const oracle_merge problem = {.parts = m->parts,
                                  .rows = array_count(&m->lse),
                                  .dim = m->shape[3],
                                  .outs = outs,
                                  .lses = lses,
                                  .precision = m->type == ARRAY_F32 ? oracle_f32 : oracle_f64};
    const oracle_merge_results results = oracle_merge_compute(&problem);
    for (int64_t p = 0; p < m->parts; p++) {
        oracle_result_destroy(&outs[p]);
        oracle_result_destroy(&lses[p]);
    }
    return results;
}

static void check_values(const merging *m, const softattn_context *context, const char *what) {
    oracle_merge_results expected = expected_of(m);
    EXPECT(merge_into(m, context, &m->out, &m->lse) == SOFTATTN_OK, "%s", last_error());
    EXPECT(compare_with_oracle("out", &m->out, &expected.out) == 0 &&
               compare_with_oracle("lse", &m->lse, &expected.lse) == 0,
           "%s: %d parts of %d x %d on %s", what, (int)m->parts, (int)array_count(&m->lse), (int)m->shape[3],
           softattn_context_isa(context));
    EXPECT(array_gaps_untouched(&m->out) && array_gaps_untouched(&m->lse), "gaps");
    oracle_merge_results_destroy(&expected);
}

static void random_parts_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_MERGES; i++) {
        const int64_t shape[4] = {random_between(random, 1, 3), random_between(random, 1, 3),
                                  random_between(random, 1, 40), random_between(random, 1, 70)};
        const array_layout layout = (array_layout)random_below(random, ARRAY_BACKWARDS);
        merging m;
        create_merging(&m, i % 2 ? ARRAY_F64 : ARRAY_F32, shape, random_between(random, 1, MOST_PARTS),
                       layout);
        fill_parts(&m, random);
        check_values(&m, context, "random parts");
        destroy_merging(&m);
    }
}

/* Log-sum-exps that differ by more than any exponential can tell, are huge, or are no numbers. */
static void special_log_sum_exps_match_the_oracle(const softattn_context *context, random_source *random) {
    static const double lses[][2] = {{0, 200},
                                     {-1e4, 1e4},
                                     {1e30, 1e30},
                                     {-1e30, 0},
                                     {-80, -80},
                                     {NAN, 0},
                                     {0, NAN},
                                     {HUGE_VAL, 0},
                                     {-HUGE_VAL, 5},
                                     {-HUGE_VAL, 1e30},
                                     {-HUGE_VAL, -HUGE_VAL},
                                     {NAN, -HUGE_VAL}};
    const int64_t shape[4] = {1, 1, 2, 5};
    for (size_t i = 0; i < sizeof lses / sizeof *lses; i++) {
        for (int type = 0; type < 2; type++) {
            merging m;
            create_merging(&m, type ? ARRAY_F64 : ARRAY_F32, shape, 2, ARRAY_COMPACT);
            for (int64_t p = 0; p < 2; p++) {
                array_fill_normal(&m.outs[p], random, 1.0);
                array_fill(&m.lses[p], 0.0);
                array_set(&m.lses[p], 0, lses[i][p]); /* row 1 stays an ordinary one */
            }
            check_values(&m, context, "special log-sum-exps");
            destroy_merging(&m);
        }
    }
}

/* ---- Cuts of a whole ----------------------------------------------------------------------------------- */

/* 0 = cuts[0] <= … <= cuts[parts] = keys; now and then twice the same, or at a border of tiles. */
static void choose_cuts(int64_t *cuts, int64_t parts, int64_t keys, random_source *random) {
    for (int64_t p = 0; p <= parts; p++) {
        const int64_t any = random_between(random, 0, keys);
        const int64_t cut = p == 0 ? 0 : p == parts ? keys : random_below(random, 3) ? any : any / 128 * 128;
        int64_t at = p;
        while (at > 0 && cuts[at - 1] > cut) {
            cuts[at] = cuts[at - 1];
            at--;
        }
        cuts[at] = cut;
    }
}

/* Lets the case's queries see keys first … last - 1 only, and gives the sink to the first part. */
static void select_keys(attention_case *c, int64_t first, int64_t last, bool with_sink) {
    array_fill(&c->key_starts, (double)first);
    array_fill(&c->key_lengths, (double)last);
    c->options.has_sink = with_sink;
    c->args.sink = with_sink ? &c->sink.tensor : NULL;
}

/* Runs every part; the bounds of merging them are those of the parts and those of the merge together. */
static oracle_merge_results run_parts(attention_case *c, const int64_t *cuts, merging *m,
                                      const softattn_context *context) {
    const bool has_sink = c->options.has_sink;
    oracle_attention_results parts[MOST_PARTS];
    oracle_result outs[MOST_PARTS], lses[MOST_PARTS];
    for (int64_t p = 0; p < m->parts; p++) {
        select_keys(c, cuts[p], cuts[p + 1], has_sink && p == 0);
        parts[p] = attention_case_expected(c);
        outs[p] = parts[p].out;
        lses[p] = parts[p].lse;
        EXPECT(attention_case_differences_from(c, context, &parts[p]) == 0, "part of %s",
               attention_case_text(c));
        array_copy(&m->outs[p], &c->out);
        array_copy(&m->lses[p], &c->lse);
    }
    select_keys(c, 0, c->options.seq_kv, has_sink);
    const oracle_merge problem = {.parts = m->parts,
                                  .rows = array_count(&m->lse),
                                  .dim = m->shape[3],
                                  .outs = outs,
                                  .lses = lses,
                                  .precision = m->type == ARRAY_F32 ? oracle_f32 : oracle_f64};
    const oracle_merge_results bounds = oracle_merge_compute(&problem);
    for (int64_t p = 0; p < m->parts; p++) {
        oracle_attention_results_destroy(&parts[p]);
    }
    return bounds;
}

/* The whole's exact values within the bounds of the merged parts. */
static void check_against_whole(const attention_case *c, const merging *m, oracle_merge_results *bounds,
                                const softattn_context *context) {
    oracle_attention_results whole = attention_case_expected(c);
    EXPECT(merge_into(m, context, &m->out, &m->lse) == SOFTATTN_OK, "%s", last_error());
    memcpy(bounds->out.value, whole.out.value, (size_t)whole.out.count * sizeof *whole.out.value);
    memcpy(bounds->lse.value, whole.lse.value, (size_t)whole.lse.count * sizeof *whole.lse.value);
    EXPECT(compare_with_oracle("out", &m->out, &bounds->out) == 0 &&
               compare_with_oracle("lse", &m->lse, &bounds->lse) == 0,
           "%d parts on %s: %s", (int)m->parts, softattn_context_isa(context), attention_case_text(c));
    oracle_attention_results_destroy(&whole);
}

static attention_options options_to_cut(random_source *random) {
    attention_options o = attention_options_random(random);
    o.engine = random_below(random, 4) ? SOFTATTN_ENGINE_FUSED : SOFTATTN_ENGINE_BLAS;
    o.layout = o.layout == ATTENTION_PACKED ? ATTENTION_SEQ_FIRST : o.layout;
    o.seq_kv = random_between(random, 1, 700);
    o.dim_qk = random_between(random, 1, 20);
    o.wants_weights = false;
    if (o.causal == SOFTATTN_CAUSAL_BOTTOM_RIGHT) {
        o.causal = SOFTATTN_CAUSAL_OFFSET; /* bottom right is a matter of the part's own length */
    }
    o.has_sink = random_below(random, 2);
    o.has_alibi = random_below(random, 3) == 0;
    o.has_key_lengths = o.has_key_starts = true;
    return o;
}

static void merged_cuts_equal_the_whole(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_CUTS; i++) {
        const attention_options o = options_to_cut(random);
        const int64_t parts = random_between(random, 1, MOST_PARTS);
        int64_t cuts[MOST_PARTS + 1];
        attention_case c;
        merging m;
        choose_cuts(cuts, parts, o.seq_kv, random);
        attention_case_create(&c, &o, random);
        create_merging(&m, o.type, c.out.shape, parts, ARRAY_PADDED);
        oracle_merge_results bounds = run_parts(&c, cuts, &m, context);
        check_against_whole(&c, &m, &bounds, context);
        oracle_merge_results_destroy(&bounds);
        destroy_merging(&m);
        attention_case_destroy(&c);
    }
}

/* ---- Bits ---------------------------------------------------------------------------------------------- */

/* The same contents in any layout. */
static void create_filled(merging *m, array_layout layout, int64_t parts, random_source contents) {
    const int64_t shape[4] = {2, 3, 50, 37};
    create_merging(m, ARRAY_F32, shape, parts, layout);
    fill_parts(m, &contents);
}

static void expect_same_bits(const merging *a, const test_array *out, const test_array *lse,
                             const char *what) {
    EXPECT(compare_bits("out", out, &a->out) == 0 && compare_bits("lse", lse, &a->lse) == 0, "%s", what);
}

/* What a part without keys holds in its output has no effect; with no part left the row is empty. */
static void empty_parts_have_no_effect(const softattn_context *context, random_source *random) {
    static const double poisons[] = {NAN, HUGE_VAL, -HUGE_VAL, 1e38, 0.0};
    const int64_t shape[4] = {1, 2, 9, 6};
    for (size_t i = 0; i < sizeof poisons / sizeof *poisons; i++) {
        merging with, without;
        create_merging(&with, ARRAY_F32, shape, 5, ARRAY_COMPACT);
        create_merging(&without, ARRAY_F32, shape, 2, ARRAY_COMPACT);
        for (int64_t p = 0; p < 5; p++) {
            array_fill(&with.outs[p], poisons[i]);
            array_fill(&with.lses[p], -HUGE_VAL);
        }
        EXPECT(merge_into(&with, context, &with.out, &with.lse) == SOFTATTN_OK, "%s", last_error());
        for (int64_t j = 0; j < array_count(&with.out); j++) {
            EXPECT(array_get(&with.out, j) == 0.0, "only empty parts of %g", poisons[i]);
            EXPECT(array_get(&with.lse, j / 6) == -HUGE_VAL, "only empty parts of %g", poisons[i]);
        }
        for (int64_t p = 0; p < 2; p++) {
            array_fill_normal(&without.outs[p], random, 1.0);
            array_fill_normal(&without.lses[p], random, 3.0);
            array_copy(&with.outs[1 + 2 * p], &without.outs[p]);
            array_copy(&with.lses[1 + 2 * p], &without.lses[p]);
        }
        EXPECT(merge_into(&with, context, &with.out, &with.lse) == SOFTATTN_OK, "%s", last_error());
        EXPECT(merge_into(&without, context, &without.out, &without.lse) == SOFTATTN_OK, "%s", last_error());
        expect_same_bits(&without, &with.out, &with.lse, "empty parts before, between and after");
        destroy_merging(&with);
        destroy_merging(&without);
    }
}

static void merging_in_place_changes_no_bit(const softattn_context *context, random_source *random) {
    merging separate, in_place;
    for (int layout = 0; layout < ARRAY_SPREAD; layout++) {
        create_filled(&separate, (array_layout)layout, 4, *random);
        create_filled(&in_place, (array_layout)layout, 4, *random);
        EXPECT(merge_into(&separate, context, &separate.out, &separate.lse) == SOFTATTN_OK, "%s",
               last_error());
        EXPECT(merge_into(&in_place, context, &in_place.outs[0], &in_place.lses[0]) == SOFTATTN_OK, "%s",
               last_error());
        expect_same_bits(&separate, &in_place.outs[0], &in_place.lses[0], "out and lse in place");
        array_copy(&in_place.outs[0], &separate.outs[0]);
        array_copy(&in_place.lses[0], &separate.lses[0]);
        EXPECT(merge_into(&in_place, context, &in_place.out, &in_place.lses[0]) == SOFTATTN_OK, "%s",
               last_error());
        expect_same_bits(&separate, &in_place.out, &in_place.lses[0], "lse in place");
        array_copy(&in_place.lses[0], &separate.lses[0]);
        EXPECT(merge_into(&in_place, context, &in_place.outs[0], NULL) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("out", &in_place.outs[0], &separate.out) == 0, "out in place, lse not wanted");
        EXPECT(array_untouched(&in_place.lse), "lse is not wanted");
        destroy_merging(&separate);
        destroy_merging(&in_place);
    }
    (void)random_bits(random); /* so that the next test has other contents */
}

static void layouts_change_no_bit(const softattn_context *context, random_source *random) {
    merging compact, other;
    create_filled(&compact, ARRAY_COMPACT, 3, *random);
    EXPECT(merge_into(&compact, context, &compact.out, &compact.lse) == SOFTATTN_OK, "%s", last_error());
    for (int layout = ARRAY_PADDED; layout < ARRAY_BACKWARDS; layout++) {
        create_filled(&other, (array_layout)layout, 3, *random);
        EXPECT(merge_into(&other, context, &other.out, &other.lse) == SOFTATTN_OK, "%s", last_error());
        expect_same_bits(&compact, &other.out, &other.lse, array_layout_name((array_layout)layout));
        destroy_merging(&other);
    }
    destroy_merging(&compact);
}

static void threads_and_instruction_sets_change_no_bit(random_source *random) {
    softattn_context *const generic = context_create("generic", 1);
    merging expected, actual;
    create_filled(&expected, ARRAY_COMPACT, MOST_PARTS, *random);
    create_filled(&actual, ARRAY_COMPACT, MOST_PARTS, *random);
    EXPECT(merge_into(&expected, generic, &expected.out, &expected.lse) == SOFTATTN_OK, "%s", last_error());
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        for (int32_t threads = 1; threads <= MOST_THREADS && isa_is_exact(softattn_isa_name(i)); threads++) {
            softattn_context *const context = context_create(softattn_isa_name(i), threads);
            array_forget(&actual.out);
            array_forget(&actual.lse);
            EXPECT(merge_into(&actual, context, &actual.out, &actual.lse) == SOFTATTN_OK, "%s", last_error());
            expect_same_bits(&expected, &actual.out, &actual.lse, softattn_isa_name(i));
            softattn_context_destroy(context);
        }
    }
    EXPECT(merge_into(&actual, NULL, &actual.out, &actual.lse) == SOFTATTN_OK, "%s", last_error());
    destroy_merging(&expected);
    destroy_merging(&actual);
    softattn_context_destroy(generic);
}

/* ---- Sizes --------------------------------------------------------------------------------------------- */

static void sizes_of_0_and_lower_ranks_are_served(const softattn_context *context, random_source *random) {
    const int64_t shapes[][4] = {{0, 2, 3, 4}, {2, 0, 3, 4}, {2, 3, 0, 4}, {2, 3, 4, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        merging m;
        create_merging(&m, ARRAY_F32, shapes[i], 2, ARRAY_COMPACT);
        fill_parts(&m, random);
        check_values(&m, context, "a size of 0");
        destroy_merging(&m);
    }
    const int64_t shape[4] = {1, 1, 8, 5};
    for (int32_t left_out = 1; left_out <= 2; left_out++) {
        merging m;
        create_merging(&m, ARRAY_F32, shape, 2, ARRAY_COMPACT);
        fill_parts(&m, random);
        test_array *const arrays[] = {&m.outs[0], &m.outs[1], &m.lses[0], &m.lses[1], &m.out, &m.lse};
        for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) {
            arrays[j]->tensor.ndim -= left_out;
            for (int32_t axis = 0; axis < arrays[j]->tensor.ndim; axis++) {
                arrays[j]->shape[axis] = arrays[j]->shape[axis + left_out];
                arrays[j]->strides[axis] = arrays[j]->strides[axis + left_out];
            }
        }
        check_values(&m, context, "lower rank");
        destroy_merging(&m);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_merge");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        random_parts_match_the_oracle(context, &random);
        special_log_sum_exps_match_the_oracle(context, &random);
        merged_cuts_equal_the_whole(context, &random);
        empty_parts_have_no_effect(context, &random);
        merging_in_place_changes_no_bit(context, &random);
        layouts_change_no_bit(context, &random);
        sizes_of_0_and_lower_ranks_are_served(context, &random);
        softattn_context_destroy(context);
    }
    threads_and_instruction_sets_change_no_bit(&random);
    return expect_summary();
}
