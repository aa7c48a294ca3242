/*
 * Sampling, argmax and diagnoses refuse every bad argument with the status that the header says, a text that names the
 * argument, and outputs as they were; they survive every failed allocation, accept every size of 0, and raise no
 * floating-point exception that stands for an error.
 */
#include "allocator.h"
#include "assert_status.h"
#include "attention_case.h"
#include "bad_structs.h"
#include "bad_tensors.h"
#include "diagnosis_case.h"
#include "guard.h"
#include "sampling_case.h"
#include "softmax_case.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Sizes of the structs in the first version that had them. */
enum { FIRST_SAMPLER_BYTES = 48, FIRST_DIAGNOSIS_BYTES = 72, FIRST_SUMMARY_BYTES = 136 };

static random_source contents;

/* ---- Tokens -------------------------------------------------------------------------------------------- */

typedef struct fixture {
    sampling_case problem;
    softattn_sampler *sampler;
} fixture;

/* The six rows of an array as two times three. */
static void split_rows(test_array *array) {
    softattn_tensor *const tensor = &array->tensor;
    int64_t stride = 1;
    for (int32_t i = tensor->ndim - 1; i >= 0 && tensor->strides == NULL; i--) {
        array->strides[i] = stride;
        stride *= array->shape[i];
    }
    for (int32_t i = tensor->ndim; i > 0; i--) {
        array->shape[i] = array->shape[i - 1];
        array->strides[i] = array->strides[i - 1];
    }
    array->shape[0] = 2;
    array->shape[1] = 3;
    array->strides[0] = 3 * array->strides[1];
    tensor->strides = array->strides;
    tensor->ndim++;
}

static void set_up(fixture *f) {
    const sampling_options options = {
        .type = ARRAY_F32, .rows = 6, .vocabulary = 7, .token_type = ARRAY_I64, .temperature = 1, .top_p = 1};
    sampling_case_create(&f->problem, &options, &contents);
    split_rows(&f->problem.logits);
    split_rows(&f->problem.uniform);
    split_rows(&f->problem.tokens);
    split_rows(&f->problem.probabilities);
    split_rows(&f->problem.keep);
    assert_ok(softattn_sampler_create(NULL, &f->sampler));
}

static void tear_down(fixture *f) {
    softattn_sampler_destroy(f->sampler);
    sampling_case_destroy(&f->problem);
}

static int32_t run_sampler(void *user) {
    fixture *const f = user;
    return softattn_sampler_run(f->sampler, &f->problem.args);
}

static bool samples_untouched(void *user) {
    const sampling_case *const c = &((fixture *)user)->problem;
    return array_untouched(&c->tokens) && array_untouched(&c->probabilities) && array_untouched(&c->keep);
}

static void every_bad_tensor_of_the_sampler_is_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_sampler_args *const args = &f.problem.args;
    const tensor_user caller = {run_sampler, samples_untouched, &f};
    const tensor_field fields[] = {
        {.name = "logits", .field = &args->logits, .is_required = true, .decides_sizes = true},
        {.name = "uniform", .field = &args->uniform, .is_required = true},
        {.name = "tokens", .field = &args->tokens, .is_output = true},
        {.name = "probabilities", .field = &args->probabilities, .is_output = true},
        {.name = "keep_mask", .field = &args->keep_mask, .is_output = true},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
    assert_ok(run_sampler(&f)); /* and nothing else was wrong */
    tear_down(&f);
}

static void operands_of_another_float_type_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    const softattn_tensor **const operands[] = {&f.problem.args.uniform, &f.problem.args.probabilities};
    const char *const names[] = {"uniform", "probabilities"};
    for (int i = 0; i < 2; i++) {
        const softattn_tensor *const good = *operands[i];
        test_array f64;
        array_create(&f64, ARRAY_F64, good->ndim, good->shape, ARRAY_COMPACT, GUARD_AFTER);
        *operands[i] = &f64.tensor;
        assert_fails(run_sampler(&f), SOFTATTN_ERROR_TYPE, names[i]);
        assert_true(array_untouched(&f64) && samples_untouched(&f));
        *operands[i] = good;
        array_destroy(&f64);
    }
    tear_down(&f);
}

