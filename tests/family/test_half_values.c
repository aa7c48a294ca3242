/*
 * Results in 16-bit floats are those of the same call on f32 tensors, rounded to the nearest; statistics and losses are the
 * same bits. On every instruction set, with any number of threads, any layout, any mask, in place or not, and in runs so
 * large that results are stored around the caches. Other mixes of types are refused.
 */
#include "backward_case.h"
#include "compare.h"
#include "contexts.h"
#include "entropy_case.h"
#include "expect.h"
#include "halves.h"
#include "softmax_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_PROBLEMS = 30, RANDOM_PROBLEMS = 60, SOME_ELEMENTS = 1500, MANY_ELEMENTS = 200000 };

static const struct half_type {
    array_type type;
    const half_kind *kind;
    const char *name;
} half_types[] = {{ARRAY_F16, &half_f16, "f16"}, {ARRAY_BF16, &half_bf16, "bf16"}};

/* ---- Halves of float arrays ---- */

/* Creates half with the numbers of real, rounded, which real then holds too. */
static void create_half(test_array *half, array_type type, test_array *real, array_layout layout,
                        guard_side side) {
    array_create(half, type, real->tensor.ndim, real->shape, layout, side);
    for (int64_t i = 0; i < array_count(real); i++) {
        array_set(half, i, array_get(real, i));
        array_set(real, i, array_get(half, i));
    }
}

static int64_t count_unlike_rounded(const test_array *half, const half_kind *kind, const test_array *real) {
    int64_t differences = array_gaps_untouched(half) ? 0 : 1;
    for (int64_t i = 0; i < array_count(real); i++) {
        const double expected = half_value(kind, half_nearest(kind, array_get(real, i)));
        const double actual = array_get(half, i);
        const bool is_same =
            isnan(expected) ? isnan(actual) : actual == expected && !signbit(actual) == !signbit(expected);
        differences += !is_same;
    }
    return differences;
}

/* ---- The operations ---- */

