/*
 * Softmax problems for tests.
 */
#include "softmax_case.h"

#include "compare.h"
#include "contexts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

softmax_options softmax_options_plain(array_type type, int64_t rows, int64_t cols) {
    return (softmax_options){
        .type = type, .rank = 2, .shape = {rows, cols}, .axis = 1, .deviation = 3.0, .scale = 1.0};
}

static broadcast random_broadcast(random_source *random, int32_t rank) {
    broadcast b = {.given = random_below(random, 2) == 0};
    b.single_axes = random_below(random, 2) == 0 ? (uint32_t)random_bits(random) : 0;
    b.missing_axes = random_below(random, 2) == 0 ? (int32_t)random_below(random, rank + 1) : 0;
    return b;
}

static void random_shape(random_source *random, int64_t elements, softmax_options *o) {
    o->rank = (int32_t)random_between(random, 1, 4);
    o->axis = random_below(random, 2) == 0 ? o->rank - 1 : (int32_t)random_below(random, o->rank);
    int64_t left = elements;
    o->shape[o->axis] = random_between(random, 1, left < 400 ? left : 400);
    left /= o->shape[o->axis];
    for (int32_t axis = 0; axis < o->rank; axis++) {
        if (axis != o->axis) {
            o->shape[axis] = random_between(random, 1, left < 1 ? 1 : left < 12 ? left : 12);
            left /= o->shape[axis];
        }
    }
}

softmax_options softmax_options_random(random_source *random, int64_t elements) {
    static const double scales[] = {1.0, 1.0, 0.125, -1.0, 0.0, 2.5};
    softmax_options o = {.type = random_below(random, 2) ? ARRAY_F32 : ARRAY_F64};
    random_shape(random, elements, &o);
    o.layout = (array_layout)random_below(random, ARRAY_LAYOUTS);
    o.output_layout = (array_layout)random_below(random, ARRAY_BACKWARDS);
    o.side = random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
    o.in_place = random_below(random, 4) == 0;
    o.deviation = random_below(random, 4) == 0 ? 30.0 : 2.0;
    o.scale = scales[random_below(random, sizeof scales / sizeof *scales)];
    o.bias = random_broadcast(random, o.rank);
    o.keep = random_broadcast(random, o.rank);
    o.lengths = random_broadcast(random, o.rank - 1);
    if (o.rank >= 2 && o.axis == o.rank - 1) {
        o.causal = (int32_t)random_below(random, 4);
        o.offset = random_between(random, -3, 20);
    }
    o.output = (int32_t)random_below(random, 2);
    o.empty_row = (int32_t)random_below(random, 3);
    return o;
}

/* Creates the operand with the sizes that the broadcast leaves of `shape`. */
static void create_broadcast(test_array *array, array_type type, const broadcast *b, int32_t rank,
                             const int64_t *shape, const softmax_options *o) {
    int64_t sizes[SOFTATTN_MAX_RANK];
    const int32_t missing = b->missing_axes;
    for (int32_t axis = missing; axis < rank; axis++) {
        sizes[axis - missing] = b->single_axes >> axis & 1 ? 1 : shape[axis];
    }
    array_create(array, type, rank - missing, sizes, o->layout, o->side);
}

/* The shape without the axis; returns its rank. */
static int32_t row_shape(const softmax_options *o, int64_t *shape) {
    int32_t rank = 0;
    for (int32_t axis = 0; axis < o->rank; axis++) {
        if (axis != o->axis) {
            shape[rank++] = o->shape[axis];
        }
    }
    return rank;
}

static void create_masks(softmax_case *c, int32_t row_rank, const int64_t *rows, random_source *random) {
    const softmax_options *const o = &c->options;
    if (o->bias.given) {
        create_broadcast(&c->bias, o->type, &o->bias, o->rank, o->shape, o);
        array_fill_normal(&c->bias, random, 2.0);
        c->args.bias = &c->bias.tensor;
    }
    if (o->keep.given) {
        const array_type type = random_below(random, 2) ? ARRAY_U8 : ARRAY_BOOL;
        create_broadcast(&c->keep, type, &o->keep, o->rank, o->shape, o);
        array_fill_keep(&c->keep, random, 0.7);
        c->args.keep_mask = &c->keep.tensor;
    }
    if (o->lengths.given) {
        const array_type type = random_below(random, 2) ? ARRAY_I32 : ARRAY_I64;
        create_broadcast(&c->lengths, type, &o->lengths, row_rank, rows, o);
        array_fill_integers(&c->lengths, random, -1, o->shape[o->axis] + 1);
        c->args.lengths = &c->lengths.tensor;
    }
}