static void numbers_outside_0_to_1_are_refused_by_row(void **state) {
    const double bad[] = {1, -0x1p-30, 1.5, (double)NAN, (double)INFINITY, -(double)INFINITY};
    fixture f;
    (void)state;
    set_up(&f);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const double good = array_get(&f.problem.uniform, 1);
        array_set(&f.problem.uniform, 1, bad[i]);
        assert_fails(run_sampler(&f), SOFTATTN_ERROR_ARGUMENT, "uniform: row 1 ");
        assert_true(samples_untouched(&f));
        array_set(&f.problem.uniform, 1, good);
    }
    array_set(&f.problem.uniform, 2, 7); /* of no account where no tokens are drawn by it */
    assert_ok(softattn_sampler_set_temperature(f.sampler, 0));
    assert_ok(run_sampler(&f));
    assert_ok(softattn_sampler_set_temperature(f.sampler, 1));
    f.problem.args.tokens = NULL;
    assert_ok(run_sampler(&f));
    tear_down(&f);
}

static void tokens_need_uniform_numbers_and_runs_an_output(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    f.problem.args.uniform = NULL;
    assert_fails(run_sampler(&f), SOFTATTN_ERROR_NULL, "uniform");
    assert_true(samples_untouched(&f));
    assert_ok(softattn_sampler_set_temperature(f.sampler, 0));
    assert_ok(run_sampler(&f));
    assert_ok(softattn_sampler_set_temperature(f.sampler, 1));
    f.problem.args.tokens = NULL;
    assert_ok(run_sampler(&f));
    f.problem.args.probabilities = f.problem.args.keep_mask = NULL;
    assert_fails(run_sampler(&f), SOFTATTN_ERROR_NULL, "tokens");
    tear_down(&f);
}

static void options_out_of_range_are_refused(void **state) {
    const double not_fractions[] = {-1e-9, 1 + 1e-9, (double)NAN, (double)INFINITY};
    const double not_temperatures[] = {-1e-9, (double)NAN, (double)INFINITY};
    const double not_of_f32[] = {1e-39, 1e36};
    fixture f;
    (void)state;
    set_up(&f);
    for (size_t i = 0; i < 4; i++) {
        assert_fails(softattn_sampler_set_top_p(f.sampler, not_fractions[i]), SOFTATTN_ERROR_ARGUMENT, "p:");
        assert_fails(softattn_sampler_set_min_p(f.sampler, not_fractions[i]), SOFTATTN_ERROR_ARGUMENT, "p:");
    }
    for (size_t i = 0; i < 3; i++) {
        assert_fails(softattn_sampler_set_temperature(f.sampler, not_temperatures[i]),
                     SOFTATTN_ERROR_ARGUMENT, "temperature");
    }
    assert_fails(softattn_sampler_set_top_k(f.sampler, -1), SOFTATTN_ERROR_ARGUMENT, "k:");
    for (size_t i = 0; i < 2; i++) {
        assert_ok(softattn_sampler_set_temperature(f.sampler, not_of_f32[i]));
        assert_fails(run_sampler(&f), SOFTATTN_ERROR_ARGUMENT, "temperature");
    }
    assert_true(samples_untouched(&f));
    tear_down(&f);
}

static int32_t run_sampler_struct(void *user, void *copy) { return softattn_sampler_run(user, copy); }

static void struct_size_of_the_sampler_is_obeyed(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_struct_size_is_obeyed(&f.problem.args, FIRST_SAMPLER_BYTES, sizeof f.problem.args,
                                 run_sampler_struct, f.sampler);
    tear_down(&f);
}

static void null_samplers_and_structs_are_refused(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    assert_fails(softattn_sampler_create(NULL, NULL), SOFTATTN_ERROR_NULL, "out");
    assert_fails(softattn_sampler_set_temperature(NULL, 1), SOFTATTN_ERROR_NULL, "sampler");
    assert_fails(softattn_sampler_set_top_k(NULL, 1), SOFTATTN_ERROR_NULL, "sampler");
    assert_fails(softattn_sampler_set_top_p(NULL, 1), SOFTATTN_ERROR_NULL, "sampler");
    assert_fails(softattn_sampler_set_min_p(NULL, 1), SOFTATTN_ERROR_NULL, "sampler");
    assert_fails(softattn_sampler_run(NULL, &f.problem.args), SOFTATTN_ERROR_NULL, "sampler");
    assert_fails(softattn_sampler_run(f.sampler, NULL), SOFTATTN_ERROR_NULL, "args");
    softattn_sampler_destroy(NULL);
    tear_down(&f);
}

