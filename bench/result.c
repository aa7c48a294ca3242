/*
 * The figures derived from a measurement.
 */
#include "result.h"

double bench_result_flops(const struct bench_result *result) {
    const struct bench_problem *problem = &result->problem;
    switch (problem->operation) {
    case BENCH_ATTENTION: return bench_attention_flops(&problem->attention);
    case BENCH_LINEAR_ATTENTION: return bench_linear_attention_flops(&problem->attention);
    default: return 0;
    }
}

double bench_result_bytes(const struct bench_result *result) {
    const struct bench_problem *problem = &result->problem;
    switch (problem->operation) {
    case BENCH_SOFTMAX: return bench_softmax_bytes(problem->rows, problem->cols, problem->type);
    case BENCH_SOFTMAX_BACKWARD:
        return bench_softmax_backward_bytes(problem->rows, problem->cols, problem->type);
    case BENCH_CROSS_ENTROPY: return bench_cross_entropy_bytes(problem->rows, problem->cols, problem->type);
    case BENCH_SAMPLING:
    case BENCH_DIAGNOSE: return bench_read_bytes(problem->rows, problem->cols, problem->type);
    default: return bench_attention_bytes(&problem->attention, problem->type);
    }
}

struct bench_binding bench_result_binding(const struct bench_result *result) {
    const double arithmetic = bench_result_flops(result) / result->multiply_add.rate;
    const double memory = bench_result_bytes(result) / result->memory.rate;
    const int is_arithmetic = arithmetic > memory;
    struct bench_binding binding = {
        .arithmetic = is_arithmetic,
        .ceiling = is_arithmetic ? "multiply-add" : bench_traffic_name(result->traffic),
        .rate = is_arithmetic ? result->multiply_add.rate : result->memory.rate,
        .share = (is_arithmetic ? arithmetic : memory) / result->timing.median,
    };
    return binding;
}
