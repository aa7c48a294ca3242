// oneDNN's primitives behind a C interface for library_onednn.py, which compiles this file against the oneDNN that is
// installed, version 2 or 3. Attention is what its users would put together: product, softmax, product.
#include <cmath>
#include <cstdint>
#include <dnnl.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

using namespace dnnl;
using dims = memory::dims;
using arguments = std::unordered_map<int, memory>;

namespace {

struct job {
    engine cpu{engine::kind::cpu, 0};
    stream queue{cpu};
    std::vector<std::pair<primitive, arguments>> steps;
    std::vector<float> mask;

    void run() {
        for (auto &step : steps)
            step.first.execute(queue, step.second);
        queue.wait();
    }
};

memory::desc compact(const dims &shape) {
    dims strides(shape.size(), 1);
    for (size_t i = shape.size() - 1; i > 0; i--)
        strides[i - 1] = strides[i] * shape[i];
    return {shape, memory::data_type::f32, strides};
}

memory::desc transposed(const dims &shape) { // the last two dimensions of a compact array, exchanged
    return {{shape[0], shape[1], shape[3], shape[2]},
            memory::data_type::f32,
            {shape[1] * shape[2] * shape[3], shape[2] * shape[3], 1, shape[3]}};
}

memory over(const job &job, const memory::desc &description, const float *data) {
    return {description, job.cpu, const_cast<float *>(data)};
}

int last_axis(const dims &shape) { return static_cast<int>(shape.size()) - 1; }

// What the two versions of the library spell in different ways.
#if DNNL_VERSION_MAJOR >= 3

softmax_forward::primitive_desc softmax_of(const engine &cpu, const dims &shape) {
    return {cpu,
            prop_kind::forward_training,
            algorithm::softmax_accurate,
            compact(shape),
            compact(shape),
            last_axis(shape)};
}

softmax_backward backward_of(const engine &cpu, const dims &shape) {
    return softmax_backward({cpu, algorithm::softmax_accurate, compact(shape), compact(shape), compact(shape),
                             last_axis(shape), softmax_of(cpu, shape)});
}

softmax_forward forward_of(const engine &cpu, const dims &shape) {
    return softmax_forward(softmax_of(cpu, shape));
}

matmul product_of(const engine &cpu, const memory &a, const memory &b, const memory &c,
                  const primitive_attr &attributes) {
    return matmul({cpu, a.get_desc(), b.get_desc(), c.get_desc(), attributes});
}

void scale_by(post_ops &operations, float factor) {
    operations.append_eltwise(algorithm::eltwise_linear, factor, 0);
}

#else

softmax_v2_forward::primitive_desc softmax_of(const engine &cpu, const dims &shape) {
    return {{prop_kind::forward_training, algorithm::softmax_accurate, compact(shape), compact(shape),
             last_axis(shape)},
            cpu};
}

softmax_v2_backward backward_of(const engine &cpu, const dims &shape) {
    const softmax_v2_backward::desc description(algorithm::softmax_accurate, compact(shape), compact(shape),
                                                compact(shape), last_axis(shape));
    return softmax_v2_backward({description, cpu, softmax_of(cpu, shape)});
}

softmax_v2_forward forward_of(const engine &cpu, const dims &shape) {
    return softmax_v2_forward(softmax_of(cpu, shape));
}

matmul product_of(const engine &cpu, const memory &a, const memory &b, const memory &c,
                  const primitive_attr &attributes) {
    return matmul({{a.get_desc(), b.get_desc(), c.get_desc()}, attributes, cpu});
}

void scale_by(post_ops &operations, float factor) {
    operations.append_eltwise(1, algorithm::eltwise_linear, factor, 0);
}

#endif

void add_softmax(job &job, const memory &from, const memory &to, const dims &shape) {
    job.steps.push_back({forward_of(job.cpu, shape), {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}}});
}

void add_product(job &job, const memory &a, const memory &b, const memory &c, float factor,
                 const memory *addend) {
    post_ops operations;
    primitive_attr attributes;
    arguments operands = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    if (factor != 1)
        scale_by(operations, factor);
    if (addend != nullptr) {
        operations.append_binary(algorithm::binary_add, addend->get_desc());
        operands.insert({DNNL_ARG_ATTR_MULTIPLE_POST_OP(operations.len() - 1) | DNNL_ARG_SRC_1, *addend});
    }
    attributes.set_post_ops(operations);
    job.steps.push_back({product_of(job.cpu, a, b, c, attributes), operands});
}

// As large as the scores: a mask that broadcasts would be added by oneDNN's reference code, a hundred times slower.
memory causal_mask(job &job, const dims &scores) {
    const int64_t queries = scores[2], keys = scores[3];
    job.mask.assign(static_cast<size_t>(scores[0] * scores[1] * queries * keys), 0);
    for (size_t at = 0; at < job.mask.size(); at++) {
        const int64_t key = static_cast<int64_t>(at) % keys,
                      query = static_cast<int64_t>(at) / keys % queries;
        job.mask[at] = key > query ? -INFINITY : 0;
    }
    return over(job, compact(scores), job.mask.data());
}

} // namespace

extern "C" {

const char *peer_version() {
    static const std::string text = "oneDNN " + std::to_string(version()->major) + "." +
                                    std::to_string(version()->minor) + "." + std::to_string(version()->patch);
    return text.c_str();
}

void *peer_softmax(int64_t rows, int64_t cols, const float *x, float *y) {
    auto *made = new job;
    const dims shape = {rows, cols};
    add_softmax(*made, over(*made, compact(shape), x), over(*made, compact(shape), y), shape);
    return made;
}

void *peer_softmax_backward(int64_t rows, int64_t cols, const float *y, const float *dy, float *dx) {
    auto *made = new job;
    const dims shape = {rows, cols};
    made->steps.push_back({backward_of(made->cpu, shape),
                           {{DNNL_ARG_DST, over(*made, compact(shape), y)},
                            {DNNL_ARG_DIFF_DST, over(*made, compact(shape), dy)},
                            {DNNL_ARG_DIFF_SRC, over(*made, compact(shape), dx)}}});
    return made;
}

// [batch, heads, seq, dim] arrays as [batch * kv_heads, group, seq, dim]; keys and values broadcast over the group.
void *peer_attention(int64_t batch, int64_t heads, int64_t kv_heads, int64_t queries, int64_t keys,
                     int64_t dim, int32_t causal, const float *q, const float *k, const float *v,
                     float *out) {
    auto *made = new job;
    const int64_t outer = batch * kv_heads, group = heads / kv_heads;
    const dims rows = {outer, group, queries, dim}, columns = {outer, 1, keys, dim},
               scores = {outer, group, queries, keys};
    const memory weights(compact(scores), made->cpu);
    memory mask;
    if (causal)
        mask = causal_mask(*made, scores);
    add_product(*made, over(*made, compact(rows), q), over(*made, transposed(columns), k), weights,
                1 / std::sqrt(static_cast<float>(dim)), causal ? &mask : nullptr);
    add_softmax(*made, weights, weights, scores);
    add_product(*made, weights, over(*made, compact(columns), v), over(*made, compact(rows), out), 1,
                nullptr);
    return made;
}

void peer_run(void *made) { static_cast<job *>(made)->run(); }
}
