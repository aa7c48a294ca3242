/*
 * Softmax refuses every bad argument with the status that the header says, a text that names the argument,
 * and outputs as they were.
 */
#include "assert_status.h"
#include "bad_structs.h"
#include "bad_tensors.h"
#include "guard.h"
#include "softmax_case.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Size of softattn_softmax_args in version 0.1, the first. */
enum { FIRST_ARGS_BYTES = 64 };

typedef struct fixture {
    softmax_case problem;
    softattn_softmax *softmax;
} fixture;

/* A problem with every operand, outputs unwritten. */
static void set_up(fixture *f) {
    random_source random;
    random_start(&random, "softmax arguments");
    const softmax_options options = {.type = ARRAY_F32,
                                     .rank = 3,
                                     .shape = {2, 3, 5},
                                     .axis = 2,
                                     .deviation = 1.0,
                                     .scale = 1.0,
                                     .bias.given = true,
                                     .keep.given = true,
                                     .lengths.given = true};
    softmax_case_create(&f->problem, &options, &random);
    f->softmax = softmax_case_handle(&f->problem, NULL);
}

static void tear_down(fixture *f) {
    softattn_softmax_destroy(f->softmax);
    softmax_case_destroy(&f->problem);
}

static int32_t run_fixture(void *user) {
    fixture *const f = user;
    return softattn_softmax_run(f->softmax, &f->problem.args);
}

static bool outputs_untouched(void *user) {
    const softmax_case *const c = &((fixture *)user)->problem;
    return array_untouched(&c->y) && array_untouched(&c->lse) && array_untouched(&c->row_max);
}

static void every_bad_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_softmax_args *const args = &f.problem.args;
    const tensor_user caller = {run_fixture, outputs_untouched, &f};
    const tensor_field fields[] = {
        {.name = "x", .field = &args->x, .is_required = true, .decides_sizes = true},
        {.name = "y", .field = &args->y, .is_output = true},
        {.name = "bias", .field = &args->bias, .broadcasts = true},
        {.name = "keep_mask", .field = &args->keep_mask, .broadcasts = true},
        {.name = "lengths", .field = &args->lengths, .broadcasts = true},
        {.name = "lse", .field = &args->lse, .is_output = true},
        {.name = "row_max", .field = &args->row_max, .is_output = true},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run_fixture(&f)); /* and nothing else was wrong */
    tear_down(&f);
}

/* ---- Types and shapes that are right by themselves but do not fit together ---- */

static void operands_of_another_float_type_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const softmax_case *const c = &f.problem;
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const operands[] = {{"y", &f.problem.args.y, &c->y},
                          {"bias", &f.problem.args.bias, &c->bias},
                          {"lse", &f.problem.args.lse, &c->lse},
                          {"row_max", &f.problem.args.row_max, &c->row_max}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const softattn_tensor *const good = *operands[i].field;
        test_array f64;
        array_create(&f64, ARRAY_F64, good->ndim, operands[i].array->shape, ARRAY_COMPACT, GUARD_AFTER);
        *operands[i].field = &f64.tensor;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_TYPE, operands[i].name);
        assert_true(array_untouched(&f64) && outputs_untouched(&f));
        *operands[i].field = good;
        array_destroy(&f64);
    }
    tear_down(&f);
}

