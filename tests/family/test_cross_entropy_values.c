/*
 * Cross-entropy and its gradient lie within the oracle's bounds, agree with finite differences and with the
 * recorded values of PyTorch's definition, and at every edge are what docs/semantics.md says. Every operand
 * lies flush against an unreadable page.
 */
#include "compare.h"
#include "contexts.h"
#include "entropy_case.h"
#include "expect.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { WIDEST_TRIED = 140, RANDOM_PROBLEMS = 250, MAX_FIXTURE = 64, MAX_FIXTURE_ROWS = 8 };

static void check_case(const entropy_options *options, const softattn_context *context,
                       random_source *random) {
    entropy_case c;
    entropy_case_create(&c, options, random);
    EXPECT(entropy_case_differences(&c, context) == 0, "on %s: %s", softattn_context_isa(context),
           entropy_case_text(&c));
    entropy_case_destroy(&c);
}

static void every_number_of_classes_matches_the_oracle(const softattn_context *context,
                                                       random_source *random) {
    for (int64_t classes = 1; classes <= WIDEST_TRIED; classes++) {
        for (int variant = 0; variant < 8; variant++) {
            entropy_options options = entropy_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 3, classes);
            options.smoothing = variant & 2 ? 0.1 : 0.0;
            options.has_probabilities = (variant & 4) != 0;
            options.has_weights = classes % 3 == 0;
            options.side = classes % 2 ? GUARD_BEFORE : GUARD_AFTER;
            check_case(&options, context, random);
        }
    }
}

static void random_problems_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const entropy_options options = entropy_options_random(random, 2000);
        check_case(&options, context, random);
    }
}

/* ---- PyTorch's definition ---- */

struct fixture {
    const char *name;
    int64_t rows, classes;
    int32_t reduction;
    double smoothing;
    double logits[MAX_FIXTURE];
    bool has_probabilities, has_weights;
    int64_t targets[MAX_FIXTURE_ROWS];
    double probabilities[MAX_FIXTURE], weights[MAX_FIXTURE_ROWS];
    double losses[MAX_FIXTURE_ROWS], total, gradient[MAX_FIXTURE];
};

#include "cross_entropy_fixtures.h"

static void set_all(test_array *array, const double *values) {
    for (int64_t i = 0; i < array_count(array); i++) {
        array_set(array, i, values[i]);
    }
}

/* Values up to 50 and some ten roundings of each. */
static bool is_close(const test_array *actual, const double *expected) {
    const double bound = actual->type == ARRAY_F32 ? 1e-5 : 1e-13;
    for (int64_t i = 0; i < array_count(actual); i++) {
        if (!(fabs(array_get(actual, i) - expected[i]) <= bound * (1 + fabs(expected[i])))) {
            return false;
        }
    }
    return true;
}

static void check_fixture(const struct fixture *f, array_type type, const softattn_context *context,
                          random_source *random) {
    entropy_options options = entropy_options_plain(type, f->rows, f->classes);
    options.has_probabilities = f->has_probabilities;
    options.has_weights = f->has_weights;
    options.smoothing = f->smoothing;
    options.reduction = f->reduction;
    entropy_case c;
    entropy_case_create(&c, &options, random);
    set_all(&c.logits, f->logits);
    set_all(&c.probabilities, f->probabilities);
    set_all(&c.weights, f->weights);
    for (int64_t row = 0; row < f->rows; row++) {
        array_set(&c.targets, row, (double)f->targets[row]);
    }
    EXPECT(entropy_case_run(&c, context) == SOFTATTN_OK, "%s: %s", f->name, last_error());
    EXPECT(is_close(&c.losses, f->losses), "losses of %s", f->name);
    EXPECT(is_close(&c.gradient, f->gradient), "gradient of %s", f->name);
    if (f->reduction != SOFTATTN_REDUCTION_NONE) {
        EXPECT(is_close(&c.total, &f->total), "total of %s is %.17g", f->name, array_get(&c.total, 0));
    }
    entropy_case_destroy(&c);
}

