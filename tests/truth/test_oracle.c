/*
 * The oracle itself: values known by hand, every attention feature against the same effect by another road,
 * and bounds that a dropped key or a wrong mask exceeds.
 */
#include "expect.h"
#include "oracle.h"
#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQ_Q = 5, SEQ_KV = 40, DIM = 8, HEADS = 2 };

typedef struct inputs {
    double q[HEADS * SEQ_Q * DIM], k[SEQ_KV * DIM], v[SEQ_KV * DIM], bias[HEADS * SEQ_Q * SEQ_KV];
    double keep[HEADS * SEQ_Q * SEQ_KV];
} inputs;

static void fill_normal(double *values, int64_t count, random_source *random) {
    for (int64_t i = 0; i < count; i++) {
        values[i] = random_normal(random);
    }
}

static void fill_inputs(inputs *in, random_source *random) {
    fill_normal(in->q, HEADS * SEQ_Q * DIM, random);
    fill_normal(in->k, SEQ_KV * DIM, random);
    fill_normal(in->v, SEQ_KV * DIM, random);
}

static oracle_attention plain_problem(const inputs *in) {
    return (oracle_attention){.batch = 1,
                              .heads_q = HEADS,
                              .heads_kv = 1,
                              .seq_q = SEQ_Q,
                              .seq_kv = SEQ_KV,
                              .dim_qk = DIM,
                              .dim_v = DIM,
                              .q = in->q,
                              .k = in->k,
                              .v = in->v,
                              .scale = 0.3,
                              .precision = oracle_f32};
}

static bool is_near(oracle_real a, oracle_real b) { return fabsl(a - b) <= 1e-15L * (1 + fabsl(b)); }

/* Whether every value of the two results is the same but for rounding. */
static bool same_results(const oracle_attention *a, const oracle_attention *b) {
    oracle_attention_results ra = oracle_attention_compute(a), rb = oracle_attention_compute(b);
    bool same = true;
    for (int64_t i = 0; i < ra.out.count; i++) {
        same = same && is_near(ra.out.value[i], rb.out.value[i]);
    }
    for (int64_t i = 0; i < ra.lse.count; i++) {
        same = same && (ra.lse.value[i] == rb.lse.value[i] || is_near(ra.lse.value[i], rb.lse.value[i]));
    }
    oracle_attention_results_destroy(&ra);
    oracle_attention_results_destroy(&rb);
    return same;
}

/* How many outputs of b lie outside the bounds of a. */
static int64_t outside_bounds(const oracle_attention *a, const oracle_attention *b) {
    oracle_attention_results ra = oracle_attention_compute(a), rb = oracle_attention_compute(b);
    int64_t outside = 0;
    for (int64_t i = 0; i < ra.out.count; i++) {
        outside += fabsl(ra.out.value[i] - rb.out.value[i]) > ra.out.bound[i];
    }
    oracle_attention_results_destroy(&ra);
    oracle_attention_results_destroy(&rb);
    return outside;
}

static void softmax_has_the_values_known_by_hand(void) {
    /* exp of these is 1 : 3 : 4 */
    const double x[3] = {0.0, log(3.0), log(4.0)};
    const oracle_softmax problem = {
        .rows = 1, .cols = 3, .x = x, .scale = 1.0, .queries = 1, .precision = oracle_f64};
    oracle_softmax_results r = oracle_softmax_compute(&problem);
    EXPECT(is_near(r.y.value[0], 0.125L) && is_near(r.y.value[1], 0.375L) && is_near(r.y.value[2], 0.5L),
           "1:3:4");
    EXPECT(is_near(r.lse.value[0], logl(8.0L)), "log 8");
    EXPECT(r.row_max.value[0] == (oracle_real)x[2], "the largest");
    oracle_softmax_results_destroy(&r);
}

