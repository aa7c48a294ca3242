/*
 * The captured sentence of docs/examples: the oracle and the library against outputs that NumPy computed in
 * float64.
 */
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "npy.h"
#include "oracle.h"

#include <math.h>
#include <stdlib.h>

typedef struct sentence {
    test_array q, k, v, expected_out, expected_weights, expected_lse;
} sentence;

static void read_sentence(sentence *s) {
    npy_read(SOFTATTN_EXAMPLES "/q.npy", &s->q);
    npy_read(SOFTATTN_EXAMPLES "/k.npy", &s->k);
    npy_read(SOFTATTN_EXAMPLES "/v.npy", &s->v);
    npy_read(SOFTATTN_EXAMPLES "/expected_out.npy", &s->expected_out);
    npy_read(SOFTATTN_EXAMPLES "/expected_weights.npy", &s->expected_weights);
    npy_read(SOFTATTN_EXAMPLES "/expected_lse.npy", &s->expected_lse);
}

static void free_sentence(sentence *s) {
    test_array *const arrays[] = {&s->q,           &s->k, &s->v, &s->expected_out, &s->expected_weights,
                                  &s->expected_lse};
    for (int i = 0; i < 6; i++) {
        array_destroy(arrays[i]);
    }
}

static oracle_attention_results compute_by_oracle(const sentence *s) {
    const int64_t *const shape = s->q.shape;
    double *const q = array_read(&s->q, 4, shape);
    double *const k = array_read(&s->k, 4, shape);
    double *const v = array_read(&s->v, 4, shape);
    const oracle_attention problem = {.batch = shape[0],
                                      .heads_q = shape[1],
                                      .heads_kv = shape[1],
                                      .seq_q = shape[2],
                                      .seq_kv = shape[2],
                                      .dim_qk = shape[3],
                                      .dim_v = shape[3],
                                      .q = q,
                                      .k = k,
                                      .v = v,
                                      .scale = 1.0 / sqrt((double)shape[3]),
                                      .precision = oracle_f32};
    const oracle_attention_results results = oracle_attention_compute(&problem);
    free(q);
    free(k);
    free(v);
    return results;
}

/* The recorded values carry the rounding of float64 sums: 1e-13 is far above it and far below what f32 can
 * see. */
static void expect_same_values(const char *what, const oracle_result *oracle, const test_array *recorded) {
    int64_t different = 0;
    for (int64_t i = 0; i < oracle->count; i++) {
        different += fabsl(oracle->value[i] - (oracle_real)array_get(recorded, i)) > 1e-13L;
    }
    EXPECT(oracle->count == array_count(recorded) && different == 0, "%s: %d differ", what, (int)different);
}

static void the_library_gives_the_recorded_results(const sentence *s,
                                                   const oracle_attention_results *expected,
                                                   const softattn_context *context, bool wants_weights) {
    test_array out, weights, lse;
    array_create(&out, ARRAY_F32, 4, s->expected_out.shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&weights, ARRAY_F32, 4, s->expected_weights.shape, ARRAY_COMPACT, GUARD_AFTER);
    array_create(&lse, ARRAY_F32, 3, s->expected_lse.shape, ARRAY_COMPACT, GUARD_AFTER);
    const softattn_attention_args args = {.struct_size = sizeof args,
                                          .q = &s->q.tensor,
                                          .k = &s->k.tensor,
                                          .v = &s->v.tensor,
                                          .out = &out.tensor,
                                          .weights = wants_weights ? &weights.tensor : NULL,
                                          .lse = &lse.tensor};
    softattn_attention *attention = NULL;
    EXPECT(softattn_attention_create(context, &attention) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_attention_run(attention, &args) == SOFTATTN_OK, "%s", last_error());
    const char *const isa = softattn_context_isa(context);
    EXPECT(compare_with_oracle("out", &out, &expected->out) == 0, "on %s", isa);
    EXPECT(compare_with_oracle("lse", &lse, &expected->lse) == 0, "on %s", isa);
    if (wants_weights) {
        EXPECT(compare_with_oracle("weights", &weights, &expected->weights) == 0, "on %s", isa);
    }
    softattn_attention_destroy(attention);
    array_destroy(&out);
    array_destroy(&weights);
    array_destroy(&lse);
}

int main(void) {
    sentence s;
    read_sentence(&s);
    oracle_attention_results oracle = compute_by_oracle(&s);
    expect_same_values("out", &oracle.out, &s.expected_out);
    expect_same_values("weights", &oracle.weights, &s.expected_weights);
    expect_same_values("lse", &oracle.lse, &s.expected_lse);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        the_library_gives_the_recorded_results(&s, &oracle, context, false);
        the_library_gives_the_recorded_results(&s, &oracle, context, true);
        softattn_context_destroy(context);
    }
    oracle_attention_results_destroy(&oracle);
    free_sentence(&s);
    return expect_summary();
}