static void values_are_those_of_pytorchs_definition(const softattn_context *context, random_source *random) {
    for (size_t i = 0; i < sizeof fixtures / sizeof fixtures[0]; i++) {
        check_fixture(&fixtures[i], ARRAY_F32, context, random);
        check_fixture(&fixtures[i], ARRAY_F64, context, random);
    }
}

/* ---- Finite differences ---- */

static double total_of(entropy_case *c, const softattn_cross_entropy *handle) {
    EXPECT(softattn_cross_entropy_run(handle, &c->args) == SOFTATTN_OK, "%s", last_error());
    return array_get(&c->total, 0);
}

/* As for softmax: about 10^-9 with h = 10^-6 and totals below 100. */
static void the_gradient_agrees_with_finite_differences(const softattn_context *context,
                                                        random_source *random) {
    const double h = 1e-6;
    for (int variant = 0; variant < 16; variant++) {
        entropy_options options = entropy_options_plain(ARRAY_F64, 3, 6);
        options.has_probabilities = (variant & 1) != 0;
        options.has_weights = (variant & 2) != 0;
        options.smoothing = variant & 4 ? 0.2 : 0.0;
        options.z_loss = variant & 8 ? 0.05 : 0.0;
        options.reduction = variant & 2 ? SOFTATTN_REDUCTION_MEAN : SOFTATTN_REDUCTION_SUM;
        options.scale = variant & 4 ? -0.5 : 1.25;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        array_set(&c.targets, 0, 2.0); /* one row counts at least */
        softattn_cross_entropy *const handle = entropy_case_handle(&c, context);
        (void)total_of(&c, handle);
        double *const gradient = array_read(&c.gradient, 2, options.shape);
        for (int64_t i = 0; i < array_count(&c.logits); i++) {
            const double at = array_get(&c.logits, i);
            array_set(&c.logits, i, at + h);
            const double above = total_of(&c, handle);
            array_set(&c.logits, i, at - h);
            const double below = total_of(&c, handle);
            array_set(&c.logits, i, at);
            const double slope = (above - below) / (2 * h);
            EXPECT(fabs(slope - gradient[i]) < 1e-8, "variant %d, [%" PRId64 "]: %g, differences say %g",
                   variant, i, gradient[i], slope);
        }
        free(gradient);
        softattn_cross_entropy_destroy(handle);
        entropy_case_destroy(&c);
    }
}

/* ---- Edges ---- */

/* What the row's logits hold: nothing special, NaN, +infinity, only -infinity; the last class -infinity. */
enum { ORDINARY, HAS_NAN, HAS_INFINITY, EMPTY, LAST_IS_MASKED, KINDS };

static void set_row(test_array *logits, int64_t row, int64_t classes, int kind) {
    for (int64_t c = 0; c < classes; c++) {
        const double masked = kind == EMPTY || (kind == LAST_IS_MASKED && c == classes - 1) ? -HUGE_VAL : 1.0;
        array_set(logits, row * classes + c, masked * (double)(c + 1));
    }
    if (kind == HAS_NAN || kind == HAS_INFINITY) {
        array_set(logits, row * classes + 1, kind == HAS_NAN ? (double)NAN : HUGE_VAL);
    }
}

