/*
 * Derivatives of softmax and cross-entropy refuse every bad argument with the status that the header says, a
 * text that names the argument, and outputs as they were; they survive every failed allocation, accept every
 * size of 0, and raise no floating-point exception that stands for an error.
 */
#include "allocator.h"
#include "assert_status.h"
#include "backward_case.h"
#include "bad_structs.h"
#include "bad_tensors.h"
#include "entropy_case.h"
#include "guard.h"

#include <fenv.h>
#include <math.h>

/* Sizes of the argument structs in the first version that had them. */
enum { FIRST_BACKWARD_BYTES = 32, FIRST_JVP_BYTES = 32, FIRST_JACOBIAN_BYTES = 24, FIRST_ENTROPY_BYTES = 80 };

static random_source contents;

/* ---- Derivatives of softmax ---------------------------------------------------------------------------- */

typedef struct fixture {
    backward_case problem;
    test_array jacobian;
    softattn_softmax *softmax;
    softattn_softmax_backward_args backward;
    softattn_softmax_jvp_args jvp;
    softattn_softmax_jacobian_args jacobian_args;
} fixture;

static void set_up(fixture *f) {
    const int64_t jacobian_shape[4] = {2, 3, 5, 5};
    const backward_options options = {
        .type = ARRAY_F32, .rank = 3, .shape = {2, 3, 5}, .axis = 2, .scale = 1.0};
    backward_case_create(&f->problem, &options, &contents);
    array_create(&f->jacobian, ARRAY_F32, 4, jacobian_shape, ARRAY_COMPACT, GUARD_AFTER);
    f->softmax = backward_case_handle(&f->problem, NULL);
    const backward_case *const c = &f->problem;
    f->backward =
        (softattn_softmax_backward_args){sizeof f->backward, &c->y.tensor, &c->v.tensor, &c->out.tensor};
    f->jvp = (softattn_softmax_jvp_args){sizeof f->jvp, &c->y.tensor, &c->v.tensor, &c->out.tensor};
    f->jacobian_args =
        (softattn_softmax_jacobian_args){sizeof f->jacobian_args, &c->y.tensor, &f->jacobian.tensor};
}

static void tear_down(fixture *f) {
    softattn_softmax_destroy(f->softmax);
    array_destroy(&f->jacobian);
    backward_case_destroy(&f->problem);
}

static int32_t run_backward(void *user) {
    fixture *const f = user;
    return softattn_softmax_backward(f->softmax, &f->backward);
}
static int32_t run_jvp(void *user) {
    fixture *const f = user;
    return softattn_softmax_jvp(f->softmax, &f->jvp);
}
static int32_t run_jacobian(void *user) {
    fixture *const f = user;
    return softattn_softmax_jacobian(f->softmax, &f->jacobian_args);
}

static bool outputs_untouched(void *user) {
    const fixture *const f = user;
    return array_untouched(&f->problem.out) && array_untouched(&f->jacobian);
}

static void every_bad_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const struct {
        int32_t (*run)(void *user);
        tensor_field field;
    } fields[] = {
        {run_backward, {.name = "y", .field = &f.backward.y, .is_required = true, .decides_sizes = true}},
        {run_backward, {.name = "dy", .field = &f.backward.dy, .is_required = true}},
        {run_backward, {.name = "dx", .field = &f.backward.dx, .is_required = true, .is_output = true}},
        {run_jvp, {.name = "y", .field = &f.jvp.y, .is_required = true, .decides_sizes = true}},
        {run_jvp, {.name = "x_tangent", .field = &f.jvp.x_tangent, .is_required = true}},
        {run_jvp, {.name = "y_tangent", .field = &f.jvp.y_tangent, .is_required = true, .is_output = true}},
        {run_jacobian,
         {.name = "y", .field = &f.jacobian_args.y, .is_required = true, .decides_sizes = true}},
        {run_jacobian,
         {.name = "jacobian", .field = &f.jacobian_args.jacobian, .is_required = true, .is_output = true}},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const tensor_user caller = {fields[i].run, outputs_untouched, &f};
        assert_bad_tensors_are_refused(&fields[i].field, &caller);
    }
    assert_ok(run_backward(&f)); /* and nothing else was wrong */
    assert_ok(run_jvp(&f));
    assert_ok(run_jacobian(&f));
    tear_down(&f);
}