static void outputs_may_not_overlap_but_probabilities_may_be_the_logits(void **state) {
    fixture f;
    (void)state;
    set_up(&f);
    softattn_sampler_args *const args = &f.problem.args;
    softattn_tensor shifted = f.problem.logits.tensor, bytes = f.problem.keep.tensor;
    int64_t shape[] = {2, 3, 6}, strides[] = {21, 7, 1};
    shifted.data = (char *)shifted.data + sizeof(float);
    shifted.shape = shape;
    shifted.strides = strides;
    softattn_tensor logits = shifted;
    logits.data = f.problem.logits.tensor.data;
    bytes.data = f.problem.probabilities.tensor.data;
    args->keep_mask = NULL;
    args->logits = &logits;
    args->probabilities = &shifted;
    assert_fails(run_sampler(&f), SOFTATTN_ERROR_OVERLAP, "probabilities");
    args->probabilities = &f.problem.probabilities.tensor;
    args->logits = &f.problem.logits.tensor;
    args->keep_mask = &bytes;
    assert_fails(run_sampler(&f), SOFTATTN_ERROR_OVERLAP, "probabilities");
    assert_true(samples_untouched(&f));
    args->keep_mask = NULL;
    args->probabilities = args->logits;
    assert_ok(run_sampler(&f));
    tear_down(&f);
}

/* ---- Argmax -------------------------------------------------------------------------------------------- */

static void argmax_refuses_bad_arguments(void **state) {
    float x[12] = {0};
    double y[4] = {0};
    int64_t tokens[3] = {77, 77, 77};
    (void)state;
    assert_fails(softattn_argmax_f32(NULL, -1, 4, x, 4, tokens), SOFTATTN_ERROR_ARGUMENT, "rows");
    assert_fails(softattn_argmax_f32(NULL, 3, -4, x, 4, tokens), SOFTATTN_ERROR_ARGUMENT, "cols");
    assert_fails(softattn_argmax_f32(NULL, 3, 4, NULL, 4, tokens), SOFTATTN_ERROR_NULL, "x");
    assert_fails(softattn_argmax_f32(NULL, 3, 4, x, 4, NULL), SOFTATTN_ERROR_NULL, "tokens");
    assert_fails(softattn_argmax_f32(NULL, 3, INT64_MAX / 2, x, 4, tokens), SOFTATTN_ERROR_OVERFLOW, "x");
    assert_fails(softattn_argmax_f64(NULL, 1, 2, y, 2, (int64_t *)(void *)y), SOFTATTN_ERROR_OVERLAP,
                 "tokens");
    assert_true(tokens[0] == 77 && tokens[1] == 77 && tokens[2] == 77);
}

static void argmax_takes_the_first_of_the_largest(void **state) {
    const double inf = (double)INFINITY;
    const double x[6][4] = {{1, 3, 3, 2},           {-inf, -inf, -inf, -inf}, {-inf, -7, -inf, -7},
                            {1, (double)NAN, 2, 3}, {2, inf, 1, inf},         {-0.0, 0.0, -0.0, -1}};
    const int64_t expected[] = {1, -1, 1, -1, 1, 0};
    float narrow[6][4];
    int64_t tokens[6];
    (void)state;
    for (int i = 0; i < 24; i++) {
        narrow[i / 4][i % 4] = (float)x[i / 4][i % 4];
    }
    assert_ok(softattn_argmax_f64(NULL, 6, 4, &x[0][0], 4, tokens));
    assert_memory_equal(tokens, expected, sizeof expected);
    memset(tokens, 0, sizeof tokens);
    assert_ok(softattn_argmax_f32(NULL, 6, 4, &narrow[0][0], 4, tokens));
    assert_memory_equal(tokens, expected, sizeof expected);
    assert_ok(softattn_argmax_f32(NULL, 2, 4, &narrow[2][0], -8, tokens)); /* rows 2 and 0 */
    assert_true(tokens[0] == 1 && tokens[1] == 1);
    assert_ok(softattn_argmax_f32(NULL, 0, 4, NULL, 4, NULL));
    assert_ok(softattn_argmax_f32(NULL, 2, 0, NULL, 0, tokens));
    assert_true(tokens[0] == -1 && tokens[1] == -1);
}

