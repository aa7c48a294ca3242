/*
 * Diagnoses of softmax rows and of attention are those of the formulas, within what rounding explains: every instruction
 * set, both types, all masks, near-one-hot rows, empty rows, NaN and infinities; and summaries are those of the rows.
 */
#include "attention_case.h"
#include "contexts.h"
#include "diagnosis_case.h"
#include "expect.h"
#include "softmax_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t rounds(void) {
    const char *text = getenv("SOFTATTN_TEST_ROUNDS");
    return text ? strtoll(text, NULL, 10) : 400;
}

static oracle_precision precision_of(array_type type) { return type == ARRAY_F32 ? oracle_f32 : oracle_f64; }

/* ---- Softmax rows ---- */

/* A row of a softmax problem: where its elements are, row-major, and which are visible to causal masks and lengths. */
typedef struct scored_rows {
    double *x, *bias, *keep, *lengths;
    int64_t shape[SOFTATTN_MAX_RANK], rows, cols, inner;
} scored_rows;

static scored_rows read_rows(const softmax_case *problem) {
    const softmax_options *const options = &problem->options;
    scored_rows rows = {.cols = options->shape[options->axis], .inner = 1, .rows = 1};
    int64_t row_shape[SOFTATTN_MAX_RANK];
    for (int32_t i = 0, r = 0; i < options->rank; i++) {
        rows.shape[i] = options->shape[i];
        rows.inner *= i > options->axis ? options->shape[i] : 1;
        rows.rows *= i == options->axis ? 1 : options->shape[i];
        if (i != options->axis) {
            row_shape[r++] = options->shape[i];
        }
    }
    rows.x = array_read(&problem->x, options->rank, options->shape);
    rows.bias = options->bias.given ? array_read(&problem->bias, options->rank, options->shape) : NULL;
    rows.keep = options->keep.given ? array_read(&problem->keep, options->rank, options->shape) : NULL;
    rows.lengths =
        options->lengths.given ? array_read(&problem->lengths, options->rank - 1, row_shape) : NULL;
    return rows;
}

static void free_rows(scored_rows *rows) {
    free(rows->x);
    free(rows->bias);
    free(rows->keep);
    free(rows->lengths);
}

static int64_t causal_limit(const softmax_options *options, const scored_rows *rows, int64_t row) {
    const int64_t queries = options->rank > 1 ? options->shape[options->rank - 2] : 1, query = row % queries;
    switch (options->causal) {
    case SOFTATTN_CAUSAL_TOP_LEFT: return query + 1;
    case SOFTATTN_CAUSAL_BOTTOM_RIGHT: return query + 1 + rows->cols - queries;
    case SOFTATTN_CAUSAL_OFFSET: return query + 1 + options->offset;
    default: return rows->cols;
    }
}

/* The row's scores, and how far rounding scale * x + bias may have moved each. */
static void score_row(const softmax_case *problem, const scored_rows *rows, int64_t row, oracle_real *scores,
                      oracle_real *errors) {
    const softmax_options *const options = &problem->options;
    const oracle_real u = precision_of(options->type).unit_roundoff;
    const oracle_real scale =
        options->type == ARRAY_F32 ? (oracle_real)(float)options->scale : options->scale;
    const int64_t limit = causal_limit(options, rows, row);
    for (int64_t j = 0; j < rows->cols; j++) {
        const int64_t at = (row / rows->inner * rows->cols + j) * rows->inner + row % rows->inner;
        const oracle_real scaled = scale * rows->x[at];
        scores[j] = scaled + (rows->bias ? rows->bias[at] : 0);
        errors[j] = 2 * u * (fabsl(scaled) + fabsl(scores[j]));
        const bool masked = (rows->keep && rows->keep[at] == 0) || j >= limit ||
                            (rows->bias && rows->bias[at] == -(double)INFINITY) ||
                            (rows->lengths && j >= (int64_t)rows->lengths[row]);
        scores[j] = masked ? -(oracle_real)INFINITY : scores[j];
        errors[j] = isfinite(scores[j]) ? errors[j] : 0;
    }
}

