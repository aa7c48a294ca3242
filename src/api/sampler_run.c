/*
 * softattn_sampler_run and softattn_argmax_*: from the caller's arrays to a checked problem for the sampling engine.
 *
 * Checks in order: handle and struct, each tensor by itself in the struct's order, how the tensors fit together, the
 * options against them, overlap, the values of uniform. The first that fails decides the status.
 */
#include <float.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "api/arguments.h"
#include "api/axis.h"
#include "api/context.h"
#include "api/matrix.h"
#include "api/overlap.h"
#include "api/sampler.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/reals.h"
#include "engine/sampling.h"
#include "engine/token_select.h"

enum { TENSOR_LOGITS, TENSOR_UNIFORM, TENSOR_TOKENS, TENSOR_PROBABILITIES, TENSOR_KEEP_MASK, TENSORS };

static const struct {
    struct softattn_tensor_rule rule;
    bool has_axis;   /* the logits' shape; else one element per row */
    size_t argument; /* where softattn_sampler_args has its tensor */
    size_t operand;  /* where struct softattn_sampling_problem has its struct softattn_row_operand */
} operands[TENSORS] = {
#define OPERAND(element, required, is_output, has_axis, argument, field)                                     \
    {                                                                                                        \
        {#argument, SOFTATTN_ELEMENT_##element, required, is_output}, has_axis,                              \
            offsetof(softattn_sampler_args, argument), offsetof(struct softattn_sampling_problem, field)     \
    }
    [TENSOR_LOGITS] = OPERAND(REAL, true, false, true, logits, logits),
    [TENSOR_UNIFORM] = OPERAND(REAL, false, false, false, uniform, uniform),
    [TENSOR_TOKENS] = OPERAND(INTEGER, false, true, false, tokens, tokens),
    [TENSOR_PROBABILITIES] = OPERAND(REAL, false, true, true, probabilities, probabilities),
    [TENSOR_KEEP_MASK] = OPERAND(BYTE, false, true, true, keep_mask, keep),
#undef OPERAND
};

static bool is_given(const struct softattn_array *arrays, int32_t which) {
    return arrays[which].name != NULL;
}

static int32_t read_tensors(const softattn_sampler_args *args, double temperature,
                            struct softattn_array *arrays) {
    for (int32_t i = 0; i < TENSORS; i++) {
        const int32_t status =
            softattn_tensor_read(args, operands[i].argument, &operands[i].rule, true, &arrays[i]);
        if (status != SOFTATTN_OK) {
            return status;
        }
    }
    if (!is_given(arrays, TENSOR_TOKENS) && !is_given(arrays, TENSOR_PROBABILITIES) &&
        !is_given(arrays, TENSOR_KEEP_MASK)) {
        return softattn_fail(SOFTATTN_ERROR_NULL,
                             "tokens: is NULL, and so are probabilities and keep_mask: no output is wanted");
    }
    if (is_given(arrays, TENSOR_TOKENS) && temperature > 0 && !is_given(arrays, TENSOR_UNIFORM)) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "uniform: is NULL, but tokens are wanted at temperature %g",
                             temperature);
    }
    return SOFTATTN_OK;
}

/* ---- Fitting ---- */

static int32_t fit_tensors(const struct softattn_array *arrays, struct softattn_sampling_problem *problem) {
    const struct softattn_array *logits = &arrays[TENSOR_LOGITS];
    int32_t axis = 0;
    int32_t status = softattn_find_axis(-1, logits, &axis);
    for (int32_t i = 0; i < TENSORS && status == SOFTATTN_OK; i++) {
        struct softattn_row_operand *operand = (void *)((char *)problem + operands[i].operand);
        if (!is_given(arrays, i)) {
            continue;
        }
        if (operands[i].rule.element == SOFTATTN_ELEMENT_REAL) {
            status = softattn_require_same_real(&arrays[i], logits);
        }
        if (status == SOFTATTN_OK) {
            status = operands[i].has_axis ? softattn_fit_rows(&arrays[i], logits, axis, operand)
                                          : softattn_fit_row_values(&arrays[i], logits, axis, operand);
        }
    }
    if (status == SOFTATTN_OK) {
        problem->rows = softattn_rows_of(logits, axis);
    }
    return status;
}

/* ---- Options against tensors ---- */

/* log2(e) / temperature must be a number that scales the largest differences beyond all exponents. */
static int32_t check_temperature(double temperature, int32_t real_bytes) {
    const double largest = real_bytes == 4 ? (double)FLT_MAX : DBL_MAX;
    if (temperature > 0 && (temperature < 4 / largest || temperature > largest / 4096)) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "temperature: %g is out of the range of %s",
                             temperature, real_bytes == 4 ? "float32" : "float64");
    }
    return SOFTATTN_OK;
}

static int32_t check_vocabulary(const struct softattn_sampling_problem *problem) {
    const int64_t cols = problem->rows.cols;
    if (problem->temperature > 0 && cols > SOFTATTN_MAX_TOKENS) {
        return softattn_fail(SOFTATTN_ERROR_SHAPE, "logits: %" PRId64 " tokens are more than 2^26", cols);
    }
    if (problem->tokens.data != NULL && problem->token_bytes == 4 && cols > INT32_MAX) {
        return softattn_fail(SOFTATTN_ERROR_TYPE, "tokens: int32 does not hold the %" PRId64 " tokens", cols);
    }
    return SOFTATTN_OK;
}