/* With the statistics or, where is_plain says so, without. */
static void softmax_is_rounded(const softmax_options *options, bool is_plain, const struct half_type *half,
                               const softattn_context *context, random_source *random) {
    softmax_case c;
    test_array x, y = {0}, lse, row_max;
    softmax_case_create(&c, options, random);
    if (is_plain) {
        c.args.lse = c.args.row_max = NULL;
    }
    create_half(&x, half->type, &c.x, options->layout, options->side);
    if (!options->in_place) {
        array_create(&y, half->type, options->rank, options->shape, options->output_layout, options->side);
    }
    array_create(&lse, ARRAY_F32, options->rank - 1, c.lse.shape, ARRAY_COMPACT, options->side);
    array_create(&row_max, ARRAY_F32, options->rank - 1, c.lse.shape, ARRAY_COMPACT, options->side);
    test_array *const result = options->in_place ? &x : &y;

    softattn_softmax_args args = c.args;
    args.x = &x.tensor;
    args.y = &result->tensor;
    args.lse = c.args.lse == NULL ? NULL : &lse.tensor;
    args.row_max = c.args.row_max == NULL ? NULL : &row_max.tensor;
    softattn_softmax *const softmax = softmax_case_handle(&c, context);
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_run(softmax, &c.args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(count_unlike_rounded(result, half->kind, softmax_case_result(&c)) == 0, "%s on %s: %s", half->name,
           softattn_context_isa(context), softmax_case_text(&c));
    EXPECT(args.lse == NULL || compare_bits("lse", &lse, &c.lse) == 0, "%s", softmax_case_text(&c));
    EXPECT(args.row_max == NULL || compare_bits("row_max", &row_max, &c.row_max) == 0, "%s",
           softmax_case_text(&c));
    softattn_softmax_destroy(softmax);
    array_destroy(&row_max);
    array_destroy(&lse);
    array_destroy(&y);
    array_destroy(&x);
    softmax_case_destroy(&c);
}

static int32_t run_product(const backward_options *options, const softattn_softmax *softmax,
                           const test_array *y, const test_array *v, const test_array *out) {
    const softattn_softmax_backward_args backward = {sizeof backward, &y->tensor, &v->tensor, &out->tensor};
    const softattn_softmax_jvp_args jvp = {sizeof jvp, &y->tensor, &v->tensor, &out->tensor};
    return options->is_jvp ? softattn_softmax_jvp(softmax, &jvp)
                           : softattn_softmax_backward(softmax, &backward);
}

static void product_is_rounded(const backward_options *options, const struct half_type *half,
                               const softattn_context *context, random_source *random) {
    backward_case c;
    test_array y, v, out = {0};
    backward_case_create(&c, options, random);
    create_half(&y, half->type, &c.y, options->layout, options->side);
    create_half(&v, half->type, &c.v, options->layout, options->side);
    if (!options->in_place) {
        array_create(&out, half->type, options->rank, options->shape, options->output_layout, options->side);
    }
    test_array *const result = options->in_place ? &v : &out;
    softattn_softmax *const softmax = backward_case_handle(&c, context);
    EXPECT(run_product(options, softmax, &y, &v, result) == SOFTATTN_OK, "%s", last_error());
    EXPECT(run_product(options, softmax, &c.y, &c.v, backward_case_result(&c)) == SOFTATTN_OK, "%s",
           last_error());
    EXPECT(count_unlike_rounded(result, half->kind, backward_case_result(&c)) == 0, "%s on %s: %s",
           half->name, softattn_context_isa(context), backward_case_text(&c));
    softattn_softmax_destroy(softmax);
    array_destroy(&out);
    array_destroy(&v);
    array_destroy(&y);
    backward_case_destroy(&c);
}

static void entropy_is_rounded(const entropy_options *options, const struct half_type *half,
                               const softattn_context *context, random_source *random) {
    entropy_case c;
    test_array logits, probabilities = {0}, gradient = {0}, losses, lse;
    entropy_case_create(&c, options, random);
    create_half(&logits, half->type, &c.logits, options->layout, options->side);
    if (options->has_probabilities) {
        create_half(&probabilities, half->type, &c.probabilities, options->layout, options->side);
    }
    if (!options->in_place) {
        array_create(&gradient, half->type, options->rank, options->shape, options->output_layout,
                     options->side);
    }
    array_create(&losses, ARRAY_F32, options->rank - 1, options->shape, ARRAY_COMPACT, options->side);
    array_create(&lse, ARRAY_F32, options->rank - 1, options->shape, ARRAY_COMPACT, options->side);
    test_array *const result = options->in_place ? &logits : &gradient;

    softattn_cross_entropy_args args = c.args;
    args.logits = &logits.tensor;
    args.target_probabilities = options->has_probabilities ? &probabilities.tensor : NULL;
    args.gradient = &result->tensor;
    args.losses = &losses.tensor;
    args.lse = &lse.tensor;
    softattn_cross_entropy *const handle = entropy_case_handle(&c, context);
    EXPECT(softattn_cross_entropy_run(handle, &args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_cross_entropy_run(handle, &c.args) == SOFTATTN_OK, "%s", last_error());
    const int64_t differences = count_unlike_rounded(result, half->kind, entropy_case_gradient(&c)) +
                                compare_bits("losses", &losses, &c.losses) +
                                compare_bits("lse", &lse, &c.lse);
    EXPECT(differences == 0, "%s on %s: %s", half->name, softattn_context_isa(context),
           entropy_case_text(&c));
    softattn_cross_entropy_destroy(handle);
    array_destroy(&lse);
    array_destroy(&losses);
    array_destroy(&gradient);
    array_destroy(&probabilities);
    array_destroy(&logits);
    entropy_case_destroy(&c);
}

/* ---- Problems ---- */

static void all_operations_are_rounded(const softattn_context *context, int64_t problems, int64_t elements,
                                       random_source *random) {
    for (int64_t i = 0; i < problems; i++) {
        const struct half_type *half = &half_types[i % 2];
        softmax_options softmax = softmax_options_random(random, elements);
        backward_options backward = backward_options_random(random, elements);
        entropy_options entropy = entropy_options_random(random, elements);
        softmax.type = backward.type = entropy.type = ARRAY_F32;
        softmax_is_rounded(&softmax, false, half, context, random);
        product_is_rounded(&backward, half, context, random);
        entropy_is_rounded(&entropy, half, context, random);
    }
}

/* Rows long enough, and compact, that kernels take them as they lie. */
static void long_rows_are_rounded(const softattn_context *context, random_source *random) {
    static const int64_t all_cols[] = {64, 96, 256, 260, 288, 512, 1000, 1024, 1031, 2080, 4099};
    for (size_t i = 0; i < sizeof all_cols / sizeof *all_cols; i++) {
        const struct half_type *half = &half_types[random_below(random, 2)];
        const int64_t rows = random_between(random, 1, 40), cols = all_cols[i];
        softmax_options softmax = softmax_options_plain(ARRAY_F32, rows, cols);
        backward_options backward = backward_options_plain(ARRAY_F32, rows, cols);
        entropy_options entropy = entropy_options_plain(ARRAY_F32, rows, cols);
        softmax.in_place = backward.in_place = entropy.in_place = random_below(random, 3) == 0;
        backward.output = softmax.output =
            random_below(random, 2) ? SOFTATTN_OUTPUT_PROBABILITIES : SOFTATTN_OUTPUT_LOG_PROBABILITIES;
        softmax.scale = random_below(random, 2) ? 1 : random_below(random, 4) ? 0.3 : -0.3;
        softmax.causal =
            random_below(random, 2) ? SOFTATTN_CAUSAL_NONE : (int32_t)random_between(random, 1, 2);
        softmax.lengths.given = random_below(random, 3) == 0;
        softmax.lengths.single_axes =
            (uint32_t)random_below(random, 2); /* one length for all rows, or one each */
        backward.is_jvp = random_below(random, 2);
        entropy.ignored = random_below(random, 2) ? 0.3 : 0.0;
        softmax_is_rounded(&softmax, false, half, context, random);
        product_is_rounded(&backward, half, context, random);
        entropy_is_rounded(&entropy, half, context, random);
    }
}

/* Rows so short, and so many, that kernels get some dozens of them in their lanes. */
static void short_rows_are_rounded(const softattn_context *context, random_source *random) {
    for (int problem = 0; problem < SHORT_PROBLEMS; problem++) {
        const struct half_type *half = &half_types[problem % 2];
        const int64_t rows = random_between(random, 30, 300), cols = random_between(random, 1, 100);
        softmax_options softmax = softmax_options_plain(ARRAY_F32, rows, cols);
        backward_options backward = backward_options_plain(ARRAY_F32, rows, random_between(random, 1, 40));
        softmax.in_place = backward.in_place = random_below(random, 3) == 0;
        backward.output = softmax.output =
            random_below(random, 2) ? SOFTATTN_OUTPUT_PROBABILITIES : SOFTATTN_OUTPUT_LOG_PROBABILITIES;
        softmax.scale = random_below(random, 2) ? 1 : 0.3;
        backward.is_jvp = random_below(random, 2);
        softmax_is_rounded(&softmax, random_below(random, 2), half, context, random);
        product_is_rounded(&backward, half, context, random);
    }
}

static void on_every_instruction_set(random_source *random) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            softattn_context *const context = context_create(softattn_isa_name(i), threads);
            all_operations_are_rounded(context, RANDOM_PROBLEMS, SOME_ELEMENTS, random);
            all_operations_are_rounded(context, 2, MANY_ELEMENTS, random);
            long_rows_are_rounded(context, random);
            short_rows_are_rounded(context, random);
            softattn_context_destroy(context);
        }
    }
}