static void operands_of_another_float_type_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const struct {
        const char *name;
        const softattn_tensor **field;
        int32_t (*run)(void *user);
    } operands[] = {{"dy", &f.backward.dy, run_backward},
                    {"dx", &f.backward.dx, run_backward},
                    {"x_tangent", &f.jvp.x_tangent, run_jvp},
                    {"y_tangent", &f.jvp.y_tangent, run_jvp},
                    {"jacobian", &f.jacobian_args.jacobian, run_jacobian}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const softattn_tensor *const good = *operands[i].field;
        test_array f64;
        array_create(&f64, ARRAY_F64, good->ndim, good->shape, ARRAY_COMPACT, GUARD_AFTER);
        *operands[i].field = &f64.tensor;
        assert_fails(operands[i].run(&f), SOFTATTN_ERROR_TYPE, operands[i].name);
        assert_true(array_untouched(&f64) && outputs_untouched(&f));
        *operands[i].field = good;
        array_destroy(&f64);
    }
    tear_down(&f);
}

static void the_axis_must_be_one_of_y(void **state) {
    static const int32_t beyond[] = {3, 7, -4, -8};
    fixture f;
    (void)state;
    set_up(&f);
    for (int i = 0; i < 4; i++) {
        assert_ok(softattn_softmax_set_axis(f.softmax, beyond[i]));
        assert_fails(run_backward(&f), SOFTATTN_ERROR_ARGUMENT, "axis");
        assert_fails(run_jvp(&f), SOFTATTN_ERROR_ARGUMENT, "axis");
        assert_fails(run_jacobian(&f), SOFTATTN_ERROR_ARGUMENT, "axis");
    }
    assert_ok(softattn_softmax_set_axis(f.softmax, 1)); /* legal, but then the Jacobians are 3 x 3 */
    assert_fails(run_jacobian(&f), SOFTATTN_ERROR_SHAPE, "jacobian");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void a_jacobian_needs_a_rank_to_spare(void **state) {
    int64_t shape[8] = {1, 1, 1, 1, 1, 1, 1, 2};
    float y[2] = {0.5f, 0.5f}, jacobian[4] = {77};
    softattn_softmax *softmax = NULL;
    softattn_tensor ty = {.data = y,
                          .device = {SOFTATTN_DEVICE_CPU, 0},
                          .ndim = 8,
                          .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
                          .shape = shape};
    softattn_tensor tj = ty;
    (void)state;
    tj.data = jacobian;
    const softattn_softmax_jacobian_args args = {sizeof args, &ty, &tj};
    assert_ok(softattn_softmax_create(NULL, &softmax));
    assert_fails(softattn_softmax_jacobian(softmax, &args), SOFTATTN_ERROR_SHAPE, "y");
    assert_true(jacobian[0] == 77);
    softattn_softmax_destroy(softmax);
}

static void a_scale_beyond_the_elements_type_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_ok(softattn_softmax_set_scale(f.softmax, 1e39));
    assert_fails(run_backward(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_fails(run_jvp(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_fails(run_jacobian(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_ok(softattn_softmax_set_temperature(f.softmax, 1e-39));
    assert_fails(run_backward(&f), SOFTATTN_ERROR_ARGUMENT, "1 / temperature");
    assert_fails(run_jvp(&f), SOFTATTN_ERROR_ARGUMENT, "1 / temperature");
    assert_fails(run_jacobian(&f), SOFTATTN_ERROR_ARGUMENT, "1 / temperature");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static int32_t run_backward_struct(void *user, void *copy) { return softattn_softmax_backward(user, copy); }
static int32_t run_jvp_struct(void *user, void *copy) { return softattn_softmax_jvp(user, copy); }
static int32_t run_jacobian_struct(void *user, void *copy) { return softattn_softmax_jacobian(user, copy); }

static void struct_size_is_obeyed(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_struct_size_is_obeyed(&f.backward, FIRST_BACKWARD_BYTES, sizeof f.backward, run_backward_struct,
                                 f.softmax);
    assert_struct_size_is_obeyed(&f.jvp, FIRST_JVP_BYTES, sizeof f.jvp, run_jvp_struct, f.softmax);
    assert_struct_size_is_obeyed(&f.jacobian_args, FIRST_JACOBIAN_BYTES, sizeof f.jacobian_args,
                                 run_jacobian_struct, f.softmax);
    tear_down(&f);
}

static void null_handles_and_structs_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_softmax_backward(NULL, &f.backward), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_backward(f.softmax, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_softmax_jvp(NULL, &f.jvp), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_jvp(f.softmax, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_softmax_jacobian(NULL, &f.jacobian_args), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_softmax_jacobian(f.softmax, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* Element offsets of dx from dy, in rows of 8 of one buffer, with y elsewhere. */
static void dx_may_be_dy_but_not_overlap_it_otherwise(void **state) {
    static const struct {
        int64_t offset, dx_stride;
        int32_t status;
    } cases[] = {
        {0, 8, SOFTATTN_OK},             /* in place */
        {8, 8, SOFTATTN_ERROR_OVERLAP},  /* one row on */
        {1, 8, SOFTATTN_ERROR_OVERLAP},  /* one element on */
        {0, 16, SOFTATTN_ERROR_OVERLAP}, /* the same start, other rows */
        {4, 8, SOFTATTN_OK},             /* the other half of each row */
        {-27, 8, SOFTATTN_ERROR_OVERLAP} /* its last element on dy's first */
    };
    static const float y[32] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float memory[160], before[160];
        for (int j = 0; j < 160; j++) {
            memory[j] = before[j] = (float)j;
        }
        float *const dy = memory + 64;
        assert_status(
            softattn_softmax_backward_f32(NULL, 4, 4, y, 8, dy, 8, dy + cases[i].offset, cases[i].dx_stride),
            cases[i].status);
        if (cases[i].status != SOFTATTN_OK) {
            assert_non_null(strstr(last_error(), "dx"));
            assert_memory_equal(memory, before, sizeof memory);
        }
    }
    float shared[16] = {0};
    assert_fails(softattn_softmax_backward_f32(NULL, 4, 4, shared, 4, y, 4, shared, 4),
                 SOFTATTN_ERROR_OVERLAP, "dx");
}

static void flat_backward_refuses_bad_arguments(void **state) {
    float y[20] = {0}, dx[20], before[20];
    (void)state;
    memset(dx, 0xff, sizeof dx);
    memcpy(before, dx, sizeof dx);
    assert_fails(softattn_softmax_backward_f32(NULL, -1, 4, y, 4, y, 4, dx, 4), SOFTATTN_ERROR_ARGUMENT,
                 "rows");
    assert_fails(softattn_softmax_backward_f32(NULL, 4, -1, y, 4, y, 4, dx, 4), SOFTATTN_ERROR_ARGUMENT,
                 "cols");
    assert_fails(softattn_softmax_backward_f32(NULL, 4, 4, NULL, 4, y, 4, dx, 4), SOFTATTN_ERROR_NULL, "y");
    assert_fails(softattn_softmax_backward_f32(NULL, 4, 4, y, 4, NULL, 4, dx, 4), SOFTATTN_ERROR_NULL, "dy");
    assert_fails(softattn_softmax_backward_f32(NULL, 4, 4, y, 4, y, 4, NULL, 4), SOFTATTN_ERROR_NULL, "dx");
    assert_fails(softattn_softmax_backward_f32(NULL, 4, 4, y, 4, y, 4, dx, 3), SOFTATTN_ERROR_STRIDE, "dx");
    assert_fails(softattn_softmax_backward_f64(NULL, INT64_MAX, 2, guard_forbidden(), 2, guard_forbidden(), 2,
                                               guard_forbidden(), 2),
                 SOFTATTN_ERROR_OVERFLOW, "y");
    assert_memory_equal(dx, before, sizeof dx);
}

/* ---- Cross-entropy ------------------------------------------------------------------------------------- */

typedef struct entropy_fixture {
    entropy_case problem;
    softattn_cross_entropy *handle;
} entropy_fixture;

/* With every operand; probabilities take the place of targets where asked for. */
static void set_up_entropy(entropy_fixture *f, bool has_probabilities) {
    entropy_options options = entropy_options_plain(ARRAY_F32, 0, 0);
    options.rank = 3;
    options.shape[0] = 2;
    options.shape[1] = 3;
    options.shape[2] = 5;
    options.has_probabilities = has_probabilities;
    options.has_weights = true;
    entropy_case_create(&f->problem, &options, &contents);
    f->handle = entropy_case_handle(&f->problem, NULL);
}

static void tear_down_entropy(entropy_fixture *f) {
    softattn_cross_entropy_destroy(f->handle);
    entropy_case_destroy(&f->problem);
}

static int32_t run_entropy(void *user) {
    entropy_fixture *const f = user;
    return softattn_cross_entropy_run(f->handle, &f->problem.args);
}

static bool entropy_outputs_untouched(void *user) {
    const entropy_case *const c = &((entropy_fixture *)user)->problem;
    return array_untouched(&c->losses) && array_untouched(&c->total) && array_untouched(&c->gradient) &&
           array_untouched(&c->lse) && array_untouched(&c->counted);
}

static void every_bad_tensor_of_cross_entropy_is_refused(void **state) {
    (void)state;
    for (int has_probabilities = 0; has_probabilities < 2; has_probabilities++) {
        entropy_fixture f;
        set_up_entropy(&f, has_probabilities == 1);
        softattn_cross_entropy_args *const args = &f.problem.args;
        const tensor_user caller = {run_entropy, entropy_outputs_untouched, &f};
        const tensor_field fields[] = {
            {.name = "logits", .field = &args->logits, .is_required = true, .decides_sizes = true},
            {.name = "target",
             .field = has_probabilities ? &args->target_probabilities : &args->targets,
             .is_required = true},
            {.name = "class_weights", .field = &args->class_weights},
            {.name = "losses", .field = &args->losses, .is_output = true},
            {.name = "gradient", .field = &args->gradient, .is_output = true},
            {.name = "lse", .field = &args->lse, .is_output = true},
        };
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            assert_bad_tensors_are_refused(&fields[i], &caller);
        }
        assert_ok(run_entropy(&f));
        tear_down_entropy(&f);
    }
}

/* The outputs of one element, and what the tensors are to each other. */
static void operands_that_do_not_fit_are_refused(void **state) {
    int64_t two = 2, five = 5, six = 6;
    entropy_fixture f;
    (void)state;
    set_up_entropy(&f, false);
    softattn_cross_entropy_args *const args = &f.problem.args;
    softattn_tensor total = f.problem.total.tensor, counted = f.problem.counted.tensor;
    softattn_tensor weights = f.problem.weights.tensor;
    total.shape = &two;
    args->total = &total;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_SHAPE, "total");
    total.shape = &five;
    total.ndim = 0; /* one element, but of the wrong type */
    total.dtype.bits = 64;
    total.data = guard_forbidden();
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_TYPE, "total");
    args->total = &f.problem.total.tensor;
    counted.dtype.code = SOFTATTN_TYPE_FLOAT;
    args->counted = &counted;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_TYPE, "counted");
    args->counted = &f.problem.counted.tensor;
    weights.shape = &six;
    weights.data = guard_forbidden();
    args->class_weights = &weights;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_SHAPE, "class_weights");
    args->class_weights = NULL;
    args->target_probabilities = &f.problem.probabilities.tensor;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_ARGUMENT, "target_probabilities"); /* beside targets */
    args->target_probabilities = args->targets = NULL;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_NULL, "targets");
    args->targets = &f.problem.targets.tensor;
    args->losses = args->total = args->gradient = args->lse = args->counted = NULL;
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_NULL, "losses"); /* no output at all */
    assert_true(entropy_outputs_untouched(&f));
    tear_down_entropy(&f);
}

/* A logit of rank 0 has no classes. */
static void a_scalar_has_no_classes(void **state) {
    float x = 1, loss = 77;
    int64_t target = 0;
    softattn_cross_entropy *handle = NULL;
    softattn_tensor logits = {
        .data = &x, .device = {SOFTATTN_DEVICE_CPU, 0}, .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1}};
    softattn_tensor targets = logits, losses = logits;
    (void)state;
    targets.data = &target;
    targets.dtype.code = SOFTATTN_TYPE_INT;
    targets.dtype.bits = 64;
    losses.data = &loss;
    const softattn_cross_entropy_args args = {
        .struct_size = sizeof args, .logits = &logits, .targets = &targets, .losses = &losses};
    assert_ok(softattn_cross_entropy_create(NULL, &handle));
    assert_fails(softattn_cross_entropy_run(handle, &args), SOFTATTN_ERROR_SHAPE, "logits");
    assert_true(loss == 77);
    softattn_cross_entropy_destroy(handle);
}

