/* The one-call attention functions: a run of a handle that lives for the call, on tensors that describe the
 * arrays. */
#include <inttypes.h>
#include <stddef.h>

#include "api/attention.h"
#include "api/linear_attention.h"
#include "api/status.h"

/* The arguments of all these functions. */
struct flat_call {
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    const void *q, *k, *v;
    void *out;
    int32_t causal;
};

static int32_t check_numbers(const struct flat_call *call) {
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"batch", call->batch}, {"heads_q", call->heads_q}, {"heads_kv", call->heads_kv},
                 {"seq_q", call->seq_q}, {"seq_kv", call->seq_kv},   {"dim_qk", call->dim_qk},
                 {"dim_v", call->dim_v}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i].value < 0) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: is %" PRId64, sizes[i].name, sizes[i].value);
        }
    }
    if (call->causal < SOFTATTN_CAUSAL_NONE || call->causal > SOFTATTN_CAUSAL_BOTTOM_RIGHT) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "causal: %d is outside %d ... %d", (int)call->causal,
                             SOFTATTN_CAUSAL_NONE, SOFTATTN_CAUSAL_BOTTOM_RIGHT);
    }
    return SOFTATTN_OK;
}

/* A compact array of rank 4. */
static softattn_tensor tensor_of(const void *data, int64_t *shape, uint8_t bits) {
    return (softattn_tensor){.data = (void *)data,
                             .device = {SOFTATTN_DEVICE_CPU, 0},
                             .ndim = 4,
                             .dtype = {SOFTATTN_TYPE_FLOAT, bits, 1},
                             .shape = shape};
}

/* The four arrays as tensors; points into itself. */
struct flat_tensors {
    int64_t q_shape[4], k_shape[4], v_shape[4], out_shape[4];
    softattn_tensor q, k, v, out;
};

/* Checks the numbers and fills tensors. */
static int32_t describe(const struct flat_call *call, uint8_t bits, struct flat_tensors *tensors) {
    *tensors = (struct flat_tensors){.q_shape = {call->batch, call->heads_q, call->seq_q, call->dim_qk},
                                     .k_shape = {call->batch, call->heads_kv, call->seq_kv, call->dim_qk},
                                     .v_shape = {call->batch, call->heads_kv, call->seq_kv, call->dim_v},
                                     .out_shape = {call->batch, call->heads_q, call->seq_q, call->dim_v}};
    tensors->q = tensor_of(call->q, tensors->q_shape, bits);
    tensors->k = tensor_of(call->k, tensors->k_shape, bits);
    tensors->v = tensor_of(call->v, tensors->v_shape, bits);
    tensors->out = tensor_of(call->out, tensors->out_shape, bits);
    return check_numbers(call);
}

static int32_t run(const softattn_context *context, const struct flat_call *call, uint8_t bits) {
    struct flat_tensors t;
    softattn_attention attention = {.handle.context = context};
    const softattn_attention_args args = {
        .struct_size = sizeof args, .q = &t.q, .k = &t.k, .v = &t.v, .out = &t.out};
    softattn_attention_reset(&attention);
    attention.causal = call->causal;
    const int32_t status = describe(call, bits, &t);
    return status == SOFTATTN_OK ? softattn_attention_run(&attention, &args) : status;
}

static int32_t run_linear(const softattn_context *context, const struct flat_call *call, uint8_t bits) {
    struct flat_tensors t;
    const softattn_linear_attention attention = {.handle.context = context, .causal = call->causal};
    const softattn_linear_attention_args args = {
        .struct_size = sizeof args, .q = &t.q, .k = &t.k, .v = &t.v, .out = &t.out};
    const int32_t status = describe(call, bits, &t);
    return status == SOFTATTN_OK ? softattn_linear_attention_run(&attention, &args) : status;
}

int32_t softattn_attention_f32(const softattn_context *context, int64_t batch, int64_t heads_q,
                               int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk, int64_t dim_v,
                               const float *q, const float *k, const float *v, float *out, int32_t causal) {
    const struct flat_call call = {batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk,
                                   dim_v, q,       k,        v,     out,    causal};
    return run(context, &call, 32);
}

int32_t softattn_attention_f64(const softattn_context *context, int64_t batch, int64_t heads_q,
                               int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk, int64_t dim_v,
                               const double *q, const double *k, const double *v, double *out,
                               int32_t causal) {
    const struct flat_call call = {batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk,
                                   dim_v, q,       k,        v,     out,    causal};
    return run(context, &call, 64);
}

int32_t softattn_linear_attention_f32(const softattn_context *context, int64_t batch, int64_t heads_q,
                                      int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk,
                                      int64_t dim_v, const float *q, const float *k, const float *v,
                                      float *out, int32_t causal) {
    const struct flat_call call = {batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk,
                                   dim_v, q,       k,        v,     out,    causal};
    return run_linear(context, &call, 32);
}

int32_t softattn_linear_attention_f64(const softattn_context *context, int64_t batch, int64_t heads_q,
                                      int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk,
                                      int64_t dim_v, const double *q, const double *k, const double *v,
                                      double *out, int32_t causal) {
    const struct flat_call call = {batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk,
                                   dim_v, q,       k,        v,     out,    causal};
    return run_linear(context, &call, 64);
}