static void attention_of_equal_scores_is_the_mean(random_source *random) {
    inputs in;
    fill_inputs(&in, random);
    oracle_attention problem = plain_problem(&in);
    problem.scale = 0.0;
    oracle_attention_results r = oracle_attention_compute(&problem);
    oracle_real mean = 0;
    for (int key = 0; key < SEQ_KV; key++) {
        mean += (oracle_real)in.v[key * DIM] / SEQ_KV;
    }
    EXPECT(is_near(r.out.value[0], mean), "%Lg and %Lg", r.out.value[0], mean);
    EXPECT(is_near(r.lse.value[0], logl(SEQ_KV)), "log of the number of keys");
    oracle_attention_results_destroy(&r);
}

/* keep[...] = what `see` says of (query, key). */
static void fill_keep(inputs *in, bool (*see)(int query, int key)) {
    for (int row = 0; row < HEADS * SEQ_Q; row++) {
        for (int key = 0; key < SEQ_KV; key++) {
            in->keep[row * SEQ_KV + key] = see(row % SEQ_Q, key) ? 1.0 : 0.0;
        }
    }
}

static bool sees_top_left(int query, int key) { return key <= query; }
static bool sees_bottom_right(int query, int key) { return key <= query + SEQ_KV - SEQ_Q; }
static bool sees_offset_7(int query, int key) { return key <= query + 7; }
static bool sees_none_of_query_0(int query, int key) { return key <= query - 1; }
static bool sees_window(int query, int key) { return key >= query + 7 - 3 && key <= query + 7; }
static bool sees_lengths(int query, int key) { return query < 4 && key >= 2 && key < 30; }
static bool sees_ragged_bottom_right(int query, int key) {
    return query < 4 && key <= query + 26 && key < 30;
}

static void masks_equal_the_keep_mask_that_spells_them_out(random_source *random) {
    static const int64_t query_length = 4, key_length = 30, key_start = 2;
    inputs in;
    fill_inputs(&in, random);
    oracle_attention p = plain_problem(&in), kept = p;
    kept.keep = in.keep;

    p.causal = ORACLE_CAUSAL_TOP_LEFT;
    fill_keep(&in, sees_top_left);
    EXPECT(same_results(&p, &kept), "causal top-left");
    p.causal = ORACLE_CAUSAL_BOTTOM_RIGHT;
    fill_keep(&in, sees_bottom_right);
    EXPECT(same_results(&p, &kept), "causal bottom-right");
    p.causal = ORACLE_CAUSAL_OFFSET;
    p.offset = 7;
    fill_keep(&in, sees_offset_7);
    EXPECT(same_results(&p, &kept), "causal with offset 7");
    p.has_window = true;
    p.window_left = 3;
    p.window_right = -1;
    fill_keep(&in, sees_window);
    EXPECT(same_results(&p, &kept), "window of three keys to the left, on the causal diagonal");
    p.causal = ORACLE_CAUSAL_NONE;
    p.alignment = ORACLE_CAUSAL_OFFSET;
    p.window_right = 0;
    EXPECT(same_results(&p, &kept), "the same window without a causal mask, aligned by the offset");
    p = plain_problem(&in);
    p.causal = ORACLE_CAUSAL_OFFSET;
    p.offset = -1;
    fill_keep(&in, sees_none_of_query_0);
    EXPECT(same_results(&p, &kept), "negative offset: the first query sees nothing");

    p = plain_problem(&in);
    p.query_lengths = &query_length;
    p.key_lengths = &key_length;
    p.key_starts = &key_start;
    fill_keep(&in, sees_lengths);
    EXPECT(same_results(&p, &kept), "lengths and left padding");
    p.key_starts = NULL;
    p.causal = ORACLE_CAUSAL_BOTTOM_RIGHT;
    fill_keep(&in, sees_ragged_bottom_right);
    EXPECT(same_results(&p, &kept), "bottom-right aligns with the lengths");
}

