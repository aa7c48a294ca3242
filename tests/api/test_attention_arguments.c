/*
 * Attention refuses every bad argument with the status that the header says, a text that names the argument,
 * and outputs as they were.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "bad_structs.h"
#include "bad_tensors.h"
#include "guard.h"

#include <math.h>
#include <stdlib.h>

/* Sizes of softattn_attention_args and softattn_attention_plan in version 0.1, the first. */
enum { FIRST_ARGS_BYTES = 88, FIRST_PLAN_BYTES = 112 };

typedef struct fixture {
    attention_case problem;
    softattn_attention *attention;
} fixture;

/* A problem with every operand, outputs unwritten. */
static void set_up(fixture *f) {
    random_source random;
    random_start(&random, "attention arguments");
    attention_options options = attention_options_plain(ARRAY_F32, 4, 3, 5);
    options.batch = 2;
    options.heads_kv = 2;
    options.seq_kv = 6;
    options.dim_v = 7;
    options.has_bias = options.has_keep = options.wants_weights = true;
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
    return array_untouched(&c->out) && array_untouched(&c->lse) && array_untouched(&c->weights);
}

static void every_bad_tensor_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_attention_args *const args = &f.problem.args;
    const tensor_user caller = {run_fixture, outputs_untouched, &f};
    const tensor_field fields[] = {
        {.name = "q", .field = &args->q, .is_required = true, .decides_sizes = true},
        {.name = "k", .field = &args->k, .is_required = true},
        {.name = "v", .field = &args->v, .is_required = true, .decides_sizes = true},
        {.name = "out", .field = &args->out, .is_required = true, .is_output = true},
        {.name = "bias", .field = &args->bias, .broadcasts = true},
        {.name = "keep_mask", .field = &args->keep_mask, .broadcasts = true},
        {.name = "lse", .field = &args->lse, .is_output = true},
        {.name = "weights", .field = &args->weights, .is_output = true},
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
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const operands[] = {
        {"k", &f.problem.args.k, &f.problem.k},
        {"v", &f.problem.args.v, &f.problem.v},
        {"out", &f.problem.args.out, &f.problem.out},
        {"bias", &f.problem.args.bias, &f.problem.bias},
        {"lse", &f.problem.args.lse, &f.problem.lse},
        {"weights", &f.problem.args.weights, &f.problem.weights},
    };
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

/* Every size of every operand, one larger than it should be, and memory that may not be read. */
static void sizes_that_do_not_fit_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_attention_args *const args = &f.problem.args;
    const softattn_tensor **const operands[] = {&args->q,    &args->k,         &args->v,   &args->out,
                                                &args->bias, &args->keep_mask, &args->lse, &args->weights};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
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

static void query_heads_must_be_a_multiple_of_key_heads(void **state) {
    static const struct {
        int64_t heads_q, heads_kv;
        int32_t status;
    } cases[] = {{6, 4, SOFTATTN_ERROR_SHAPE}, {1, 2, SOFTATTN_ERROR_SHAPE}, {7, 3, SOFTATTN_ERROR_SHAPE},
                 {3, 0, SOFTATTN_ERROR_SHAPE}, {0, 0, SOFTATTN_OK},          {0, 3, SOFTATTN_OK},
                 {6, 3, SOFTATTN_OK},          {5, 1, SOFTATTN_OK}};
    float q[64] = {0}, k[64] = {0}, v[64] = {0}, out[64], before[64];
    (void)state;
    memset(out, 0xff, sizeof out);
    memcpy(before, out, sizeof out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(softattn_attention_f32(NULL, 1, cases[i].heads_q, cases[i].heads_kv, 2, 2, 2, 2, q, k,
                                             v, out, SOFTATTN_CAUSAL_NONE),
                      cases[i].status);
        if (cases[i].status != SOFTATTN_OK) {
            assert_non_null(strstr(last_error(), "heads"));
            assert_memory_equal(out, before, sizeof out);
        }
    }
}

static void a_query_of_rank_0_1_or_5_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    int64_t shape[5] = {1, 2, 4, 3, 5};
    for (int32_t rank = 0; rank <= 5; rank += rank == 1 ? 4 : 1) {
        softattn_tensor q = f.problem.q.tensor;
        q.ndim = rank;
        q.shape = shape;
        q.strides = NULL;
        f.problem.args.q = &q;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_SHAPE, "q");
    }
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* ---- Options ---- */

