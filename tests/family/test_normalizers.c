/*
 * What is used in the place of softmax: weights lie within bounds of their definition in long double and equal recorded ones;
 * derivatives agree with finite differences, with each other and with the Jacobian; masked elements have no effect, weight and
 * derivative 0; edges are what docs/semantics.md says; the bits are the same on every instruction set with fused
 * multiply-add, with any number of threads, in any layout, in place or not.
 */
#include "backward_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "normalizer_fixtures.h"
#include "softmax_case.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RANDOM_PROBLEMS = 60, SOME_ELEMENTS = 1200, WIDEST_TRIED = 100, NORMALIZERS = 8 };

static const double sigmoid_bias = -1.25;

static const char *const names[NORMALIZERS] = {
    "softmax", "none", "relu", "relu squared", "sigmoid", "softmax plus one", "sparsemax", "entmax"};

static void set_normalizer(softattn_softmax *softmax, int32_t normalizer) {
    EXPECT(softattn_softmax_set_normalizer(softmax, normalizer) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_sigmoid_bias(softmax, sigmoid_bias) == SOFTATTN_OK, "%s", last_error());
}

/* A compact vector of floats with so many bits. */
static softattn_tensor vector_of(void *data, int64_t *shape, uint8_t bits) {
    return (softattn_tensor){.data = data,
                             .device = {SOFTATTN_DEVICE_CPU, 0},
                             .ndim = 1,
                             .dtype = {SOFTATTN_TYPE_FLOAT, bits, 1},
                             .shape = shape};
}

static bool sums_to_one(int32_t normalizer) {
    return normalizer == SOFTATTN_NORMALIZER_SOFTMAX || normalizer == SOFTATTN_NORMALIZER_SPARSEMAX ||
           normalizer == SOFTATTN_NORMALIZER_ENTMAX;
}

/* Runs a case with a normalizer, as probabilities and without statistics; the result stays in the case. */
static void run_case(softmax_case *c, int32_t normalizer, const softattn_context *context) {
    softattn_softmax *const softmax = softmax_case_handle(c, context);
    softattn_softmax_args args = c->args;
    args.lse = args.row_max = NULL;
    set_normalizer(softmax, normalizer);
    EXPECT(softattn_softmax_set_output(softmax, SOFTATTN_OUTPUT_PROBABILITIES) == SOFTATTN_OK, "%s",
           last_error());
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s: %s", names[normalizer], last_error());
    softattn_softmax_destroy(softmax);
}

/* The results of a case as rows one after another. */
static double *result_rows(softmax_case *c, int64_t *rows, int64_t *cols) {
    test_array *const result = softmax_case_result(c);
    test_array view;
    array_create_rows_view(&view, result, c->options.axis);
    *cols = c->options.shape[c->options.axis];
    *rows = *cols > 0 ? array_count(result) / *cols : 0;
    double *const values = array_read(&view, c->options.rank, view.shape);
    array_destroy(&view);
    return values;
}

/* ---- Definitions ---- */

static long double largest(const double *s, int64_t cols) {
    long double max = -HUGE_VALL;
    for (int64_t j = 0; j < cols; j++) {
        max = s[j] > max ? s[j] : max;
    }
    return max;
}

/* The sum of weights above a threshold; power 1 for sparsemax, 2 (of halved scores) for entmax. */
static long double mass_above(const double *s, int64_t cols, int power, long double threshold) {
    long double sum = 0;
    for (int64_t j = 0; j < cols; j++) {
        const long double d = (long double)s[j] / power - threshold;
        sum += d > 0 ? (power == 2 ? d * d : d) : 0;
    }
    return sum;
}

