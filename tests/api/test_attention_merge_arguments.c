/*
 * softattn_attention_merge refuses every bad argument with the status that the header says, a text that names the
 * argument, and outputs as they were.
 */
#include "allocator.h"
#include "arrays.h"
#include "assert_status.h"
#include "bad_tensors.h"
#include "guard.h"

enum { PARTS = 3 };

typedef struct fixture {
    test_array outs[PARTS], lses[PARTS], out, lse;
    const softattn_tensor *out_list[PARTS], *lse_list[PARTS], *out_argument, *lse_argument;
    const softattn_context *context;
} fixture;

static const int64_t shape[4] = {2, 3, 4, 5};

static void set_up(fixture *f) {
    random_source random;
    random_start(&random, "merge arguments");
    *f = (fixture){0};
    for (int p = 0; p < PARTS; p++) {
        array_create(&f->outs[p], ARRAY_F32, 4, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&f->lses[p], ARRAY_F32, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_fill_normal(&f->outs[p], &random, 1.0);
        array_fill_normal(&f->lses[p], &random, 1.0);
        f->out_list[p] = &f->outs[p].tensor;
        f->lse_list[p] = &f->lses[p].tensor;
    }
    array_create(&f->out, ARRAY_F32, 4, shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&f->lse, ARRAY_F32, 3, shape, ARRAY_COMPACT, GUARD_AFTER);
    f->out_argument = &f->out.tensor;
    f->lse_argument = &f->lse.tensor;
}

static void tear_down(fixture *f) {
    for (int p = 0; p < PARTS; p++) {
        array_destroy(&f->outs[p]);
        array_destroy(&f->lses[p]);
    }
    array_destroy(&f->out);
    array_destroy(&f->lse);
}

static int32_t run_fixture(void *user) {
    fixture *const f = user;
    return softattn_attention_merge(f->context, PARTS, f->out_list, f->lse_list, f->out_argument,
                                    f->lse_argument);
}

static bool outputs_untouched(void *user) {
    const fixture *const f = user;
    return array_untouched(&f->out) && array_untouched(&f->lse);
}

static void every_bad_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const tensor_user caller = {run_fixture, outputs_untouched, &f};
    const tensor_field fields[] = {
        {.name = "outs[0]", .field = &f.out_list[0], .is_required = true, .decides_sizes = true},
        {.name = "outs[2]", .field = &f.out_list[2], .is_required = true},
        {.name = "lses[0]", .field = &f.lse_list[0], .is_required = true},
        {.name = "lses[2]", .field = &f.lse_list[2], .is_required = true},
        {.name = "out", .field = &f.out_argument, .is_output = true, .is_required = true},
        {.name = "lse", .field = &f.lse_argument, .is_output = true},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run_fixture(&f)); /* and nothing else was wrong */
    tear_down(&f);
}

static void null_lists_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_attention_merge(NULL, PARTS, NULL, f.lse_list, f.out_argument, f.lse_argument),
                 SOFTATTN_ERROR_NULL, "outs");
    assert_fails(softattn_attention_merge(NULL, PARTS, f.out_list, NULL, f.out_argument, f.lse_argument),
                 SOFTATTN_ERROR_NULL, "lses");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* The lists have PARTS entries, and must not be read beyond the number given. */
static void a_number_of_parts_out_of_range_is_refused(void **state) {
    static const int64_t bad[] = {0, -1, INT64_MIN, INT64_MAX, INT64_C(1) << 40};
    fixture f;
    (void)state;
    set_up(&f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_fails(
            softattn_attention_merge(NULL, bad[i], f.out_list, f.lse_list, f.out_argument, f.lse_argument),
            SOFTATTN_ERROR_ARGUMENT, "parts");
    }
    assert_true(outputs_untouched(&f));
    f.out_list[1] = f.lse_list[1] = NULL;
    assert_ok(softattn_attention_merge(NULL, 1, f.out_list, f.lse_list, f.out_argument, f.lse_argument));
    tear_down(&f);
}

static void tensors_of_another_type_are_refused(void **state) {
    static const array_type types[] = {ARRAY_F64, ARRAY_U8, ARRAY_I32, ARRAY_I64, ARRAY_BOOL};
    fixture f;
    (void)state;
    set_up(&f);
    struct {
        const char *name;
        const softattn_tensor **field;
    } const operands[] = {{"outs[1]", &f.out_list[1]},
                          {"lses[1]", &f.lse_list[1]},
                          {"out", &f.out_argument},
                          {"lse", &f.lse_argument}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const softattn_tensor *const good = *operands[i].field;
        for (size_t j = 0; j < sizeof types / sizeof *types; j++) {
            test_array other;
            array_create(&other, types[j], good->ndim, shape, ARRAY_COMPACT, GUARD_AFTER);
            *operands[i].field = &other.tensor;
            assert_fails(run_fixture(&f), SOFTATTN_ERROR_TYPE, operands[i].name);
            assert_true(array_untouched(&other) && outputs_untouched(&f));
            array_destroy(&other);
        }
        *operands[i].field = good;
    }
    tear_down(&f);
}