static void options_outside_their_range_are_refused(void **state) {
    static const double not_finite[] = {NAN, HUGE_VAL, -HUGE_VAL};
    static const int32_t bad_modes[] = {-1, 4, INT32_MAX, INT32_MIN},
                         bad_engines[] = {-1, 3, INT32_MAX, INT32_MIN};
    fixture f;
    (void)state;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        assert_fails(softattn_attention_set_scale(f.attention, not_finite[i]), SOFTATTN_ERROR_ARGUMENT,
                     "scale");
    }
    for (int i = 0; i < 4; i++) {
        assert_fails(softattn_attention_set_causal(f.attention, bad_modes[i], 0), SOFTATTN_ERROR_ARGUMENT,
                     "mode");
        assert_fails(softattn_attention_set_engine(f.attention, bad_engines[i]), SOFTATTN_ERROR_ARGUMENT,
                     "engine");
    }
    /* none of these changed the handle */
    assert_ok(run_fixture(&f));
    assert_int_equal(attention_case_differences(&f.problem, NULL), 0);
    tear_down(&f);
}

static void a_scale_beyond_the_elements_type_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_ok(softattn_attention_set_scale(f.attention, 1e39)); /* a legal scale of f64 elements */
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_ARGUMENT, "scale");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void the_fused_engine_refuses_to_return_weights(void **state) {
    fixture f;
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    (void)state;
    set_up(&f);
    assert_ok(softattn_attention_set_engine(f.attention, SOFTATTN_ENGINE_FUSED));
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_UNSUPPORTED, "weights");
    assert_fails(softattn_attention_describe(f.attention, &f.problem.args, &plan), SOFTATTN_ERROR_UNSUPPORTED,
                 "weights");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

static void null_handles_and_structs_are_refused(void **state) {
    softattn_attention *attention = NULL;
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_attention_create(NULL, NULL), SOFTATTN_ERROR_NULL, "out");
    assert_fails(softattn_attention_run(NULL, &f.problem.args), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_run(f.attention, NULL), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_attention_describe(NULL, &f.problem.args, &plan), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_describe(f.attention, NULL, &plan), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_attention_describe(f.attention, &f.problem.args, NULL), SOFTATTN_ERROR_NULL,
                 "plan");
    assert_fails(softattn_attention_set_scale(attention, 1), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_use_default_scale(attention), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_set_causal(attention, 0, 0), SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_set_engine(attention, 0), SOFTATTN_ERROR_NULL, "attention");
    assert_true(outputs_untouched(&f));
    tear_down(&f);
}

/* ---- Structs ---- */

static int32_t run_struct(void *user, void *copy) {
    return softattn_attention_run(((fixture *)user)->attention, copy);
}

static int32_t describe_into_struct(void *user, void *copy) {
    const fixture *const f = user;
    return softattn_attention_describe(f->attention, &f->problem.args, copy);
}

static void struct_size_is_obeyed(void **state) {
    const softattn_attention_plan plan = {.struct_size = sizeof plan};
    fixture f;
    (void)state;
    set_up(&f);
    assert_struct_size_is_obeyed(&f.problem.args, FIRST_ARGS_BYTES, sizeof f.problem.args, run_struct, &f);
    assert_struct_size_is_obeyed(&plan, FIRST_PLAN_BYTES, sizeof plan, describe_into_struct, &f);
    tear_down(&f);
}

static void a_failed_describe_leaves_the_plan(void **state) {
    softattn_attention_plan plan, before;
    fixture f;
    (void)state;
    set_up(&f);
    memset(&plan, 0x55, sizeof plan);
    plan.struct_size = sizeof plan;
    before = plan;
    f.problem.args.k = NULL;
    assert_fails(softattn_attention_describe(f.attention, &f.problem.args, &plan), SOFTATTN_ERROR_NULL, "k");
    assert_memory_equal(&plan, &before, sizeof plan);
    tear_down(&f);
}

/* ---- Overlap ---- */

