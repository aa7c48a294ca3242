/*
 * Attention refuses every bad mask, list of lengths or offsets, slope, sink and option with the status that the
 * header says, a text that names the argument, and outputs as they were.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "bad_tensors.h"
#include "compare.h"
#include "guard.h"

#include <math.h>

typedef struct fixture {
    attention_case problem;
    softattn_attention *attention;
} fixture;

/* A batch with every operand that masks or changes scores, and blocks of 2 queries and 4 keys. */
static attention_options padded_options(void) {
    attention_options o = attention_options_plain(ARRAY_F32, 4, 3, 5);
    o.batch = 2;
    o.heads_kv = 2;
    o.seq_kv = 6;
    o.dim_v = 7;
    o.has_alibi = o.has_sink = true;
    o.block_q = 2;
    o.block_k = 4;
    o.has_query_lengths = o.has_key_lengths = o.has_key_starts = true;
    return o;
}

/* Three sequences in the axes of one batch, with lengths of their own. */
static attention_options packed_options(void) {
    attention_options o = padded_options();
    o.batch = 1;
    o.sequences = 3;
    return o;
}

static void set_up(fixture *f, attention_options options) {
    random_source random;
    random_start(&random, "attention mask arguments");
    attention_case_create(&f->problem, &options, &random);
    f->attention = attention_case_handle(&f->problem, NULL);
}

static void tear_down(fixture *f) {
    softattn_attention_destroy(f->attention);
    attention_case_destroy(&f->problem);
}

static int32_t run_fixture(void *user) {
    fixture *const f = user;
    return softattn_attention_run(f->attention, &f->problem.args);
}

static bool outputs_untouched(void *user) {
    const attention_case *const c = &((fixture *)user)->problem;
    return array_untouched(&c->out) && array_untouched(&c->lse);
}

/* ---- Tensors ------------------------------------------------------------------------------------------- */

static void every_bad_mask_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f, padded_options());
    softattn_attention_args *const args = &f.problem.args;
    const tensor_user caller = {run_fixture, outputs_untouched, &f};
    const tensor_field fields[] = {
        {.name = "alibi_slopes", .field = &args->alibi_slopes, .broadcasts = true},
        {.name = "sink", .field = &args->sink},
        {.name = "query_lengths", .field = &args->query_lengths},
        {.name = "key_lengths", .field = &args->key_lengths},
        {.name = "key_starts", .field = &args->key_starts},
        {.name = "block_mask", .field = &args->block_mask, .broadcasts = true},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run_fixture(&f)); /* and nothing else was wrong */
    tear_down(&f);
}

static void every_bad_offsets_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f, packed_options());
    softattn_attention_args *const args = &f.problem.args;
    const tensor_user caller = {run_fixture, outputs_untouched, &f};
    const tensor_field fields[] = {
        {.name = "query_offsets", .field = &args->query_offsets, .decides_sizes = true},
        {.name = "key_offsets", .field = &args->key_offsets},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run_fixture(&f));
    tear_down(&f);
}