/* The oracle has the same rules; here each is spelled out once. */
static void special_rows_give_what_the_semantics_say(const softattn_context *context, random_source *random) {
    for (int type = 0; type < 2; type++) {
        const int64_t classes = 5;
        entropy_options options = entropy_options_plain(type ? ARRAY_F64 : ARRAY_F32, KINDS, classes);
        options.reduction = SOFTATTN_REDUCTION_SUM;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        for (int kind = 0; kind < KINDS; kind++) {
            set_row(&c.logits, kind, classes, kind);
            array_set(&c.targets, kind, 0.0);
        }
        EXPECT(entropy_case_differences(&c, context) == 0, "%s", entropy_case_text(&c));
        for (int kind = 0; kind < KINDS; kind++) {
            const bool is_nan = kind == HAS_NAN || kind == HAS_INFINITY || kind == EMPTY;
            const double lse = array_get(&c.lse, kind);
            EXPECT(isnan(array_get(&c.losses, kind)) == is_nan, "loss of kind %d", kind);
            EXPECT(isnan(array_get(&c.gradient, kind * classes + 3)) == is_nan, "gradient of kind %d", kind);
            EXPECT(kind == EMPTY ? lse == -HUGE_VAL : isnan(lse) == is_nan, "lse of kind %d: %g", kind, lse);
        }
        EXPECT(array_get(&c.gradient, LAST_IS_MASKED * classes + classes - 1) == 0,
               "gradient of a masked class");
        EXPECT(isnan(array_get(&c.total, 0)), "the total of a NaN loss");
        entropy_case_destroy(&c);
    }
}

/* A target whose logit is -infinity costs infinitely much; one whose weight is 0 costs nothing. */
static void targets_without_probability_cost_infinity(const softattn_context *context,
                                                      random_source *random) {
    for (int variant = 0; variant < 4; variant++) {
        entropy_options options = entropy_options_plain(ARRAY_F32, 1, 4);
        options.has_weights = true;
        options.has_probabilities = (variant & 2) != 0;
        options.reduction = SOFTATTN_REDUCTION_SUM;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        array_set(&c.logits, 2, -HUGE_VAL);
        array_set(&c.targets, 0, 2.0);
        array_set(&c.weights, 2, variant & 1 ? 0.0 : 1.5);
        EXPECT(entropy_case_differences(&c, context) == 0, "%s", entropy_case_text(&c));
        const double loss = array_get(&c.losses, 0);
        EXPECT(variant & 1 ? isfinite(loss) : loss == HUGE_VAL, "variant %d: %g", variant, loss);
        entropy_case_destroy(&c);
    }
}