static void masks_of_a_wrong_type_are_refused(void **state) {
    static const struct {
        uint8_t code, bits;
    } keep_types[] = {{SOFTATTN_TYPE_INT, 8}, {SOFTATTN_TYPE_FLOAT, 32}, {SOFTATTN_TYPE_UINT, 16}},
      length_types[] = {{SOFTATTN_TYPE_UINT, 32}, {SOFTATTN_TYPE_FLOAT, 64}, {SOFTATTN_TYPE_INT, 16}};
    fixture f;
    (void)state;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        softattn_tensor keep = f.problem.keep.tensor, lengths = f.problem.lengths.tensor;
        keep.dtype.code = keep_types[i].code;
        keep.dtype.bits = keep_types[i].bits;
        f.problem.args.keep_mask = &keep;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_TYPE, "keep_mask");
        f.problem.args.keep_mask = &f.problem.keep.tensor;
        lengths.dtype.code = length_types[i].code;
        lengths.dtype.bits = length_types[i].bits;
        f.problem.args.lengths = &lengths;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_TYPE, "lengths");
        f.problem.args.lengths = &f.problem.lengths.tensor;
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void sizes_that_do_not_broadcast_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    for (int axis = 0; axis < 3; axis++) {
        int64_t shape[3] = {2, 3, 5};
        softattn_tensor bias = f.problem.bias.tensor, keep = f.problem.keep.tensor;
        shape[axis]++;
        bias.shape = keep.shape = shape;
        bias.data = keep.data = guard_forbidden();
        f.problem.args.bias = &bias;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "bias");
        f.problem.args.bias = &f.problem.bias.tensor;
        f.problem.args.keep_mask = &keep;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "keep_mask");
        f.problem.args.keep_mask = &f.problem.keep.tensor;
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void a_scalar_has_no_axis(void **state) {
    float x = 1, y = 77;
    softattn_tensor tx = {
        .data = &x, .device = {SOFTATTN_DEVICE_CPU, 0}, .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1}};
    softattn_tensor ty = tx;
    softattn_softmax *softmax = NULL;
    (void)state;
    ty.data = &y;
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &tx, .y = &ty};
    assert_ok(softattn_softmax_create(NULL, &softmax));
    assert_fails(softattn_softmax_run(softmax, &args), SOFTATTN_ERROR_SHAPE, "x");
    assert_true(y == 77);
    softattn_softmax_destroy(softmax);
}

/* ---- Options ---- */

static void the_axis_must_be_one_of_x(void **state) {
    static const int32_t beyond_any_rank[] = {8, -9, INT32_MAX, INT32_MIN}, beyond_rank_3[] = {3, 7, -4, -8};
    fixture f;
    (void)state;
    set_up(&f);
    for (int i = 0; i < 4; i++) {
        assert_fails(softattn_softmax_set_axis(f.softmax, beyond_any_rank[i]), SOFTATTN_ERROR_ARGUMENT,
                     "axis");
        assert_ok(softattn_softmax_set_axis(f.softmax, beyond_rank_3[i]));
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "axis");
    }
    assert_true(outputs_untouched(&f));
    assert_ok(softattn_softmax_set_axis(f.softmax, 2));
    assert_ok(run_fixture(&f));
    tear_down(&f);
}

static void causal_needs_the_last_axis_and_a_query_dimension(void **state) {
    fixture f;
    float x[4] = {0}, y[4] = {77, 77, 77, 77};
    (void)state;
    set_up(&f);
    f.problem.args.lengths = NULL;
    f.problem.args.lse = f.problem.args.row_max = NULL;
    assert_ok(softattn_softmax_set_causal(f.softmax, SOFTATTN_CAUSAL_TOP_LEFT, 0));
    assert_ok(softattn_softmax_set_axis(f.softmax, 1));
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "axis");
    assert_true(outputs_untouched(&f));
    assert_ok(softattn_softmax_set_axis(f.softmax, -1));
    int64_t four = 4;
    softattn_tensor tx = {.data = x,
                          .device = {SOFTATTN_DEVICE_CPU, 0},
                          .ndim = 1,
                          .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
                          .shape = &four};
    softattn_tensor ty = tx;
    ty.data = y;
    const softattn_softmax_args vector = {.struct_size = sizeof vector, .x = &tx, .y = &ty};
    assert_fails(softattn_softmax_run(f.softmax, &vector), SOFTATTN_ERROR_SHAPE, "x");
    assert_true(y[0] == 77);
    tear_down(&f);
}

static void options_outside_their_range_are_refused(void **state) {
    static const double not_finite[] = {NAN, HUGE_VAL, -HUGE_VAL};
    static const double bad_temperatures[] = {0.0, -0.0, -1.0, NAN, HUGE_VAL, -HUGE_VAL, 1e-310};
    static const int32_t bad_modes[] = {-1, 4, INT32_MAX, INT32_MIN};
    fixture f;
    (void)state;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        assert_fails(softattn_softmax_set_scale(f.softmax, not_finite[i]), SOFTATTN_ERROR_ARGUMENT, "scale");
    }
    for (size_t i = 0; i < sizeof bad_temperatures / sizeof *bad_temperatures; i++) {
        assert_fails(softattn_softmax_set_temperature(f.softmax, bad_temperatures[i]),
                     SOFTATTN_ERROR_ARGUMENT, "temperature");
    }
    for (int i = 0; i < 4; i++) {
        assert_fails(softattn_softmax_set_causal(f.softmax, bad_modes[i], 0), SOFTATTN_ERROR_ARGUMENT,
                     "mode");
        assert_fails(softattn_softmax_set_output(f.softmax, bad_modes[i]), SOFTATTN_ERROR_ARGUMENT, "output");
        assert_fails(softattn_softmax_set_empty_row(f.softmax, bad_modes[i]), SOFTATTN_ERROR_ARGUMENT,
                     "policy");
    }
    /* none of these changed the handle */
    assert_ok(run_fixture(&f));
    softmax_case fresh;
    random_source random;
    random_start(&random, "softmax arguments");
    softmax_case_create(&fresh, &f.problem.options, &random);
    assert_int_equal(softmax_case_differences(&fresh, NULL), 0);
    assert_memory_equal(fresh.y.block.data, f.problem.y.block.data, fresh.y.block.bytes);
    softmax_case_destroy(&fresh);
    tear_down(&f);
}

