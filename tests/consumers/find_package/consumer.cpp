// A C++ user: the handles in unique_ptr, the data in vectors.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <softattn/softattn.h>
#include <vector>

struct destroy_attention {
    void operator()(softattn_attention *attention) const { softattn_attention_destroy(attention); }
};

static softattn_tensor matrix_view(std::vector<float> &data, std::int64_t *shape) {
    softattn_tensor view = softattn_tensor();
    view.data = data.data();
    view.device.device_type = SOFTATTN_DEVICE_CPU;
    view.ndim = 2;
    view.dtype.code = SOFTATTN_TYPE_FLOAT;
    view.dtype.bits = 32;
    view.dtype.lanes = 1;
    view.shape = shape;
    return view;
}

int main() {
    softattn_attention *created = nullptr;
    if (softattn_attention_create(nullptr, &created) != SOFTATTN_OK)
        return 1;
    std::unique_ptr<softattn_attention, destroy_attention> attention(created);

    // All scores are equal, so both queries average the two values: exactly 3.
    std::vector<float> q(6, 0.0f), k(6, 1.0f), v{2.0f, 4.0f}, out(2, -1.0f);
    std::int64_t query_shape[] = {2, 3}, value_shape[] = {2, 1};
    softattn_tensor q_view = matrix_view(q, query_shape), k_view = matrix_view(k, query_shape);
    softattn_tensor v_view = matrix_view(v, value_shape), out_view = matrix_view(out, value_shape);
    softattn_attention_args args = softattn_attention_args();
    args.struct_size = sizeof args;
    args.q = &q_view;
    args.k = &k_view;
    args.v = &v_view;
    args.out = &out_view;
    std::int32_t status = softattn_attention_run(attention.get(), &args);
    std::printf("%s: %g %g\n", softattn_status_string(status), static_cast<double>(out[0]),
                static_cast<double>(out[1]));
    return status == SOFTATTN_OK && out[0] == 3.0f && out[1] == 3.0f ? 0 : 1;
}
