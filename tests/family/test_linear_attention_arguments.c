/*
 * Linear attention refuses every bad argument with the status that the header says, a text that names the argument,
 * and outputs as they were; it survives every failed allocation and accepts every size of 0.
 */
#include "allocator.h"
#include "arrays.h"
#include "assert_status.h"
#include "bad_structs.h"
#include "bad_tensors.h"

enum { FIRST_BYTES = 80 }; /* of the arguments in the first version that had them */

typedef struct fixture {
    test_array q, k, v, out, lengths, initial_state, initial_normalizer, final_state, final_normalizer;
    softattn_linear_attention *handle;
    softattn_linear_attention_args args;
} fixture;

static void set_up_sizes(fixture *f, const softattn_context *context, const int64_t *sizes) {
    const int64_t batch = sizes[0], heads = sizes[1], seq_q = sizes[2], seq_kv = sizes[3];
    const int64_t dim_qk = sizes[4], dim_v = sizes[5];
    const struct {
        test_array *array;
        array_type type;
        int32_t rank;
        int64_t shape[4];
    } arrays[] = {{&f->q, ARRAY_F32, 4, {batch, 2 * heads, seq_q, dim_qk}},
                  {&f->k, ARRAY_F32, 4, {batch, heads, seq_kv, dim_qk}},
                  {&f->v, ARRAY_F32, 4, {batch, heads, seq_kv, dim_v}},
                  {&f->out, ARRAY_F32, 4, {batch, 2 * heads, seq_q, dim_v}},
                  {&f->lengths, ARRAY_I32, 1, {batch}},
                  {&f->initial_state, ARRAY_F32, 4, {batch, heads, dim_qk, dim_v}},
                  {&f->initial_normalizer, ARRAY_F32, 3, {batch, heads, dim_qk}},
                  {&f->final_state, ARRAY_F32, 4, {batch, heads, dim_qk, dim_v}},
                  {&f->final_normalizer, ARRAY_F32, 3, {batch, heads, dim_qk}}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        const bool is_output = i == 3 || i >= 7;
        array_create(arrays[i].array, arrays[i].type, arrays[i].rank, arrays[i].shape, ARRAY_COMPACT,
                     GUARD_AFTER);
        if (!is_output) {
            array_fill(arrays[i].array, 0);
        }
    }
    f->args = (softattn_linear_attention_args){sizeof f->args,
                                               &f->q.tensor,
                                               &f->k.tensor,
                                               &f->v.tensor,
                                               &f->out.tensor,
                                               &f->lengths.tensor,
                                               &f->initial_state.tensor,
                                               &f->initial_normalizer.tensor,
                                               &f->final_state.tensor,
                                               &f->final_normalizer.tensor};
    assert_ok(softattn_linear_attention_create(context, &f->handle));
}

static void set_up(fixture *f) {
    const int64_t sizes[] = {2, 3, 4, 5, 6, 7};
    set_up_sizes(f, NULL, sizes);
}

static void tear_down(fixture *f) {
    test_array *const arrays[] = {&f->q,
                                  &f->k,
                                  &f->v,
                                  &f->out,
                                  &f->lengths,
                                  &f->initial_state,
                                  &f->initial_normalizer,
                                  &f->final_state,
                                  &f->final_normalizer};
    softattn_linear_attention_destroy(f->handle);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

static int32_t run(void *user) {
    fixture *const f = user;
    return softattn_linear_attention_run(f->handle, &f->args);
}

static bool outputs_untouched(void *user) {
    const fixture *const f = user;
    return array_untouched(&f->out) && array_untouched(&f->final_state) &&
           array_untouched(&f->final_normalizer);
}

static void every_bad_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_ok(
        softattn_linear_attention_set_normalization(f.handle, 0)); /* then the initial ones may be NULL */
    const tensor_field fields[] = {
        {.name = "q", .field = &f.args.q, .is_required = true, .decides_sizes = true},
        {.name = "k", .field = &f.args.k, .is_required = true, .decides_sizes = true},
        {.name = "v", .field = &f.args.v, .is_required = true, .decides_sizes = true},
        {.name = "out", .field = &f.args.out, .is_required = true, .is_output = true},
        {.name = "initial_state", .field = &f.args.initial_state},
        {.name = "initial_normalizer", .field = &f.args.initial_normalizer},
        {.name = "final_state", .field = &f.args.final_state, .is_output = true},
        {.name = "final_normalizer", .field = &f.args.final_normalizer, .is_output = true}};
    const tensor_user caller = {run, outputs_untouched, &f};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run(&f)); /* and nothing else was wrong */
    tear_down(&f);
}