static void a_scale_beyond_the_elements_type_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_ok(softattn_softmax_set_scale(f.softmax, 1e39)); /* a legal scale of f64 elements */
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_ok(softattn_softmax_set_temperature(f.softmax, 1e-39));
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "1 / temperature");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void null_handles_and_structs_are_refused(void **state) {
    softattn_softmax *softmax = NULL;
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_softmax_create(NULL, NULL), SOFTATTN_ERROR_NULL, "out");
    assert_fails(softattn_softmax_run(NULL, &f.problem.args), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_run(f.softmax, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_softmax_set_axis(softmax, 0), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_set_scale(softmax, 1), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_set_temperature(softmax, 1), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_set_causal(softmax, 0, 0), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_set_output(softmax, 0), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_set_empty_row(softmax, 0), SOFTATTN_ERROR_NULL, "softmax");
    f.problem.args.y = f.problem.args.lse = f.problem.args.row_max = NULL;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_NULL, "y"); /* no output at all */
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static int32_t run_struct(void *user, void *copy) { return softattn_softmax_run(user, copy); }

static void struct_size_is_obeyed(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_struct_size_is_obeyed(&f.problem.args, FIRST_ARGS_BYTES, sizeof f.problem.args, run_struct,
                                 f.softmax);
    tear_down(&f);
}

/* ---- Overlap ---- */

/* Element offsets of y from x in one buffer of rows of 8, and whether the two share elements. */
static void y_may_be_x_but_not_overlap_it_otherwise(void **state) {
    static const struct {
        int64_t offset, y_stride;
        int32_t status;
    } cases[] = {
        {0, 8, SOFTATTN_OK},              /* in place */
        {8, 8, SOFTATTN_ERROR_OVERLAP},   /* one row on */
        {-8, 8, SOFTATTN_ERROR_OVERLAP},  /* one row back */
        {1, 8, SOFTATTN_ERROR_OVERLAP},   /* one element on */
        {0, 16, SOFTATTN_ERROR_OVERLAP},  /* the same start, other rows */
        {4, 8, SOFTATTN_OK},              /* the other half of each row */
        {32, 8, SOFTATTN_OK},             /* behind the last row */
        {-32, 8, SOFTATTN_OK},            /* before the first */
        {28, 8, SOFTATTN_OK},             /* right behind the last element */
        {27, 8, SOFTATTN_ERROR_OVERLAP},  /* on the last element */
        {-27, 8, SOFTATTN_ERROR_OVERLAP}, /* its last element on x's first */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float memory[160], before[160];
        for (int j = 0; j < 160; j++) {
            memory[j] = before[j] = (float)j;
        }
        float *const x = memory + 64;
        assert_status(softattn_softmax_f32(NULL, 4, 4, x, 8, x + cases[i].offset, cases[i].y_stride),
                      cases[i].status);
        if (cases[i].status != SOFTATTN_OK) {
            assert_non_null(strstr(last_error(), "y"));
            assert_memory_equal(memory, before, sizeof memory);
        }
    }
}

static void no_output_may_share_memory_with_another_operand(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_softmax_args *const args = &f.problem.args;
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const outputs[] = {{"y", &args->y, &f.problem.y},
                         {"lse", &args->lse, &f.problem.lse},
                         {"row_max", &args->row_max, &f.problem.row_max}};
    const test_array *const others[] = {&f.problem.x,   &f.problem.y,       &f.problem.bias,
                                        &f.problem.lse, &f.problem.row_max, &f.problem.lengths};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < sizeof others / sizeof *others; j++) {
            if (others[j] == outputs[i].array) {
                continue;
            }
            /* its last element lies on the other's first four bytes */
            softattn_tensor moved = outputs[i].array->tensor;
            moved.data = (char *)others[j]->tensor.data - (array_count(outputs[i].array) - 1) * 4;
            *outputs[i].field = &moved;
            assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, outputs[i].name);
            *outputs[i].field = &outputs[i].array->tensor;
            assert_true(outputs_untouched(&f));
        }
    }
    tear_down(&f);
}