/* ---- Edges of sampling --------------------------------------------------------------------------------- */

/* Rows that have no distribution, at a temperature and greedily. */
static void rows_without_a_distribution_give_no_token(void **state) {
    const double inf = (double)INFINITY, nan = (double)NAN;
    const double rows[4][3] = {{-inf, -inf, -inf}, {1, nan, 2}, {1, inf, -inf}, {-inf, 5, -inf}};
    const int64_t tokens[2][4] = {{-1, -1, 1, 1}, {-1, -1, -1, 1}}; /* greedily, at temperature 1 */
    (void)state;
    for (int temperature = 0; temperature < 2; temperature++) {
        const sampling_options options = {.type = ARRAY_F64,
                                          .rows = 4,
                                          .vocabulary = 3,
                                          .token_type = ARRAY_I32,
                                          .temperature = temperature,
                                          .top_p = 0.9,
                                          .top_k = 2};
        sampling_case problem;
        sampling_case_create(&problem, &options, &contents);
        for (int64_t i = 0; i < 12; i++) {
            array_set(&problem.logits, i, rows[i / 3][i % 3]);
        }
        assert_ok(sampling_case_run(&problem, NULL));
        for (int64_t row = 0; row < 4; row++) {
            const int64_t token = (int64_t)array_get(&problem.tokens, row);
            const bool is_nan = row == 1 || (row == 2 && temperature > 0);
            assert_true(token == tokens[temperature][row]);
            for (int64_t j = 0; j < 3; j++) {
                const double p = array_get(&problem.probabilities, row * 3 + j);
                assert_true(is_nan ? isnan(p) : p == (j == token));
                assert_true(array_get(&problem.keep, row * 3 + j) == (j == token));
            }
        }
        sampling_case_destroy(&problem);
    }
}

static void empty_vocabularies_and_batches_are_accepted(void **state) {
    (void)state;
    for (int64_t rows = 0; rows < 3; rows++) {
        for (int temperature = 0; temperature < 2; temperature++) {
            const sampling_options options = {.type = ARRAY_F32,
                                              .rows = rows,
                                              .vocabulary = rows == 0 ? 5 : 0,
                                              .temperature = temperature,
                                              .token_type = ARRAY_I64,
                                              .top_p = 0.5};
            sampling_case problem;
            sampling_case_create(&problem, &options, &contents);
            assert_ok(sampling_case_run(&problem, NULL));
            for (int64_t row = 0; row < rows; row++) {
                assert_true(array_get(&problem.tokens, row) == -1);
            }
            sampling_case_destroy(&problem);
        }
    }
}

static void a_vocabulary_beyond_the_masses_is_refused(void **state) {
    const int64_t many = ((int64_t)1 << 26) + 1;
    int64_t shape[] = {many}, token = 77;
    float logit = 0, u = 0;
    int64_t stride[] = {0};
    softattn_sampler *sampler = NULL;
    softattn_tensor logits = {.data = &logit,
                              .device = {SOFTATTN_DEVICE_CPU, 0},
                              .ndim = 1,
                              .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
                              .shape = shape,
                              .strides = stride};
    softattn_tensor uniform = logits, tokens = logits;
    (void)state;
    uniform.data = &u;
    uniform.ndim = tokens.ndim = 0;
    tokens.data = &token;
    tokens.dtype.code = SOFTATTN_TYPE_INT;
    tokens.dtype.bits = 64;
    const softattn_sampler_args args = {
        .struct_size = sizeof args, .logits = &logits, .uniform = &uniform, .tokens = &tokens};
    assert_ok(softattn_sampler_create(NULL, &sampler));
    assert_fails(softattn_sampler_run(sampler, &args), SOFTATTN_ERROR_SHAPE, "logits");
    assert_true(token == 77);
    softattn_sampler_destroy(sampler);
}