static void operands_that_do_not_fit_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    array_set(&f.lengths, 1, 6);
    assert_fails(run(&f), SOFTATTN_ERROR_ARGUMENT, "key_lengths");
    array_set(&f.lengths, 1, -1);
    assert_fails(run(&f), SOFTATTN_ERROR_ARGUMENT, "key_lengths");
    array_set(&f.lengths, 1, 5);

    f.q.shape[1] = 5;
    f.out.shape[1] = 5;
    assert_fails(run(&f), SOFTATTN_ERROR_SHAPE, "heads_q");
    f.q.shape[1] = f.out.shape[1] = 6;

    const softattn_tensor *const normalizer = f.args.initial_normalizer;
    const softattn_tensor *const initial = f.args.initial_state;
    f.args.initial_normalizer = NULL;
    assert_fails(run(&f), SOFTATTN_ERROR_NULL, "initial_normalizer");
    f.args.initial_normalizer = normalizer;
    f.args.initial_state = NULL;
    assert_fails(run(&f), SOFTATTN_ERROR_NULL, "initial_state");
    f.args.initial_state = initial;

    const softattn_tensor *const out = f.args.out;
    f.args.out = f.args.final_state;
    assert_fails(run(&f), SOFTATTN_ERROR_SHAPE, "out");
    f.args.out = out;
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void a_final_state_may_be_the_initial_one_but_no_output_overlaps_otherwise(void **state) {
    fixture f;
    test_array shifted;
    (void)state;
    set_up(&f);
    const int64_t strides[] = {3 * 6 * 7, 6 * 7, 7, 1}, fewer[] = {1, 3, 6, 7};
    f.args.initial_state = f.args.final_state;
    f.args.initial_normalizer = f.args.final_normalizer;
    array_fill(&f.final_state, 0);
    array_fill(&f.final_normalizer, 0);
    assert_ok(run(&f));
    array_create_view(&shifted, &f.final_state, 4, fewer, strides, 0);
    f.args.q = f.args.k = &shifted.tensor; /* [1, 3, 6, 7] all over the state */
    f.args.v = &shifted.tensor;
    f.args.out = &shifted.tensor;
    f.args.key_lengths = NULL;
    f.args.initial_state = f.args.initial_normalizer = f.args.final_normalizer = f.args.final_state = NULL;
    assert_fails(run(&f), SOFTATTN_ERROR_OVERLAP, "out");
    tear_down(&f);
}

static void options_outside_their_range_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_linear_attention_create(NULL, NULL), SOFTATTN_ERROR_NULL, "out");
    for (int32_t bad = -1; bad <= 4; bad += 5) {
        assert_fails(softattn_linear_attention_set_causal(f.handle, bad, 0), SOFTATTN_ERROR_ARGUMENT, "mode");
    }
    for (int32_t bad = -1; bad <= 2; bad += 3) {
        assert_fails(softattn_linear_attention_set_feature_map(f.handle, bad), SOFTATTN_ERROR_ARGUMENT,
                     "feature_map");
        assert_fails(softattn_linear_attention_set_normalization(f.handle, bad), SOFTATTN_ERROR_ARGUMENT,
                     "normalization");
    }
    assert_fails(softattn_linear_attention_set_causal(NULL, 0, 0), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_linear_attention_set_feature_map(NULL, 0), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_linear_attention_set_normalization(NULL, 0), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_linear_attention_run(NULL, &f.args), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_linear_attention_run(f.handle, NULL), SOFTATTN_ERROR_NULL, "args");
    softattn_linear_attention_destroy(NULL);
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static int32_t run_struct(void *user, void *copy) { return softattn_linear_attention_run(user, copy); }

static void struct_size_is_obeyed(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_struct_size_is_obeyed(&f.args, FIRST_BYTES, sizeof f.args, run_struct, f.handle);
    tear_down(&f);
}

static void flat_functions_refuse_bad_numbers(void **state) {
    const double x[1] = {0};
    double out[1] = {7};
    (void)state;
    assert_fails(softattn_linear_attention_f64(NULL, 1, 1, 1, 1, 1, 1, -1, x, x, x, out, 0),
                 SOFTATTN_ERROR_ARGUMENT, "dim_v");
    assert_fails(softattn_linear_attention_f64(NULL, 1, 1, 1, 1, 1, 1, 1, x, x, x, out, 3),
                 SOFTATTN_ERROR_ARGUMENT, "causal");
    assert_fails(softattn_linear_attention_f64(NULL, 1, 1, 1, 1, 1, 1, 1, x, NULL, x, out, 0),
                 SOFTATTN_ERROR_NULL, "k");
    assert_true(out[0] == 7);
}

static void every_failed_allocation_is_a_status(void **state) {
    test_allocator allocator = {0};
    softattn_context *context = NULL;
    fixture f;
    const int64_t sizes[] = {2, 3, 4, 5, 6, 7};
    (void)state;
    assert_ok(softattn_context_create(&context));
    assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
    set_up_sizes(&f, context, sizes);
    test_allocator_fail_at(&allocator, 1, true);
    assert_status(run(&f), SOFTATTN_ERROR_MEMORY);
    assert_true(outputs_untouched(&f));
    test_allocator_fail_at(&allocator, 0, false);
    assert_ok(run(&f));
    tear_down(&f);
    softattn_context_destroy(context);
    assert_int_equal(allocator.live, 0);
    assert_false(allocator.misused);
}

/* Without keys or without features the states are those given and outputs, where there are any, 0. */
static void every_combination_of_zero_sizes_is_accepted(void **state) {
    (void)state;
    for (int zeros = 1; zeros < 64; zeros++) {
        int64_t sizes[6];
        fixture f;
        for (int i = 0; i < 6; i++) {
            sizes[i] = (zeros >> i & 1) ? 0 : 3;
        }
        set_up_sizes(&f, NULL, sizes);
        assert_ok(run(&f));
        for (int64_t i = 0; i < array_count(&f.out); i++) {
            assert_true(array_get(&f.out, i) == 0);
        }
        for (int64_t i = 0; i < array_count(&f.final_normalizer); i++) {
            assert_true(array_get(&f.final_normalizer, i) == 0);
        }
        tear_down(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_is_refused),
        cmocka_unit_test(operands_that_do_not_fit_are_refused),
        cmocka_unit_test(a_final_state_may_be_the_initial_one_but_no_output_overlaps_otherwise),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(struct_size_is_obeyed),
        cmocka_unit_test(flat_functions_refuse_bad_numbers),
        cmocka_unit_test(every_failed_allocation_is_a_status),
        cmocka_unit_test(every_combination_of_zero_sizes_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
