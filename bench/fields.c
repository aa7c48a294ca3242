/*
 * A result or a ceiling as named fields.
 */
#include "fields.h"

#include <string.h>

static struct bench_field *add(struct bench_fields *fields, const char *name, enum bench_field_kind kind) {
    struct bench_field *field = &fields->items[fields->count++];
    memset(field, 0, sizeof *field);
    field->name = name;
    field->kind = kind;
    return field;
}

static void add_text(struct bench_fields *fields, const char *name, const char *text) {
    add(fields, name, text != NULL && text[0] != '\0' ? BENCH_FIELD_TEXT : BENCH_FIELD_MISSING)->text = text;
}

static void add_integer(struct bench_fields *fields, int present, const char *name, int64_t value) {
    add(fields, name, present ? BENCH_FIELD_INTEGER : BENCH_FIELD_MISSING)->integer = value;
}

static void add_real(struct bench_fields *fields, int present, const char *name, double value) {
    add(fields, name, present ? BENCH_FIELD_REAL : BENCH_FIELD_MISSING)->real = value;
}

static void add_problem(struct bench_fields *fields, const struct bench_problem *problem) {
    const int shaped = bench_operation_is_attention(problem->operation);
    const int attention = problem->operation == BENCH_ATTENTION;
    const int sampling = problem->operation == BENCH_SAMPLING;
    const int softmax = bench_operation_is_softmax(problem->operation);
    const int has_causal = shaped || problem->operation == BENCH_SOFTMAX;
    const struct bench_attention_shape *shape = &problem->attention;
    const struct bench_attention_extras *extras = &problem->extras;
    add_integer(fields, !shaped, "rows", problem->rows);
    add_integer(fields, !shaped, "cols", problem->cols);
    add_integer(fields, !bench_operation_only_reads(problem->operation), "in_place", problem->in_place);
    add_real(fields, softmax, "scale", problem->scale);
    add_integer(fields, softmax, "log", problem->is_log);
    add_integer(fields, softmax, "side_by_side", problem->side_by_side);
    add_real(fields, sampling, "temperature", problem->sampling.temperature);
    add_integer(fields, sampling, "top_k", problem->sampling.top_k);
    add_real(fields, sampling, "top_p", problem->sampling.top_p);
    add_real(fields, sampling, "min_p", problem->sampling.min_p);
    add_integer(fields, shaped, "batch", shape->batch);
    add_integer(fields, shaped, "heads", shape->heads_q);
    add_integer(fields, shaped, "kv_heads", shape->heads_kv);
    add_integer(fields, shaped, "seq_q", shape->seq_q);
    add_integer(fields, shaped, "seq_kv", shape->seq_kv);
    add_integer(fields, shaped, "dim", shape->dim_qk);
    add_integer(fields, shaped, "dim_v", shape->dim_v);
    add_text(fields, "causal", has_causal ? bench_causal_name(shape->causal) : NULL);
    add_integer(fields, attention, "window_left", shape->window_left);
    add_integer(fields, attention, "window_right", shape->window_right);
    add_text(fields, "keep_mask", attention ? bench_keep_mask_names.items[shape->keep_mask] : NULL);
    add_text(fields, "bias", attention ? bench_bias_names.items[extras->bias] : NULL);
    add_real(fields, attention, "softcap", extras->softcap);
    add_integer(fields, attention, "alibi", extras->alibi);
    add_real(fields, attention, "dropout", extras->dropout);
    add_text(fields, "layout", attention ? bench_layout_names.items[extras->layout] : NULL);
    add_text(fields, "normalizer",
             bench_operation_has_normalizer(problem->operation) ? bench_normalizer_name(problem->normalizer)
                                                                : NULL);
}

static void add_figures(struct bench_fields *fields, const struct bench_result *result) {
    const int measured = !result->failed;
    const int attention = measured && bench_operation_is_attention(result->problem.operation);
    const int matrix = measured && !attention;
    const struct bench_timing *timing = &result->timing;
    const double elements = (double)result->problem.rows * (double)result->problem.cols;
    const double flops = bench_result_flops(result), bytes = bench_result_bytes(result);

    add_real(fields, measured, "seconds", timing->median);
    add_real(fields, measured, "seconds_min", timing->min);
    add_real(fields, measured, "spread", timing->spread);
    add_integer(fields, measured, "samples", timing->samples);
    add_integer(fields, measured, "calls_per_sample", timing->calls_per_sample);
    add_integer(fields, measured, "attempts", result->attempts);
    add_real(fields, measured, "stolen_share", result->noise.stolen_share);
    add_real(fields, measured, "others_share", result->noise.others_share);
    add_real(fields, measured, "unrest", result->unrest);
    add_real(fields, attention, "flops", flops);
    add_real(fields, measured, "bytes", bytes);
    add_real(fields, attention, "gflops", 1e-9 * flops / timing->median);
    add_real(fields, measured, "gigabytes_per_second", 1e-9 * bytes / timing->median);
    add_real(fields, matrix, "nanoseconds_per_element", 1e9 * timing->median / elements);
    add_real(fields, matrix, "peak_flops_per_element", timing->median * result->multiply_add.rate / elements);
}

static void add_ceilings(struct bench_fields *fields, const struct bench_result *result) {
    const int measured = !result->failed;
    struct bench_binding binding = {0};
    if (measured) {
        binding = bench_result_binding(result);
    }
    add_text(fields, "multiply_add_isa", measured ? result->multiply_add_isa : NULL);
    add_real(fields, measured, "multiply_add_gflops", 1e-9 * result->multiply_add.rate);
    add_text(fields, "traffic", measured ? bench_traffic_name(result->traffic) : NULL);
    add_real(fields, measured, "traffic_gigabytes_per_second", 1e-9 * result->memory.rate);
    add_text(fields, "binding", binding.ceiling);
    add_real(fields, measured, "share", binding.share);
}

void bench_result_fields(const struct bench_result *result, struct bench_fields *fields) {
    fields->count = 0;
    add_text(fields, "operation", bench_operation_name(result->problem.operation));
    add_text(fields, "family", result->family);
    add_text(fields, "type", bench_type_name(result->problem.type));
    add_text(fields, "engine", result->engine);
    add_text(fields, "kernel", result->kernel);
    add_text(fields, "isa", result->isa);
    add_integer(fields, 1, "threads", result->threads);
    add_problem(fields, &result->problem);
    add_figures(fields, result);
    add_ceilings(fields, result);
    add_text(fields, "error", result->failed ? result->failure.text : NULL);
}

void bench_ceiling_fields(const struct bench_ceiling_record *record, struct bench_fields *fields) {
    const int traffic = record->level != NULL;
    fields->count = 0;
    add_text(fields, "name", record->name);
    add_text(fields, "isa", record->isa);
    add_text(fields, "type", traffic ? NULL : bench_type_name(record->type));
    add_text(fields, "level", record->level);
    add_real(fields, traffic, "footprint_bytes", record->footprint);
    add_integer(fields, 1, "threads", record->threads);
    add_real(fields, !traffic, "gflops", 1e-9 * record->ceiling.rate);
    add_real(fields, traffic, "gigabytes_per_second", 1e-9 * record->ceiling.rate);
    add_real(fields, 1, "spread", record->ceiling.spread);
}