/* More elements than a last-level cache holds are too many to round by the definition: rows repeat, and so must results. */
static void large_runs_give_the_bits_of_small_ones(int64_t cols) {
    enum { ELEMENTS = 40000000, SMALL = 8, MOST_COLS = 1100 };
    const int64_t rows = ELEMENTS / cols;
    const size_t elements = (size_t)(rows * cols), few = (size_t)(SMALL * cols);
    uint16_t *const x = malloc(elements * sizeof *x), *const y = malloc(elements * sizeof *y);
    uint16_t small[SMALL * MOST_COLS];
    int64_t differences = 0;
    if (!EXPECT(x != NULL && y != NULL, "no memory for %zu elements", elements)) {
        free(x);
        free(y);
        return;
    }
    for (size_t i = 0; i < elements; i++) {
        x[i] = (uint16_t)(0x3000 + i % few % 3001);
    }
    EXPECT(softattn_softmax_f16(NULL, rows, cols, x, cols, y, cols) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_f16(NULL, SMALL, cols, x, cols, small, cols) == SOFTATTN_OK, "%s", last_error());
    for (size_t i = 0; i < elements; i++) {
        differences += y[i] != small[i % few];
    }
    EXPECT(differences == 0, "%lld differ", (long long)differences);
    free(x);
    free(y);
}