static void sprinkle(test_array *x, random_source *random) {
    const double specials[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, -(double)INFINITY};
    for (int64_t i = 0; i < array_count(x); i++) {
        if (random_below(random, 300) == 0) {
            array_set(x, i, specials[random_below(random, 4)]);
        }
    }
}

static void check_softmax(const softattn_context *context, random_source *random, bool specials) {
    softmax_options options = softmax_options_random(random, 3000);
    const double deviations[] = {1, 1, 8, 30, 1e-3};
    options.deviation = deviations[random_below(random, 5)];
    softmax_case problem;
    softmax_case_create(&problem, &options, random);
    if (specials) {
        sprinkle(&problem.x, random);
    }
    scored_rows rows = read_rows(&problem);
    int64_t shape[SOFTATTN_MAX_RANK], empty_rows = 0;
    for (int32_t i = 0, r = 0; i < options.rank; i++) {
        if (i != options.axis) {
            shape[r++] = options.shape[i];
        }
    }
    diagnosis_arrays arrays;
    diagnosis_arrays_create(&arrays, options.type, options.rank - 1, shape, options.side);
    const double saturation = random_uniform(random, 0, 1);
    softattn_softmax *const softmax = softmax_case_handle(&problem, context);
    int32_t status = softattn_softmax_set_saturation(softmax, saturation);
    status =
        status == SOFTATTN_OK ? softattn_softmax_diagnose(softmax, &problem.args, &arrays.outputs) : status;
    EXPECT(status == SOFTATTN_OK, "%s: %s", softmax_case_text(&problem), last_error());
    oracle_real *const scores = calloc((size_t)rows.cols + 1, sizeof *scores);
    oracle_real *const errors = calloc((size_t)rows.cols + 1, sizeof *errors);
    for (int64_t row = 0; row < rows.rows && status == SOFTATTN_OK; row++) {
        score_row(&problem, &rows, row, scores, errors);
        const diagnosis_expected expected = diagnosis_of_scores(
            scores, errors, rows.cols, -(oracle_real)INFINITY, 0, precision_of(options.type));
        empty_rows += expected.empty;
        EXPECT(diagnosis_differences(&arrays, row, &expected, saturation, softmax_case_text(&problem)) == 0,
               "%s", softmax_case_text(&problem));
    }
    EXPECT(diagnosis_summary_differences(&arrays, rows.rows, empty_rows, softmax_case_text(&problem)) == 0,
           "%s", softmax_case_text(&problem));
    free(scores);
    free(errors);
    free_rows(&rows);
    softattn_softmax_destroy(softmax);
    diagnosis_arrays_destroy(&arrays);
    softmax_case_destroy(&problem);
}