static void bias_of_minus_infinity_equals_the_keep_mask(random_source *random) {
    inputs in;
    fill_inputs(&in, random);
    fill_keep(&in, sees_window);
    for (int i = 0; i < HEADS * SEQ_Q * SEQ_KV; i++) {
        in.bias[i] = in.keep[i] == 0.0 ? -HUGE_VAL : 0.0;
    }
    oracle_attention kept = plain_problem(&in), biased = kept;
    kept.keep = in.keep;
    biased.bias = in.bias;
    EXPECT(same_results(&kept, &biased), "bias -infinity");
    for (int key = 0; key < SEQ_KV; key++) {
        if (!sees_window(0, key)) {
            in.bias[key] = (double)NAN;
            in.keep[key] = 0.0;
        }
    }
    biased.keep = in.keep;
    EXPECT(same_results(&kept, &biased), "NaN bias where the keep mask hides it");
}

static void alibi_equals_the_bias_that_spells_it_out(random_source *random) {
    static const double slopes[HEADS] = {0.5, 0.25};
    inputs in;
    fill_inputs(&in, random);
    for (int row = 0; row < HEADS * SEQ_Q; row++) {
        for (int key = 0; key < SEQ_KV; key++) {
            in.bias[row * SEQ_KV + key] = -slopes[row / SEQ_Q] * abs(row % SEQ_Q + SEQ_KV - SEQ_Q - key);
        }
    }
    oracle_attention a = plain_problem(&in), b;
    a.causal = ORACLE_CAUSAL_BOTTOM_RIGHT;
    b = a;
    a.alibi_slopes = slopes;
    b.bias = in.bias;
    EXPECT(same_results(&a, &b), "slopes 1/2 and 1/4");
}

static void a_sink_equals_a_key_without_value(random_source *random) {
    static const double sinks[HEADS] = {1.5, 1.5};
    inputs in;
    fill_inputs(&in, random);
    /* the last key gets score 1.5 by its bias, and value 0 */
    memset(in.k + (SEQ_KV - 1) * DIM, 0, DIM * sizeof(double));
    memset(in.v + (SEQ_KV - 1) * DIM, 0, DIM * sizeof(double));
    memset(in.bias, 0, sizeof in.bias);
    for (int row = 0; row < HEADS * SEQ_Q; row++) {
        in.bias[row * SEQ_KV + SEQ_KV - 1] = sinks[0];
    }
    static const int64_t key_length = SEQ_KV - 1;
    oracle_attention with_sink = plain_problem(&in), with_key = with_sink;
    with_sink.sinks = sinks;
    with_sink.key_lengths = &key_length;
    with_key.bias = in.bias;
    EXPECT(same_results(&with_sink, &with_key), "sink 1.5");

    static const int64_t no_keys = 0;
    with_sink.key_lengths = &no_keys;
    oracle_attention_results r = oracle_attention_compute(&with_sink);
    EXPECT(r.out.value[0] == 0 && r.lse.value[0] == 1.5L, "empty row: out %Lg, lse %Lg", r.out.value[0],
           r.lse.value[0]);
    oracle_attention_results_destroy(&r);

    static const int64_t no_queries = 0;
    with_sink.query_lengths = &no_queries;
    r = oracle_attention_compute(&with_sink);
    EXPECT(r.out.value[0] == 0 && r.lse.value[0] == -HUGE_VALL,
           "a query that does not exist has no sink either");
    oracle_attention_results_destroy(&r);
}

static void softcap_bounds_scores_and_a_huge_one_changes_nothing(random_source *random) {
    inputs in;
    fill_inputs(&in, random);
    oracle_attention capped = plain_problem(&in), plain = capped, far;
    capped.softcap = 1e12;
    EXPECT(same_results(&capped, &plain), "cap 1e12");
    capped.softcap = 1e-20;
    far = plain;
    far.scale = 0.0;
    EXPECT(same_results(&capped, &far), "cap 1e-20 makes all scores equal");
}

static bool keeps_even_keys(void *user, int64_t batch, int64_t head, int64_t query, int64_t key) {
    (void)user, (void)batch, (void)head, (void)query;
    return key % 2 == 0;
}