static void expect_refused(softattn_softmax_args args, const char *name) {
    softattn_softmax *softmax = NULL;
    EXPECT(softattn_softmax_create(NULL, &softmax) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_ERROR_TYPE && strstr(last_error(), name) != NULL,
           "%s: %s", name, last_error());
    softattn_softmax_destroy(softmax);
}

/* y of another type than x, 16-bit statistics and a 16-bit bias. */
static void other_mixes_are_refused(void) {
    const int64_t shape[2] = {3, 5};
    test_array f16, f32, bf16, lse;
    array_create(&f16, ARRAY_F16, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&bf16, ARRAY_BF16, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&f32, ARRAY_F32, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&lse, ARRAY_F16, 1, shape, ARRAY_COMPACT, GUARD_AFTER);
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &f16.tensor};
    softattn_softmax_args mixed = args;
    mixed.y = &f32.tensor;
    expect_refused(mixed, "y");
    mixed.y = &bf16.tensor;
    expect_refused(mixed, "y");
    mixed = args;
    mixed.lse = &lse.tensor;
    expect_refused(mixed, "lse");
    mixed.y = &bf16.tensor;
    mixed.lse = NULL;
    mixed.x = &f32.tensor;
    expect_refused(mixed, "y");
    mixed.y = mixed.x = &f16.tensor;
    mixed.bias = &bf16.tensor;
    expect_refused(mixed, "bias");
    EXPECT(array_untouched(&f16) && array_untouched(&bf16) && array_untouched(&f32) && array_untouched(&lse),
           "outputs");
    array_destroy(&lse);
    array_destroy(&f32);
    array_destroy(&bf16);
    array_destroy(&f16);
}

/* What may stand in the place of softmax, forward and backward, on the same scores as floats and as halves. */
static void normalizer_is_rounded(int32_t normalizer, int64_t cols, const struct half_type *half,
                                  random_source *random) {
    const int64_t shape[2] = {5, cols};
    test_array real[3], halves[3]; /* x or dy, y, dx */
    softattn_softmax *softmax = NULL;
    for (int i = 0; i < 3; i++) {
        array_create(&real[i], ARRAY_F32, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_fill_normal(&real[i], random, 3);
        create_half(&halves[i], half->type, &real[i], ARRAY_COMPACT, GUARD_AFTER);
    }
    EXPECT(softattn_softmax_create(NULL, &softmax) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_normalizer(softmax, normalizer) == SOFTATTN_OK, "%s", last_error());
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            const test_array *const arrays = i == 0 ? real : halves;
            const softattn_softmax_args forward = {
                .struct_size = sizeof forward, .x = &arrays[0].tensor, .y = &arrays[1].tensor};
            const softattn_softmax_backward_args backward = {sizeof backward, &arrays[1].tensor,
                                                             &arrays[0].tensor, &arrays[2].tensor};
            EXPECT((pass == 0 ? softattn_softmax_run(softmax, &forward)
                              : softattn_softmax_backward(softmax, &backward)) == SOFTATTN_OK,
                   "%s", last_error());
        }
        EXPECT(count_unlike_rounded(&halves[1 + pass], half->kind, &real[1 + pass]) == 0,
               "%s, normalizer %d, %d columns, %s", half->name, (int)normalizer, (int)cols,
               pass == 0 ? "forward" : "backward");
        for (int64_t i = 0; i < array_count(&real[1]); i++) { /* what the backward pass is given */
            array_set(&real[1], i, array_get(&halves[1], i));
        }
    }
    softattn_softmax_destroy(softmax);
    for (int i = 0; i < 3; i++) {
        array_destroy(&halves[i]);
        array_destroy(&real[i]);
    }
}

