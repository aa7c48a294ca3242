/*
 * Derivatives of softmax lie within the oracle's bounds and agree with finite differences of softmax itself;
 * the Jacobian, its products and the flat functions agree with each other; masked elements have no effect and
 * derivative 0. Every operand lies flush against an unreadable page.
 */
#include "backward_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { WIDEST_TRIED = 140, RANDOM_PROBLEMS = 150 };

static void check_case(const backward_options *options, const softattn_context *context,
                       random_source *random) {
    backward_case c;
    backward_case_create(&c, options, random);
    EXPECT(backward_case_differences(&c, context) == 0, "on %s: %s", softattn_context_isa(context),
           backward_case_text(&c));
    backward_case_destroy(&c);
}

static void rows_of_every_width_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int64_t cols = 0; cols <= WIDEST_TRIED; cols++) {
        for (int variant = 0; variant < 8; variant++) {
            backward_options options = backward_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 3, cols);
            options.output = variant & 2 ? SOFTATTN_OUTPUT_LOG_PROBABILITIES : SOFTATTN_OUTPUT_PROBABILITIES;
            options.is_jvp = (variant & 4) != 0;
            options.side = cols % 2 ? GUARD_BEFORE : GUARD_AFTER;
            check_case(&options, context, random);
        }
    }
}

static void random_problems_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const backward_options options = backward_options_random(random, 1500);
        check_case(&options, context, random);
    }
}

/* ---- Masked elements and special values ---- */

/* Whatever v holds where y is masked, the results are the same bits. */
static void masked_elements_have_no_effect(const softattn_context *context, random_source *random) {
    static const double junk[] = {NAN, HUGE_VAL, -HUGE_VAL, 1e30};
    for (int variant = 0; variant < 8; variant++) {
        backward_options options = backward_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 5, 77);
        options.output = variant & 2 ? SOFTATTN_OUTPUT_LOG_PROBABILITIES : SOFTATTN_OUTPUT_PROBABILITIES;
        options.is_jvp = (variant & 4) != 0;
        options.masked = 0.4;
        const double masked = variant & 2 ? -HUGE_VAL : 0.0;
        backward_case clean, dirty;
        random_source same = *random;
        backward_case_create(&clean, &options, random);
        backward_case_create(&dirty, &options, &same);
        for (int64_t i = 0; i < array_count(&dirty.v); i++) {
            if (array_get(&dirty.y, i) == masked) {
                array_set(&clean.v, i, 0.0);
                array_set(&dirty.v, i, junk[i % 4]);
            }
        }
        EXPECT(backward_case_differences(&clean, context) == 0, "%s", backward_case_text(&clean));
        EXPECT(backward_case_run(&dirty, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("dirty", &dirty.out, &clean.out) == 0, "%s", backward_case_text(&dirty));
        backward_case_destroy(&clean);
        backward_case_destroy(&dirty);
    }
}

/* y: a NaN row from softmax; then rows of one visible element; v: NaN in a visible place. */
static void special_rows_give_what_the_semantics_say(const softattn_context *context) {
    static const double y[3][3] = {{NAN, NAN, NAN}, {0, 1, 0}, {0.5, 0, 0.5}};
    static const double v[3][3] = {{1, 2, 3}, {4, 5, 6}, {1, 2, NAN}};
    double dx[3][3];
    const int32_t status =
        softattn_softmax_backward_f64(context, 3, 3, &y[0][0], 3, &v[0][0], 3, &dx[0][0], 3);
    EXPECT(status == SOFTATTN_OK, "%s", last_error());
    for (int j = 0; j < 3; j++) {
        EXPECT(isnan(dx[0][j]), "a NaN row stays one: %g", dx[0][j]);
        EXPECT(dx[1][j] == 0 && !signbit(dx[1][j]), "a saturated row has no gradient: %g", dx[1][j]);
        EXPECT(j == 1 ? dx[2][j] == 0 : isnan(dx[2][j]), "NaN spreads to visible elements: %g", dx[2][j]);
    }
}

/* ---- Agreement with softmax itself ---- */

