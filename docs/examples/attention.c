/*
 * Causal attention by a handle: a context with threads, tensors of rank 4, a plan of the run, and the run.
 *
 *     cc attention.c $(pkg-config --cflags --libs softattn) && ./a.out
 */
#include <inttypes.h>
#include <softattn/softattn.h>
#include <stddef.h>
#include <stdio.h>

enum { SEQ = 3, DIM = 2 };

/* Whether a call succeeded; what was wrong goes to stderr. */
static int succeeded(int32_t status) {
    char reason[256];
    if (status != SOFTATTN_OK) {
        softattn_last_error(reason, (int64_t)sizeof reason);
        fprintf(stderr, "%s: %s\n", softattn_status_string(status), reason);
    }
    return status == SOFTATTN_OK;
}

/* Floats without gaps: strides are NULL. The tensor borrows data and shape. */
static softattn_tensor tensor_of(float *data, int64_t *shape) {
    const softattn_tensor tensor = {
        .data = data,
        .device = {SOFTATTN_DEVICE_CPU, 0},
        .ndim = 4,
        .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
        .shape = shape,
        .strides = NULL,
    };
    return tensor;
}

static void print(const softattn_attention_plan *plan, const float *out) {
    printf("%s, %s, threads with work: %" PRId32 ", scratch: %" PRIu64 " bytes\n", plan->isa, plan->kernel,
           plan->threads, plan->workspace_bytes);
    for (int i = 0; i < SEQ; i++) {
        printf("%.4f %.4f\n", out[i * DIM], out[i * DIM + 1]);
    }
}

int main(void) {
    float q[] = {4, 0, 0, 4, -4, -4}, k[] = {4, 0, 0, 4, -4, -4}, v[] = {1, 2, 3, 4, 5, 6}, out[SEQ * DIM];
    int64_t shape[] = {1, 1, SEQ, DIM}; /* batch, heads, sequence, dimensions; the same for all four here */
    const softattn_tensor q_tensor = tensor_of(q, shape), k_tensor = tensor_of(k, shape);
    const softattn_tensor v_tensor = tensor_of(v, shape), out_tensor = tensor_of(out, shape);
    const softattn_attention_args args = {
        .struct_size = sizeof args, .q = &q_tensor, .k = &k_tensor, .v = &v_tensor, .out = &out_tensor};
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    softattn_context *context = NULL;
    softattn_attention *attention = NULL;

    const int done = succeeded(softattn_context_create(&context)) &&
                     succeeded(softattn_context_set_threads(context, 2)) &&
                     succeeded(softattn_attention_create(context, &attention)) &&
                     succeeded(softattn_attention_set_causal(attention, SOFTATTN_CAUSAL_TOP_LEFT, 0)) &&
                     succeeded(softattn_attention_describe(attention, &args, &plan)) &&
                     succeeded(softattn_attention_run(attention, &args));
    if (done) {
        print(&plan, out); /* of each query about the value of its own key: 1 2, 3 4, 5 6 */
    }
    softattn_attention_destroy(attention);
    softattn_context_destroy(context);
    return done ? 0 : 1;
}