/* ---- Diagnoses ----------------------------------------------------------------------------------------- */

typedef struct diagnosis_fixture {
    softmax_case rows;
    attention_case attention;
    diagnosis_arrays of_rows, of_attention;
    softattn_softmax *softmax;
    softattn_attention *handle;
} diagnosis_fixture;

static void set_up_diagnosis(diagnosis_fixture *f) {
    const int64_t row_shape[] = {2, 3}, query_shape[] = {2, 2, 4};
    const softmax_options options = {.type = ARRAY_F32,
                                     .rank = 3,
                                     .shape = {2, 3, 5},
                                     .axis = 2,
                                     .deviation = 1,
                                     .scale = 1,
                                     .bias.given = true}; /* so that x's last size is not free */
    attention_options attention = attention_options_plain(ARRAY_F32, 2, 4, 8);
    attention.batch = 2;
    attention.has_bias = true; /* so that k's length is not free */
    softmax_case_create(&f->rows, &options, &contents);
    attention_case_create(&f->attention, &attention, &contents);
    diagnosis_arrays_create(&f->of_rows, ARRAY_F32, 2, row_shape, GUARD_AFTER);
    diagnosis_arrays_create(&f->of_attention, ARRAY_F32, 3, query_shape, GUARD_AFTER);
    f->softmax = softmax_case_handle(&f->rows, NULL);
    f->handle = attention_case_handle(&f->attention, NULL);
}

static void tear_down_diagnosis(diagnosis_fixture *f) {
    softattn_softmax_destroy(f->softmax);
    softattn_attention_destroy(f->handle);
    diagnosis_arrays_destroy(&f->of_rows);
    diagnosis_arrays_destroy(&f->of_attention);
    softmax_case_destroy(&f->rows);
    attention_case_destroy(&f->attention);
}

static int32_t diagnose_rows(void *user) {
    diagnosis_fixture *const f = user;
    return softattn_softmax_diagnose(f->softmax, &f->rows.args, &f->of_rows.outputs);
}
static int32_t diagnose_attention(void *user) {
    diagnosis_fixture *const f = user;
    return softattn_attention_diagnose(f->handle, &f->attention.args, &f->of_attention.outputs);
}

static bool arrays_untouched(const diagnosis_arrays *arrays) {
    bool untouched = array_untouched(&arrays->saturated) && arrays->summary.rows == 0;
    for (int32_t i = 0; i < DIAGNOSIS_NUMBERS; i++) {
        untouched = untouched && array_untouched(&arrays->numbers[i]);
    }
    return untouched;
}

static bool diagnoses_untouched(void *user) {
    const diagnosis_fixture *const f = user;
    return arrays_untouched(&f->of_rows) && arrays_untouched(&f->of_attention);
}

static void check_fields(diagnosis_fixture *f, int32_t (*run)(void *user), const tensor_field *fields,
                         size_t count) {
    const tensor_user caller = {run, diagnoses_untouched, f};
    for (size_t i = 0; i < count; i++) {
        assert_bad_tensors_are_refused(&fields[i], &caller);
    }
}

static void every_bad_tensor_of_a_diagnosis_is_refused(void **state) {
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    softattn_diagnosis *const rows = &f.of_rows.outputs, *const queries = &f.of_attention.outputs;
    const tensor_field of_rows[] = {
        {.name = "x", .field = &f.rows.args.x, .is_required = true, .decides_sizes = true},
        {.name = "entropy", .field = &rows->entropy, .is_output = true},
        {.name = "max_probability", .field = &rows->max_probability, .is_output = true},
        {.name = "effective_keys", .field = &rows->effective_keys, .is_output = true},
        {.name = "score_mean", .field = &rows->score_mean, .is_output = true},
        {.name = "score_variance", .field = &rows->score_variance, .is_output = true},
        {.name = "jacobian_norm", .field = &rows->jacobian_norm, .is_output = true},
        {.name = "saturated", .field = &rows->saturated, .is_output = true},
    };
    const tensor_field of_attention[] = {
        {.name = "q", .field = &f.attention.args.q, .is_required = true, .decides_sizes = true},
        {.name = "k", .field = &f.attention.args.k, .is_required = true},
        {.name = "entropy", .field = &queries->entropy, .is_output = true},
        {.name = "saturated", .field = &queries->saturated, .is_output = true},
    };
    check_fields(&f, diagnose_rows, of_rows, sizeof of_rows / sizeof *of_rows);
    check_fields(&f, diagnose_attention, of_attention, sizeof of_attention / sizeof *of_attention);
    assert_ok(diagnose_rows(&f)); /* and nothing else was wrong */
    assert_ok(diagnose_attention(&f));
    tear_down_diagnosis(&f);
}

