/*
 * A cross-entropy problem with all its arrays.
 */
#include "entropy_case.h"
#include "compare.h"
#include "contexts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

entropy_options entropy_options_plain(array_type type, int64_t rows, int64_t classes) {
    return (entropy_options){.type = type,
                             .rank = 2,
                             .shape = {rows, classes},
                             .target_type = ARRAY_I64,
                             .ignored = 0.1,
                             .ignore_index = -100,
                             .scale = 1.0,
                             .deviation = 2.0,
                             .reduction = SOFTATTN_REDUCTION_MEAN};
}

entropy_options entropy_options_random(random_source *random, int64_t elements) {
    static const double scales[] = {1.0, 1.0, 0.125, -1.5, 0.0}, deviations[] = {1.0, 5.0, 30.0};
    entropy_options o = entropy_options_plain(random_below(random, 2) ? ARRAY_F64 : ARRAY_F32, 1, 1);
    o.rank = (int32_t)random_between(random, 1, 4);
    for (int32_t i = o.rank - 1; i >= 0; i--) {
        o.shape[i] = random_between(random, 1, elements < 200 ? elements : i == o.rank - 1 ? 200 : 9);
        elements /= o.shape[i];
    }
    o.layout = (array_layout)random_below(random, ARRAY_LAYOUTS);
    o.output_layout = (array_layout)random_below(random, ARRAY_BACKWARDS);
    o.in_place = random_below(random, 3) == 0 && o.layout != ARRAY_BACKWARDS;
    o.side = random_below(random, 2) ? GUARD_BEFORE : GUARD_AFTER;
    o.has_probabilities = random_below(random, 3) == 0;
    o.has_weights = random_below(random, 2) == 1;
    o.target_type = random_below(random, 2) ? ARRAY_I32 : ARRAY_I64;
    o.ignored = random_below(random, 2) ? 0.3 : 0.0;
    o.ignore_index = random_below(random, 2) ? -100 : random_below(random, o.shape[o.rank - 1]);
    o.smoothing = random_below(random, 2) ? random_uniform(random, 0.0, 1.0) : 0.0;
    o.z_loss = random_below(random, 3) == 0 ? 1e-2 : 0.0;
    o.scale = scales[random_below(random, 5)];
    o.deviation = deviations[random_below(random, 3)];
    o.reduction = (int32_t)random_below(random, 3);
    return o;
}

static int64_t classes_of(const entropy_options *o) { return o->shape[o->rank - 1]; }

static void fill_targets(entropy_case *c, random_source *random) {
    const entropy_options *const o = &c->options;
    for (int64_t row = 0; row < array_count(&c->targets); row++) {
        const bool ignored = classes_of(o) == 0 || random_uniform(random, 0.0, 1.0) < o->ignored;
        array_set(&c->targets, row,
                  (double)(ignored ? o->ignore_index : random_below(random, classes_of(o))));
    }
    array_fill_uniform(&c->probabilities, random, 0.0, 2.0 / ((double)classes_of(o) + 1.0));
    array_fill_uniform(&c->weights, random, 0.25, 2.0);
}

void entropy_case_create(entropy_case *c, const entropy_options *o, random_source *random) {
    const int64_t one = 1, classes = classes_of(o);
    memset(c, 0, sizeof *c);
    c->options = *o;
    array_create(&c->logits, o->type, o->rank, o->shape, o->layout, o->side);
    array_create(&c->targets, o->target_type, o->rank - 1, o->shape, o->layout, o->side);
    array_create(&c->probabilities, o->type, o->rank, o->shape, o->layout, o->side);
    array_create(&c->weights, o->type, 1, &classes, o->layout, o->side);
    array_create(&c->losses, o->type, o->rank - 1, o->shape, o->output_layout, o->side);
    array_create(&c->total, o->type, 1, &one, ARRAY_COMPACT, o->side);
    array_create(&c->gradient, o->type, o->rank, o->shape, o->output_layout, o->side);
    array_create(&c->lse, o->type, o->rank - 1, o->shape, o->output_layout, o->side);
    array_create(&c->counted, o->target_type, 0, NULL, ARRAY_COMPACT, o->side);
    array_fill_normal(&c->logits, random, o->deviation);
    fill_targets(c, random);
    c->args = (softattn_cross_entropy_args){
        .struct_size = sizeof c->args,
        .logits = &c->logits.tensor,
        .targets = o->has_probabilities ? NULL : &c->targets.tensor,
        .target_probabilities = o->has_probabilities ? &c->probabilities.tensor : NULL,
        .class_weights = o->has_weights ? &c->weights.tensor : NULL,
        .losses = &c->losses.tensor,
        .total = o->reduction == SOFTATTN_REDUCTION_NONE ? NULL : &c->total.tensor,
        .gradient = o->in_place ? &c->logits.tensor : &c->gradient.tensor,
        .lse = &c->lse.tensor,
        .counted = &c->counted.tensor};
}