/* Tensors of a type that is legal elsewhere: lists are int32, masks bytes, the others of q's type. */
static void mask_tensors_of_another_type_are_refused(void **state) {
    static const array_type types[] = {ARRAY_F32, ARRAY_F64, ARRAY_U8, ARRAY_BOOL, ARRAY_I32, ARRAY_I64};
    fixture f;
    (void)state;
    set_up(&f, packed_options());
    softattn_attention_args *const args = &f.problem.args;
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const operands[] = {
        {"alibi_slopes", &args->alibi_slopes, &f.problem.alibi},
        {"sink", &args->sink, &f.problem.sink},
        {"query_lengths", &args->query_lengths, &f.problem.query_lengths},
        {"key_lengths", &args->key_lengths, &f.problem.key_lengths},
        {"key_starts", &args->key_starts, &f.problem.key_starts},
        {"query_offsets", &args->query_offsets, &f.problem.query_offsets},
        {"key_offsets", &args->key_offsets, &f.problem.key_offsets},
        {"block_mask", &args->block_mask, &f.problem.block_mask},
    };
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const softattn_tensor *const good = *operands[i].field;
        const bool is_mask = operands[i].array->type == ARRAY_U8 || operands[i].array->type == ARRAY_BOOL;
        for (size_t j = 0; j < sizeof types / sizeof *types; j++) {
            test_array other;
            array_create(&other, types[j], good->ndim, operands[i].array->shape, ARRAY_COMPACT, GUARD_AFTER);
            *operands[i].field = &other.tensor;
            if (is_mask ? types[j] != ARRAY_U8 && types[j] != ARRAY_BOOL
                        : types[j] != operands[i].array->type) {
                assert_fails(run_fixture(&f), SOFTATTN_ERROR_TYPE, operands[i].name);
            }
            array_destroy(&other);
        }
        *operands[i].field = good;
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* Every size of every operand, one larger than it should be, and memory that may not be read. */
static void mask_sizes_that_do_not_fit_are_refused(void **state) {
    fixture f;
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        set_up(&f, packed ? packed_options() : padded_options());
        softattn_attention_args *const args = &f.problem.args;
        const softattn_tensor **const operands[] = {
            &args->alibi_slopes, &args->sink,       &args->query_lengths, &args->key_lengths,
            &args->key_starts,   &args->block_mask, &args->key_offsets,
        };
        const size_t count = sizeof operands / sizeof *operands - !packed;
        for (size_t i = 0; i < count; i++) {
            const softattn_tensor *const good = *operands[i];
            for (int32_t axis = 0; axis < good->ndim; axis++) {
                int64_t shape[4];
                softattn_tensor larger = *good;
                memcpy(shape, good->shape, (size_t)good->ndim * sizeof *shape);
                shape[axis]++;
                larger.shape = shape;
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
}

/* The mask's shape follows the block size: only the matching one is accepted. */
static void block_masks_must_have_a_place_for_each_block(void **state) {
    static const struct {
        int64_t block_q, block_k, rows, cols;
    } sizes[] = {{1, 1, 3, 6}, {2, 4, 2, 2}, {3, 6, 1, 1}, {2, 5, 2, 2}, {4, 7, 1, 1}, {1, INT64_MAX, 3, 1}};
    fixture f;
    (void)state;
    set_up(&f, padded_options());
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_ok(softattn_attention_set_block_size(f.attention, sizes[i].block_q, sizes[i].block_k));
        for (int64_t rows = 2; rows <= 4; rows++) { /* 1 would broadcast */
            for (int64_t cols = 2; cols <= 7; cols++) {
                const int64_t shape[2] = {rows, cols};
                test_array map;
                array_create(&map, ARRAY_BOOL, 2, shape, ARRAY_COMPACT, GUARD_AFTER);
                f.problem.args.block_mask = &map.tensor;
                const bool fits = rows == sizes[i].rows && cols == sizes[i].cols;
                if (fits) {
                    assert_ok(run_fixture(&f));
                } else {
                    attention_case_forget_outputs(&f.problem);
                    assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "block_mask");
                    assert_true(outputs_untouched(&f));
                }
                array_destroy(&map);
            }
        }
    }
    tear_down(&f);
}

/* ---- Lists --------------------------------------------------------------------------------------------- */

/* Lists are read as plain arrays, so strides other than 1 are refused unless there is one element. */
static void lists_that_are_not_compact_are_refused(void **state) {
    static const int64_t strides[] = {0, -1, 2, 3};
    fixture f;
    (void)state;
    set_up(&f, packed_options());
    softattn_attention_args *const args = &f.problem.args;
    struct {
        const char *name;
        const softattn_tensor **field;
    } const lists[] = {{"query_lengths", &args->query_lengths},
                       {"key_lengths", &args->key_lengths},
                       {"key_starts", &args->key_starts},
                       {"query_offsets", &args->query_offsets},
                       {"key_offsets", &args->key_offsets}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const softattn_tensor *const good = *lists[i].field;
        for (size_t j = 0; j < sizeof strides / sizeof *strides; j++) {
            int64_t stride = strides[j];
            int32_t memory[16] = {0};
            softattn_tensor list = *good;
            list.strides = &stride;
            list.data = memory + 8;
            *lists[i].field = &list;
            assert_fails(run_fixture(&f), SOFTATTN_ERROR_STRIDE, lists[i].name);
        }
        *lists[i].field = good;
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
    attention_options one = padded_options();
    one.batch = 1;
    set_up(&f, one);
    f.problem.key_lengths.strides[0] = 77;
    f.problem.key_lengths.tensor.strides = f.problem.key_lengths.strides;
    assert_ok(run_fixture(&f));
    tear_down(&f);
}

static void lengths_out_of_range_are_refused(void **state) {
    fixture f;
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        set_up(&f, packed ? packed_options() : padded_options());
        struct {
            const char *name;
            test_array *list;
            int64_t most;
        } const lists[] = {{"query_lengths", &f.problem.query_lengths, 3},
                           {"key_lengths", &f.problem.key_lengths, 6},
                           {"key_starts", &f.problem.key_starts, 6}};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            const double bad[] = {-1, (double)lists[i].most + 1, INT32_MAX, INT32_MIN};
            for (int64_t at = 0; at < array_count(lists[i].list); at++) {
                const double good = array_get(lists[i].list, at);
                for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
                    array_set(lists[i].list, at, bad[j]);
                    assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, lists[i].name);
                }
                array_set(lists[i].list, at, good);
            }
        }
        assert_true(outputs_untouched(&f));
        assert_ok(run_fixture(&f));
        tear_down(&f);
    }
}