/* By bisection, which shares nothing with the library's search. */
static long double threshold_of(const double *s, int64_t cols, int power) {
    long double high = largest(s, cols) / power, low = high - 1;
    for (int i = 0; i < 200; i++) {
        const long double middle = low + (high - low) / 2;
        if (mass_above(s, cols, power, middle) > 1) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A row's definition; scores of -infinity are masked. */
struct definition {
    const double *s;
    int64_t cols;
    int64_t visible;
    long double max, sum, threshold;
};

static struct definition define(int32_t normalizer, const double *s, int64_t cols) {
    struct definition row = {.s = s, .cols = cols, .max = largest(s, cols), .sum = 1};
    for (int64_t j = 0; j < cols; j++) {
        row.visible += s[j] > -HUGE_VAL;
        row.sum += expl(s[j]);
    }
    if (row.visible > 0 && sums_to_one(normalizer)) {
        row.threshold = threshold_of(s, cols, normalizer == SOFTATTN_NORMALIZER_ENTMAX ? 2 : 1);
    }
    return row;
}

static long double weight_by_definition(int32_t normalizer, const struct definition *row, int64_t j) {
    const long double s = row->s[j], positive = s > 0 ? s : 0;
    if (row->s[j] == -HUGE_VAL) {
        return 0;
    }
    switch (normalizer) {
    case SOFTATTN_NORMALIZER_NONE: return s;
    case SOFTATTN_NORMALIZER_RELU: return positive / row->visible;
    case SOFTATTN_NORMALIZER_RELU_SQUARED: return positive * positive;
    case SOFTATTN_NORMALIZER_SIGMOID: return 1 / (1 + expl(-(s + sigmoid_bias)));
    case SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE: return expl(s) / row->sum;
    case SOFTATTN_NORMALIZER_SPARSEMAX: return fmaxl(s - row->threshold, 0);
    default: return powl(fmaxl(s / 2 - row->threshold, 0), 2);
    }
}

/*
 * How far a weight y may be from its definition, in units of u, half the distance of 1 to the next number; s are exact.
 * ReLU, its square: one rounding. Sigmoid: the argument's roundings, at most 3 |t| (1 - y), and 4 of exp2, 2 more.
 * Softmax-plus-one: 3 |s - m| and 4 for each exponential, and of the sum cols / STRIPES additions, at least 16 stripes, and
 * the tree. Sparsemax: scores and threshold lie within 1 of the maximum, so each rounding is of at most 1 unit; the
 * threshold moves by at most the error of the sum. Entmax: 2 d <= 2 times that of d.
 */
static double weight_bound(int32_t normalizer, const struct definition *row, int64_t j, double y,
                           array_type type) {
    const double u = type == ARRAY_F32 ? 0x1p-24 : 0x1p-53, sums = (double)row->cols / 16 + 16;
    const double tiny = type == ARRAY_F32 ? (double)FLT_MIN : DBL_MIN;
    const double s = row->s[j] == -HUGE_VAL ? 0 : row->s[j], m = fmax((double)row->max, 0);
    switch (normalizer) {
    case SOFTATTN_NORMALIZER_NONE: return 0;
    case SOFTATTN_NORMALIZER_RELU:
    case SOFTATTN_NORMALIZER_RELU_SQUARED: return 1.01 * u * y + tiny;
    case SOFTATTN_NORMALIZER_SIGMOID: return u * y * (4 * (1 - y) * fabs(s + sigmoid_bias) + 10) + tiny;
    case SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE: return u * y * (4 * (m - s) + 10 + sums) + tiny;
    case SOFTATTN_NORMALIZER_SPARSEMAX: return u * sums;
    default: return 3 * u * sums;
    }
}

static int64_t count_unlike_definition(int32_t normalizer, const double *scores, const double *weights,
                                       int64_t rows, int64_t cols, array_type type) {
    int64_t differences = 0;
    for (int64_t r = 0; r < rows; r++) {
        const struct definition row = define(normalizer, scores + r * cols, cols);
        for (int64_t j = 0; j < cols && (row.visible > 0 || !sums_to_one(normalizer)); j++) {
            const long double exact = weight_by_definition(normalizer, &row, j);
            const double w = weights[r * cols + j], y = (double)exact;
            const bool is_close = fabsl(w - exact) <= weight_bound(normalizer, &row, j, y, type);
            const bool is_zero = row.s[j] == -HUGE_VAL ? w == 0 : true;
            if (!is_close || !is_zero) {
                differences++;
                (void)fprintf(stderr, "[%" PRId64 ", %" PRId64 "]: s = %.17g gives %.17g, not %.17g\n", r, j,
                              row.s[j], w, y);
            }
        }
    }
    return differences;
}

/* The scores of a case, -infinity where masked, as its NONE gives them. */
static double *scores_of(const softmax_options *options, random_source random, int64_t *rows, int64_t *cols,
                         const softattn_context *context) {
    softmax_case c;
    softmax_case_create(&c, options, &random);
    run_case(&c, SOFTATTN_NORMALIZER_NONE, context);
    double *const scores = result_rows(&c, rows, cols);
    for (int64_t i = 0; i < *rows * *cols; i++) {
        scores[i] = scores[i] == 0 && signbit(scores[i]) ? -HUGE_VAL : scores[i];
    }
    softmax_case_destroy(&c);
    return scores;
}

static void weights_are_as_defined(const softmax_options *options, const softattn_context *context,
                                   random_source *random) {
    const random_source start = *random;
    int64_t rows, cols;
    double *const scores = scores_of(options, start, &rows, &cols, context);
    for (int32_t normalizer = SOFTATTN_NORMALIZER_NONE; normalizer < NORMALIZERS; normalizer++) {
        *random = start;
        softmax_case c;
        softmax_case_create(&c, options, random);
        run_case(&c, normalizer, context);
        double *const weights = result_rows(&c, &rows, &cols);
        EXPECT(count_unlike_definition(normalizer, scores, weights, rows, cols, options->type) == 0,
               "%s on %s: %s", names[normalizer], softattn_context_isa(context), softmax_case_text(&c));
        EXPECT(array_gaps_untouched(softmax_case_result(&c)), "%s", softmax_case_text(&c));
        free(weights);
        softmax_case_destroy(&c);
    }
    free(scores);
}

static softmax_options random_options(random_source *random) {
    softmax_options options = softmax_options_random(random, SOME_ELEMENTS);
    options.output = SOFTATTN_OUTPUT_PROBABILITIES;
    return options;
}

/* NONE's scores are those that log-softmax saw: they differ by the row's log-sum-exp, and hide the same places. */
static void scores_are_those_of_softmax(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const softmax_options options = random_options(random);
        int64_t rows, cols;
        double *const scores = scores_of(&options, *random, &rows, &cols, context);
        softmax_options log_options = options;
        log_options.output = SOFTATTN_OUTPUT_LOG_PROBABILITIES;
        log_options.empty_row = SOFTATTN_EMPTY_ROW_ZERO;
        softmax_case c;
        softmax_case_create(&c, &log_options, random);
        EXPECT(softmax_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        double *const logs = result_rows(&c, &rows, &cols);
        for (int64_t r = 0; r < rows; r++) {
            const struct definition row = define(SOFTATTN_NORMALIZER_NONE, scores + r * cols, cols);
            const double u = options.type == ARRAY_F32 ? 0x1p-23 : 0x1p-52, max = (double)row.max;
            double sum = 0;
            for (int64_t j = 0; j < cols; j++) {
                sum += scores[r * cols + j] == -HUGE_VAL ? 0 : exp(scores[r * cols + j] - max);
            }
            for (int64_t j = 0; j < cols; j++) {
                const double log_y = logs[r * cols + j], s = scores[r * cols + j];
                const double bound = 8 * u * (fabs(s) + fabs(max) + 10);
                const bool is_same =
                    s == -HUGE_VAL ? log_y == -HUGE_VAL : fabs(log_y - (s - max - log(sum))) <= bound;
                EXPECT(is_same, "%s: score %g, log-probability %g", softmax_case_text(&c), s, log_y);
            }
        }
        free(scores);
        free(logs);
        softmax_case_destroy(&c);
    }
}

static void weights_of_every_width_are_as_defined(const softattn_context *context, random_source *random) {
    for (int64_t cols = 0; cols <= WIDEST_TRIED; cols++) {
        for (int variant = 0; variant < 4; variant++) {
            softmax_options options = softmax_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 3, cols);
            options.side = cols % 2 ? GUARD_BEFORE : GUARD_AFTER;
            options.deviation = variant & 2 ? 0.05 : 3;
            weights_are_as_defined(&options, context, random);
        }
    }
}

static void weights_of_random_problems_are_as_defined(const softattn_context *context,
                                                      random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const softmax_options options = random_options(random);
        weights_are_as_defined(&options, context, random);
    }
}

