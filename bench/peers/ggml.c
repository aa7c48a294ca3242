// ggml's operators behind a C interface for library_ggml.py, which compiles this file against the ggml that is installed.
#include <ggml-cpu.h>
#include <ggml.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { TENSORS = 8 };

struct job {
    struct ggml_context *context;
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
    struct ggml_tensor *result;
    ggml_fp16_t *mask;
};

// A context that describes tensors; their data lie elsewhere.
static struct job *start(void) {
    struct job *job = calloc(1, sizeof *job);
    const size_t bytes = TENSORS * ggml_tensor_overhead() + ggml_graph_overhead();
    job->context = ggml_init((struct ggml_init_params){.mem_size = bytes, .no_alloc = true});
    return job;
}

// sizes from the innermost dimension outwards, as ggml has them
static struct ggml_tensor *over(struct job *job, enum ggml_type type, int64_t a, int64_t b, int64_t c,
                                int64_t d, const void *data) {
    struct ggml_tensor *tensor = ggml_new_tensor_4d(job->context, type, a, b, c, d);
    tensor->data = (void *)data;
    return tensor;
}

static void *finish(struct job *job, struct ggml_tensor *result, float *out, int32_t threads) {
    job->result = result;
    job->result->data = out;
    job->graph = ggml_new_graph(job->context);
    ggml_build_forward_expand(job->graph, result);
    struct ggml_threadpool_params parameters = ggml_threadpool_params_default(threads);
    job->plan = ggml_graph_plan(job->graph, threads, ggml_threadpool_new(&parameters));
    job->plan.work_data = malloc(job->plan.work_size + 1);
    return job;
}

const char *peer_version(void) { return ggml_version(); }

void *peer_softmax(int64_t rows, int64_t cols, int32_t threads, const float *x, float *y) {
    struct job *job = start();
    return finish(job, ggml_soft_max(job->context, over(job, GGML_TYPE_F32, cols, rows, 1, 1, x)), y,
                  threads);
}

void *peer_softmax_backward(int64_t rows, int64_t cols, int32_t threads, const float *y, const float *dy,
                            float *dx) {
    struct job *job = start();
    struct ggml_tensor *of_loss = over(job, GGML_TYPE_F32, cols, rows, 1, 1, dy);
    struct ggml_tensor *weights = over(job, GGML_TYPE_F32, cols, rows, 1, 1, y);
    return finish(job, ggml_soft_max_ext_back(job->context, of_loss, weights, 1, 0), dx, threads);
}

static const ggml_fp16_t *causal_mask(struct job *job, int64_t queries, int64_t keys) {
    job->mask = malloc((size_t)(queries * keys) * sizeof *job->mask);
    for (int64_t i = 0; i < queries * keys; i++) {
        job->mask[i] = ggml_fp32_to_fp16(i % keys > i / keys ? -INFINITY : 0);
    }
    return job->mask;
}

// q, k, v are [batch, heads, seq, dim], the result is [batch, seq, heads, dim]
void *peer_attention(int64_t batch, int64_t heads, int64_t kv_heads, int64_t queries, int64_t keys,
                     int64_t dim, int32_t causal, int32_t threads, const float *q, const float *k,
                     const float *v, float *out) {
    struct job *job = start();
    struct ggml_tensor *mask =
        causal ? over(job, GGML_TYPE_F16, keys, queries, 1, 1, causal_mask(job, queries, keys)) : NULL;
    struct ggml_tensor *result = ggml_flash_attn_ext(
        job->context, over(job, GGML_TYPE_F32, dim, queries, heads, batch, q),
        over(job, GGML_TYPE_F32, dim, keys, kv_heads, batch, k),
        over(job, GGML_TYPE_F32, dim, keys, kv_heads, batch, v), mask, 1 / sqrtf((float)dim), 0, 0);
    ggml_flash_attn_ext_set_prec(result, GGML_PREC_F32);
    return finish(job, result, out, threads);
}

void peer_run(void *made) {
    struct job *job = made;
    ggml_graph_compute(job->graph, &job->plan);
}