void softmax_case_create(softmax_case *c, const softmax_options *options, random_source *random) {
    memset(c, 0, sizeof *c);
    c->options = *options;
    const softmax_options *const o = &c->options;
    int64_t rows[SOFTATTN_MAX_RANK];
    const int32_t row_rank = row_shape(o, rows);
    const array_layout layout = o->in_place && o->layout == ARRAY_BACKWARDS ? ARRAY_PADDED : o->layout;
    c->args.struct_size = sizeof c->args;
    array_create(&c->x, o->type, o->rank, o->shape, layout, o->side);
    array_fill_normal(&c->x, random, o->deviation);
    c->args.x = &c->x.tensor;
    if (!o->in_place) {
        array_create(&c->y, o->type, o->rank, o->shape, o->output_layout, o->side);
    }
    c->args.y = &softmax_case_result(c)->tensor;
    create_masks(c, row_rank, rows, random);
    array_create(&c->lse, o->type, row_rank, rows, o->output_layout, o->side);
    array_create(&c->row_max, o->type, row_rank, rows, o->output_layout, o->side);
    c->args.lse = &c->lse.tensor;
    c->args.row_max = &c->row_max.tensor;
}

void softmax_case_destroy(softmax_case *c) {
    test_array *const arrays[] = {&c->x, &c->y, &c->bias, &c->keep, &c->lengths, &c->lse, &c->row_max};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

test_array *softmax_case_result(softmax_case *c) { return c->options.in_place ? &c->x : &c->y; }

softattn_softmax *softmax_case_handle(const softmax_case *c, const softattn_context *context) {
    const softmax_options *const o = &c->options;
    softattn_softmax *softmax = NULL;
    if (softattn_softmax_create(context, &softmax) != SOFTATTN_OK ||
        softattn_softmax_set_axis(softmax, o->axis - o->rank) != SOFTATTN_OK ||
        softattn_softmax_set_scale(softmax, o->scale) != SOFTATTN_OK ||
        softattn_softmax_set_causal(softmax, o->causal, o->offset) != SOFTATTN_OK ||
        softattn_softmax_set_output(softmax, o->output) != SOFTATTN_OK ||
        softattn_softmax_set_empty_row(softmax, o->empty_row) != SOFTATTN_OK) {
        fprintf(stderr, "cannot set up %s: %s\n", softmax_case_text(c), last_error());
        exit(EXIT_FAILURE);
    }
    return softmax;
}

int32_t softmax_case_run(softmax_case *c, const softattn_context *context) {
    softattn_softmax *const softmax = softmax_case_handle(c, context);
    const int32_t status = softattn_softmax_run(softmax, &c->args);
    softattn_softmax_destroy(softmax);
    return status;
}

/* Index, where rows along the axis lie one after another, of the element with this row-major index of the
 * shape. */
static int64_t index_in_rows(const softmax_options *o, int64_t index) {
    const int64_t cols = o->shape[o->axis];
    int64_t inner = 1;
    for (int32_t axis = o->axis + 1; axis < o->rank; axis++) {
        inner *= o->shape[axis];
    }
    const int64_t row = index / inner / cols * inner + index % inner;
    return row * cols + index / inner % cols;
}

/* The array broadcast to the shape, as rows along the axis one after another. */
static double *read_rows(const softmax_options *o, const test_array *array, int64_t count) {
    double *const values = array_read(array, o->rank, o->shape);
    double *const rows = malloc((size_t)(count > 0 ? count : 1) * sizeof *rows);
    if (!rows) {
        abort();
    }
    for (int64_t i = 0; i < count; i++) {
        rows[index_in_rows(o, i)] = values[i];
    }
    free(values);
    return rows;
}

static oracle_result in_result_order(const softmax_options *o, const oracle_result *rows) {
    oracle_result result = oracle_result_create(rows->count);
    for (int64_t i = 0; i < rows->count; i++) {
        const int64_t from = index_in_rows(o, i);
        result.value[i] = rows->value[from];
        result.bound[i] = rows->bound[from];
    }
    return result;
}

static oracle_empty_row expected_empty_row(const softmax_options *o) {
    const bool is_masked =
        o->bias.given || o->keep.given || o->lengths.given || o->causal != SOFTATTN_CAUSAL_NONE;
    if (o->empty_row == SOFTATTN_EMPTY_ROW_AUTO) {
        return is_masked ? ORACLE_EMPTY_ROW_ZERO : ORACLE_EMPTY_ROW_NAN;
    }
    return o->empty_row == SOFTATTN_EMPTY_ROW_ZERO ? ORACLE_EMPTY_ROW_ZERO : ORACLE_EMPTY_ROW_NAN;
}

static oracle_softmax_results compute_expected(const softmax_case *c) {
    const softmax_options *const o = &c->options;
    int64_t row_sizes[SOFTATTN_MAX_RANK], rows = 1;
    const int32_t row_rank = row_shape(o, row_sizes);
    for (int32_t axis = 0; axis < row_rank; axis++) {
        rows *= row_sizes[axis];
    }
    const int64_t count = array_count(&c->x);
    double *const x = read_rows(o, &c->x, count);
    double *const bias = o->bias.given ? read_rows(o, &c->bias, count) : NULL;
    double *const keep = o->keep.given ? read_rows(o, &c->keep, count) : NULL;
    double *const lengths = o->lengths.given ? array_read(&c->lengths, row_rank, row_sizes) : NULL;
    const oracle_softmax problem = {
        .rows = rows,
        .cols = o->shape[o->axis],
        .x = x,
        .scale = o->scale,
        .bias = bias,
        .keep = keep,
        .lengths = lengths,
        .causal = (oracle_causal)o->causal,
        .queries = o->rank >= 2 ? o->shape[o->rank - 2] : 1,
        .offset = o->offset,
        .log_probabilities = o->output == SOFTATTN_OUTPUT_LOG_PROBABILITIES,
        .empty_row = expected_empty_row(o),
        .precision = o->type == ARRAY_F32 ? oracle_f32 : oracle_f64,
    };
    const oracle_softmax_results results = oracle_softmax_compute(&problem);
    free(x);
    free(bias);
    free(keep);
    free(lengths);
    return results;
}

int64_t softmax_case_differences(softmax_case *c, const softattn_context *context) {
    oracle_softmax_results expected = compute_expected(c);
    oracle_result y = in_result_order(&c->options, &expected.y);
    int64_t differences = 0;
    if (softmax_case_run(c, context) != SOFTATTN_OK) {
        fprintf(stderr, "run failed: %s\n", last_error());
        differences++;
    } else {
        test_array *const outputs[] = {softmax_case_result(c), &c->lse, &c->row_max};
        differences += compare_with_oracle("y", outputs[0], &y);
        differences += compare_with_oracle("lse", outputs[1], &expected.lse);
        differences += compare_with_oracle("row_max", outputs[2], &expected.row_max);
        for (int i = 0; i < 3; i++) {
            differences += !array_gaps_untouched(outputs[i]);
        }
    }
    oracle_result_destroy(&y);
    oracle_softmax_results_destroy(&expected);
    return differences;
}

const char *softmax_case_text(const softmax_case *c) {
    static char text[256];
    const softmax_options *const o = &c->options;
    int64_t shape[4] = {1, 1, 1, 1};
    memcpy(shape, o->shape, (size_t)(o->rank < 4 ? o->rank : 4) * sizeof *shape);
    snprintf(text, sizeof text,
             "%s rank %d [%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
             "] axis %d, %s to %s%s, scale %g, bias %d, "
             "keep %d, lengths %d, causal %d %+" PRId64 ", output %d, empty row %d",
             o->type == ARRAY_F32 ? "f32" : "f64", (int)o->rank, shape[0], shape[1], shape[2], shape[3],
             (int)o->axis, array_layout_name(o->layout), array_layout_name(o->output_layout),
             o->in_place ? " in place" : "", o->scale, o->bias.given, o->keep.given, o->lengths.given,
             (int)o->causal, o->offset, (int)o->output, (int)o->empty_row);
    return text;
}