/* The first bad one in row-major order is named, however the targets lie in memory. */
static void targets_out_of_range_are_named(void **state) {
    static const struct {
        int64_t row;
        double value;
        const char *text;
    } cases[] = {{0, -1, "row 0 has class -1"},
                 {3, 5, "row 3 has class 5"},
                 {5, -101, "row 5 has class -101"},
                 {4, 2147483647, "row 4 has class 2147483647"}};
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            entropy_options options = entropy_options_plain(ARRAY_F64, 0, 0);
            entropy_fixture f;
            options.rank = 3;
            options.shape[0] = 2;
            options.shape[1] = 3;
            options.shape[2] = 5;
            options.layout = ARRAY_TRANSPOSED;
            options.target_type = wide ? ARRAY_I64 : ARRAY_I32;
            entropy_case_create(&f.problem, &options, &contents);
            f.handle = entropy_case_handle(&f.problem, NULL);
            array_set(&f.problem.targets, cases[i].row, cases[i].value);
            assert_fails(run_entropy(&f), SOFTATTN_ERROR_ARGUMENT, cases[i].text);
            assert_non_null(strstr(last_error(), "targets"));
            assert_true(entropy_outputs_untouched(&f));
            tear_down_entropy(&f);
        }
    }
}

static void options_outside_their_range_are_refused(void **state) {
    static const double not_finite[] = {NAN, HUGE_VAL, -HUGE_VAL};
    static const double bad_smoothings[] = {-1e-9, 1.0000001, NAN, HUGE_VAL, -HUGE_VAL};
    static const double bad_z_losses[] = {-1e-9, NAN, HUGE_VAL, -HUGE_VAL};
    static const double bad_temperatures[] = {0.0, -1.0, NAN, HUGE_VAL, 1e-310};
    static const int32_t bad_reductions[] = {-1, 3, INT32_MAX, INT32_MIN};
    entropy_fixture f;
    (void)state;
    set_up_entropy(&f, false);
    for (size_t i = 0; i < sizeof not_finite / sizeof *not_finite; i++) {
        assert_fails(softattn_cross_entropy_set_scale(f.handle, not_finite[i]), SOFTATTN_ERROR_ARGUMENT,
                     "scale");
    }
    for (size_t i = 0; i < sizeof bad_smoothings / sizeof *bad_smoothings; i++) {
        assert_fails(softattn_cross_entropy_set_label_smoothing(f.handle, bad_smoothings[i]),
                     SOFTATTN_ERROR_ARGUMENT, "smoothing");
    }
    for (size_t i = 0; i < sizeof bad_z_losses / sizeof *bad_z_losses; i++) {
        assert_fails(softattn_cross_entropy_set_z_loss(f.handle, bad_z_losses[i]), SOFTATTN_ERROR_ARGUMENT,
                     "factor");
    }
    for (size_t i = 0; i < sizeof bad_temperatures / sizeof *bad_temperatures; i++) {
        assert_fails(softattn_cross_entropy_set_temperature(f.handle, bad_temperatures[i]),
                     SOFTATTN_ERROR_ARGUMENT, "temperature");
    }
    for (size_t i = 0; i < sizeof bad_reductions / sizeof *bad_reductions; i++) {
        assert_fails(softattn_cross_entropy_set_reduction(f.handle, bad_reductions[i]),
                     SOFTATTN_ERROR_ARGUMENT, "reduction");
    }
    assert_int_equal(entropy_case_differences(&f.problem, NULL), 0);
    assert_ok(run_entropy(&f)); /* none of these changed the handle */
    assert_ok(softattn_cross_entropy_set_scale(f.handle, 1e39));
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_ok(softattn_cross_entropy_set_temperature(f.handle, 1e-39));
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_ARGUMENT, "1 / temperature");
    assert_ok(softattn_cross_entropy_set_scale(f.handle, 1));
    assert_ok(softattn_cross_entropy_set_reduction(f.handle, SOFTATTN_REDUCTION_NONE));
    assert_fails(run_entropy(&f), SOFTATTN_ERROR_ARGUMENT, "total"); /* which there is none of */
    tear_down_entropy(&f);
}