/* One score far above the others: what is left of entropy and norm keeps its relative accuracy. */
static void saturated_rows_keep_relative_accuracy(const softattn_context *context) {
    enum { COLS = 37 };
    for (int32_t variant = 0; variant < 2 * 43; variant++) {
        const bool is_f64 = variant % 2;
        /* up to where the other weights are below the smallest normal number */
        const double gap = is_f64 ? 16 * (variant / 2) + 1 : 2 * (variant / 2) + 1;
        const int64_t shape[] = {COLS};
        test_array x, entropy, norm;
        array_create(&x, is_f64 ? ARRAY_F64 : ARRAY_F32, 1, shape, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&entropy, x.type, 0, NULL, ARRAY_COMPACT, GUARD_AFTER);
        array_create(&norm, x.type, 0, NULL, ARRAY_COMPACT, GUARD_AFTER);
        softattn_softmax *softmax = NULL;
        oracle_real exact[COLS], errors[COLS] = {0};
        for (int32_t j = 0; j < COLS; j++) {
            array_set(&x, j, j == 5 ? 100 : 100 - gap - (j % 4) / 4.0);
            exact[j] = (oracle_real)array_get(&x, j);
        }
        const softattn_softmax_args args = {.struct_size = sizeof args, .x = &x.tensor};
        const softattn_diagnosis outputs = {
            .struct_size = sizeof outputs, .entropy = &entropy.tensor, .jacobian_norm = &norm.tensor};
        EXPECT(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "create");
        EXPECT(softattn_softmax_diagnose(softmax, &args, &outputs) == SOFTATTN_OK, "%s", last_error());
        const diagnosis_expected expected = diagnosis_of_scores(exact, errors, COLS, -(oracle_real)INFINITY,
                                                                0, is_f64 ? oracle_f64 : oracle_f32);
        const oracle_real tolerance = is_f64 ? 1e-11L : 1e-4L;
        EXPECT(fabsl((oracle_real)array_get(&entropy, 0) / expected.value[DIAGNOSIS_ENTROPY] - 1) < tolerance,
               "f%d, gap %g: %g", is_f64 ? 64 : 32, gap, array_get(&entropy, 0));
        EXPECT(fabsl((oracle_real)array_get(&norm, 0) / expected.value[DIAGNOSIS_JACOBIAN_NORM] - 1) <
                   tolerance,
               "f%d, gap %g: %g", is_f64 ? 64 : 32, gap, array_get(&norm, 0));
        softattn_softmax_destroy(softmax);
        array_destroy(&x);
        array_destroy(&entropy);
        array_destroy(&norm);
    }
}

/* ---- Attention ---- */

/*
 * The oracle's weights and lse give back its scores: s = ln(p) + lse. Their bounds are those of the weights where these are
 * not lost in flushing, which score and score alike.
 */
static diagnosis_expected expected_of_query(const attention_case *problem,
                                            const oracle_attention_results *results, int64_t row, double sink,
                                            oracle_real *scores, oracle_real *errors) {
    const attention_options *const options = &problem->options;
    const oracle_precision precision = precision_of(options->type);
    const oracle_real lse = results->lse.value[row], lse_error = results->lse.bound[row];
    oracle_real error = 0, largest = 1;
    for (int64_t j = 0; j < options->seq_kv; j++) {
        const int64_t at = row * options->seq_kv + j;
        const oracle_real weight = results->weights.value[at];
        scores[j] = weight == 0 ? -(oracle_real)INFINITY : logl(weight) + lse;
        if (weight > 1e-20L) {
            error = fmaxl(error, results->weights.bound[at] / weight + lse_error);
            largest = fmaxl(largest, fabsl(scores[j]));
        }
    }
    for (int64_t j = 0; j < options->seq_kv; j++) {
        errors[j] = isfinite(scores[j]) ? 2 * error * fmaxl(1, fabsl(scores[j]) / largest) : 0;
    }
    return diagnosis_of_scores(scores, errors, options->seq_kv, sink, error, precision);
}

static bool has_weights(const oracle_attention_results *results, int64_t row, int64_t keys) {
    bool some = false;
    for (int64_t j = 0; j < keys; j++) {
        some = some || results->weights.value[row * keys + j] != 0;
    }
    return some;
}