static int32_t diagnose_struct(void *user, void *copy) {
    const diagnosis_fixture *const f = user;
    return softattn_softmax_diagnose(f->softmax, &f->rows.args, copy);
}

static int32_t diagnose_summary(void *user, void *copy) {
    diagnosis_fixture *const f = user;
    softattn_diagnosis outputs = f->of_rows.outputs;
    outputs.summary = copy;
    return softattn_softmax_diagnose(f->softmax, &f->rows.args, &outputs);
}

static void struct_sizes_of_a_diagnosis_are_obeyed(void **state) {
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    assert_struct_size_is_obeyed(&f.of_rows.outputs, FIRST_DIAGNOSIS_BYTES, sizeof f.of_rows.outputs,
                                 diagnose_struct, &f);
    assert_struct_size_is_obeyed(&f.of_rows.summary, FIRST_SUMMARY_BYTES, sizeof f.of_rows.summary,
                                 diagnose_summary, &f);
    tear_down_diagnosis(&f);
}

static void null_handles_structs_and_outputs_are_refused(void **state) {
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    const softattn_diagnosis none = {.struct_size = sizeof none};
    assert_fails(softattn_softmax_diagnose(NULL, &f.rows.args, &f.of_rows.outputs), SOFTATTN_ERROR_NULL,
                 "softmax");
    assert_fails(softattn_softmax_diagnose(f.softmax, NULL, &f.of_rows.outputs), SOFTATTN_ERROR_NULL, "args");
    assert_fails(softattn_softmax_diagnose(f.softmax, &f.rows.args, NULL), SOFTATTN_ERROR_NULL, "diagnosis");
    assert_fails(softattn_softmax_diagnose(f.softmax, &f.rows.args, &none), SOFTATTN_ERROR_NULL, "diagnosis");
    assert_fails(softattn_attention_diagnose(NULL, &f.attention.args, &f.of_attention.outputs),
                 SOFTATTN_ERROR_NULL, "attention");
    assert_fails(softattn_attention_diagnose(f.handle, NULL, &f.of_attention.outputs), SOFTATTN_ERROR_NULL,
                 "args");
    assert_fails(softattn_attention_diagnose(f.handle, &f.attention.args, NULL), SOFTATTN_ERROR_NULL,
                 "diagnosis");
    assert_fails(softattn_attention_diagnose(f.handle, &f.attention.args, &none), SOFTATTN_ERROR_NULL,
                 "diagnosis");
    assert_true(diagnoses_untouched(&f));
    tear_down_diagnosis(&f);
}

static void a_saturation_out_of_range_is_refused(void **state) {
    const double bad[] = {-1e-9, 1.1, (double)NAN};
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    for (int i = 0; i < 3; i++) {
        assert_fails(softattn_softmax_set_saturation(f.softmax, bad[i]), SOFTATTN_ERROR_ARGUMENT,
                     "probability");
        assert_fails(softattn_attention_set_saturation(f.handle, bad[i]), SOFTATTN_ERROR_ARGUMENT,
                     "probability");
    }
    assert_fails(softattn_softmax_set_saturation(NULL, 0.5), SOFTATTN_ERROR_NULL, "softmax");
    assert_fails(softattn_attention_set_saturation(NULL, 0.5), SOFTATTN_ERROR_NULL, "attention");
    tear_down_diagnosis(&f);
}