static int32_t run_entropy_struct(void *user, void *copy) { return softattn_cross_entropy_run(user, copy); }

static void cross_entropy_refuses_null_handles_and_obeys_struct_size(void **state) {
    entropy_fixture f;
    (void)state;
    set_up_entropy(&f, false);
    assert_fails(softattn_cross_entropy_create(NULL, NULL), SOFTATTN_ERROR_NULL, "out");
    assert_fails(softattn_cross_entropy_run(NULL, &f.problem.args), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_run(f.handle, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_cross_entropy_set_ignore_index(NULL, 0), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_set_label_smoothing(NULL, 0), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_set_z_loss(NULL, 0), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_set_scale(NULL, 1), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_set_temperature(NULL, 1), SOFTATTN_ERROR_NULL, "cross_entropy");
    assert_fails(softattn_cross_entropy_set_reduction(NULL, 0), SOFTATTN_ERROR_NULL, "cross_entropy");
    softattn_cross_entropy_destroy(NULL);
    assert_true(entropy_outputs_untouched(&f));
    assert_struct_size_is_obeyed(&f.problem.args, FIRST_ENTROPY_BYTES, sizeof f.problem.args,
                                 run_entropy_struct, f.handle);
    tear_down_entropy(&f);
}

static void outputs_of_cross_entropy_share_no_memory(void **state) {
    entropy_fixture f;
    (void)state;
    set_up_entropy(&f, false);
    softattn_cross_entropy_args *const args = &f.problem.args;
    const struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } outputs[] = {{"losses", &args->losses, &f.problem.losses},
                   {"total", &args->total, &f.problem.total},
                   {"gradient", &args->gradient, &f.problem.gradient},
                   {"lse", &args->lse, &f.problem.lse}};
    const test_array *const others[] = {&f.problem.logits, &f.problem.weights,  &f.problem.losses,
                                        &f.problem.total,  &f.problem.gradient, &f.problem.lse,
                                        &f.problem.targets};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        for (size_t j = 0; j < sizeof others / sizeof *others; j++) {
            if (others[j] != outputs[i].array) {
                /* its last element lies on the other's first four bytes */
                softattn_tensor moved = outputs[i].array->tensor;
                moved.data = (char *)others[j]->tensor.data - (array_count(outputs[i].array) - 1) * 4;
                *outputs[i].field = &moved;
                assert_status(run_entropy(&f), SOFTATTN_ERROR_OVERLAP);
                *outputs[i].field = &outputs[i].array->tensor;
            }
        }
    }
    assert_true(entropy_outputs_untouched(&f));
    tear_down_entropy(&f);
}