static void weights_equal_recorded_ones(const softattn_context *context) {
    enum { COLS = sizeof normalizer_fixtures[0].scores / sizeof(double) };
    const int64_t rows = sizeof normalizer_fixtures / sizeof normalizer_fixtures[0], shape[2] = {rows, COLS};
    for (int variant = 0; variant < 4; variant++) {
        const array_type type = variant & 1 ? ARRAY_F64 : ARRAY_F32;
        const bool is_entmax = (variant & 2) != 0;
        test_array x, y;
        softattn_softmax *softmax = NULL;
        array_create(&x, type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&y, type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        for (int64_t i = 0; i < rows * COLS; i++) {
            array_set(&x, i, normalizer_fixtures[i / COLS].scores[i % COLS]);
        }
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
        set_normalizer(softmax, is_entmax ? SOFTATTN_NORMALIZER_ENTMAX : SOFTATTN_NORMALIZER_SPARSEMAX);
        const softattn_softmax_args args = {.struct_size = sizeof args, .x = &x.tensor, .y = &y.tensor};
        EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
        for (int64_t i = 0; i < rows * COLS; i++) {
            const struct normalizer_fixture *row = &normalizer_fixtures[i / COLS];
            const double expected = is_entmax ? row->entmax[i % COLS] : row->sparsemax[i % COLS];
            /* see weight_bound; and recorded ones are rounded, too */
            const double bound = 60 * (type == ARRAY_F32 ? 0x1p-24 : 0x1p-52);
            EXPECT(fabs(array_get(&y, i) - expected) <= bound, "row %d, column %d: %.17g, recorded %.17g",
                   (int)(i / COLS), (int)(i % COLS), array_get(&y, i), expected);
        }
        softattn_softmax_destroy(softmax);
        array_destroy(&x);
        array_destroy(&y);
    }
}

/* ---- Edges ---- */

/* Rows of x, and whether a normalizer's whole row is NaN; elsewhere weights are as in `expected`. */
static void special_rows_give_what_the_semantics_say(const softattn_context *context) {
    enum { COLS = 4, CASES = 6 };
    static const struct {
        double x[COLS];
        double expected[NORMALIZERS][COLS];
    } cases[CASES] = {
        {{-HUGE_VAL, -HUGE_VAL, -HUGE_VAL, -HUGE_VAL},
         {{NAN, NAN, NAN, NAN}, {0}, {0}, {0}, {0}, {0}, {NAN, NAN, NAN, NAN}, {NAN, NAN, NAN, NAN}}},
        {{1, NAN, -2, 3},
         {{NAN, NAN, NAN, NAN},
          {1, NAN, -2, 3},
          {0.25, NAN, 0, 0.75},
          {1, NAN, 0, 9},
          {-1, NAN, -1, -1}, /* -1: any finite weight */
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN}}},
        {{NAN, -HUGE_VAL, -HUGE_VAL, -HUGE_VAL},
         {{NAN, NAN, NAN, NAN},
          {NAN, 0, 0, 0},
          {NAN, 0, 0, 0},
          {NAN, 0, 0, 0},
          {NAN, 0, 0, 0},
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN}}},
        {{HUGE_VAL, 1, 0, -HUGE_VAL},
         {{NAN, NAN, NAN, NAN},
          {HUGE_VAL, 1, 0, 0},
          {HUGE_VAL, 1. / 3, 0, 0},
          {HUGE_VAL, 1, 0, 0},
          {1, -1, -1, 0},
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN},
          {NAN, NAN, NAN, NAN}}},
        {{10000, 200, 1, -10000},
         {{1, 0, 0, 0},
          {10000, 200, 1, -10000},
          {2500, 50, 0.25, 0},
          {1e8, 4e4, 1, 0},
          {1, 1, -1, 0},
          {1, 0, 0, 0},
          {1, 0, 0, 0},
          {1, 0, 0, 0}}},
        {{-20000, -20000, -20000, -HUGE_VAL},
         {{1. / 3, 1. / 3, 1. / 3, 0},
          {-20000, -20000, -20000, 0},
          {0},
          {0},
          {0},
          {0},
          {1. / 3, 1. / 3, 1. / 3, 0},
          {1. / 3, 1. / 3, 1. / 3, 0}}},
    };
    for (int i = 0; i < CASES; i++) {
        for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
            double x[COLS], y[COLS];
            int64_t shape[1] = {COLS};
            softattn_tensor tensor = vector_of(x, shape, 64);
            softattn_tensor result = tensor;
            softattn_softmax *softmax = NULL;
            result.data = y;
            for (int j = 0; j < COLS; j++) {
                x[j] = cases[i].x[j];
            }
            const softattn_softmax_args args = {.struct_size = sizeof args, .x = &tensor, .y = &result};
            EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
            set_normalizer(softmax, normalizer);
            EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
            for (int j = 0; j < COLS; j++) {
                const double expected = cases[i].expected[normalizer][j];
                const bool is_any = normalizer == SOFTATTN_NORMALIZER_SIGMOID && expected == -1;
                EXPECT(isnan(expected) ? isnan(y[j])
                       : is_any        ? isfinite(y[j])
                                : y[j] == expected || fabs(y[j] - expected) <= 0x1p-52 * fabs(expected),
                       "%s of case %d, column %d: %g, not %g", names[normalizer], i, j, y[j], expected);
            }
            softattn_softmax_destroy(softmax);
        }
    }
}

