/*
 * Tokens, probabilities and diagnoses are the same bits on every instruction set with fused multiply-add, with any number
 * of threads, in any layout and alignment, in place or not, and whatever rows are neighbours.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "diagnosis_case.h"
#include "expect.h"
#include "sampling_case.h"
#include "softmax_case.h"

#include <inttypes.h>
#include <string.h>

enum { PROBLEMS = 80, VOCABULARY = 3000, LARGE_VOCABULARY = 20000 };

/* ---- Tokens ---- */

/* The same contents under two sets of options and on two contexts. */
static void compare_samples(const sampling_options *options, const softattn_context *context,
                            const sampling_options *expected_options,
                            const softattn_context *expected_context, random_source *random) {
    sampling_case actual, expected;
    random_source same = *random;
    sampling_case_create(&expected, expected_options, random);
    sampling_case_create(&actual, options, &same);
    EXPECT(sampling_case_run(&expected, expected_context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(sampling_case_run(&actual, context) == SOFTATTN_OK, "%s", last_error());
    int64_t differences = compare_bits("keep_mask", &actual.keep, &expected.keep) +
                          compare_bits("probabilities", sampling_case_probabilities(&actual),
                                       sampling_case_probabilities(&expected));
    for (int64_t row = 0; row < options->rows; row++) {
        differences += array_get(&actual.tokens, row) != array_get(&expected.tokens, row);
    }
    EXPECT(differences == 0, "on %s with %d threads: %s", softattn_context_isa(context),
           (int)softattn_context_threads(context), sampling_case_text(&actual));
    sampling_case_destroy(&actual);
    sampling_case_destroy(&expected);
}

static void samples_are_the_same(const softattn_context *context, const softattn_context *expected_context,
                                 int64_t problems, int64_t vocabulary, int64_t rows, random_source *random) {
    for (int64_t i = 0; i < problems; i++) {
        sampling_options options = sampling_options_random(random, 1 + random_below(random, vocabulary));
        options.rows += rows;
        compare_samples(&options, context, &options, expected_context, random);
    }
}

static void layouts_do_not_change_tokens(const softattn_context *context, random_source *random) {
    for (int64_t i = 0; i < PROBLEMS; i++) {
        const sampling_options options =
            sampling_options_random(random, 1 + random_below(random, VOCABULARY));
        sampling_options compact = options;
        compact.layout = ARRAY_COMPACT;
        compact.in_place = false;
        compact.side =
            options.side == GUARD_AFTER ? GUARD_BEFORE : GUARD_AFTER; /* and so another alignment */
        compare_samples(&options, context, &compact, context, random);
    }
}

/* A row by itself gives what it gives among others. */
static void neighbours_do_not_change_tokens(const softattn_context *context, random_source *random) {
    for (int64_t i = 0; i < PROBLEMS; i++) {
        sampling_options options = sampling_options_random(random, 1 + random_below(random, VOCABULARY));
        options.in_place = false;
        sampling_case all, one;
        sampling_case_create(&all, &options, random);
        const int64_t row = random_below(random, options.rows);
        options.rows = 1;
        sampling_case_create(&one, &options, random);
        for (int64_t j = 0; j < options.vocabulary; j++) {
            array_set(&one.logits, j, array_get(&all.logits, row * options.vocabulary + j));
        }
        array_set(&one.uniform, 0, array_get(&all.uniform, row));
        EXPECT(sampling_case_run(&all, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(sampling_case_run(&one, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(array_get(&one.tokens, 0) == array_get(&all.tokens, row), "%s", sampling_case_text(&one));
        sampling_case_destroy(&one);
        sampling_case_destroy(&all);
    }
}

/* ---- Probabilities are softmax's ---- */

static void probabilities_at_temperature_1_are_those_of_a_masked_softmax(const softattn_context *context,
                                                                         random_source *random) {
    for (int64_t i = 0; i < PROBLEMS; i++) {
        sampling_options options = sampling_options_random(random, 1 + random_below(random, VOCABULARY));
        options.temperature = 1;
        options.in_place = false;
        sampling_case problem;
        test_array expected;
        softattn_softmax *softmax = NULL;
        const int64_t shape[] = {options.rows, options.vocabulary};
        sampling_case_create(&problem, &options, random);
        array_create(&expected, options.type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        EXPECT(sampling_case_run(&problem, context) == SOFTATTN_OK, "%s", last_error());
        const softattn_softmax_args args = {.struct_size = sizeof args,
                                            .x = &problem.logits.tensor,
                                            .y = &expected.tensor,
                                            .keep_mask = &problem.keep.tensor};
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("probabilities", &problem.probabilities, &expected) == 0, "%s",
               sampling_case_text(&problem));
        softattn_softmax_destroy(softmax);
        array_destroy(&expected);
        sampling_case_destroy(&problem);
    }
}

/* ---- Diagnoses ---- */

static void compare_diagnoses(const diagnosis_arrays *actual, const diagnosis_arrays *expected,
                              const char *what) {
    int64_t differences = compare_bits("saturated", &actual->saturated, &expected->saturated);
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        differences += compare_bits(diagnosis_number_name((diagnosis_number)i), &actual->numbers[i],
                                    &expected->numbers[i]);
    }
    differences += memcmp(&actual->summary, &expected->summary, sizeof actual->summary) != 0;
    EXPECT(differences == 0, "%s", what);
}

static void diagnose_softmax(softmax_case *problem, const softattn_context *context,
                             diagnosis_arrays *arrays) {
    const softmax_options *const options = &problem->options;
    int64_t shape[SOFTATTN_MAX_RANK];
    for (int32_t i = 0, r = 0; i < options->rank; i++) {
        if (i != options->axis) {
            shape[r++] = options->shape[i];
        }
    }
    diagnosis_arrays_create(arrays, options->type, options->rank - 1, shape, options->side);
    softattn_softmax *const softmax = softmax_case_handle(problem, context);
    EXPECT(softattn_softmax_diagnose(softmax, &problem->args, &arrays->outputs) == SOFTATTN_OK, "%s",
           last_error());
    softattn_softmax_destroy(softmax);
}

static void diagnoses_are_the_same(const softattn_context *context, const softattn_context *expected_context,
                                   int64_t elements, random_source *random) {
    for (int64_t i = 0; i < PROBLEMS; i++) {
        const softmax_options options = softmax_options_random(random, elements);
        softmax_options compact = options;
        compact.layout = ARRAY_COMPACT;
        softmax_case actual, expected;
        diagnosis_arrays actual_arrays, expected_arrays;
        random_source same = *random;
        softmax_case_create(&expected, &compact, random);
        softmax_case_create(&actual, &options, &same);
        diagnose_softmax(&actual, context, &actual_arrays);
        diagnose_softmax(&expected, expected_context, &expected_arrays);
        compare_diagnoses(&actual_arrays, &expected_arrays, softmax_case_text(&actual));
        diagnosis_arrays_destroy(&actual_arrays);
        diagnosis_arrays_destroy(&expected_arrays);
        softmax_case_destroy(&actual);
        softmax_case_destroy(&expected);
    }
}

static void threads_do_not_change_diagnoses_of_attention(const softattn_context *serial,
                                                         const softattn_context *context,
                                                         random_source *random) {
    for (int64_t i = 0; i < 10; i++) {
        attention_options options = attention_options_random(random);
        attention_options_add_masks(&options, random);
        options.sequences =
            0; /* rows between packed sequences are not written, which compare_bits takes for wrong */
        attention_case problem;
        attention_case_create(&problem, &options, random);
        const int64_t shape[] = {options.batch, options.heads_q, options.seq_q};
        diagnosis_arrays arrays[2];
        for (int32_t n = 0; n < 2; n++) {
            diagnosis_arrays_create(&arrays[n], options.type, 3, shape, GUARD_AFTER);
            softattn_attention *const attention = attention_case_handle(&problem, n ? context : serial);
            EXPECT(softattn_attention_diagnose(attention, &problem.args, &arrays[n].outputs) == SOFTATTN_OK,
                   "%s", last_error());
            softattn_attention_destroy(attention);
        }
        compare_diagnoses(&arrays[1], &arrays[0], attention_case_text(&problem));
        diagnosis_arrays_destroy(&arrays[0]);
        diagnosis_arrays_destroy(&arrays[1]);
        attention_case_destroy(&problem);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_output_keeps_bits");
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        const char *const isa = softattn_isa_name(i);
        softattn_context *const serial = context_create(isa, 1), *const threads = context_create(isa, 5);
        if (isa_is_exact(isa)) {
            samples_are_the_same(serial, generic, PROBLEMS, VOCABULARY, 0, &random);
            samples_are_the_same(serial, generic, 4, LARGE_VOCABULARY, 0, &random);
            diagnoses_are_the_same(serial, generic, 2000, &random);
        }
        samples_are_the_same(threads, serial, 4, LARGE_VOCABULARY, 40, &random);
        diagnoses_are_the_same(threads, serial, 200000, &random);
        threads_do_not_change_diagnoses_of_attention(serial, threads, &random);
        layouts_do_not_change_tokens(serial, &random);
        neighbours_do_not_change_tokens(serial, &random);
        probabilities_at_temperature_1_are_those_of_a_masked_softmax(serial, &random);
        softattn_context_destroy(serial);
        softattn_context_destroy(threads);
    }
    softattn_context_destroy(generic);
    return expect_summary();
}