static void flat_cross_entropy_refuses_bad_arguments(void **state) {
    static const int64_t targets[4] = {0, 1, 2, 3}, bad_targets[4] = {0, 1, 4, 9};
    float x[20] = {0}, losses[20], gradient[20];
    unsigned char before[sizeof losses];
    (void)state;
    memset(losses, 0xff, sizeof losses);
    memset(gradient, 0xff, sizeof gradient);
    memcpy(before, losses, sizeof before);
    assert_fails(softattn_cross_entropy_f32(NULL, -1, 4, x, 4, targets, losses, gradient, 4),
                 SOFTATTN_ERROR_ARGUMENT, "rows");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, -1, x, 4, targets, losses, gradient, 4),
                 SOFTATTN_ERROR_ARGUMENT, "classes");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, NULL, 4, targets, losses, gradient, 4),
                 SOFTATTN_ERROR_NULL, "logits");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, NULL, losses, gradient, 4), SOFTATTN_ERROR_NULL,
                 "targets");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, targets, NULL, NULL, 4), SOFTATTN_ERROR_NULL,
                 "losses");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, targets, losses, gradient, 3),
                 SOFTATTN_ERROR_STRIDE, "gradient");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, targets, losses, x + 1, 4),
                 SOFTATTN_ERROR_OVERLAP, "gradient");
    assert_fails(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, bad_targets, losses, gradient, 4),
                 SOFTATTN_ERROR_ARGUMENT, "row 2 has class 4");
    assert_fails(softattn_cross_entropy_f64(NULL, 1, 0, NULL, 0, targets, (double *)(void *)losses, NULL, 0),
                 SOFTATTN_ERROR_ARGUMENT, "row 0 has class 0");
    assert_fails(softattn_cross_entropy_f64(NULL, 2, INT64_MAX, guard_forbidden(), 2, targets,
                                            guard_forbidden(), NULL, 0),
                 SOFTATTN_ERROR_OVERFLOW, "logits");
    assert_memory_equal(losses, before, sizeof before);
    assert_memory_equal(gradient, before, sizeof before);
    assert_ok(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, targets, NULL, x, 4)); /* in place, no losses */
    assert_ok(softattn_cross_entropy_f32(NULL, 4, 4, x, 4, targets, losses, NULL, 0));
}