/* Offsets of three sequences among 3 queries and 6 keys. */
static void offsets_that_do_not_ascend_within_the_axis_are_refused(void **state) {
    static const struct {
        int32_t queries[4], keys[4];
        const char *blamed; /* NULL: legal */
    } cases[] = {
        {{0, 1, 2, 3}, {0, 2, 4, 6}, NULL},
        {{0, 0, 0, 0}, {0, 0, 0, 0}, NULL},
        {{3, 3, 3, 3}, {6, 6, 6, 6}, NULL},
        {{1, 1, 2, 2}, {3, 5, 5, 5}, NULL},
        {{1, 0, 2, 3}, {0, 2, 4, 6}, "query_offsets"},
        {{0, 1, 3, 2}, {0, 2, 4, 6}, "query_offsets"},
        {{-1, 0, 2, 3}, {0, 2, 4, 6}, "query_offsets"},
        {{0, 1, 2, 4}, {0, 2, 4, 6}, "query_offsets"},
        {{0, 1, 2, INT32_MAX}, {0, 2, 4, 6}, "query_offsets"},
        {{INT32_MIN, 1, 2, 3}, {0, 2, 4, 6}, "query_offsets"},
        {{0, 1, 2, 3}, {0, 3, 2, 6}, "key_offsets"},
        {{0, 1, 2, 3}, {0, 2, 4, 7}, "key_offsets"},
        {{0, 1, 2, 3}, {-2, 2, 4, 6}, "key_offsets"},
        {{0, 1, 2, 3}, {0, 2, 4, 3}, "key_offsets"},
    };
    fixture f;
    (void)state;
    attention_options o = packed_options();
    o.has_query_lengths = o.has_key_lengths = o.has_key_starts = false;
    set_up(&f, o);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int64_t at = 0; at < 4; at++) {
            array_set(&f.problem.query_offsets, at, cases[i].queries[at]);
            array_set(&f.problem.key_offsets, at, cases[i].keys[at]);
        }
        attention_case_forget_outputs(&f.problem);
        if (cases[i].blamed) {
            assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, cases[i].blamed);
            assert_true(outputs_untouched(&f));
        } else {
            assert_int_equal(attention_case_differences(&f.problem, NULL), 0);
        }
    }
    tear_down(&f);
}

static void offsets_of_queries_and_keys_come_together(void **state) {
    fixture f;
    (void)state;
    set_up(&f, packed_options());
    const softattn_tensor *const queries = f.problem.args.query_offsets;
    f.problem.args.query_offsets = NULL;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_NULL, "query_offsets");
    f.problem.args.query_offsets = queries;
    f.problem.args.key_offsets = NULL;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_NULL, "key_offsets");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* Packed sequences have a batch of 1 in the tensors, and lists with an entry for each sequence. */
