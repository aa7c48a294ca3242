/*
 * Softmax against the oracle, on every instruction set: random legal problems, every row width around the
 * vector lengths, and the values where floating-point numbers are special.
 */
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "softmax_case.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { RANDOM_PROBLEMS = 300, WIDEST_TRIED = 150 };

#define LN2 0.69314718055994530942

/* What the row [x] must be, with any NaN meaning NaN, by the formula alone. */
typedef struct row_example {
    const char *what;
    int64_t cols;
    double x[4];
    int32_t empty_row;
    double y[4], lse, row_max;
} row_example;

static const row_example examples[] = {
    /* 1 and 200 lie so far below 10000 that exp of the distance is 0 in any format */
    {"huge scores", 3, {10000, 200, 1}, SOFTATTN_EMPTY_ROW_AUTO, {1, 0, 0}, 10000, 10000},
    {"huge negative scores", 3, {-10000, -20000, -30000}, SOFTATTN_EMPTY_ROW_AUTO, {1, 0, 0}, -10000, -10000},
    {"equal huge scores", 2, {1e38, 1e38}, SOFTATTN_EMPTY_ROW_AUTO, {.5, .5}, 1e38, 1e38},
    {"largest and lowest number", 2, {FLT_MAX, -FLT_MAX}, SOFTATTN_EMPTY_ROW_AUTO, {1, 0}, FLT_MAX, FLT_MAX},
    {"subnormal scores", 2, {1e-40, -1e-40}, SOFTATTN_EMPTY_ROW_AUTO, {.5, .5}, LN2, 1e-40},
    {"zeros of both signs", 2, {0.0, -0.0}, SOFTATTN_EMPTY_ROW_AUTO, {.5, .5}, LN2, 0},
    {"one score", 1, {-3}, SOFTATTN_EMPTY_ROW_AUTO, {1}, -3, -3},
    {"-infinity among numbers", 3, {-HUGE_VAL, 2, 2}, SOFTATTN_EMPTY_ROW_AUTO, {0, .5, .5}, 2 + LN2, 2},
    {"+infinity", 3, {HUGE_VAL, 2, 2}, SOFTATTN_EMPTY_ROW_AUTO, {NAN, NAN, NAN}, NAN, NAN},
    {"infinities of both signs", 2, {HUGE_VAL, -HUGE_VAL}, SOFTATTN_EMPTY_ROW_AUTO, {NAN, NAN}, NAN, NAN},
    {"NaN first", 3, {NAN, 2, 2}, SOFTATTN_EMPTY_ROW_AUTO, {NAN, NAN, NAN}, NAN, NAN},
    {"NaN last", 3, {2, 2, NAN}, SOFTATTN_EMPTY_ROW_AUTO, {NAN, NAN, NAN}, NAN, NAN},
    {"NaN and -infinity", 2, {NAN, -HUGE_VAL}, SOFTATTN_EMPTY_ROW_ZERO, {NAN, NAN}, NAN, NAN},
    {"all NaN", 2, {NAN, NAN}, SOFTATTN_EMPTY_ROW_ZERO, {NAN, NAN}, NAN, NAN},
    {"all -infinity", 2, {-HUGE_VAL, -HUGE_VAL}, SOFTATTN_EMPTY_ROW_AUTO, {NAN, NAN}, -HUGE_VAL, -HUGE_VAL},
    {"all -infinity, NaN",
     2,
     {-HUGE_VAL, -HUGE_VAL},
     SOFTATTN_EMPTY_ROW_NAN,
     {NAN, NAN},
     -HUGE_VAL,
     -HUGE_VAL},
    {"all -infinity, zero", 2, {-HUGE_VAL, -HUGE_VAL}, SOFTATTN_EMPTY_ROW_ZERO, {0, 0}, -HUGE_VAL, -HUGE_VAL},
};

/* Differences within this are rounding: a few units in the last place of f32. */
static bool is_near(double actual, double expected) {
    if (isnan(expected) || isinf(expected)) {
        return isnan(expected) ? isnan(actual) : actual == expected;
    }
    return fabs(actual - expected) <= 4 * (double)FLT_EPSILON * fabs(expected) + (double)FLT_MIN;
}

/* What the example's element must be in the output asked for. */
static double expected_y(const row_example *e, int64_t col, int32_t output) {
    if (output == SOFTATTN_OUTPUT_PROBABILITIES || isnan(e->y[col])) {
        return e->y[col];
    }
    if (e->y[col] > 0) {
        return log(e->y[col]);
    }
    return isinf(e->lse) ? -HUGE_VAL : e->x[col] - e->lse;
}