/* ---- Memory, sizes of 0, floating-point exceptions ----------------------------------------------------- */

static test_allocator allocator;

typedef struct subject {
    softattn_context *context;
    backward_case product;
    entropy_case entropy;
    softattn_softmax *softmax;
    softattn_cross_entropy *cross_entropy;
} subject;

/* Operands that are gathered, so that every kind of scratch memory is needed. */
static void set_up_subject(subject *s, int32_t threads) {
    backward_options product = backward_options_plain(ARRAY_F32, 700, 120);
    entropy_options entropy = entropy_options_plain(ARRAY_F32, 700, 120);
    product.layout = product.output_layout = entropy.layout = entropy.output_layout = ARRAY_TRANSPOSED;
    entropy.has_weights = true;
    s->context = context_create(NULL, threads);
    backward_case_create(&s->product, &product, &contents);
    entropy_case_create(&s->entropy, &entropy, &contents);
    assert_ok(softattn_context_set_allocator(s->context, test_allocate, test_free, &allocator));
    s->softmax = backward_case_handle(&s->product, s->context);
    s->cross_entropy = entropy_case_handle(&s->entropy, s->context);
}

static int32_t call_backward(subject *s) {
    const backward_case *const c = &s->product;
    const softattn_softmax_backward_args args = {sizeof args, &c->y.tensor, &c->v.tensor, &c->out.tensor};
    return softattn_softmax_backward(s->softmax, &args);
}