static void every_normalizer_is_rounded(random_source *random) {
    for (int32_t normalizer = SOFTATTN_NORMALIZER_SOFTMAX; normalizer <= SOFTATTN_NORMALIZER_ENTMAX;
         normalizer++) {
        for (size_t h = 0; h < sizeof half_types / sizeof *half_types; h++) {
            normalizer_is_rounded(normalizer, 37, &half_types[h], random);
            normalizer_is_rounded(normalizer, 512, &half_types[h], random);
        }
    }
}

/* Diagnoses of 16-bit scores are f32, and those of the scores as f32. */
static void diagnoses_are_those_of_the_floats(random_source *random) {
    for (size_t h = 0; h < sizeof half_types / sizeof *half_types; h++) {
        const int64_t shape[2] = {5, 37};
        test_array real, half, entropy, expected;
        softattn_softmax *softmax = NULL;
        array_create(&real, ARRAY_F32, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_fill_normal(&real, random, 2);
        create_half(&half, half_types[h].type, &real, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&entropy, ARRAY_F32, 1, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&expected, ARRAY_F32, 1, shape, ARRAY_COMPACT, GUARD_AFTER);
        EXPECT(softattn_softmax_create(NULL, &softmax) == SOFTATTN_OK, "%s", last_error());
        softattn_softmax_args args = {.struct_size = sizeof args, .x = &half.tensor};
        softattn_diagnosis diagnosis = {.struct_size = sizeof diagnosis, .entropy = &entropy.tensor};
        EXPECT(softattn_softmax_diagnose(softmax, &args, &diagnosis) == SOFTATTN_OK, "%s", last_error());
        args.x = &real.tensor;
        diagnosis.entropy = &expected.tensor;
        EXPECT(softattn_softmax_diagnose(softmax, &args, &diagnosis) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("entropy", &entropy, &expected) == 0, "%s", half_types[h].name);
        softattn_softmax_destroy(softmax);
        array_destroy(&expected);
        array_destroy(&entropy);
        array_destroy(&half);
        array_destroy(&real);
    }
}

static void jacobians_are_refused(void) {
    const int64_t shape[2] = {4, 4};
    test_array y, jacobian;
    softattn_softmax *softmax = NULL;
    array_create(&y, ARRAY_F16, 1, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&jacobian, ARRAY_F16, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    EXPECT(softattn_softmax_create(NULL, &softmax) == SOFTATTN_OK, "%s", last_error());
    const softattn_softmax_jacobian_args args = {
        .struct_size = sizeof args, .y = &y.tensor, .jacobian = &jacobian.tensor};
    EXPECT(softattn_softmax_jacobian(softmax, &args) == SOFTATTN_ERROR_TYPE, "%s", last_error());
    EXPECT(array_untouched(&jacobian), "the Jacobian was written");
    softattn_softmax_destroy(softmax);
    array_destroy(&jacobian);
    array_destroy(&y);
}

int main(void) {
    random_source random;
    random_start(&random, "test_half_values");
    on_every_instruction_set(&random);
    large_runs_give_the_bits_of_small_ones(48); /* many together in the lanes, but few by themselves */
    large_runs_give_the_bits_of_small_ones(1003);
    large_runs_give_the_bits_of_small_ones(
        1091); /* rows that become floats on their way through the kernel */
    every_normalizer_is_rounded(&random);
    diagnoses_are_those_of_the_floats(&random);
    jacobians_are_refused();
    other_mixes_are_refused();
    return expect_summary();
}