static void packed_tensors_have_a_batch_of_1(void **state) {
    const int64_t three = 3, four = 4, none = 0;
    fixture f;
    test_array offsets, lengths;
    (void)state;
    attention_options o = padded_options();
    o.has_query_lengths = o.has_key_lengths = o.has_key_starts = false;
    set_up(&f, o);
    array_create(&offsets, ARRAY_I32, 1, &four, ARRAY_COMPACT, GUARD_AFTER);
    array_fill(&offsets, 0.0);
    f.problem.args.query_offsets = f.problem.args.key_offsets = &offsets.tensor;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "batch");
    array_create(&lengths, ARRAY_I32, 1, &three, ARRAY_COMPACT, GUARD_AFTER);
    array_fill(&lengths, 0.0);
    f.problem.args.query_offsets = f.problem.args.key_offsets = NULL;
    f.problem.args.key_lengths = &lengths.tensor; /* 3 entries for a batch of 2 */
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "key_lengths");
    offsets.shape[0] = none; /* not even the end of a sequence */
    f.problem.args.query_offsets = f.problem.args.key_offsets = &offsets.tensor;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "query_offsets");
    assert_true(outputs_untouched(&f));
    array_destroy(&offsets);
    array_destroy(&lengths);
    tear_down(&f);
}

/* No sequence at all: legal, and nothing is written. */
static void no_packed_sequence_is_nothing_to_do(void **state) {
    const int64_t one = 1;
    fixture f;
    test_array offsets;
    (void)state;
    attention_options o = packed_options();
    o.has_query_lengths = o.has_key_lengths = o.has_key_starts = o.has_alibi = false;
    set_up(&f, o);
    array_create(&offsets, ARRAY_I32, 1, &one, ARRAY_COMPACT, GUARD_AFTER);
    array_fill(&offsets, 2.0);
    f.problem.args.query_offsets = f.problem.args.key_offsets = &offsets.tensor;
    assert_ok(run_fixture(&f));
    assert_true(outputs_untouched(&f));
    array_destroy(&offsets);
    tear_down(&f);
}

static void describing_does_not_read_lists(void **state) {
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    fixture f;
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        set_up(&f, packed ? packed_options() : padded_options());
        test_array *const arrays[] = {&f.problem.alibi,         &f.problem.sink,        &f.problem.block_mask,
                                      &f.problem.query_lengths, &f.problem.key_lengths, &f.problem.key_starts,
                                      &f.problem.query_offsets, &f.problem.key_offsets};
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
            arrays[i]->tensor.data = guard_forbidden();
        }
        assert_ok(softattn_attention_describe(f.attention, &f.problem.args, &plan));
        assert_true(plan.workspace_bytes > 0);
        tear_down(&f);
    }
}

/* ---- Options ------------------------------------------------------------------------------------------- */

static int32_t set_window_left(softattn_attention *a, double value) {
    return softattn_attention_set_window(a, (int64_t)value, 0);
}
static int32_t set_window_right(softattn_attention *a, double value) {
    return softattn_attention_set_window(a, 0, (int64_t)value);
}
static int32_t set_block_q(softattn_attention *a, double value) {
    return softattn_attention_set_block_size(a, (int64_t)value, 1);
}
static int32_t set_block_k(softattn_attention *a, double value) {
    return softattn_attention_set_block_size(a, 1, (int64_t)value);
}
static int32_t set_alignment_mode(softattn_attention *a, double value) {
    return softattn_attention_set_alignment(a, (int32_t)value, 0);
}
static int32_t set_alignment_offset(softattn_attention *a, double value) {
    return softattn_attention_set_alignment(a, SOFTATTN_CAUSAL_OFFSET, (int64_t)value);
}
static int32_t set_causal_offset(softattn_attention *a, double value) {
    return softattn_attention_set_causal(a, SOFTATTN_CAUSAL_OFFSET, (int64_t)value);
}

static const struct option {
    const char *name;
    int32_t (*set)(softattn_attention *attention, double value);
    double bad[6]; /* repeated where there are fewer */
    double good[3];
} options[] = {
    {"left", set_window_left, {-2, -3, -1e9, -0x1p63, -2, -2}, {-1, 0, 0x1p62}},
    {"right", set_window_right, {-2, -3, -1e9, -0x1p63, -2, -2}, {-1, 0, 0x1p62}},
    {"block_q", set_block_q, {0, -1, -1e9, -0x1p63, 0, 0}, {1, 64, 0x1p62}},
    {"block_k", set_block_k, {0, -1, -1e9, -0x1p63, 0, 0}, {1, 64, 0x1p62}},
    {"mode", set_alignment_mode, {-1, 4, 100, -0x1p31, 0x1p31 - 1, 5}, {0, 1, 3}},
    {"offset",
     set_alignment_offset,
     {0x1p53 + 2, -0x1p53 - 2, 0x1p62, -0x1p63, 0x1p60, -0x1p60},
     {0, 0x1p53, -0x1p53}},
    {"offset",
     set_causal_offset,
     {0x1p53 + 2, -0x1p53 - 2, 0x1p62, -0x1p63, 0x1p60, -0x1p60},
     {0, 0x1p53, -0x1p53}},
    {"cap", softattn_attention_set_softcap, {-1, -1e-300, NAN, HUGE_VAL, -HUGE_VAL, -5}, {0, 1, 1e30}},
    {"probability",
     softattn_attention_set_dropout,
     {-1, -1e-300, 1.0000000001, NAN, HUGE_VAL, -HUGE_VAL},
     {0, 0.5, 1}},
};
enum { OPTIONS = sizeof options / sizeof *options };