static void check_attention(const softattn_context *context, random_source *random) {
    attention_options options = attention_options_random(random);
    attention_options_add_masks(&options, random);
    options.sequences = 0; /* rows between packed sequences belong to none: see the test of those */
    options.engine = SOFTATTN_ENGINE_AUTO;
    options.wants_weights = true; /* the oracle's scores come from them */
    options.dropout = 0;
    attention_case problem;
    attention_case_create(&problem, &options, random);
    const int64_t shape[] = {options.batch, options.heads_q, options.seq_q};
    const int64_t rows = shape[0] * shape[1] * shape[2];
    diagnosis_arrays arrays;
    diagnosis_arrays_create(&arrays, options.type, 3, shape, options.side);
    softattn_attention *const attention = attention_case_handle(&problem, context);
    const int32_t status = softattn_attention_diagnose(attention, &problem.args, &arrays.outputs);
    EXPECT(status == SOFTATTN_OK, "%s: %s", attention_case_text(&problem), last_error());
    oracle_attention_results results = attention_case_expected(&problem);
    oracle_real *const scores = calloc((size_t)options.seq_kv + 1, sizeof *scores);
    oracle_real *const errors = calloc((size_t)options.seq_kv + 1, sizeof *errors);
    int64_t empty_rows = 0;
    for (int64_t row = 0; row < rows && status == SOFTATTN_OK; row++) {
        const int64_t head = row / options.seq_q % options.heads_q;
        const double sink = options.has_sink ? array_get(&problem.sink, head) : -(double)INFINITY;
        diagnosis_expected expected = expected_of_query(&problem, &results, row, sink, scores, errors);
        expected.empty = !has_weights(&results, row, options.seq_kv);
        empty_rows += expected.empty;
        EXPECT(diagnosis_differences(&arrays, row, &expected, 0.99, attention_case_text(&problem)) == 0, "%s",
               attention_case_text(&problem));
    }
    EXPECT(diagnosis_summary_differences(&arrays, rows, empty_rows, attention_case_text(&problem)) == 0, "%s",
           attention_case_text(&problem));
    EXPECT(array_untouched(&problem.out) && array_untouched(&problem.lse),
           "%s: attention's outputs were written", attention_case_text(&problem));
    free(scores);
    free(errors);
    oracle_attention_results_destroy(&results);
    softattn_attention_destroy(attention);
    diagnosis_arrays_destroy(&arrays);
    attention_case_destroy(&problem);
}

/* Packed sequences give the rows of each by itself, and leave those between them alone. */
static void packed_sequences_are_diagnosed_by_themselves(const softattn_context *context,
                                                         random_source *random) {
    enum { SEQ = 40, DIM = 8 };
    attention_options options = attention_options_plain(ARRAY_F64, 2, SEQ, DIM);
    attention_case problem;
    attention_case_create(&problem, &options, random);
    int32_t starts[] = {3, 13, 30};
    int64_t offsets_shape[] = {3}, shape[] = {1, 2, SEQ};
    softattn_tensor offsets = {.data = starts,
                               .device = {SOFTATTN_DEVICE_CPU, 0},
                               .ndim = 1,
                               .dtype = {0, 32, 1},
                               .shape = offsets_shape};
    problem.args.query_offsets = problem.args.key_offsets = &offsets;
    diagnosis_arrays packed;
    diagnosis_arrays_create(&packed, ARRAY_F64, 3, shape, GUARD_AFTER);
    softattn_attention *const attention = attention_case_handle(&problem, context);
    EXPECT(softattn_attention_diagnose(attention, &problem.args, &packed.outputs) == SOFTATTN_OK, "%s",
           last_error());
    EXPECT(packed.summary.rows == 2 * (30 - 3), "%" PRId64 " rows", packed.summary.rows);
    for (int64_t row = 0; row < 2 * SEQ; row++) {
        const int64_t query = row % SEQ;
        const double keys = query < 13 ? 10 : 17,
                     effective = array_get(&packed.numbers[DIAGNOSIS_EFFECTIVE_KEYS], row);
        if (query >= 3 && query < 30) {
            EXPECT(effective > 1 && effective <= keys + 1e-9, "row %" PRId64 ": %g effective keys", row,
                   effective);
        } else {
            EXPECT(isnan(effective), "row %" PRId64 " is outside the sequences, and was written", row);
        }
    }
    softattn_attention_destroy(attention);
    diagnosis_arrays_destroy(&packed);
    attention_case_destroy(&problem);
}

int main(void) {
    random_source random;
    random_start(&random, "test_diagnosis_values");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        for (int64_t round = 0; round < rounds() / 4; round++) {
            check_softmax(context, &random, round % 4 == 0);
            check_attention(context, &random);
        }
        saturated_rows_keep_relative_accuracy(context);
        packed_sequences_are_diagnosed_by_themselves(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
