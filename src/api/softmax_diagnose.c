/*
 * softattn_softmax_diagnose. Checks in order: handle and structs, each tensor by itself, how the tensors fit together, the
 * options against them, overlap. The first that fails decides the status.
 */
#include <stddef.h>

#include "api/context.h"
#include "api/diagnosis.h"
#include "api/overlap.h"
#include "api/softmax.h"
#include "api/status.h"

/* What a call is, checked: the scores' tensors, then the outputs. */
struct call {
    struct softattn_array arrays[SOFTATTN_SOFTMAX_TENSORS + SOFTATTN_DIAGNOSIS_ARRAYS];
    struct softattn_softmax_problem problem;
    struct softattn_diagnosis_outputs outputs;
};

static int32_t read_call(const softattn_softmax *softmax, const softattn_softmax_args *args,
                         const softattn_diagnosis *diagnosis, struct call *call) {
    softattn_softmax_args known;
    softattn_diagnosis wanted;
    struct softattn_array *outputs = call->arrays + SOFTATTN_SOFTMAX_TENSORS;
    int32_t axis = 0;
    int32_t status = softattn_softmax_read_args(args, &known);
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_read_struct(diagnosis, &wanted);
    }
    if (status == SOFTATTN_OK) {
        known.y = known.lse = known.row_max = NULL;
        status = softattn_softmax_read_tensors(&known, call->arrays);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_read_outputs(&wanted, outputs);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_softmax_fit(softmax, call->arrays, &axis, &call->problem);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_normalizer_require_softmax(&softmax->normalizer, "diagnosis");
    }
    if (status == SOFTATTN_OK) {
        const struct softattn_array *x = &call->arrays[SOFTATTN_SOFTMAX_X];
        status = softattn_diagnosis_fit(&wanted, outputs, x, axis, &call->outputs);
    }
    return status;
}

int32_t softattn_softmax_diagnose(const softattn_softmax *softmax, const softattn_softmax_args *args,
                                  const softattn_diagnosis *diagnosis) {
    struct call call = {.problem = {0}};
    if (softmax == NULL) {
        return softattn_fail_null("softmax");
    }
    const softattn_context *context = softmax->handle.context;
    int32_t status = read_call(softmax, args, diagnosis, &call);
    if (status == SOFTATTN_OK) {
        status = softattn_check_overlap(call.arrays, SOFTATTN_SOFTMAX_TENSORS + SOFTATTN_DIAGNOSIS_ARRAYS);
    }
    if (status == SOFTATTN_OK) {
        status = softattn_diagnosis_acquire(&call.outputs, context, &call.problem.diagnoses);
    }
    if (status != SOFTATTN_OK) {
        return status;
    }
    status = softattn_softmax_solve(&call.problem, context);
    if (status == SOFTATTN_OK) {
        softattn_diagnosis_write(&call.outputs, softmax->saturation, call.problem.diagnoses);
    }
    softattn_diagnosis_release(context, call.problem.diagnoses);
    return status;
}