/* The empty-row policy is of those that sum to 1. */
static void empty_rows_obey_the_policy(const softattn_context *context) {
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        for (int32_t policy = SOFTATTN_EMPTY_ROW_NAN; policy <= SOFTATTN_EMPTY_ROW_ZERO; policy++) {
            float x[3] = {-HUGE_VALF, -HUGE_VALF, -HUGE_VALF};
            int64_t shape[1] = {3};
            softattn_tensor tensor = vector_of(x, shape, 32);
            const softattn_softmax_args args = {.struct_size = sizeof args, .x = &tensor, .y = &tensor};
            softattn_softmax *softmax = NULL;
            EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
            EXPECT(softattn_softmax_set_empty_row(softmax, policy) == SOFTATTN_OK, "%s", last_error());
            set_normalizer(softmax, normalizer);
            EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
            const bool is_nan = policy == SOFTATTN_EMPTY_ROW_NAN && sums_to_one(normalizer);
            EXPECT(is_nan ? isnan(x[2]) : x[2] == 0, "%s: %g", names[normalizer], (double)x[2]);
            softattn_softmax_destroy(softmax);
        }
    }
}

/* Softmax-plus-one is softmax of a row with one more score, 0; its log-sum-exp is that row's. */
static void plus_one_is_softmax_with_a_score_more(const softattn_context *context, random_source *random) {
    enum { COLS = 37 };
    for (int i = 0; i < 20; i++) {
        double x[COLS + 1] = {0}, y[COLS], longer[COLS + 1], lse[1], row_max[1];
        int64_t shape[1] = {COLS};
        const double shift = i % 2 ? -30 : 1;
        for (int j = 0; j < COLS; j++) {
            x[j] = random_normal(random) + shift;
        }
        softattn_tensor tensor = vector_of(x, shape, 64);
        softattn_tensor result = tensor, one = tensor, two = tensor;
        result.data = y;
        one.data = lse;
        two.data = row_max;
        one.ndim = two.ndim = 0;
        const softattn_softmax_args args = {
            .struct_size = sizeof args, .x = &tensor, .y = &result, .lse = &one, .row_max = &two};
        softattn_softmax *softmax = NULL;
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
        set_normalizer(softmax, SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE);
        EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_f64(context, 1, COLS + 1, x, COLS + 1, longer, COLS + 1) == SOFTATTN_OK, "%s",
               last_error());
        long double sum = 1, max = -HUGE_VALL;
        for (int j = 0; j < COLS; j++) {
            EXPECT(fabs(y[j] - longer[j]) <= 1e-14 * longer[j], "%g, not %g", y[j], longer[j]);
            sum += expl(x[j]);
            max = x[j] > max ? x[j] : max;
        }
        EXPECT(fabs(lse[0] - (double)logl(sum)) <= 1e-14, "%g, not %Lg", lse[0], logl(sum));
        EXPECT(row_max[0] == (double)max, "%g, not %Lg", row_max[0], max);
        EXPECT(softattn_softmax_set_output(softmax, SOFTATTN_OUTPUT_LOG_PROBABILITIES) == SOFTATTN_OK, "%s",
               last_error());
        EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
        for (int j = 0; j < COLS; j++) {
            EXPECT(fabs(y[j] - (double)(x[j] - logl(sum))) <= 1e-13, "%g", y[j]);
        }
        softattn_softmax_destroy(softmax);
    }
}