static void options_outside_their_range_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f, padded_options());
    for (int i = 0; i < OPTIONS; i++) {
        for (int j = 0; j < 6; j++) {
            assert_fails(options[i].set(f.attention, options[i].bad[j]), SOFTATTN_ERROR_ARGUMENT,
                         options[i].name);
        }
        assert_fails(options[i].set(NULL, options[i].good[0]), SOFTATTN_ERROR_NULL, "attention");
    }
    /* none of these changed the handle */
    assert_ok(run_fixture(&f));
    oracle_attention_results expected = attention_case_expected(&f.problem);
    assert_int_equal(compare_with_oracle("out", &f.problem.out, &expected.out), 0);
    oracle_attention_results_destroy(&expected);
    tear_down(&f);
}

static void options_in_their_range_are_accepted(void **state) {
    fixture f;
    (void)state;
    set_up(&f, padded_options());
    for (int i = 0; i < OPTIONS; i++) {
        for (int j = 0; j < 3; j++) {
            assert_ok(options[i].set(f.attention, options[i].good[j]));
        }
    }
    tear_down(&f);
}

/* A cap that the type cannot hold, or whose reciprocal it cannot, is legal for the other type only. */
static void a_softcap_beyond_the_elements_type_is_refused(void **state) {
    static const double caps[] = {1e39, 1e-39};
    fixture f;
    (void)state;
    for (int i = 0; i < 2; i++) {
        set_up(&f, padded_options());
        assert_ok(softattn_attention_set_softcap(f.attention, caps[i]));
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "softcap");
        assert_true(outputs_untouched(&f));
        tear_down(&f);
    }
}

/* ---- Overlap ------------------------------------------------------------------------------------------- */

static void no_output_may_share_memory_with_a_mask(void **state) {
    fixture f;
    (void)state;
    set_up(&f, packed_options());
    const test_array *const others[] = {
        &f.problem.alibi,       &f.problem.sink,       &f.problem.block_mask,    &f.problem.query_lengths,
        &f.problem.key_lengths, &f.problem.key_starts, &f.problem.query_offsets, &f.problem.key_offsets};
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const outputs[] = {{"out", &f.problem.args.out, &f.problem.out},
                         {"lse", &f.problem.args.lse, &f.problem.lse}};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof others / sizeof *others; j++) {
            softattn_tensor moved = outputs[i].array->tensor;
            moved.data = (void *)((uintptr_t)others[j]->tensor.data / 4 * 4);
            *outputs[i].field = &moved;
            assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, outputs[i].name);
            *outputs[i].field = &outputs[i].array->tensor;
        }
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_mask_tensor_is_refused),
        cmocka_unit_test(every_bad_offsets_tensor_is_refused),
        cmocka_unit_test(mask_tensors_of_another_type_are_refused),
        cmocka_unit_test(mask_sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(block_masks_must_have_a_place_for_each_block),
        cmocka_unit_test(lists_that_are_not_compact_are_refused),
        cmocka_unit_test(lengths_out_of_range_are_refused),
        cmocka_unit_test(offsets_that_do_not_ascend_within_the_axis_are_refused),
        cmocka_unit_test(offsets_of_queries_and_keys_come_together),
        cmocka_unit_test(packed_tensors_have_a_batch_of_1),
        cmocka_unit_test(no_packed_sequence_is_nothing_to_do),
        cmocka_unit_test(describing_does_not_read_lists),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(options_in_their_range_are_accepted),
        cmocka_unit_test(a_softcap_beyond_the_elements_type_is_refused),
        cmocka_unit_test(no_output_may_share_memory_with_a_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
