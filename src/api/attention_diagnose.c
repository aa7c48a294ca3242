/*
 * softattn_attention_diagnose. Checks in order: handle and structs, each tensor by itself, how the tensors fit together, the
 * options against them, the lists' contents, overlap. The first that fails decides the status.
 */
#include <stddef.h>
#include <string.h>

#include "api/attention.h"
#include "api/attention_call.h"
#include "api/attention_solve.h"
#include "api/context.h"
#include "api/diagnosis.h"
#include "api/overlap.h"
#include "api/status.h"

/* A checked call. */
struct diagnosis {
    struct softattn_attention_call call;
    struct softattn_array arrays[SOFTATTN_DIAGNOSIS_ARRAYS];
    struct softattn_diagnosis_outputs outputs;
};

static int32_t read_call(const softattn_attention *attention, const softattn_attention_args *args,
                         const softattn_diagnosis *wanted, struct diagnosis *diagnosis) {
    const struct softattn_array *q = &diagnosis->call.arrays[SOFTATTN_OPERAND_Q];
    softattn_diagnosis known;
    int32_t status = softattn_attention_read_args(args, &diagnosis->call);
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_read_struct(wanted, &known);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_read_score_operands(&diagnosis->call.args, diagnosis->call.arrays);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_read_outputs(&known, diagnosis->arrays);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_attention_fit_call(attention, true, &diagnosis->call);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_normalizer_require_softmax(&attention->normalizer, "diagnosis");
    }
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_fit(&known, diagnosis->arrays, q, q->rank - 1, &diagnosis->outputs);
    }
    return status;
}

static int32_t check_overlap(const struct diagnosis *diagnosis) {
    struct softattn_array all[SOFTATTN_OPERANDS + SOFTATTN_DIAGNOSIS_ARRAYS];
    memcpy(all, diagnosis->call.arrays, sizeof diagnosis->call.arrays);
    memcpy(all + SOFTATTN_OPERANDS, diagnosis->arrays, sizeof diagnosis->arrays);
    return softattn_check_overlap(all, SOFTATTN_OPERANDS + SOFTATTN_DIAGNOSIS_ARRAYS);
}

int32_t softattn_attention_diagnose(const softattn_attention *attention, const softattn_attention_args *args,
                                    const softattn_diagnosis *wanted) {
    struct diagnosis diagnosis;
    if (attention == NULL) {
        return softattn_fail_null("attention");
    }
    const softattn_context *context = attention->handle.context;
    struct softattn_attention_problem *problem = &diagnosis.call.problem;
    int32_t status = read_call(attention, args, wanted, &diagnosis);
    if (status == SOFTATTN_OK) {
        status = check_overlap(&diagnosis);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_acquire(&diagnosis.outputs, context, &problem->diagnoses);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    if (softattn_rows_count(&diagnosis.outputs.rows) > 0 && problem->batch > 0) {
        status = softattn_attention_solve(problem, SOFTATTN_ENGINE_BLAS, context, NULL, 0);
    }
    if (status == SOFTATTN_OK) {
        softattn_diagnosis_write(&diagnosis.outputs, attention->saturation, problem->diagnoses);
    }
    softattn_diagnosis_release(context, problem->diagnoses);
    return status;
}