static double loss_of(const softattn_softmax *softmax, test_array *x, test_array *y, const test_array *dy) {
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &x->tensor, .y = &y->tensor};
    double sum = 0;
    EXPECT(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "%s", last_error());
    for (int64_t i = 0; i < array_count(y); i++) {
        sum += array_get(y, i) * array_get(dy, i);
    }
    return sum;
}

/*
 * Central differences with step h: their error is h^2 / 6 times the third derivative, below 100 here, and 2 *
 * 10^-16 * |loss| / h from rounding, so about 10^-9 with h = 10^-6 and losses below 100.
 */
static void backward_agrees_with_finite_differences(const softattn_context *context, random_source *random) {
    const double h = 1e-6;
    const int64_t shape[3] = {2, 5, 3};
    for (int variant = 0; variant < 6; variant++) {
        test_array x, y, dy, dx;
        softattn_softmax *softmax = NULL;
        const int32_t output = variant & 1;
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_set_output(softmax, output) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_set_axis(softmax, variant / 2) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softattn_softmax_set_scale(softmax, variant == 5 ? -1.5 : 0.75) == SOFTATTN_OK, "%s",
               last_error());
        array_create(&x, ARRAY_F64, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&y, ARRAY_F64, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&dy, ARRAY_F64, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&dx, ARRAY_F64, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_fill_normal(&x, random, 1.5);
        array_fill_normal(&dy, random, 1.0);
        (void)loss_of(softmax, &x, &y, &dy);
        const softattn_softmax_backward_args args = {
            .struct_size = sizeof args, .y = &y.tensor, .dy = &dy.tensor, .dx = &dx.tensor};
        EXPECT(softattn_softmax_backward(softmax, &args) == SOFTATTN_OK, "%s", last_error());
        for (int64_t i = 0; i < array_count(&x); i++) {
            const double at = array_get(&x, i);
            array_set(&x, i, at + h);
            const double above = loss_of(softmax, &x, &y, &dy);
            array_set(&x, i, at - h);
            const double below = loss_of(softmax, &x, &y, &dy);
            array_set(&x, i, at);
            const double slope = (above - below) / (2 * h), gradient = array_get(&dx, i);
            EXPECT(fabs(slope - gradient) < 1e-8, "variant %d, [%" PRId64 "]: %g, differences say %g",
                   variant, i, gradient, slope);
        }
        array_destroy(&x);
        array_destroy(&y);
        array_destroy(&dy);
        array_destroy(&dx);
        softattn_softmax_destroy(softmax);
    }
}

/* ---- The Jacobian ---- */

typedef struct jacobian_case {
    backward_case product;
    test_array jacobian;
    int64_t rows, cols;
} jacobian_case;

static void create_jacobian(jacobian_case *c, const backward_options *o, random_source *random) {
    int64_t shape[SOFTATTN_MAX_RANK];
    test_array rows;
    backward_case_create(&c->product, o, random);
    array_create_rows_view(&rows, &c->product.y, o->axis);
    for (int32_t i = 0; i < o->rank; i++) {
        shape[i] = rows.shape[i];
    }
    c->cols = shape[o->rank] = shape[o->rank - 1];
    c->rows = c->cols > 0 ? array_count(&c->product.y) / c->cols : 0;
    array_create(&c->jacobian, o->type, o->rank + 1, shape, o->output_layout, o->side);
}

static int32_t run_jacobian(jacobian_case *c, const softattn_context *context) {
    softattn_softmax *const softmax = backward_case_handle(&c->product, context);
    const softattn_softmax_jacobian_args args = {
        .struct_size = sizeof args, .y = &c->product.y.tensor, .jacobian = &c->jacobian.tensor};
    const int32_t status = softattn_softmax_jacobian(softmax, &args);
    softattn_softmax_destroy(softmax);
    return status;
}

static void destroy_jacobian(jacobian_case *c) {
    array_destroy(&c->jacobian);
    backward_case_destroy(&c->product);
}

