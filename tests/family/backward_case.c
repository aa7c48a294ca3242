/*
 * A product with the Jacobian of softmax with all its arrays.
 */
#include "backward_case.h"
#include "compare.h"
#include "contexts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

backward_options backward_options_plain(array_type type, int64_t rows, int64_t cols) {
    return (backward_options){
        .type = type, .rank = 2, .shape = {rows, cols}, .axis = 1, .scale = 1.0, .masked = 0.1};
}

backward_options backward_options_random(random_source *random, int64_t elements) {
    static const double scales[] = {1.0, 1.0, 0.125, -1.5, 0.0};
    backward_options o = {.type = random_below(random, 2) ? ARRAY_F64 : ARRAY_F32};
    o.rank = (int32_t)random_between(random, 1, 4);
    for (int32_t i = 0; i < o.rank; i++) {
        o.shape[i] = random_between(random, 1, elements < 100 ? elements : i == 0 ? 100 : 9);
        elements /= o.shape[i];
    }
    o.axis = (int32_t)random_below(random, o.rank);
    o.layout = (array_layout)random_below(random, ARRAY_LAYOUTS);
    o.in_place = random_below(random, 3) == 0 && o.layout != ARRAY_BACKWARDS;
    o.output_layout = (array_layout)random_below(random, ARRAY_BACKWARDS);
    o.side = random_below(random, 2) ? GUARD_BEFORE : GUARD_AFTER;
    o.scale = scales[random_below(random, 5)];
    o.output = random_below(random, 2) ? SOFTATTN_OUTPUT_LOG_PROBABILITIES : SOFTATTN_OUTPUT_PROBABILITIES;
    o.is_jvp = random_below(random, 2) == 1;
    o.masked = random_below(random, 2) ? 0.3 : 0.0;
    return o;
}

void array_create_rows_view(test_array *view, const test_array *base, int32_t axis) {
    int64_t shape[SOFTATTN_MAX_RANK], strides[SOFTATTN_MAX_RANK];
    const int32_t rank = base->tensor.ndim;
    int32_t to = 0;
    for (int32_t from = 0; from < rank; from++) {
        if (from != axis) {
            shape[to] = base->shape[from];
            strides[to++] = base->strides[from];
        }
    }
    shape[to] = base->shape[axis];
    strides[to] = base->strides[axis];
    array_create_view(view, base, rank, shape, strides, 0);
}

/* Softmax of random scores, or its logarithm, rounded to the array's type; masked elements count as
 * -infinity. */
static void fill_y(backward_case *c, random_source *random) {
    const bool is_log = c->options.output == SOFTATTN_OUTPUT_LOG_PROBABILITIES;
    const int64_t cols = c->options.shape[c->options.axis];
    test_array rows;
    array_create_rows_view(&rows, &c->y, c->options.axis);
    for (int64_t first = 0; first < array_count(&rows); first += cols) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++) {
            const bool masked = random_uniform(random, 0.0, 1.0) < c->options.masked;
            array_set(&rows, first + j, masked ? -HUGE_VAL : 2.0 * random_normal(random));
            sum += exp(array_get(&rows, first + j));
        }
        for (int64_t j = 0; j < cols; j++) {
            const double score = array_get(&rows, first + j);
            const double log_y = score == -HUGE_VAL ? score : score - log(sum);
            array_set(&rows, first + j, is_log ? log_y : exp(log_y));
        }
    }
}

void backward_case_create(backward_case *c, const backward_options *o, random_source *random) {
    memset(c, 0, sizeof *c);
    c->options = *o;
    array_create(&c->y, o->type, o->rank, o->shape, o->layout, o->side);
    array_create(&c->v, o->type, o->rank, o->shape, o->layout, o->side);
    array_create(&c->out, o->type, o->rank, o->shape, o->output_layout, o->side);
    fill_y(c, random);
    array_fill_normal(&c->v, random, 1.0);
}

void backward_case_destroy(backward_case *c) {
    array_destroy(&c->y);
    array_destroy(&c->v);
    array_destroy(&c->out);
}