static void check_example(const row_example *e, array_type type, int32_t output,
                          const softattn_context *context, random_source *random) {
    softmax_options options = softmax_options_plain(type, 1, e->cols);
    options.empty_row = e->empty_row;
    options.output = output;
    softmax_case c;
    softmax_case_create(&c, &options, random);
    for (int64_t col = 0; col < e->cols; col++) {
        array_set(&c.x, col, e->x[col]);
    }
    const char *const isa = softattn_context_isa(context);
    EXPECT(softmax_case_run(&c, context) == SOFTATTN_OK, "%s on %s: %s", e->what, isa, last_error());
    for (int64_t col = 0; col < e->cols; col++) {
        double expected = expected_y(e, col, output);
        if (type == ARRAY_F32 && expected < -(double)FLT_MAX) {
            expected = -HUGE_VAL; /* -FLT_MAX - FLT_MAX leaves the format */
        }
        EXPECT(is_near(array_get(&c.y, col), expected), "%s on %s, output %d, col %d: %g, not %g", e->what,
               isa, (int)output, (int)col, array_get(&c.y, col), expected);
    }
    EXPECT(is_near(array_get(&c.lse, 0), e->lse), "%s on %s: lse %g", e->what, isa, array_get(&c.lse, 0));
    EXPECT(is_near(array_get(&c.row_max, 0), e->row_max), "%s on %s: max %g", e->what, isa,
           array_get(&c.row_max, 0));
    softmax_case_destroy(&c);
}

static void special_values_give_what_the_semantics_say(const softattn_context *context,
                                                       random_source *random) {
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        for (int32_t output = 0; output < 2; output++) {
            check_example(&examples[i], ARRAY_F32, output, context, random);
            check_example(&examples[i], ARRAY_F64, output, context, random);
        }
    }
}

/* A special value anywhere in a row wider than every vector: NaN and +infinity spoil exactly their row. */
static void a_nan_or_infinity_spoils_its_row_and_no_other(const softattn_context *context,
                                                          random_source *random) {
    enum { COLS = 70 };
    static const double values[] = {NAN, HUGE_VAL, -HUGE_VAL};
    for (int64_t place = 0; place < 3 * COLS; place++) {
        softmax_options options = softmax_options_plain(place % 2 ? ARRAY_F32 : ARRAY_F64, 3, COLS);
        options.output = (int32_t)(place / 2 % 2);
        softmax_case c;
        softmax_case_create(&c, &options, random);
        array_set(&c.x, (place * 37) % (3 * COLS), values[place % 3]);
        EXPECT(softmax_case_differences(&c, context) == 0, "%g at %d on %s: %s", values[place % 3],
               (int)((place * 37) % (3 * COLS)), softattn_context_isa(context), softmax_case_text(&c));
        softmax_case_destroy(&c);
    }
}

static void check_case(const softmax_options *options, const softattn_context *context,
                       random_source *random) {
    softmax_case c;
    softmax_case_create(&c, options, random);
    EXPECT(softmax_case_differences(&c, context) == 0, "on %s: %s", softattn_context_isa(context),
           softmax_case_text(&c));
    softmax_case_destroy(&c);
}

static void rows_of_every_width_match_the_oracle(const softattn_context *context, random_source *random) {
    static const int64_t wide[] = {255, 256, 257, 1000, 1023, 1025, 4099};
    for (int64_t cols = 1; cols <= WIDEST_TRIED; cols++) {
        const softmax_options f32 = softmax_options_plain(ARRAY_F32, 3, cols);
        const softmax_options f64 = softmax_options_plain(ARRAY_F64, 3, cols);
        check_case(&f32, context, random);
        check_case(&f64, context, random);
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        const softmax_options f32 = softmax_options_plain(ARRAY_F32, 2, wide[i]);
        check_case(&f32, context, random);
    }
}

static void random_problems_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const softmax_options options = softmax_options_random(random, 1500);
        check_case(&options, context, random);
    }
}

/* Every policy, with and without each mask, on a row that is empty and one that is not. */
static void empty_rows_follow_the_policy(const softattn_context *context, random_source *random) {
    for (int32_t i = 0; i < 3 * 2 * 4; i++) {
        const int mask = i % 4; /* none, keep_mask, lengths, bias */
        softmax_options options = softmax_options_plain(ARRAY_F32, 2, 40);
        options.empty_row = i / 8;
        options.output = i / 4 % 2;
        options.keep.given = mask == 1;
        options.lengths.given = mask == 2;
        options.bias.given = mask == 3;
        softmax_case c;
        softmax_case_create(&c, &options, random);
        for (int64_t col = 0; col < 40; col++) {
            if (mask == 0) {
                array_set(&c.x, col, -HUGE_VAL);
            } else if (mask == 1) {
                array_set(&c.keep, col, 0.0);
            } else if (mask == 3) {
                array_set(&c.bias, col, -HUGE_VAL);
            }
        }
        if (mask == 2) {
            array_set(&c.lengths, 0, 0.0);
        }
        EXPECT(softmax_case_differences(&c, context) == 0, "on %s: %s", softattn_context_isa(context),
               softmax_case_text(&c));
        softmax_case_destroy(&c);
    }
}