static int32_t set_options(const softattn_sampler *sampler, const struct softattn_array *arrays,
                           struct softattn_sampling_problem *problem) {
    const int32_t real_bytes = arrays[TENSOR_LOGITS].element_bytes;
    problem->kernels = softattn_context_kernels(sampler->handle.context, real_bytes);
    problem->token_bytes = arrays[TENSOR_TOKENS].element_bytes;
    problem->temperature = sampler->temperature;
    problem->top_k = sampler->top_k;
    problem->top_p = sampler->top_p;
    problem->min_p = sampler->min_p;
    const int32_t status = check_temperature(sampler->temperature, real_bytes);
    return status == SOFTATTN_OK ? check_vocabulary(problem) : status;
}

/* The probabilities may be written over the logits; then what holds for the one holds for the other. */
static int32_t check_overlap(struct softattn_array *arrays) {
    if (is_given(arrays, TENSOR_PROBABILITIES) &&
        softattn_array_same(&arrays[TENSOR_LOGITS], &arrays[TENSOR_PROBABILITIES])) {
        arrays[TENSOR_LOGITS].name = NULL;
    }
    return softattn_check_overlap(arrays, TENSORS);
}

static int32_t check_uniform(const struct softattn_sampling_problem *problem) {
    const bool used =
        problem->uniform.data != NULL && problem->tokens.data != NULL && problem->temperature > 0;
    const int64_t rows = used ? softattn_rows_count(&problem->rows) : 0;
    const int64_t bytes = problem->kernels->real_bytes;
    struct softattn_row_place place = {{0}};
    for (int64_t row = 0; row < rows; row++, softattn_row_step(&problem->rows, &place)) {
        const double value =
            softattn_get_real(softattn_row_at(&problem->rows, &problem->uniform, &place, bytes), 0, bytes);
        if (!(value >= 0 && value < 1)) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                                 "uniform: row %" PRId64 " has %g, which is not at least 0 and below 1", row,
                                 value);
        }
    }
    return SOFTATTN_OK;
}

/* ---- Running ---- */

static int32_t solve(const struct softattn_sampling_problem *problem, const softattn_context *context) {
    const struct softattn_runtime runtime = softattn_context_runtime(context);
    if (!softattn_sampling_execute(problem, &runtime)) {
        return softattn_fail_scratch();
    }
    return SOFTATTN_OK;
}

int32_t softattn_sampler_run(const softattn_sampler *sampler, const softattn_sampler_args *args) {
    const uint64_t first_bytes = offsetof(softattn_sampler_args, keep_mask) + sizeof args->keep_mask;
    softattn_sampler_args known;
    struct softattn_array arrays[TENSORS] = {{.name = NULL}};
    struct softattn_sampling_problem problem = {0};

    if (sampler == NULL) {
        return softattn_fail_null("sampler");
    }
    int32_t status = softattn_arguments_read("args", args, first_bytes, sizeof known, &known);
    if (status == SOFTATTN_OK) {
        status = read_tensors(&known, sampler->temperature, arrays);
    }
    if (status == SOFTATTN_OK) {
        status = fit_tensors(arrays, &problem);
    }
    if (status == SOFTATTN_OK) {
        status = set_options(sampler, arrays, &problem);
    }
    if (status == SOFTATTN_OK) {
        status = check_overlap(arrays);
    }
    if (status == SOFTATTN_OK) {
        status = check_uniform(&problem);
    }
    return status == SOFTATTN_OK ? solve(&problem, sampler->handle.context) : status;
}

static int32_t run_argmax(const softattn_context *context, int32_t real_bytes, int64_t rows, int64_t cols,
                          void *x, int64_t x_stride, int64_t *tokens) {
    struct softattn_array arrays[2];
    int32_t status = softattn_check_matrix_sizes("rows", rows, "cols", cols);
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("x", x, real_bytes, false, rows, cols, x_stride, &arrays[0]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_matrix("tokens", tokens, (int32_t)sizeof *tokens, true, rows, 1, 1, &arrays[1]);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_check_overlap(arrays, 2);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    const struct softattn_sampling_problem problem = {
        .kernels = softattn_context_kernels(context, real_bytes),
        .rows = {.rank = 1, .shape = {rows}, .cols = cols},
        .logits = {.data = arrays[0].data, .stride = {arrays[0].stride[0]}, .axis_stride = 1},
        .tokens = {.data = arrays[1].data, .stride = {1}, .axis_stride = 1},
        .token_bytes = (int32_t)sizeof *tokens};
    return solve(&problem, context);
}

int32_t softattn_argmax_f32(const softattn_context *context, int64_t rows, int64_t cols, const float *x,
                            int64_t x_stride, int64_t *tokens) {
    return run_argmax(context, (int32_t)sizeof *x, rows, cols, (void *)x, x_stride, tokens);
}

int32_t softattn_argmax_f64(const softattn_context *context, int64_t rows, int64_t cols, const double *x,
                            int64_t x_stride, int64_t *tokens) {
    return run_argmax(context, (int32_t)sizeof *x, rows, cols, (void *)x, x_stride, tokens);
}