static void dropout_drops_values_but_not_the_denominator(random_source *random) {
    inputs in, dropped;
    fill_inputs(&in, random);
    dropped = in;
    for (int i = 0; i < SEQ_KV * DIM; i++) {
        dropped.v[i] = i / DIM % 2 == 0 ? 2.0 * in.v[i] : 0.0;
    }
    oracle_attention a = plain_problem(&in), b = plain_problem(&dropped);
    a.dropout_keep = keeps_even_keys;
    a.dropout_probability = 0.5;
    EXPECT(same_results(&a, &b), "every second key dropped");
}

static void grouped_heads_read_the_shared_key_head(random_source *random) {
    enum { HEADS_KV = 2, GROUPED = 4 };
    static double q[GROUPED * SEQ_Q * DIM], k[HEADS_KV * SEQ_KV * DIM], v[HEADS_KV * SEQ_KV * DIM];
    static double k_repeated[GROUPED * SEQ_KV * DIM], v_repeated[GROUPED * SEQ_KV * DIM];
    fill_normal(q, GROUPED * SEQ_Q * DIM, random);
    fill_normal(k, HEADS_KV * SEQ_KV * DIM, random);
    fill_normal(v, HEADS_KV * SEQ_KV * DIM, random);
    for (int head = 0; head < GROUPED; head++) { /* query heads 0 and 1 read head 0, 2 and 3 read head 1 */
        const size_t bytes = SEQ_KV * DIM * sizeof(double);
        memcpy(k_repeated + head * SEQ_KV * DIM, k + head / 2 * SEQ_KV * DIM, bytes);
        memcpy(v_repeated + head * SEQ_KV * DIM, v + head / 2 * SEQ_KV * DIM, bytes);
    }
    oracle_attention grouped = {.batch = 1,
                                .heads_q = GROUPED,
                                .heads_kv = HEADS_KV,
                                .seq_q = SEQ_Q,
                                .seq_kv = SEQ_KV,
                                .dim_qk = DIM,
                                .dim_v = DIM,
                                .q = q,
                                .k = k,
                                .v = v,
                                .scale = 0.3,
                                .precision = oracle_f32};
    oracle_attention repeated = grouped;
    repeated.heads_kv = GROUPED;
    repeated.k = k_repeated;
    repeated.v = v_repeated;
    EXPECT(same_results(&grouped, &repeated), "4 query heads on 2 key heads");
}

static void bounds_are_exceeded_by_a_dropped_key_and_by_a_mask_off_by_one(random_source *random) {
    inputs in;
    fill_inputs(&in, random);
    oracle_attention whole = plain_problem(&in), wrong = whole;
    for (int dropped = 0; dropped < SEQ_KV; dropped++) {
        for (int i = 0; i < HEADS * SEQ_Q * SEQ_KV; i++) {
            in.keep[i] = i % SEQ_KV == dropped ? 0.0 : 1.0;
        }
        wrong.keep = in.keep;
        const int64_t outside = outside_bounds(&whole, &wrong);
        EXPECT(outside >= HEADS * SEQ_Q * DIM * 9 / 10, "key %d dropped: only %d outputs show it", dropped,
               (int)outside);
    }
    wrong = whole;
    whole.causal = wrong.causal = ORACLE_CAUSAL_OFFSET;
    whole.offset = 20;
    wrong.offset = 21;
    EXPECT(outside_bounds(&whole, &wrong) >= HEADS * SEQ_Q * DIM * 9 / 10, "causal offset off by one");
}

int main(void) {
    random_source random;
    random_start(&random, "test_oracle");
    softmax_has_the_values_known_by_hand();
    attention_of_equal_scores_is_the_mean(&random);
    masks_equal_the_keep_mask_that_spells_them_out(&random);
    bias_of_minus_infinity_equals_the_keep_mask(&random);
    alibi_equals_the_bias_that_spells_it_out(&random);
    a_sink_equals_a_key_without_value(&random);
    softcap_bounds_scores_and_a_huge_one_changes_nothing(&random);
    dropout_drops_values_but_not_the_denominator(&random);
    grouped_heads_read_the_shared_key_head(&random);
    bounds_are_exceeded_by_a_dropped_key_and_by_a_mask_off_by_one(&random);
    return expect_summary();
}