void entropy_case_destroy(entropy_case *c) {
    test_array *const arrays[] = {&c->logits, &c->targets,  &c->probabilities, &c->weights, &c->losses,
                                  &c->total,  &c->gradient, &c->lse,           &c->counted};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

test_array *entropy_case_gradient(entropy_case *c) { return c->options.in_place ? &c->logits : &c->gradient; }

softattn_cross_entropy *entropy_case_handle(const entropy_case *c, const softattn_context *context) {
    const entropy_options *const o = &c->options;
    softattn_cross_entropy *handle = NULL;
    if (softattn_cross_entropy_create(context, &handle) != SOFTATTN_OK ||
        softattn_cross_entropy_set_ignore_index(handle, o->ignore_index) != SOFTATTN_OK ||
        softattn_cross_entropy_set_label_smoothing(handle, o->smoothing) != SOFTATTN_OK ||
        softattn_cross_entropy_set_z_loss(handle, o->z_loss) != SOFTATTN_OK ||
        softattn_cross_entropy_set_scale(handle, o->scale) != SOFTATTN_OK ||
        softattn_cross_entropy_set_reduction(handle, o->reduction) != SOFTATTN_OK) {
        fprintf(stderr, "cannot configure cross-entropy: %s\n", last_error());
        exit(EXIT_FAILURE);
    }
    return handle;
}

int32_t entropy_case_run(entropy_case *c, const softattn_context *context) {
    softattn_cross_entropy *const handle = entropy_case_handle(c, context);
    const int32_t status = softattn_cross_entropy_run(handle, &c->args);
    softattn_cross_entropy_destroy(handle);
    return status;
}

static int64_t *read_targets(const entropy_case *c, int64_t rows) {
    int64_t *const targets = calloc((size_t)rows + 1, sizeof *targets);
    if (!targets) {
        abort();
    }
    for (int64_t row = 0; row < rows; row++) {
        targets[row] = (int64_t)array_get(&c->targets, row);
    }
    return targets;
}

oracle_entropy_results entropy_case_expected(const entropy_case *c) {
    const entropy_options *const o = &c->options;
    const int64_t classes = classes_of(o), rows = array_count(&c->losses);
    double *const logits = array_read(&c->logits, o->rank, o->shape);
    double *const probabilities = array_read(&c->probabilities, o->rank, o->shape);
    double *const weights = array_read(&c->weights, 1, &classes);
    int64_t *const targets = read_targets(c, rows);
    const oracle_entropy problem = {
        .rows = rows,
        .classes = classes,
        .logits = logits,
        .targets = o->has_probabilities ? NULL : targets,
        .probabilities = o->has_probabilities ? probabilities : NULL,
        .weights = o->has_weights ? weights : NULL,
        .ignore_index = o->ignore_index,
        .smoothing = o->smoothing,
        .z_loss = o->z_loss,
        .scale = o->scale,
        .reduction = (oracle_reduction)o->reduction,
        .precision = o->type == ARRAY_F32 ? oracle_f32 : oracle_f64,
    };
    const oracle_entropy_results expected = oracle_entropy_compute(&problem);
    free(logits);
    free(probabilities);
    free(weights);
    free(targets);
    return expected;
}

static int64_t compare_results(entropy_case *c, const oracle_entropy_results *expected) {
    int64_t differences = compare_with_oracle("loss", &c->losses, &expected->losses);
    differences += compare_with_oracle("gradient", entropy_case_gradient(c), &expected->gradient);
    differences += compare_with_oracle("lse", &c->lse, &expected->lse);
    if (c->args.total != NULL) {
        differences += compare_with_oracle("total", &c->total, &expected->total);
    }
    if (array_get(&c->counted, 0) != (double)expected->counted) {
        fprintf(stderr, "counted is %g, should be %" PRId64 "\n", array_get(&c->counted, 0),
                expected->counted);
        differences++;
    }
    differences += !array_gaps_untouched(&c->losses) + !array_gaps_untouched(entropy_case_gradient(c)) +
                   !array_gaps_untouched(&c->lse) + !array_gaps_untouched(&c->total) +
                   !array_gaps_untouched(&c->counted);
    return differences;
}

int64_t entropy_case_differences(entropy_case *c, const softattn_context *context) {
    oracle_entropy_results expected = entropy_case_expected(c);
    int64_t differences = 1;
    if (entropy_case_run(c, context) == SOFTATTN_OK) {
        differences = compare_results(c, &expected);
    } else {
        fprintf(stderr, "run failed: %s\n", last_error());
    }
    oracle_entropy_results_destroy(&expected);
    return differences;
}

const char *entropy_case_text(const entropy_case *c) {
    static char text[320];
    const entropy_options *const o = &c->options;
    snprintf(
        text, sizeof text,
        "%s rank %d, %" PRId64 " rows of %" PRId64
        " classes, %s to %s%s, %s, weights %d, ignore_index %" PRId64
        ", smoothing %g, z-loss %g, scale %g, deviation %g, reduction %d",
        o->type == ARRAY_F32 ? "f32" : "f64", (int)o->rank, array_count(&c->losses), classes_of(o),
        array_layout_name(o->layout), array_layout_name(o->output_layout), o->in_place ? " in place" : "",
        o->has_probabilities          ? "probabilities"
        : o->target_type == ARRAY_I32 ? "int32"
                                      : "int64",
        o->has_weights, o->ignore_index, o->smoothing, o->z_loss, o->scale, o->deviation, (int)o->reduction);
    return text;
}