static void jacobians_match_the_oracle(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        backward_options options = backward_options_random(random, 300);
        jacobian_case c;
        test_array rows;
        options.in_place = false;
        create_jacobian(&c, &options, random);
        array_create_rows_view(&rows, &c.product.y, options.axis);
        double *const y = array_read(&rows, options.rank, rows.shape);
        const oracle_backward problem = {.rows = c.rows,
                                         .cols = c.cols,
                                         .y = y,
                                         .scale = options.scale,
                                         .log_probabilities =
                                             options.output == SOFTATTN_OUTPUT_LOG_PROBABILITIES,
                                         .precision = options.type == ARRAY_F32 ? oracle_f32 : oracle_f64};
        oracle_result expected = oracle_jacobian_compute(&problem);
        EXPECT(run_jacobian(&c, context) == SOFTATTN_OK, "%s: %s", backward_case_text(&c.product),
               last_error());
        EXPECT(compare_with_oracle("jacobian", &c.jacobian, &expected) == 0 &&
                   array_gaps_untouched(&c.jacobian),
               "on %s: %s", softattn_context_isa(context), backward_case_text(&c.product));
        oracle_result_destroy(&expected);
        free(y);
        destroy_jacobian(&c);
    }
}

/* J v and J^T v, each multiplied out: n terms below 10 in size, so n * 10^-14 is far above their
 * roundings. */
static void products_are_those_of_the_jacobian(const softattn_context *context, random_source *random) {
    for (int variant = 0; variant < 4; variant++) {
        const int64_t n = 23;
        backward_options options = backward_options_plain(ARRAY_F64, 2, n);
        jacobian_case c;
        options.output = variant & 1;
        options.is_jvp = (variant & 2) != 0;
        create_jacobian(&c, &options, random);
        EXPECT(run_jacobian(&c, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(backward_case_run(&c.product, context) == SOFTATTN_OK, "%s", last_error());
        for (int64_t i = 0; i < 2 * n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++) {
                const int64_t row = i / n, in_row = i % n;
                const int64_t at = options.is_jvp ? (row * n + in_row) * n + j : (row * n + j) * n + in_row;
                sum += array_get(&c.jacobian, at) * array_get(&c.product.v, row * n + j);
            }
            const double product = array_get(&c.product.out, i);
            EXPECT(fabs(product - sum) < 1e-12, "variant %d: %g, the Jacobian says %g", variant, product,
                   sum);
        }
        destroy_jacobian(&c);
    }
}

/* ---- The flat functions ---- */

static void flat_functions_equal_the_handle(const softattn_context *context, random_source *random) {
    for (int type = 0; type < 2; type++) {
        backward_options options = backward_options_plain(type ? ARRAY_F64 : ARRAY_F32, 7, 53);
        options.layout = options.output_layout = ARRAY_PADDED;
        backward_case c;
        test_array flat;
        backward_case_create(&c, &options, random);
        array_create(&flat, options.type, 2, options.shape, ARRAY_PADDED, GUARD_AFTER);
        const int64_t stride = flat.strides[0];
        void *const y = c.y.tensor.data, *const dy = c.v.tensor.data, *const dx = flat.tensor.data;
        const int32_t status =
            type ? softattn_softmax_backward_f64(context, 7, 53, y, stride, dy, stride, dx, stride)
                 : softattn_softmax_backward_f32(context, 7, 53, y, stride, dy, stride, dx, stride);
        EXPECT(status == SOFTATTN_OK, "%s", last_error());
        EXPECT(backward_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("flat", &flat, &c.out) == 0, "%s", backward_case_text(&c));
        EXPECT(array_gaps_untouched(&flat), "gaps of %s", backward_case_text(&c));
        array_destroy(&flat);
        backward_case_destroy(&c);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_softmax_backward_values");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1 + i % 2 * 2);
        rows_of_every_width_match_the_oracle(context, &random);
        random_problems_match_the_oracle(context, &random);
        masked_elements_have_no_effect(context, &random);
        special_rows_give_what_the_semantics_say(context);
        backward_agrees_with_finite_differences(context, &random);
        jacobians_match_the_oracle(context, &random);
        products_are_those_of_the_jacobian(context, &random);
        flat_functions_equal_the_handle(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