/* ---- The flat functions ---- */

static void flat_functions_refuse_bad_arguments(void **state) {
    float x[20] = {0}, y[20], before[20];
    void *const forbidden = guard_forbidden();
    (void)state;
    memset(y, 0xff, sizeof y);
    memcpy(before, y, sizeof y);
    assert_fails(softattn_softmax_f32(NULL, -1, 4, x, 4, y, 4), SOFTATTN_ERROR_ARGUMENT, "rows");
    assert_fails(softattn_softmax_f32(NULL, 4, -1, x, 4, y, 4), SOFTATTN_ERROR_ARGUMENT, "cols");
    assert_fails(softattn_softmax_f32(NULL, INT64_MIN, INT64_MIN, x, 4, y, 4), SOFTATTN_ERROR_ARGUMENT,
                 "rows");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, NULL, 4, y, 4), SOFTATTN_ERROR_NULL, "x");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, x, 4, NULL, 4), SOFTATTN_ERROR_NULL, "y");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, x, 4, y, 0), SOFTATTN_ERROR_STRIDE, "y");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, x, 4, y, 3), SOFTATTN_ERROR_STRIDE, "y");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, (void *)((char *)x + 1), 4, y, 4), SOFTATTN_ERROR_ARGUMENT,
                 "x");
    assert_fails(softattn_softmax_f32(NULL, 4, 4, x, 4, (void *)((char *)y + 2), 4), SOFTATTN_ERROR_ARGUMENT,
                 "y");
    assert_fails(softattn_softmax_f32(NULL, INT64_MAX, 2, forbidden, 2, forbidden, 2),
                 SOFTATTN_ERROR_OVERFLOW, "x");
    assert_fails(softattn_softmax_f32(NULL, 2, INT64_MAX, forbidden, 2, forbidden, 2),
                 SOFTATTN_ERROR_OVERFLOW, "x");
    assert_fails(softattn_softmax_f32(NULL, 1, INT64_MAX / 2, forbidden, 1, forbidden, 1),
                 SOFTATTN_ERROR_OVERFLOW, "x");
    assert_fails(softattn_softmax_f32(NULL, 3, 2, forbidden, INT64_MAX / 2, y, 2), SOFTATTN_ERROR_OVERFLOW,
                 "x");
    assert_fails(softattn_softmax_f32(NULL, 3, 2, forbidden, INT64_MIN, y, 2), SOFTATTN_ERROR_OVERFLOW, "x");
    assert_fails(softattn_softmax_f32(NULL, 3, 2, x, 2, forbidden, INT64_MAX / 2), SOFTATTN_ERROR_OVERFLOW,
                 "y");
    assert_fails(softattn_softmax_f64(NULL, -1, 4, (void *)x, 4, (void *)y, 4), SOFTATTN_ERROR_ARGUMENT,
                 "rows");
    assert_fails(softattn_softmax_f64(NULL, 1, 1, NULL, 4, (void *)y, 4), SOFTATTN_ERROR_NULL, "x");
    assert_memory_equal(y, before, sizeof y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_is_refused),
        cmocka_unit_test(operands_of_another_float_type_are_refused),
        cmocka_unit_test(masks_of_a_wrong_type_are_refused),
        cmocka_unit_test(sizes_that_do_not_broadcast_are_refused),
        cmocka_unit_test(a_scalar_has_no_axis),
        cmocka_unit_test(the_axis_must_be_one_of_x),
        cmocka_unit_test(causal_needs_the_last_axis_and_a_query_dimension),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(a_scale_beyond_the_elements_type_is_refused),
        cmocka_unit_test(null_handles_and_structs_are_refused),
        cmocka_unit_test(struct_size_is_obeyed),
        cmocka_unit_test(y_may_be_x_but_not_overlap_it_otherwise),
        cmocka_unit_test(no_output_may_share_memory_with_another_operand),
        cmocka_unit_test(flat_functions_refuse_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