static void ignored_rows_are_zero_whatever_they_hold(const softattn_context *context, random_source *random) {
    static const double junk[] = {NAN, HUGE_VAL, -HUGE_VAL, 1.0};
    entropy_options options = entropy_options_plain(ARRAY_F32, 5, 33);
    options.ignored = 0.0;
    entropy_case c;
    entropy_case_create(&c, &options, random);
    for (int64_t j = 0; j < 2 * 33; j++) {
        array_set(&c.logits, j, junk[j % 4]);
    }
    array_set(&c.targets, 0, -100.0);
    array_set(&c.targets, 1, -100.0);
    c.args.lse = NULL; /* which they do have */
    EXPECT(entropy_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
    for (int64_t j = 0; j < 2 * 33; j++) {
        EXPECT(array_get(&c.gradient, j) == 0, "gradient[%" PRId64 "] is %g", j, array_get(&c.gradient, j));
    }
    EXPECT(array_get(&c.losses, 0) == 0 && array_get(&c.losses, 1) == 0, "losses");
    EXPECT(array_get(&c.counted, 0) == 3 && isfinite(array_get(&c.total, 0)), "counted and total");
    entropy_case_destroy(&c);
}

/* Where PyTorch has 0 / 0: no row, every row ignored, every counted target of weight 0. */
static void a_mean_over_nothing_is_zero(const softattn_context *context, random_source *random) {
    for (int variant = 0; variant < 3; variant++) {
        entropy_options options =
            entropy_options_plain(variant == 1 ? ARRAY_F64 : ARRAY_F32, variant == 0 ? 0 : 4, 7);
        options.ignored = variant == 1 ? 1.0 : 0.0;
        options.has_weights = variant == 2;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        for (int64_t i = 0; i < 7 && variant == 2; i++) {
            array_set(&c.weights, i, 0.0);
        }
        EXPECT(entropy_case_differences(&c, context) == 0, "%s", entropy_case_text(&c));
        EXPECT(array_get(&c.counted, 0) == 0 && array_get(&c.total, 0) == 0, "variant %d: total %g", variant,
               array_get(&c.total, 0));
        for (int64_t i = 0; i < array_count(&c.gradient); i++) {
            EXPECT(array_get(&c.gradient, i) == 0, "variant %d: gradient %g", variant,
                   array_get(&c.gradient, i));
        }
        entropy_case_destroy(&c);
    }
}

static void without_classes_lse_is_minus_infinity_at_any_scale(const softattn_context *context,
                                                               random_source *random) {
    static const double scales[] = {1, 0, -1};
    for (int i = 0; i < 3; i++) {
        entropy_options options = entropy_options_plain(ARRAY_F32, 3, 0);
        options.scale = scales[i];
        options.has_probabilities = true;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        EXPECT(entropy_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        for (int64_t row = 0; row < 3; row++) {
            EXPECT(array_get(&c.lse, row) == -HUGE_VAL && isnan(array_get(&c.losses, row)),
                   "scale %g: lse %g", scales[i], array_get(&c.lse, row));
        }
        entropy_case_destroy(&c);
    }
}

/* Logits whose exponentials would overflow; the true class far ahead and far behind. */
static void extreme_logits_stay_finite(const softattn_context *context) {
    static const float logits[2][3] = {{FLT_MAX / 4, 0, -FLT_MAX / 4}, {10000, 200, 1}};
    static const int64_t targets[2] = {0, 1};
    float losses[2], gradient[2][3];
    EXPECT(softattn_cross_entropy_f32(context, 2, 3, &logits[0][0], 3, targets, losses, &gradient[0][0], 3) ==
               SOFTATTN_OK,
           "%s", last_error());
    EXPECT(losses[0] == 0 && losses[1] == 9800, "%g and %g", (double)losses[0], (double)losses[1]);
    EXPECT(gradient[0][0] == 0 && gradient[0][1] == 0 && gradient[1][0] == 0.5f && gradient[1][1] == -0.5f,
           "%g %g", (double)gradient[1][0], (double)gradient[1][1]);
}

/* ---- Options and outputs ---- */

static void each_output_may_be_left_out(const softattn_context *context, random_source *random) {
    const entropy_options options = entropy_options_plain(ARRAY_F32, 6, 41);
    entropy_case whole, part;
    random_source same = *random;
    entropy_case_create(&whole, &options, random);
    EXPECT(entropy_case_run(&whole, context) == SOFTATTN_OK, "%s", last_error());
    for (int wanted = 1; wanted < 32; wanted++) {
        random_source again = same;
        entropy_case_create(&part, &options, &again);
        const softattn_tensor **const fields[] = {&part.args.losses, &part.args.total, &part.args.gradient,
                                                  &part.args.lse, &part.args.counted};
        const test_array *const actual[] = {&part.losses, &part.total, &part.gradient, &part.lse,
                                            &part.counted};
        const test_array *const expected[] = {&whole.losses, &whole.total, &whole.gradient, &whole.lse,
                                              &whole.counted};
        for (int i = 0; i < 5; i++) {
            *fields[i] = wanted >> i & 1 ? *fields[i] : NULL;
        }
        EXPECT(entropy_case_run(&part, context) == SOFTATTN_OK, "wanted %d: %s", wanted, last_error());
        for (int i = 0; i < 5; i++) {
            const bool is_right = wanted >> i & 1 ? compare_bits("output", actual[i], expected[i]) == 0
                                                  : array_untouched(actual[i]);
            EXPECT(is_right, "wanted %d, output %d", wanted, i);
        }
        entropy_case_destroy(&part);
    }
    entropy_case_destroy(&whole);
}

/* Thousands of losses, so that another order shows in the last bits. */
static void the_total_adds_the_losses_in_order(const softattn_context *context, random_source *random) {
    for (int32_t variant = 0; variant < 4; variant++) {
        entropy_options options = entropy_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 5000, 3);
        options.reduction = variant & 2 ? SOFTATTN_REDUCTION_SUM : SOFTATTN_REDUCTION_MEAN;
        entropy_case c;
        entropy_case_create(&c, &options, random);
        EXPECT(entropy_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        double sum = 0;
        for (int64_t row = 0; row < array_count(&c.losses); row++) {
            sum += array_get(&c.losses, row);
        }
        sum /= variant & 2 ? 1 : array_get(&c.counted, 0);
        const double expected = variant & 1 ? sum : (double)(float)sum;
        EXPECT(array_get(&c.total, 0) == expected, "%a instead of %a", array_get(&c.total, 0), expected);
        entropy_case_destroy(&c);
    }
}

static void temperature_is_the_inverse_of_scale(const softattn_context *context, random_source *random) {
    entropy_options options = entropy_options_plain(ARRAY_F64, 3, 20);
    options.scale = 0.25;
    entropy_case scaled, heated;
    random_source same = *random;
    entropy_case_create(&scaled, &options, random);
    entropy_case_create(&heated, &options, &same);
    EXPECT(entropy_case_run(&scaled, context) == SOFTATTN_OK, "%s", last_error());
    softattn_cross_entropy *const handle = entropy_case_handle(&heated, context);
    EXPECT(softattn_cross_entropy_set_scale(handle, 3.0) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_cross_entropy_set_temperature(handle, 4.0) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_cross_entropy_run(handle, &heated.args) == SOFTATTN_OK, "%s", last_error());
    softattn_cross_entropy_destroy(handle);
    EXPECT(compare_bits("temperature 4", &heated.gradient, &scaled.gradient) == 0, "scale 1/4");
    entropy_case_destroy(&scaled);
    entropy_case_destroy(&heated);
}

static void flat_functions_equal_the_handle(const softattn_context *context, random_source *random) {
    for (int type = 0; type < 2; type++) {
        entropy_options options = entropy_options_plain(type ? ARRAY_F64 : ARRAY_F32, 7, 53);
        options.output_layout = ARRAY_PADDED;
        entropy_case c;
        test_array gradient, losses;
        entropy_case_create(&c, &options, random);
        array_create(&gradient, options.type, 2, options.shape, ARRAY_PADDED, GUARD_AFTER);
        array_create(&losses, options.type, 1, options.shape, ARRAY_COMPACT, GUARD_AFTER);
        const int64_t *const targets = c.targets.tensor.data;
        void *const logits = c.logits.tensor.data, *const l = losses.tensor.data,
                    *const g = gradient.tensor.data;
        const int64_t stride = gradient.strides[0];
        const int32_t status =
            type ? softattn_cross_entropy_f64(context, 7, 53, logits, 53, targets, l, g, stride)
                 : softattn_cross_entropy_f32(context, 7, 53, logits, 53, targets, l, g, stride);
        EXPECT(status == SOFTATTN_OK, "%s", last_error());
        EXPECT(entropy_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("flat losses", &losses, &c.losses) == 0, "%s", entropy_case_text(&c));
        EXPECT(compare_bits("flat gradient", &gradient, &c.gradient) == 0, "%s", entropy_case_text(&c));
        EXPECT(array_gaps_untouched(&gradient), "gaps of %s", entropy_case_text(&c));
        array_destroy(&gradient);
        array_destroy(&losses);
        entropy_case_destroy(&c);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_cross_entropy_values");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1 + i % 2 * 2);
        every_number_of_classes_matches_the_oracle(context, &random);
        random_problems_match_the_oracle(context, &random);
        values_are_those_of_pytorchs_definition(context, &random);
        the_gradient_agrees_with_finite_differences(context, &random);
        special_rows_give_what_the_semantics_say(context, &random);
        targets_without_probability_cost_infinity(context, &random);
        ignored_rows_are_zero_whatever_they_hold(context, &random);
        a_mean_over_nothing_is_zero(context, &random);
        without_classes_lse_is_minus_infinity_at_any_scale(context, &random);
        extreme_logits_stay_finite(context);
        each_output_may_be_left_out(context, &random);
        the_total_adds_the_losses_in_order(context, &random);
        temperature_is_the_inverse_of_scale(context, &random);
        flat_functions_equal_the_handle(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