/* ---- Bits ---- */

static void bits_are_the_same(const softmax_options *options, const softattn_context *context,
                              const softmax_options *expected_options,
                              const softattn_context *expected_context, random_source *random) {
    const random_source start = *random;
    for (int32_t normalizer = SOFTATTN_NORMALIZER_NONE; normalizer < NORMALIZERS; normalizer++) {
        softmax_case actual, expected;
        random_source same = start;
        *random = start;
        softmax_case_create(&actual, options, random);
        softmax_case_create(&expected, expected_options, &same);
        run_case(&actual, normalizer, context);
        run_case(&expected, normalizer, expected_context);
        EXPECT(compare_bits(names[normalizer], softmax_case_result(&actual),
                            softmax_case_result(&expected)) == 0,
               "on %s: %s", softattn_context_isa(context), softmax_case_text(&actual));
        softmax_case_destroy(&actual);
        softmax_case_destroy(&expected);
    }
}

static void instruction_sets_and_threads_do_not_change_bits(const softattn_context *context,
                                                            const softattn_context *generic,
                                                            random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        softmax_options options = random_options(random);
        options.shape[0] = i % 4 == 0 ? 40 : options.shape[0];
        options.in_place = false; /* shapes of 40 are not the broadcast ones */
        options.bias.given = options.keep.given = options.lengths.given = false;
        bits_are_the_same(&options, context, &options, generic, random);
        options = random_options(random);
        bits_are_the_same(&options, context, &options, generic, random);
    }
}

/* x, dy, y and dx of a problem. */
enum { X, DY, Y, DX, ARRAYS };

/* Weights y of x, and dx from dy. */
static void run_rows(softattn_softmax *softmax, const test_array *x, const test_array *dy,
                     const test_array *y, const test_array *dx) {
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &x->tensor, .y = &y->tensor};
    const softattn_softmax_backward_args backward = {
        .struct_size = sizeof backward, .y = &y->tensor, .dy = &dy->tensor, .dx = &dx->tensor};
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_backward(softmax, &backward) == SOFTATTN_OK, "%s", last_error());
}

/* Normal numbers, and one of each that is not. */
static void fill_rows(test_array *x, test_array *dy, random_source *random) {
    const int64_t count = array_count(x);
    array_fill_normal(x, random, 2);
    array_fill_normal(dy, random, 1);
    array_set(x, random_below(random, count), -HUGE_VAL);
    array_set(x, random_below(random, count), NAN);
    array_set(dy, random_below(random, count), HUGE_VAL);
}

static void compare_rows_with_and_without_gaps(softattn_softmax *softmax, array_type type,
                                               const int64_t *shape, const char *what,
                                               random_source *random) {
    test_array compact[ARRAYS], padded[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) {
        array_create(&compact[i], type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&padded[i], type, 2, shape, ARRAY_PADDED, GUARD_BEFORE);
    }
    fill_rows(&compact[X], &compact[DY], random);
    array_copy(&padded[X], &compact[X]);
    array_copy(&padded[DY], &compact[DY]);
    run_rows(softmax, &padded[X], &padded[DY], &padded[Y], &padded[DX]);
    run_rows(softmax, &compact[X], &compact[DY], &compact[Y], &compact[DX]);
    EXPECT(compare_bits("y", &compact[Y], &padded[Y]) == 0, "%s", what);
    EXPECT(compare_bits("dx", &compact[DX], &padded[DX]) == 0, "%s", what);
    run_rows(softmax, &compact[X], &compact[DY], &compact[X], &compact[DY]);
    EXPECT(compare_bits("y", &compact[X], &padded[Y]) == 0, "%s, in place", what);
    EXPECT(compare_bits("dx", &compact[DY], &padded[DX]) == 0, "%s, in place", what);
    EXPECT(array_gaps_untouched(&padded[Y]) && array_gaps_untouched(&padded[DX]), "%s: gaps", what);
    for (int i = 0; i < ARRAYS; i++) {
        array_destroy(&compact[i]);
        array_destroy(&padded[i]);
    }
}

/* To kernels rows without gaps may be one, up to some thousand columns together: here are more, of narrow ones for several
 * workers. */