static void outputs_that_share_memory_are_refused(void **state) {
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    softattn_diagnosis *const rows = &f.of_rows.outputs;
    const softattn_tensor *const entropy = rows->entropy;
    rows->entropy = rows->max_probability;
    assert_fails(diagnose_rows(&f), SOFTATTN_ERROR_OVERLAP, "entropy");
    rows->entropy = entropy;
    softattn_tensor scores = *entropy;
    scores.data = f.rows.x.tensor.data;
    rows->entropy = &scores;
    assert_fails(diagnose_rows(&f), SOFTATTN_ERROR_OVERLAP, "entropy");
    rows->entropy = entropy;
    assert_true(diagnoses_untouched(&f));
    tear_down_diagnosis(&f);
}

/* What run needs and a diagnosis does not is not looked at. */
static void other_operands_are_not_looked_at(void **state) {
    diagnosis_fixture f;
    (void)state;
    set_up_diagnosis(&f);
    const softattn_tensor wrong = {.ndim = 99};
    f.rows.args.y = f.rows.args.lse = f.rows.args.row_max = &wrong;
    f.attention.args.v = f.attention.args.out = f.attention.args.lse = f.attention.args.weights = &wrong;
    f.attention.args.workspace = guard_forbidden();
    f.attention.args.workspace_bytes = 1;
    assert_ok(diagnose_rows(&f));
    assert_ok(diagnose_attention(&f));
    tear_down_diagnosis(&f);
}

static void diagnoses_accept_every_size_of_0(void **state) {
    (void)state;
    for (int32_t empty = 0; empty < 3; empty++) {
        softmax_options options = {
            .type = ARRAY_F64, .rank = 3, .shape = {2, 3, 5}, .axis = 2, .deviation = 1, .scale = 1};
        options.shape[empty] = 0;
        softmax_case problem;
        diagnosis_arrays arrays;
        softmax_case_create(&problem, &options, &contents);
        diagnosis_arrays_create(&arrays, ARRAY_F64, 2, options.shape, GUARD_AFTER);
        softattn_softmax *const softmax = softmax_case_handle(&problem, NULL);
        arrays.summary.rows = 99;
        assert_ok(softattn_softmax_diagnose(softmax, &problem.args, &arrays.outputs));
        assert_true(arrays.summary.rows == 0 && arrays.summary.empty_rows == (empty == 2 ? 6 : 0));
        assert_true(arrays.summary.entropy_mean == 0 && arrays.summary.entropy_max == 0);
        softattn_softmax_destroy(softmax);
        diagnosis_arrays_destroy(&arrays);
        softmax_case_destroy(&problem);
    }
    attention_options options = attention_options_plain(ARRAY_F32, 2, 4, 8);
    options.seq_kv = 0;
    attention_case problem;
    diagnosis_arrays arrays;
    const int64_t shape[] = {1, 2, 4};
    attention_case_create(&problem, &options, &contents);
    diagnosis_arrays_create(&arrays, ARRAY_F32, 3, shape, GUARD_AFTER);
    softattn_attention *const attention = attention_case_handle(&problem, NULL);
    assert_ok(softattn_attention_diagnose(attention, &problem.args, &arrays.outputs));
    assert_true(arrays.summary.empty_rows == 8);
    softattn_attention_destroy(attention);
    diagnosis_arrays_destroy(&arrays);
    attention_case_destroy(&problem);
}

/* ---- Memory and the floating-point environment ----------------------------------------------------------- */