/* Every size of every tensor, one larger than it should be, and memory that may not be read. */
static void sizes_that_do_not_fit_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const softattn_tensor **const operands[] = {&f.out_list[0], &f.out_list[1],  &f.lse_list[0],
                                                &f.lse_list[1], &f.out_argument, &f.lse_argument};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const softattn_tensor *const good = *operands[i];
        for (int32_t axis = 0; axis < good->ndim; axis++) {
            int64_t sizes[4];
            softattn_tensor larger = *good;
            memcpy(sizes, good->shape, (size_t)good->ndim * sizeof *sizes);
            sizes[axis]++;
            larger.shape = sizes;
            larger.strides = NULL;
            larger.data = guard_forbidden();
            *operands[i] = &larger;
            assert_status(run_fixture(&f), SOFTATTN_ERROR_SHAPE);
            *operands[i] = good;
        }
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* ---- Overlap ------------------------------------------------------------------------------------------- */

/* Only the first part's own memory, with its own strides, may be an output. */
static void outputs_that_share_memory_with_parts_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
        int own; /* which of the parts may be shared as it is */
    } const outputs[] = {{"out", &f.out_argument, &f.out, 0}, {"lse", &f.lse_argument, &f.lse, PARTS}};
    const test_array *const others[] = {&f.outs[0], &f.outs[1], &f.outs[2],
                                        &f.lses[0], &f.lses[1], &f.lses[2]};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2 * PARTS; j++) {
            /* the same start, one element further, and its last element on the other's first */
            const int64_t offsets[] = {0, 1, 1 - array_count(outputs[i].array)};
            for (int k = j == outputs[i].own ? 1 : 0; k < 3; k++) {
                softattn_tensor moved = outputs[i].array->tensor;
                moved.data = (float *)others[j]->tensor.data + offsets[k];
                *outputs[i].field = &moved;
                assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, outputs[i].name);
                *outputs[i].field = &outputs[i].array->tensor;
            }
        }
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void memory_in_place_must_have_the_parts_strides(void **state) {
    const int64_t square[4] = {1, 1, 4, 4};
    int64_t transposed[4] = {16, 16, 1, 4};
    fixture f;
    (void)state;
    set_up(&f);
    test_array parts[2], lses[2];
    for (int p = 0; p < 2; p++) {
        array_create(&parts[p], ARRAY_F32, 4, square, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&lses[p], ARRAY_F32, 3, square, ARRAY_COMPACT, GUARD_AFTER);
        array_fill(&parts[p], 1.0);
        array_fill(&lses[p], 1.0);
        f.out_list[p] = &parts[p].tensor;
        f.lse_list[p] = &lses[p].tensor;
    }
    softattn_tensor turned = parts[0].tensor;
    turned.strides = transposed;
    assert_fails(softattn_attention_merge(NULL, 2, f.out_list, f.lse_list, &turned, NULL),
                 SOFTATTN_ERROR_OVERLAP, "out");
    assert_ok(softattn_attention_merge(NULL, 2, f.out_list, f.lse_list, &parts[0].tensor, &lses[0].tensor));
    for (int p = 0; p < 2; p++) {
        array_destroy(&parts[p]);
        array_destroy(&lses[p]);
    }
    tear_down(&f);
}

static void out_and_lse_must_not_share_memory(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_tensor moved = f.lse.tensor;
    moved.data = f.out.tensor.data;
    f.lse_argument = &moved;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, "out");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* Parts are inputs, which may share memory: one part, given three times. */
static void parts_may_share_memory(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    f.out_list[1] = f.out_list[2] = f.out_list[0];
    f.lse_list[1] = f.lse_list[2] = f.lse_list[0];
    assert_ok(run_fixture(&f));
    tear_down(&f);
}

/* ---- Memory -------------------------------------------------------------------------------------------- */

static void every_failed_allocation_is_a_status(void **state) {
    static test_allocator allocator;
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        for (int fail_after = 0; fail_after < 2; fail_after++) {
            bool reached = true;
            for (int64_t n = 1; reached; n++) {
                fixture f;
                softattn_context *const context = context_create(NULL, threads);
                set_up(&f);
                f.context = context;
                assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
                test_allocator_fail_at(&allocator, n, fail_after == 1);
                const int32_t status = run_fixture(&f);
                reached = allocator.calls >= n;
                test_allocator_fail_at(&allocator, 0, false);
                if (reached) {
                    assert_fails(status, SOFTATTN_ERROR_MEMORY, "context");
                    assert_true(outputs_untouched(&f));
                }
                assert_ok(run_fixture(&f));
                const int64_t calls = allocator.calls;
                assert_ok(run_fixture(&f));
                assert_int_equal(allocator.calls, calls); /* the second run of a shape takes nothing */
                softattn_context_destroy(context);
                assert_int_equal(allocator.live, 0);
                assert_false(allocator.misused);
                tear_down(&f);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_is_refused),
        cmocka_unit_test(null_lists_are_refused),
        cmocka_unit_test(a_number_of_parts_out_of_range_is_refused),
        cmocka_unit_test(tensors_of_another_type_are_refused),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(outputs_that_share_memory_with_parts_are_refused),
        cmocka_unit_test(memory_in_place_must_have_the_parts_strides),
        cmocka_unit_test(out_and_lse_must_not_share_memory),
        cmocka_unit_test(parts_may_share_memory),
        cmocka_unit_test(every_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
