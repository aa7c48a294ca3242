/*
 * A user's first program: softmax and attention through the flat functions, a context with threads, and a tensor run.
 * Every expected value is exact: exp(0) is 1, sums of equal powers of two are exact, and one key has weight 1.
 */
#include <softattn/softattn.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void check(int holds, const char *promise) {
    if (!holds) {
        char detail[256];
        softattn_last_error(detail, (int64_t)sizeof detail);
        printf("FAILED: %s (last error: %s)\n", promise, detail);
        failures++;
    }
}

static void check_version(void) {
    char compiled[32];
    snprintf(compiled, sizeof compiled, "%d.%d.%d", SOFTATTN_VERSION_MAJOR, SOFTATTN_VERSION_MINOR,
             SOFTATTN_VERSION_PATCH);
    check(strcmp(compiled, softattn_version_string()) == 0, "the header and the library have one version");
}

static void check_softmax(const softattn_context *context) {
    const float scores[2][3] = {{10000.0f, 200.0f, 1.0f}, {-7.0f, -7.0f, -1.0e30f}};
    float probabilities[2][3];
    check(softattn_softmax_f32(context, 2, 3, scores[0], 3, probabilities[0], 3) == SOFTATTN_OK,
          "softmax runs");
    check(probabilities[0][0] == 1.0f && probabilities[0][1] == 0.0f && probabilities[0][2] == 0.0f,
          "softmax of huge scores is stable");
    check(probabilities[1][0] == 0.5f && probabilities[1][1] == 0.5f && probabilities[1][2] == 0.0f,
          "equal scores share the probability");
}

static void check_attention(const softattn_context *context) {
    const double q[2][2] = {{0.0, 0.0}, {0.0, 0.0}}, k[2][2] = {{1.0, 2.0}, {3.0, 4.0}}, v[2] = {2.0, 4.0};
    double out[2];
    check(softattn_attention_f64(context, 1, 1, 1, 2, 2, 2, 1, q[0], k[0], v, out,
                                 SOFTATTN_CAUSAL_TOP_LEFT) == SOFTATTN_OK,
          "attention runs");
    check(out[0] == 2.0, "the first causal query sees the first key only");
    check(out[1] == 3.0, "a zero query averages the values it sees");
}

static void check_tensor_run(const softattn_context *context) {
    float scores[4] = {1.0f, 5.0f, 1.0f, 5.0f}, probabilities[4];
    int64_t shape[2] = {2, 2};
    softattn_tensor x = {scores, {SOFTATTN_DEVICE_CPU, 0}, 2, {SOFTATTN_TYPE_FLOAT, 32, 1}, shape, NULL, 0};
    softattn_tensor y = x;
    softattn_softmax_args args;
    softattn_softmax *softmax = NULL;

    y.data = probabilities;
    memset(&args, 0, sizeof args);
    args.struct_size = sizeof args;
    args.x = &x;
    args.y = &y;
    check(softattn_softmax_create(context, &softmax) == SOFTATTN_OK, "a softmax operation can be made");
    check(softattn_softmax_set_axis(softmax, 0) == SOFTATTN_OK, "its axis can be set");
    check(softattn_softmax_run(softmax, &args) == SOFTATTN_OK, "it runs on tensors");
    check(probabilities[0] == 0.5f && probabilities[1] == 0.5f && probabilities[2] == 0.5f &&
              probabilities[3] == 0.5f,
          "softmax along the first axis compares the columns' elements");
    softattn_softmax_destroy(softmax);
}

int main(void) {
    softattn_context *context = NULL;
    check_version();
    check_softmax(NULL);
    check_attention(NULL);

    check(softattn_context_create(&context) == SOFTATTN_OK, "a context can be made");
    check(softattn_context_set_threads(context, 2) == SOFTATTN_OK, "it takes two threads");
    check_softmax(context);
    check_attention(context);
    check_tensor_run(context);
    printf("libsoftattn %s, %s, %s\n", softattn_version_string(), softattn_context_isa(context),
           softattn_blas_name());
    softattn_context_destroy(context);
    return failures != 0;
}