test_array *backward_case_result(backward_case *c) { return c->options.in_place ? &c->v : &c->out; }

softattn_softmax *backward_case_handle(const backward_case *c, const softattn_context *context) {
    softattn_softmax *softmax = NULL;
    if (softattn_softmax_create(context, &softmax) != SOFTATTN_OK ||
        softattn_softmax_set_axis(softmax, c->options.axis) != SOFTATTN_OK ||
        softattn_softmax_set_scale(softmax, c->options.scale) != SOFTATTN_OK ||
        softattn_softmax_set_output(softmax, c->options.output) != SOFTATTN_OK) {
        fprintf(stderr, "cannot configure softmax: %s\n", last_error());
        exit(EXIT_FAILURE);
    }
    return softmax;
}

int32_t backward_case_run(backward_case *c, const softattn_context *context) {
    const softattn_tensor *const out = &backward_case_result(c)->tensor;
    softattn_softmax *const softmax = backward_case_handle(c, context);
    const softattn_softmax_backward_args backward = {
        .struct_size = sizeof backward, .y = &c->y.tensor, .dy = &c->v.tensor, .dx = out};
    const softattn_softmax_jvp_args jvp = {
        .struct_size = sizeof jvp, .y = &c->y.tensor, .x_tangent = &c->v.tensor, .y_tangent = out};
    const int32_t status = c->options.is_jvp ? softattn_softmax_jvp(softmax, &jvp)
                                             : softattn_softmax_backward(softmax, &backward);
    softattn_softmax_destroy(softmax);
    return status;
}

static oracle_result compute_expected(const backward_case *c) {
    const backward_options *const o = &c->options;
    test_array y_rows, v_rows;
    array_create_rows_view(&y_rows, &c->y, o->axis);
    array_create_rows_view(&v_rows, &c->v, o->axis);
    double *const y = array_read(&y_rows, o->rank, y_rows.shape);
    double *const v = array_read(&v_rows, o->rank, v_rows.shape);
    const int64_t count = array_count(&c->y), cols = o->shape[o->axis];
    const oracle_backward problem = {
        .rows = cols > 0 ? count / cols : 0,
        .cols = cols,
        .y = y,
        .v = v,
        .scale = o->scale,
        .log_probabilities = o->output == SOFTATTN_OUTPUT_LOG_PROBABILITIES,
        .transposed = !o->is_jvp,
        .precision = o->type == ARRAY_F32 ? oracle_f32 : oracle_f64,
    };
    const oracle_result expected = oracle_backward_compute(&problem);
    free(y);
    free(v);
    return expected;
}

int64_t backward_case_differences(backward_case *c, const softattn_context *context) {
    oracle_result expected = compute_expected(c);
    int64_t differences = 0;
    if (backward_case_run(c, context) != SOFTATTN_OK) {
        fprintf(stderr, "run failed: %s\n", last_error());
        differences++;
    } else {
        test_array rows;
        array_create_rows_view(&rows, backward_case_result(c), c->options.axis);
        differences += compare_with_oracle("out", &rows, &expected);
        differences += !array_gaps_untouched(backward_case_result(c));
    }
    oracle_result_destroy(&expected);
    return differences;
}

const char *backward_case_text(const backward_case *c) {
    static char text[256];
    const backward_options *const o = &c->options;
    int64_t shape[4] = {1, 1, 1, 1};
    memcpy(shape, o->shape, (size_t)(o->rank < 4 ? o->rank : 4) * sizeof *shape);
    snprintf(text, sizeof text,
             "%s %s rank %d [%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
             "] axis %d, %s to %s%s, scale %g, output %d, masked %g",
             o->is_jvp ? "jvp" : "backward", o->type == ARRAY_F32 ? "f32" : "f64", (int)o->rank, shape[0],
             shape[1], shape[2], shape[3], (int)o->axis, array_layout_name(o->layout),
             array_layout_name(o->output_layout), o->in_place ? " in place" : "", o->scale, (int)o->output,
             o->masked);
    return text;
}