static void no_output_may_share_memory_with_another_operand(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_attention_args *const args = &f.problem.args;
    struct {
        const char *name;
        const softattn_tensor **field;
        const test_array *array;
    } const outputs[] = {{"out", &args->out, &f.problem.out},
                         {"lse", &args->lse, &f.problem.lse},
                         {"weights", &args->weights, &f.problem.weights}};
    const test_array *const others[] = {&f.problem.q,    &f.problem.k,   &f.problem.v,      &f.problem.out,
                                        &f.problem.bias, &f.problem.lse, &f.problem.weights};
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < sizeof others / sizeof *others; j++) {
            if (others[j] == outputs[i].array) {
                continue;
            }
            /* the same start, and its last element on the other's first */
            for (int64_t back = 0; back < 2; back++) {
                softattn_tensor moved = outputs[i].array->tensor;
                moved.data = (char *)others[j]->tensor.data - back * (array_count(outputs[i].array) - 1) * 4;
                *outputs[i].field = &moved;
                assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, outputs[i].name);
                *outputs[i].field = &outputs[i].array->tensor;
                assert_true(outputs_untouched(&f));
            }
        }
    }
    tear_down(&f);
}

static void a_workspace_must_not_overlap_operands(void **state) {
    enum { ELEMENTS = 1 << 18 };
    fixture f;
    (void)state;
    set_up(&f);
    float *const memory = calloc(ELEMENTS, sizeof *memory);
    assert_non_null(memory);
    softattn_tensor k = f.problem.k.tensor;
    k.data = memory + ELEMENTS / 2;
    f.problem.args.k = &k;
    f.problem.args.workspace = memory;
    f.problem.args.workspace_bytes = ELEMENTS * sizeof *memory;
    assert_fails(run_fixture(&f), SOFTATTN_ERROR_OVERLAP, "workspace");
    assert_true(outputs_untouched(&f));
    f.problem.args.workspace_bytes = ELEMENTS / 2 * sizeof *memory;
    assert_ok(run_fixture(&f));
    free(memory);
    tear_down(&f);
}

static void packed_heads_may_interleave_with_the_output(void **state) {
    /* [seq][q k v out][dim]: the four interleave in one buffer without sharing an element */
    enum { SEQ = 6, DIM = 4, ROW = 4 * DIM };
    float memory[SEQ * ROW];
    softattn_tensor tensors[4];
    int64_t shape[2] = {SEQ, DIM}, strides[2] = {ROW, 1};
    softattn_attention *attention = NULL;
    (void)state;
    for (int i = 0; i < SEQ * ROW; i++) {
        memory[i] = 0.1f * (float)(i % 7);
    }
    for (int i = 0; i < 4; i++) {
        tensors[i] = (softattn_tensor){.data = memory + i * DIM,
                                       .device = {SOFTATTN_DEVICE_CPU, 0},
                                       .ndim = 2,
                                       .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
                                       .shape = shape,
                                       .strides = strides};
    }
    const softattn_attention_args args = {
        .struct_size = sizeof args, .q = &tensors[0], .k = &tensors[1], .v = &tensors[2], .out = &tensors[3]};
    assert_ok(softattn_attention_create(NULL, &attention));
    assert_ok(softattn_attention_run(attention, &args));
    softattn_attention_destroy(attention);
}

/* ---- Workspace ---- */

static void a_workspace_of_the_planned_size_is_enough_and_less_is_refused(void **state) {
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    fixture f;
    (void)state;
    set_up(&f);
    assert_ok(softattn_attention_describe(f.attention, &f.problem.args, &plan));
    if (plan.workspace_bytes > 0) {
        guard_block block;
        guard_create(&block, 1, 1, GUARD_AFTER);
        f.problem.args.workspace = block.data;
        f.problem.args.workspace_bytes = 1;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_MEMORY, "workspace");
        f.problem.args.workspace_bytes = 0;
        assert_fails(run_fixture(&f), SOFTATTN_ERROR_MEMORY, "workspace");
        assert_true(outputs_untouched(&f));
        guard_destroy(&block);
    }
    for (size_t misaligned = 0; misaligned < 3; misaligned++) { /* flush against the page: any alignment */
        guard_block block;
        guard_create(&block, (size_t)plan.workspace_bytes + misaligned, 1, GUARD_AFTER);
        f.problem.args.workspace = block.data;
        f.problem.args.workspace_bytes = block.bytes;
        assert_int_equal(attention_case_differences(&f.problem, NULL), 0);
        assert_true(guard_surroundings_untouched(&block));
        guard_destroy(&block);
    }
    tear_down(&f);
}