static int32_t call_entropy(subject *s) {
    return softattn_cross_entropy_run(s->cross_entropy, &s->entropy.args);
}

static int32_t call_create(subject *s) {
    softattn_cross_entropy *out = s->cross_entropy; /* must stay as it is when the call fails */
    const int32_t status = softattn_cross_entropy_create(s->context, &out);
    if (status == SOFTATTN_OK) {
        softattn_cross_entropy_destroy(out);
    } else {
        assert_ptr_equal(out, s->cross_entropy);
    }
    return status;
}

static void every_failed_allocation_is_a_status(void **state) {
    static int32_t (*const calls[])(subject * s) = {call_backward, call_entropy, call_create};
    (void)state;
    for (int32_t variant = 0; variant < 6; variant++) {
        subject s;
        set_up_subject(&s, variant / 3 ? 3 : 1);
        const int64_t live = allocator.live;
        bool reached = true;
        for (int64_t n = 1; reached; n++) {
            /* empties the context's cache, so that the call has to allocate */
            assert_ok(softattn_context_set_allocator(s.context, test_allocate, test_free, &allocator));
            assert_int_equal(allocator.live, live);
            test_allocator_fail_at(&allocator, n, false);
            const int32_t status = calls[variant % 3](&s);
            reached = allocator.calls >= n;
            test_allocator_fail_at(&allocator, 0, false);
            assert_status(status, reached ? SOFTATTN_ERROR_MEMORY : SOFTATTN_OK);
            if (reached) {
                assert_true(array_untouched(&s.product.out) && array_untouched(&s.entropy.gradient) &&
                            array_untouched(&s.entropy.losses) && array_untouched(&s.entropy.total));
            }
        }
        assert_int_equal(backward_case_differences(&s.product, s.context), 0);
        assert_int_equal(entropy_case_differences(&s.entropy, s.context), 0);
        softattn_softmax_destroy(s.softmax);
        softattn_cross_entropy_destroy(s.cross_entropy);
        softattn_context_destroy(s.context);
        backward_case_destroy(&s.product);
        entropy_case_destroy(&s.entropy);
        assert_int_equal(allocator.live, 0);
        assert_false(allocator.misused);
    }
}