static void rows_without_gaps_give_the_bits_of_rows_with_gaps(const softattn_context *context,
                                                              random_source *random) {
    static const int64_t widths[] = {1, 3, 16, 33, 100, 1000, 2048, 2049, 4096, 4097};
    static const array_type types[] = {ARRAY_F32, ARRAY_F64, ARRAY_F16, ARRAY_F32, ARRAY_BF16};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        for (int32_t normalizer = SOFTATTN_NORMALIZER_NONE; normalizer < NORMALIZERS; normalizer++) {
            const int64_t shape[2] = {3 + 90000 / (widths[i] + 90), widths[i]};
            softattn_softmax *softmax = NULL;
            char what[100];
            snprintf(what, sizeof what, "%s on %s, %" PRId64 " x %" PRId64, names[normalizer],
                     softattn_context_isa(context), shape[0], shape[1]);
            EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
            set_normalizer(softmax, normalizer);
            EXPECT(softattn_softmax_set_scale(softmax, i % 2 ? 0.3 : 1) == SOFTATTN_OK, "%s", last_error());
            compare_rows_with_and_without_gaps(softmax, types[(i + (size_t)normalizer) % 5], shape, what,
                                               random);
            softattn_softmax_destroy(softmax);
        }
    }
}

static void layouts_do_not_change_bits(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const softmax_options options = random_options(random);
        softmax_options compact = options;
        compact.layout = compact.output_layout = ARRAY_COMPACT;
        compact.in_place = false;
        compact.side = options.side == GUARD_AFTER ? GUARD_BEFORE : GUARD_AFTER;
        bits_are_the_same(&options, context, &compact, context, random);
    }
}

/* ---- Derivatives ---- */

/* The operands of one normalizer's derivatives: rows x cols, of which some elements are masked. */
typedef struct derivative_case {
    int32_t normalizer;
    softattn_softmax *softmax;
    test_array x, keep, y, v, out;
} derivative_case;

static void create_derivative(derivative_case *c, int32_t normalizer, array_type type, int64_t cols,
                              const softattn_context *context, random_source *random) {
    const int64_t shape[2] = {3, cols};
    c->normalizer = normalizer;
    array_create(&c->x, type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&c->keep, ARRAY_U8, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&c->y, type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&c->v, type, 2, shape, ARRAY_PADDED, GUARD_AFTER);
    array_create(&c->out, type, 2, shape, ARRAY_SPREAD, GUARD_BEFORE);
    array_fill_normal(&c->x, random, 1);
    array_fill_normal(&c->v, random, 1);
    array_fill_keep(&c->keep, random, 0.8);
    EXPECT(softattn_softmax_create(context, &c->softmax) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_scale(c->softmax, 0.75) == SOFTATTN_OK, "%s", last_error());
    set_normalizer(c->softmax, normalizer);
}

static void destroy_derivative(derivative_case *c) {
    softattn_softmax_destroy(c->softmax);
    array_destroy(&c->x);
    array_destroy(&c->keep);
    array_destroy(&c->y);
    array_destroy(&c->v);
    array_destroy(&c->out);
}

static void run_forward(derivative_case *c) {
    const softattn_softmax_args args = {
        .struct_size = sizeof args, .x = &c->x.tensor, .y = &c->y.tensor, .keep_mask = &c->keep.tensor};
    EXPECT(softattn_softmax_run(c->softmax, &args) == SOFTATTN_OK, "%s", last_error());
}

static void run_backward(derivative_case *c) {
    const softattn_softmax_backward_args args = {
        .struct_size = sizeof args, .y = &c->y.tensor, .dy = &c->v.tensor, .dx = &c->out.tensor};
    EXPECT(softattn_softmax_backward(c->softmax, &args) == SOFTATTN_OK, "%s", last_error());
}

static double loss_of(derivative_case *c) {
    double sum = 0;
    run_forward(c);
    for (int64_t i = 0; i < array_count(&c->y); i++) {
        sum += array_get(&c->y, i) * array_get(&c->v, i);
    }
    return sum;
}

/*
 * Central differences with step h: their error is h^2 / 6 times the third derivative, below 100 here, and 2 * 10^-16 *
 * |loss| / h from rounding: about 10^-9 with h = 10^-6 and losses below 100. ReLU, sparsemax and entmax have kinks: where a
 * score is within h of one, differences say something between both sides; such elements are left out.
 */
static void backward_agrees_with_finite_differences(const softattn_context *context, random_source *random) {
    const double h = 1e-6;
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        derivative_case c;
        int64_t tried = 0;
        create_derivative(&c, normalizer, ARRAY_F64, 9, context, random);
        run_forward(&c);
        run_backward(&c);
        for (int64_t i = 0; i < array_count(&c.x); i++) {
            const double at = array_get(&c.x, i);
            array_set(&c.x, i, at + h);
            const double above = loss_of(&c);
            int64_t positive = 0, positive_below = 0;
            for (int64_t j = 0; j < array_count(&c.y); j++) {
                positive += array_get(&c.y, j) > 0;
            }
            array_set(&c.x, i, at - h);
            const double below = loss_of(&c);
            for (int64_t j = 0; j < array_count(&c.y); j++) {
                positive_below += array_get(&c.y, j) > 0;
            }
            array_set(&c.x, i, at);
            const double slope = (above - below) / (2 * h), gradient = array_get(&c.out, i);
            if (positive == positive_below) {
                tried++;
                EXPECT(fabs(slope - gradient) < 1e-8, "%s, [%" PRId64 "]: %g, differences say %g",
                       names[normalizer], i, gradient, slope);
            }
            EXPECT(array_get(&c.keep, i) != 0 || (gradient == 0 && slope == 0), "%s, masked: %g",
                   names[normalizer], gradient);
        }
        EXPECT(tried > 20, "only %" PRId64 " elements of %s have no kink", tried, names[normalizer]);
        destroy_derivative(&c);
    }
}

