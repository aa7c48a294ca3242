/*
 * Which engines solve which problems.
 */
#include "engines.h"

#include <softattn/softattn.h>

#include <stdio.h>

enum {
    FLOATS = 1 << BENCH_F32 | 1 << BENCH_F64,
    HALVES = 1 << BENCH_F16 | 1 << BENCH_BF16,
    LIBRARY = 1 << BENCH_ENGINE_AUTO,
    TEXTBOOK = 1 << BENCH_ENGINE_TEXTBOOK,
    ATTENTION = LIBRARY | 1 << BENCH_ENGINE_FUSED | 1 << BENCH_ENGINE_BLAS | TEXTBOOK
};

/* A bit for each. */
static const struct {
    unsigned engines, types;
} offers[] = {
    [BENCH_SOFTMAX] = {LIBRARY | TEXTBOOK, FLOATS | HALVES},
    [BENCH_SOFTMAX_BACKWARD] = {LIBRARY, FLOATS | HALVES},
    [BENCH_CROSS_ENTROPY] = {LIBRARY, FLOATS | HALVES},
    [BENCH_SAMPLING] = {LIBRARY, FLOATS},
    [BENCH_DIAGNOSE] = {LIBRARY, FLOATS},
    [BENCH_ATTENTION] = {ATTENTION, FLOATS},
    [BENCH_LINEAR_ATTENTION] = {LIBRARY, FLOATS},
};

/* Whether value is among some; else refusal says that `who` has no such `what`, and which ones it has. */
static int has(const char *who, const char *what, const struct bench_names *names, unsigned some, int value,
               char refusal[BENCH_REFUSAL_SIZE]) {
    char list[64];
    if ((some >> value & 1) != 0) {
        return 1;
    }
    bench_names_list(names, some, "and", list, sizeof list);
    snprintf(refusal, BENCH_REFUSAL_SIZE, "%s has no %s %s; it has %s", who, what, names->items[value], list);
    return 0;
}

/* The option that makes a problem more than the textbook knows; NULL where there is none. */
static const char *beyond_the_textbook(const struct bench_problem *problem) {
    if (problem->normalizer != SOFTATTN_NORMALIZER_SOFTMAX) {
        return "normalizer";
    }
    if (problem->scale != 1) {
        return "scale";
    }
    if (problem->is_log) {
        return "log";
    }
    if (problem->side_by_side) {
        return "side-by-side";
    }
    if (problem->operation == BENCH_SOFTMAX && problem->attention.causal != SOFTATTN_CAUSAL_NONE) {
        return "causal";
    }
    if (problem->attention.keep_mask != BENCH_KEEP_MASK_NONE) {
        return "keep-mask";
    }
    if (problem->extras.bias != BENCH_BIAS_NONE) {
        return "bias";
    }
    if (problem->extras.softcap > 0) {
        return "softcap";
    }
    if (problem->extras.alibi) {
        return "alibi";
    }
    if (problem->extras.dropout > 0) {
        return "dropout";
    }
    if (problem->extras.layout != BENCH_LAYOUT_BHSD) {
        return "layout";
    }
    return NULL;
}

static int textbook_solves(const struct bench_problem *problem, char refusal[BENCH_REFUSAL_SIZE]) {
    const char *option = beyond_the_textbook(problem);
    if (option == NULL) {
        return has("the textbook", "type", &bench_type_names, FLOATS, (int)problem->type, refusal);
    }
    snprintf(refusal, BENCH_REFUSAL_SIZE, "the textbook is for plain problems; it has no --%s", option);
    return 0;
}

int bench_engine_solves(enum bench_engine engine, const struct bench_problem *problem,
                        char refusal[BENCH_REFUSAL_SIZE]) {
    const char *operation = bench_operation_name(problem->operation);
    return has(operation, "type", &bench_type_names, offers[problem->operation].types, (int)problem->type,
               refusal) &&
           has(operation, "engine", &bench_engine_names, offers[problem->operation].engines, (int)engine,
               refusal) &&
           (engine != BENCH_ENGINE_TEXTBOOK || textbook_solves(problem, refusal));
}