static void every_combination_of_zero_sizes_is_accepted(void **state) {
    (void)state;
    for (unsigned zero = 1; zero < 8; zero++) {
        for (int32_t axis = 0; axis < 3; axis++) {
            backward_options product = {.type = ARRAY_F32,
                                        .rank = 3,
                                        .shape = {2, 3, 4},
                                        .axis = axis,
                                        .scale = 1.0,
                                        .is_jvp = axis == 1};
            entropy_options entropy = entropy_options_plain(ARRAY_F64, 0, 0);
            backward_case products;
            entropy_case entropies;
            entropy.rank = 3;
            entropy.has_probabilities = axis == 2;
            for (int i = 0; i < 3; i++) {
                product.shape[i] = entropy.shape[i] = zero >> i & 1 ? 0 : product.shape[i];
            }
            backward_case_create(&products, &product, &contents);
            entropy_case_create(&entropies, &entropy, &contents);
            products.y.tensor.data = products.out.tensor.data = axis % 2 ? NULL : guard_forbidden();
            products.v.tensor.data = axis % 2 ? guard_forbidden() : NULL;
            entropies.logits.tensor.data = entropies.gradient.tensor.data =
                axis % 2 ? NULL : guard_forbidden();
            assert_ok(backward_case_run(&products, NULL));
            assert_int_equal(entropy_case_differences(&entropies, NULL), 0);
            backward_case_destroy(&products);
            entropy_case_destroy(&entropies);
        }
    }
    void *const forbidden = guard_forbidden();
    assert_ok(softattn_softmax_backward_f32(NULL, 0, 5, forbidden, 5, forbidden, 5, forbidden, 5));
    assert_ok(softattn_softmax_backward_f64(NULL, 5, 0, NULL, 0, NULL, 0, NULL, 0));
    assert_ok(softattn_cross_entropy_f32(NULL, 0, 5, forbidden, 5, forbidden, forbidden, forbidden, 5));
    assert_ok(softattn_cross_entropy_f64(NULL, 0, 5, NULL, 5, NULL, NULL, NULL, 5));
}

static void finite_and_masked_values_raise_no_exception(void **state) {
    (void)state;
    assert_int_equal(feclearexcept(FE_ALL_EXCEPT), 0);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int variant = 0; variant < 8; variant++) {
            backward_options product = backward_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 40, 75);
            entropy_options entropy = entropy_options_plain(product.type, 40, 75);
            backward_case products;
            entropy_case entropies;
            product.output = variant >> 1 & 1;
            product.is_jvp = (variant & 4) != 0;
            entropy.smoothing = variant & 2 ? 0.1 : 0.0;
            entropy.has_probabilities = (variant & 4) != 0;
            entropy.deviation = 30.0;
            backward_case_create(&products, &product, &contents);
            entropy_case_create(&entropies, &entropy, &contents);
            for (int j = 0; j < 2 * 75; j++) {
                array_set(&entropies.logits, j,
                          j < 75 || j % 2 ? -HUGE_VAL : 1e-40); /* a row of only those first */
            }
            assert_ok(backward_case_run(&products, context));
            assert_ok(entropy_case_run(&entropies, context));
            backward_case_destroy(&products);
            entropy_case_destroy(&entropies);
            const int raised = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
            if (raised != 0) {
                fail_msg("%s, variant %d raised %#x", softattn_isa_name(i), variant, (unsigned)raised);
            }
        }
        softattn_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_is_refused),
        cmocka_unit_test(operands_of_another_float_type_are_refused),
        cmocka_unit_test(the_axis_must_be_one_of_y),
        cmocka_unit_test(a_jacobian_needs_a_rank_to_spare),
        cmocka_unit_test(a_scale_beyond_the_elements_type_is_refused),
        cmocka_unit_test(struct_size_is_obeyed),
        cmocka_unit_test(null_handles_and_structs_are_refused),
        cmocka_unit_test(dx_may_be_dy_but_not_overlap_it_otherwise),
        cmocka_unit_test(flat_backward_refuses_bad_arguments),
        cmocka_unit_test(every_bad_tensor_of_cross_entropy_is_refused),
        cmocka_unit_test(operands_that_do_not_fit_are_refused),
        cmocka_unit_test(a_scalar_has_no_classes),
        cmocka_unit_test(targets_out_of_range_are_named),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(cross_entropy_refuses_null_handles_and_obeys_struct_size),
        cmocka_unit_test(outputs_of_cross_entropy_share_no_memory),
        cmocka_unit_test(flat_cross_entropy_refuses_bad_arguments),
        cmocka_unit_test(every_failed_allocation_is_a_status),
        cmocka_unit_test(every_combination_of_zero_sizes_is_accepted),
        cmocka_unit_test(finite_and_masked_values_raise_no_exception),
    };
    random_start(&contents, "test_gradient_arguments");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