/* The Jacobian is symmetric, so its product with a vector and the backward pass are one and the same. */
static void jacobian_and_products_agree(const softattn_context *context, random_source *random) {
    for (int variant = 0; variant < 2 * NORMALIZERS; variant++) {
        enum { COLS = 21 };
        derivative_case c;
        test_array jacobian, tangent;
        const array_type type = variant % 2 ? ARRAY_F64 : ARRAY_F32;
        const int64_t shape[3] = {3, COLS, COLS};
        const double bound = type == ARRAY_F32 ? 1e-5 : 1e-14; /* COLS terms below 10 in size, rounded */
        create_derivative(&c, variant / 2, type, COLS, context, random);
        array_create(&jacobian, type, 3, shape, ARRAY_PADDED, GUARD_AFTER);
        array_create(&tangent, type, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
        run_forward(&c);
        run_backward(&c);
        const softattn_softmax_jacobian_args args = {
            .struct_size = sizeof args, .y = &c.y.tensor, .jacobian = &jacobian.tensor};
        const softattn_softmax_jvp_args jvp = {.struct_size = sizeof jvp,
                                               .y = &c.y.tensor,
                                               .x_tangent = &c.v.tensor,
                                               .y_tangent = &tangent.tensor};
        EXPECT(softattn_softmax_jacobian(c.softmax, &args) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_jvp(c.softmax, &jvp) == SOFTATTN_OK, "%s", last_error());
        EXPECT(array_gaps_untouched(&jacobian) && array_gaps_untouched(&c.out), "%s", names[variant / 2]);
        for (int64_t i = 0; i < 3 * COLS; i++) {
            double sum = 0;
            for (int64_t j = 0; j < COLS; j++) {
                sum += array_get(&jacobian, i * COLS + j) * array_get(&c.v, i / COLS * COLS + j);
            }
            EXPECT(fabs(array_get(&c.out, i) - sum) <= bound, "%s: %g, the Jacobian says %g",
                   names[variant / 2], array_get(&c.out, i), sum);
        }
        EXPECT(compare_bits(names[variant / 2], &tangent, &c.out) == 0, "the forward derivative");
        array_destroy(&jacobian);
        array_destroy(&tangent);
        destroy_derivative(&c);
    }
}

static void masked_elements_have_no_part_in_derivatives(const softattn_context *context,
                                                        random_source *random) {
    for (int variant = 0; variant < 2 * NORMALIZERS; variant++) {
        derivative_case c;
        test_array clean;
        create_derivative(&c, variant / 2, variant % 2 ? ARRAY_F64 : ARRAY_F32, 53, context, random);
        array_create(&clean, c.out.type, 2, c.out.shape, ARRAY_COMPACT, GUARD_AFTER);
        run_forward(&c);
        run_backward(&c);
        array_copy(&clean, &c.out);
        for (int64_t i = 0; i < array_count(&c.v); i++) {
            if (array_get(&c.keep, i) == 0) {
                EXPECT(array_get(&c.out, i) == 0, "%s: %g", names[variant / 2], array_get(&c.out, i));
                array_set(&c.v, i, i % 2 ? NAN : HUGE_VAL);
            }
        }
        run_backward(&c);
        EXPECT(compare_bits(names[variant / 2], &c.out, &clean) == 0, "derivatives changed");
        array_destroy(&clean);
        destroy_derivative(&c);
    }
}

static void derivatives_are_the_same_bits(const softattn_context *context, const softattn_context *generic,
                                          random_source *random) {
    for (int variant = 0; variant < 2 * NORMALIZERS; variant++) {
        for (int64_t cols = 1; cols < 140; cols += 23) {
            derivative_case c, expected;
            random_source same = *random;
            const array_type type = variant % 2 ? ARRAY_F64 : ARRAY_F32;
            create_derivative(&c, variant / 2, type, cols, context, random);
            create_derivative(&expected, variant / 2, type, cols, generic, &same);
            run_forward(&c);
            run_forward(&expected);
            run_backward(&c);
            run_backward(&expected);
            EXPECT(compare_bits(names[variant / 2], &c.out, &expected.out) == 0, "on %s, %d columns",
                   softattn_context_isa(context), (int)cols);
            destroy_derivative(&c);
            destroy_derivative(&expected);
        }
    }
}

/* ---- Bad input ---- */

static void what_a_normalizer_has_not_is_refused(const softattn_context *context) {
    for (int32_t normalizer = 0; normalizer < NORMALIZERS; normalizer++) {
        const bool is_softmax =
            normalizer == SOFTATTN_NORMALIZER_SOFTMAX || normalizer == SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE;
        const int32_t wanted = is_softmax ? SOFTATTN_OK : SOFTATTN_ERROR_UNSUPPORTED;
        float x[4] = {1, 2, 3, 4}, y[4] = {7, 7, 7, 7}, one[1] = {7}, jacobian[16];
        int64_t shape[1] = {4}, square[2] = {4, 4};
        softattn_tensor tensor = vector_of(x, shape, 32);
        softattn_tensor result = tensor, single = tensor, table = tensor, number = tensor;
        softattn_softmax *softmax = NULL;
        result.data = y;
        single.data = number.data = one;
        single.ndim = number.ndim = 0;
        table.data = jacobian;
        table.ndim = 2;
        table.shape = square;
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
        set_normalizer(softmax, normalizer);
        const softattn_softmax_args with_lse = {
            .struct_size = sizeof with_lse, .x = &tensor, .y = &result, .lse = &single};
        const softattn_softmax_args with_max = {
            .struct_size = sizeof with_max, .x = &tensor, .y = &result, .row_max = &single};
        const softattn_softmax_args plain = {.struct_size = sizeof plain, .x = &tensor, .y = &result};
        const softattn_diagnosis diagnosis = {.struct_size = sizeof diagnosis, .entropy = &number};
        EXPECT(softattn_softmax_run(softmax, &with_lse) == wanted, "%s", names[normalizer]);
        EXPECT(softattn_softmax_run(softmax, &with_max) == wanted, "%s", names[normalizer]);
        EXPECT(softattn_softmax_diagnose(softmax, &plain, &diagnosis) == wanted, "%s", names[normalizer]);
        EXPECT(softattn_softmax_set_output(softmax, SOFTATTN_OUTPUT_LOG_PROBABILITIES) == SOFTATTN_OK, "%s",
               last_error());
        EXPECT(softattn_softmax_run(softmax, &plain) == wanted, "%s", names[normalizer]);
        const softattn_softmax_backward_args backward = {
            .struct_size = sizeof backward, .y = &tensor, .dy = &tensor, .dx = &result};
        const softattn_softmax_jacobian_args all = {
            .struct_size = sizeof all, .y = &tensor, .jacobian = &table};
        EXPECT(softattn_softmax_backward(softmax, &backward) == wanted, "%s", names[normalizer]);
        EXPECT(softattn_softmax_jacobian(softmax, &all) == wanted, "%s", names[normalizer]);
        EXPECT(is_softmax || (y[0] == 7 && one[0] == 7), "%s wrote %g, %g", names[normalizer], (double)y[0],
               (double)one[0]);
        softattn_softmax_destroy(softmax);
    }
}

static void bad_options_are_refused(const softattn_context *context) {
    softattn_softmax *softmax = NULL;
    float x[1] = {1};
    int64_t shape[1] = {1};
    softattn_tensor tensor = vector_of(x, shape, 32);
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &tensor, .y = &tensor};
    EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_set_normalizer(NULL, 0) == SOFTATTN_ERROR_NULL, "%s", last_error());
    EXPECT(softattn_softmax_set_sigmoid_bias(NULL, 0) == SOFTATTN_ERROR_NULL, "%s", last_error());
    EXPECT(softattn_softmax_set_normalizer(softmax, -1) == SOFTATTN_ERROR_ARGUMENT, "%s", last_error());
    EXPECT(softattn_softmax_set_normalizer(softmax, NORMALIZERS) == SOFTATTN_ERROR_ARGUMENT, "%s",
           last_error());
    EXPECT(softattn_softmax_set_sigmoid_bias(softmax, NAN) == SOFTATTN_ERROR_ARGUMENT, "%s", last_error());
    EXPECT(softattn_softmax_set_sigmoid_bias(softmax, HUGE_VAL) == SOFTATTN_ERROR_ARGUMENT, "%s",
           last_error());
    set_normalizer(softmax, SOFTATTN_NORMALIZER_SIGMOID);
    EXPECT(softattn_softmax_set_sigmoid_bias(softmax, 1e300) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_ERROR_ARGUMENT, "%s", last_error());
    EXPECT(x[0] == 1, "the result was written: %g", (double)x[0]);
    softattn_softmax_destroy(softmax);
}

int main(void) {
    random_source random;
    random_start(&random, "test_normalizers");
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1 + i % 2 * 2);
        scores_are_those_of_softmax(context, &random);
        weights_of_every_width_are_as_defined(context, &random);
        weights_of_random_problems_are_as_defined(context, &random);
        weights_equal_recorded_ones(context);
        special_rows_give_what_the_semantics_say(context);
        empty_rows_obey_the_policy(context);
        plus_one_is_softmax_with_a_score_more(context, &random);
        rows_without_gaps_give_the_bits_of_rows_with_gaps(context, &random);
        layouts_do_not_change_bits(context, &random);
        if (isa_is_exact(softattn_isa_name(i))) {
            instruction_sets_and_threads_do_not_change_bits(context, generic, &random);
            derivatives_are_the_same_bits(context, generic, &random);
        }
        backward_agrees_with_finite_differences(context, &random);
        jacobian_and_products_agree(context, &random);
        masked_elements_have_no_part_in_derivatives(context, &random);
        what_a_normalizer_has_not_is_refused(context);
        bad_options_are_refused(context);
        softattn_context_destroy(context);
    }
    softattn_context_destroy(generic);
    return expect_summary();
}