/* The flat functions are the configured operation with its defaults. */
static void flat_functions_equal_the_handle(const softattn_context *context, random_source *random) {
    for (int type = 0; type < 2; type++) {
        softmax_options options = softmax_options_plain(type ? ARRAY_F64 : ARRAY_F32, 7, 53);
        options.layout = ARRAY_PADDED;
        options.output_layout = ARRAY_PADDED;
        softmax_case c;
        test_array flat;
        softmax_case_create(&c, &options, random);
        array_create(&flat, options.type, 2, options.shape, ARRAY_PADDED, GUARD_AFTER);
        const int64_t x_stride = c.x.strides[0], y_stride = flat.strides[0];
        const int32_t status =
            type
                ? softattn_softmax_f64(context, 7, 53, c.x.tensor.data, x_stride, flat.tensor.data, y_stride)
                : softattn_softmax_f32(context, 7, 53, c.x.tensor.data, x_stride, flat.tensor.data, y_stride);
        EXPECT(status == SOFTATTN_OK, "%s", last_error());
        EXPECT(softmax_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("flat", &flat, &c.y) == 0, "%s", softmax_case_text(&c));
        EXPECT(array_gaps_untouched(&flat), "gaps of %s", softmax_case_text(&c));
        array_destroy(&flat);
        softmax_case_destroy(&c);
    }
}

/* A temperature T is the scale 1 / T, and the later call counts. */
static void temperature_is_the_inverse_of_scale(const softattn_context *context, random_source *random) {
    softmax_options options = softmax_options_plain(ARRAY_F64, 3, 20);
    options.scale = 0.25;
    softmax_case scaled;
    softmax_case_create(&scaled, &options, random);
    test_array y;
    array_create(&y, ARRAY_F64, 2, options.shape, ARRAY_COMPACT, GUARD_AFTER);
    softattn_softmax_args args = {.struct_size = sizeof args, .x = &scaled.x.tensor, .y = &y.tensor};
    softattn_softmax *softmax = softmax_case_handle(&scaled, context);
    EXPECT(softattn_softmax_set_scale(softmax, 3.0) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_temperature(softmax, 4.0) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
    softattn_softmax_destroy(softmax);
    EXPECT(softmax_case_differences(&scaled, context) == 0, "%s", softmax_case_text(&scaled));
    EXPECT(compare_bits("temperature 4", &y, &scaled.y) == 0, "scale 1/4");
    array_destroy(&y);
    softmax_case_destroy(&scaled);
}

/* y, lse and row_max are each optional, and come out the same whichever else is asked for. */
static void each_output_may_be_left_out(const softattn_context *context, random_source *random) {
    const softmax_options options = softmax_options_plain(ARRAY_F32, 5, 37);
    softmax_case whole, part;
    random_source same = *random;
    softmax_case_create(&whole, &options, random);
    EXPECT(softmax_case_run(&whole, context) == SOFTATTN_OK, "%s", last_error());
    for (int wanted = 1; wanted < 8; wanted++) {
        random_source again = same;
        softmax_case_create(&part, &options, &again);
        part.args.y = wanted & 1 ? &part.y.tensor : NULL;
        part.args.lse = wanted & 2 ? &part.lse.tensor : NULL;
        part.args.row_max = wanted & 4 ? &part.row_max.tensor : NULL;
        EXPECT(softmax_case_run(&part, context) == SOFTATTN_OK, "wanted %d: %s", wanted, last_error());
        EXPECT(wanted & 1 ? !compare_bits("y", &part.y, &whole.y) : array_untouched(&part.y), "%d", wanted);
        EXPECT(wanted & 2 ? !compare_bits("lse", &part.lse, &whole.lse) : array_untouched(&part.lse), "%d",
               wanted);
        EXPECT(wanted & 4 ? !compare_bits("max", &part.row_max, &whole.row_max)
                          : array_untouched(&part.row_max),
               "%d", wanted);
        softmax_case_destroy(&part);
    }
    softmax_case_destroy(&whole);
}

int main(void) {
    random_source random;
    random_start(&random, "test_softmax_values");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        special_values_give_what_the_semantics_say(context, &random);
        a_nan_or_infinity_spoils_its_row_and_no_other(context, &random);
        rows_of_every_width_match_the_oracle(context, &random);
        random_problems_match_the_oracle(context, &random);
        empty_rows_follow_the_policy(context, &random);
        flat_functions_equal_the_handle(context, &random);
        temperature_is_the_inverse_of_scale(context, &random);
        each_output_may_be_left_out(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