/* ---- The flat functions ---- */

static void flat_functions_refuse_bad_arguments(void **state) {
    float x[64] = {0}, out[64], before[64];
    (void)state;
    memset(out, 0xff, sizeof out);
    memcpy(before, out, sizeof out);
#define FLAT(b, hq, hkv, sq, skv, dqk, dv, q, k, v, o, causal)                                               \
    softattn_attention_f32(NULL, b, hq, hkv, sq, skv, dqk, dv, q, k, v, o, causal)
    assert_fails(FLAT(-1, 1, 1, 2, 2, 2, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "batch");
    assert_fails(FLAT(1, -1, 1, 2, 2, 2, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "heads_q");
    assert_fails(FLAT(1, 1, -1, 2, 2, 2, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "heads_kv");
    assert_fails(FLAT(1, 1, 1, -1, 2, 2, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "seq_q");
    assert_fails(FLAT(1, 1, 1, 2, -1, 2, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "seq_kv");
    assert_fails(FLAT(1, 1, 1, 2, 2, -1, 2, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "dim_qk");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, -1, x, x, x, out, 0), SOFTATTN_ERROR_ARGUMENT, "dim_v");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, NULL, x, x, out, 0), SOFTATTN_ERROR_NULL, "q");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, NULL, x, out, 0), SOFTATTN_ERROR_NULL, "k");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, x, NULL, out, 0), SOFTATTN_ERROR_NULL, "v");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, x, x, NULL, 0), SOFTATTN_ERROR_NULL, "out");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, x, x, out, -1), SOFTATTN_ERROR_ARGUMENT, "causal");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, x, x, out, 3), SOFTATTN_ERROR_ARGUMENT, "causal");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, out, x, x, out, 0), SOFTATTN_ERROR_OVERLAP, "out");
    assert_fails(FLAT(1, 1, 1, 2, 2, 2, 2, x, x, out, out, 0), SOFTATTN_ERROR_OVERLAP, "out");
#undef FLAT
    assert_memory_equal(out, before, sizeof out);
}

/* Each size in turn, and all of them, so large that a product leaves the address range. */
static void sizes_that_overflow_are_refused_without_touching_memory(void **state) {
    void *const p = guard_forbidden();
    (void)state;
    for (int i = 0; i < 8; i++) {
        int64_t n[7] = {2, 2, 2, 2, 2, 2, 2};
        for (int j = 0; j < 7; j++) {
            n[j] = i == 7 || i == j ? INT64_MAX : n[j];
        }
        n[1] = i == 2 ? INT64_MAX : n[1]; /* heads_q and heads_kv grow together, or the shapes do not fit */
        n[2] = i == 1 ? INT64_MAX : n[2];
        assert_status(softattn_attention_f32(NULL, n[0], n[1], n[2], n[3], n[4], n[5], n[6], p, p, p, p, 0),
                      SOFTATTN_ERROR_OVERFLOW);
        assert_status(softattn_attention_f64(NULL, n[0], n[1], n[2], n[3], n[4], n[5], n[6], p, p, p, p, 0),
                      SOFTATTN_ERROR_OVERFLOW);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_is_refused),
        cmocka_unit_test(operands_of_another_float_type_are_refused),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(query_heads_must_be_a_multiple_of_key_heads),
        cmocka_unit_test(a_query_of_rank_0_1_or_5_is_refused),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(a_scale_beyond_the_elements_type_is_refused),
        cmocka_unit_test(the_fused_engine_refuses_to_return_weights),
        cmocka_unit_test(null_handles_and_structs_are_refused),
        cmocka_unit_test(struct_size_is_obeyed),
        cmocka_unit_test(a_failed_describe_leaves_the_plan),
        cmocka_unit_test(no_output_may_share_memory_with_another_operand),
        cmocka_unit_test(a_workspace_must_not_overlap_operands),
        cmocka_unit_test(packed_heads_may_interleave_with_the_output),
        cmocka_unit_test(a_workspace_of_the_planned_size_is_enough_and_less_is_refused),
        cmocka_unit_test(flat_functions_refuse_bad_arguments),
        cmocka_unit_test(sizes_that_overflow_are_refused_without_touching_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