static void failed_allocations_change_nothing_and_leak_nothing(void **state) {
    test_allocator allocator = {0};
    softattn_context *context = NULL;
    softattn_sampler *sampler = NULL;
    diagnosis_fixture d;
    fixture f;
    (void)state;
    assert_ok(softattn_context_create(&context));
    assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
    test_allocator_fail_at(&allocator, 1, false);
    assert_status(softattn_sampler_create(context, &sampler), SOFTATTN_ERROR_MEMORY);
    set_up(&f);
    softattn_sampler_destroy(f.sampler);
    assert_ok(softattn_sampler_create(context, &f.sampler));
    test_allocator_fail_at(&allocator, 1, true);
    assert_status(run_sampler(&f), SOFTATTN_ERROR_MEMORY);
    assert_true(samples_untouched(&f));
    test_allocator_fail_at(&allocator, 0, false);
    assert_ok(run_sampler(&f));
    tear_down(&f);

    set_up_diagnosis(&d);
    softattn_softmax_destroy(d.softmax);
    softattn_attention_destroy(d.handle);
    d.softmax = softmax_case_handle(&d.rows, context);
    d.handle = attention_case_handle(&d.attention, context);
    for (int64_t call = 1; call <= 2; call++) {
        /* the context keeps memory for later calls: a new allocator takes that away */
        assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
        test_allocator_fail_at(&allocator, call, true);
        assert_status(diagnose_rows(&d), SOFTATTN_ERROR_MEMORY);
        assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
        test_allocator_fail_at(&allocator, call, true);
        assert_status(diagnose_attention(&d), SOFTATTN_ERROR_MEMORY);
        assert_true(diagnoses_untouched(&d));
    }
    test_allocator_fail_at(&allocator, 0, false);
    assert_ok(diagnose_rows(&d));
    assert_ok(diagnose_attention(&d));
    tear_down_diagnosis(&d);
    softattn_context_destroy(context);
    assert_true(allocator.live == 0 && !allocator.misused);
}

static void no_exception_stands_for_an_error(void **state) {
    const double temperatures[] = {1, 0.01, 30, 0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        const sampling_options options = {.type = i % 2 ? ARRAY_F64 : ARRAY_F32,
                                          .rows = 4,
                                          .vocabulary = 5000,
                                          .token_type = ARRAY_I64,
                                          .temperature = temperatures[i],
                                          .top_p = 0.9,
                                          .top_k = i == 2 ? 40 : 0};
        sampling_case problem;
        sampling_case_create(&problem, &options, &contents);
        for (int64_t j = 0; j < 100; j++) {
            array_set(&problem.logits, 7 * j, -(double)INFINITY);
        }
        feclearexcept(FE_ALL_EXCEPT);
        assert_ok(sampling_case_run(&problem, NULL));
        assert_true(fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW) == 0);
        sampling_case_destroy(&problem);
    }
    diagnosis_fixture f;
    set_up_diagnosis(&f);
    array_set(&f.rows.x, 2, -(double)INFINITY);
    for (int64_t j = 5; j < 10; j++) {
        array_set(&f.rows.x, j, -(double)INFINITY); /* a row without any score */
    }
    feclearexcept(FE_ALL_EXCEPT);
    assert_ok(diagnose_rows(&f));
    assert_ok(diagnose_attention(&f));
    assert_true(fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW) == 0);
    tear_down_diagnosis(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_tensor_of_the_sampler_is_refused),
        cmocka_unit_test(operands_of_another_float_type_are_refused),
        cmocka_unit_test(numbers_outside_0_to_1_are_refused_by_row),
        cmocka_unit_test(tokens_need_uniform_numbers_and_runs_an_output),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(struct_size_of_the_sampler_is_obeyed),
        cmocka_unit_test(null_samplers_and_structs_are_refused),
        cmocka_unit_test(outputs_may_not_overlap_but_probabilities_may_be_the_logits),
        cmocka_unit_test(argmax_refuses_bad_arguments),
        cmocka_unit_test(argmax_takes_the_first_of_the_largest),
        cmocka_unit_test(rows_without_a_distribution_give_no_token),
        cmocka_unit_test(empty_vocabularies_and_batches_are_accepted),
        cmocka_unit_test(a_vocabulary_beyond_the_masses_is_refused),
        cmocka_unit_test(every_bad_tensor_of_a_diagnosis_is_refused),
        cmocka_unit_test(struct_sizes_of_a_diagnosis_are_obeyed),
        cmocka_unit_test(null_handles_structs_and_outputs_are_refused),
        cmocka_unit_test(a_saturation_out_of_range_is_refused),
        cmocka_unit_test(outputs_that_share_memory_are_refused),
        cmocka_unit_test(other_operands_are_not_looked_at),
        cmocka_unit_test(diagnoses_accept_every_size_of_0),
        cmocka_unit_test(failed_allocations_change_nothing_and_leak_nothing),
        cmocka_unit_test(no_exception_stands_for_an_error),
    };
    random_start(&contents, "test_output_arguments");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
