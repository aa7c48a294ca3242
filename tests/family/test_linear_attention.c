/*
 * Linear attention is what its formula says, for any sizes, layouts, head groups and causal modes; the same bits on
 * every instruction set and with any number of threads; a sequence given in parts that carry the state is the whole
 * sequence, bit for bit where the parts end after whole chunks; and what a query does not see has no effect.
 */
#include "arrays.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <math.h>
#include <stdlib.h>

enum { RANDOM_PROBLEMS = 40, CHUNK = 64 };

typedef struct linear_case {
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    int32_t causal, feature_map, normalization;
    int64_t offset;
    array_type type;
    array_layout layout;
    bool has_lengths;
    test_array q, k, v, out, lengths, state, normalizer;
} linear_case;

static linear_case random_problem(random_source *random) {
    linear_case c = {.batch = random_between(random, 1, 3),
                     .heads_kv = random_between(random, 1, 3),
                     .seq_q = random_below(random, 140),
                     .seq_kv = random_below(random, 140),
                     .dim_qk = random_below(random, 20),
                     .dim_v = random_below(random, 20),
                     .causal = (int32_t)random_below(random, 4),
                     .offset = random_between(random, -70, 70),
                     .feature_map = (int32_t)random_below(random, 2),
                     .type = random_below(random, 2) ? ARRAY_F64 : ARRAY_F32,
                     .layout = (array_layout)random_below(random, ARRAY_LAYOUTS),
                     .has_lengths = random_below(random, 2) == 1};
    c.heads_q = c.heads_kv * random_between(random, 1, 3);
    /* features of mixed sign may have a denominator near 0, which no bound holds for */
    c.normalization = c.feature_map == SOFTATTN_FEATURE_MAP_ELU_PLUS_ONE;
    return c;
}

/* Contents are the same for the same random source. */
static void create(linear_case *c, random_source *random) {
    const int64_t q[] = {c->batch, c->heads_q, c->seq_q, c->dim_qk};
    const int64_t k[] = {c->batch, c->heads_kv, c->seq_kv, c->dim_qk};
    const int64_t v[] = {c->batch, c->heads_kv, c->seq_kv, c->dim_v};
    const int64_t out[] = {c->batch, c->heads_q, c->seq_q, c->dim_v};
    const int64_t state[] = {c->batch, c->heads_kv, c->dim_qk, c->dim_v};
    array_create(&c->q, c->type, 4, q, c->layout, GUARD_AFTER);
    array_create(&c->k, c->type, 4, k, c->layout, GUARD_BEFORE);
    array_create(&c->v, c->type, 4, v, c->layout, GUARD_AFTER);
    array_create(&c->out, c->type, 4, out, c->layout, GUARD_AFTER);
    array_create(&c->lengths, ARRAY_I32, 1, &c->batch, c->layout, GUARD_AFTER);
    array_create(&c->state, c->type, 4, state, c->layout, GUARD_AFTER);
    array_create(&c->normalizer, c->type, 3, state, c->layout, GUARD_AFTER);
    array_fill_normal(&c->q, random, 1);
    array_fill_normal(&c->k, random, 1);
    array_fill_normal(&c->v, random, 1);
    array_fill_integers(&c->lengths, random, 0, c->seq_kv);
}

static void destroy(linear_case *c) {
    test_array *const arrays[] = {&c->q, &c->k, &c->v, &c->out, &c->lengths, &c->state, &c->normalizer};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        array_destroy(arrays[i]);
    }
}

static softattn_linear_attention_args arguments(const linear_case *c) {
    return (softattn_linear_attention_args){.struct_size = sizeof(softattn_linear_attention_args),
                                            .q = &c->q.tensor,
                                            .k = &c->k.tensor,
                                            .v = &c->v.tensor,
                                            .out = &c->out.tensor,
                                            .key_lengths = c->has_lengths ? &c->lengths.tensor : NULL,
                                            .final_state = &c->state.tensor,
                                            .final_normalizer = &c->normalizer.tensor};
}

static void run_with(const linear_case *c, const softattn_context *context,
                     const softattn_linear_attention_args *args) {
    softattn_linear_attention *handle = NULL;
    EXPECT(softattn_linear_attention_create(context, &handle) == SOFTATTN_OK, "%s", last_error());
    EXPECT(softattn_linear_attention_set_causal(handle, c->causal, c->offset) == SOFTATTN_OK &&
               softattn_linear_attention_set_feature_map(handle, c->feature_map) == SOFTATTN_OK &&
               softattn_linear_attention_set_normalization(handle, c->normalization) == SOFTATTN_OK &&
               softattn_linear_attention_run(handle, args) == SOFTATTN_OK,
           "%s", last_error());
    softattn_linear_attention_destroy(handle);
}

static void run(const linear_case *c, const softattn_context *context) {
    const softattn_linear_attention_args args = arguments(c);
    run_with(c, context, &args);
}

/* ---- Values ---- */

static int64_t keys_of(const linear_case *c, int64_t batch) {
    return c->has_lengths ? (int64_t)array_get(&c->lengths, batch) : c->seq_kv;
}

static int64_t visible_keys(const linear_case *c, int64_t batch, int64_t query) {
    const int64_t keys = keys_of(c, batch);
    const int64_t offsets[] = {keys, 0, keys - c->seq_q, c->offset};
    const int64_t visible = c->causal == SOFTATTN_CAUSAL_NONE ? keys : query + offsets[c->causal] + 1;
    return visible < 0 ? 0 : visible > keys ? keys : visible;
}

static long double feature(const linear_case *c, double x) {
    return c->feature_map == SOFTATTN_FEATURE_MAP_IDENTITY ? x : x > 0 ? x + 1.0L : expl(x);
}

/* Column dim_v is the denominator. *magnitude: the same sum of magnitudes. */
static long double sum_over_keys(const linear_case *c, int64_t batch, int64_t head, int64_t query,
                                 int64_t column, long double *magnitude) {
    const int64_t head_kv = head / (c->heads_q / c->heads_kv);
    long double sum = 0;
    *magnitude = 0;
    for (int64_t j = 0; j < visible_keys(c, batch, query); j++) {
        const int64_t row_kv = (batch * c->heads_kv + head_kv) * c->seq_kv + j;
        const long double v = column == c->dim_v ? 1 : array_get(&c->v, row_kv * c->dim_v + column);
        for (int64_t d = 0; d < c->dim_qk; d++) {
            const int64_t row_q = (batch * c->heads_q + head) * c->seq_q + query;
            const long double term = feature(c, array_get(&c->q, row_q * c->dim_qk + d)) *
                                     feature(c, array_get(&c->k, row_kv * c->dim_qk + d)) * v;
            sum += term;
            *magnitude += fabsl(term);
        }
    }
    return sum;
}

/*
 * A term of a sum is rounded in its two features (exp of |x| <= 6: the product with log2(e) and that constant are off by
 * 2 * 6 u, the function by 2 u; x + 1 by u), in a score or state's chain (dim_qk or CHUNK times), in the state's additions
 * (chunks) and in the final chain (dim_qk + CHUNK times); without fused multiply-add twice each. The division and its
 * denominator take the same again.
 */
static double roundings(const linear_case *c) {
    return 2 * (2 * (2 * 6 + 2) + 2.0 * (double)c->dim_qk + 2 * CHUNK + (double)(c->seq_kv / CHUNK) + 4);
}

static void check_values(const linear_case *c, const char *isa) {
    const double unit = c->type == ARRAY_F32 ? 0x1p-24 : 0x1p-53;
    const double bound = roundings(c) * unit * (1 + 1e-3);
    for (int64_t i = 0; i < array_count(&c->out); i++) {
        const int64_t column = i % c->dim_v, row = i / c->dim_v;
        const int64_t query = row % c->seq_q, head = row / c->seq_q % c->heads_q;
        const int64_t batch = row / c->seq_q / c->heads_q;
        long double magnitude, denominator_magnitude;
        const long double sum = sum_over_keys(c, batch, head, query, column, &magnitude);
        const long double denominator =
            sum_over_keys(c, batch, head, query, c->dim_v, &denominator_magnitude);
        const long double divisor = c->normalization == 0 ? 1 : denominator;
        const long double expected = divisor == 0 ? 0 : sum / divisor;
        const long double error = divisor == 0 ? 0 : 2 * bound * magnitude / fabsl(divisor);
        const double actual = array_get(&c->out, i);
        EXPECT(fabsl(actual - expected) <= error, "%s: out[%lld] is %g, expected %Lg within %Lg", isa,
               (long long)i, actual, expected, error);
    }
    EXPECT(array_gaps_untouched(&c->out), "%s: gaps", isa);
}

static void values_are_those_of_the_formula(random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const char *isa = softattn_isa_name(i % softattn_isa_count());
        softattn_context *const context = context_create(isa, 1);
        linear_case c = random_problem(random);
        create(&c, random);
        run(&c, context);
        check_values(&c, isa);
        destroy(&c);
        softattn_context_destroy(context);
    }
}

/* The states are sums too: checked as outputs of unit queries over identity features. */
static void a_final_state_is_the_sum_over_all_keys(random_source *random) {
    linear_case c = {.batch = 2,
                     .heads_q = 2,
                     .heads_kv = 2,
                     .seq_q = 1,
                     .seq_kv = 131,
                     .dim_qk = 7,
                     .dim_v = 5,
                     .causal = SOFTATTN_CAUSAL_TOP_LEFT,
                     .normalization = 1,
                     .type = ARRAY_F64};
    create(&c, random);
    run(&c, NULL);
    for (int64_t i = 0; i < array_count(&c.normalizer); i++) {
        const int64_t head = i / c.dim_qk, d = i % c.dim_qk;
        long double z = 0, s = 0;
        for (int64_t j = 0; j < c.seq_kv; j++) {
            const long double f = feature(&c, array_get(&c.k, (head * c.seq_kv + j) * c.dim_qk + d));
            z += f;
            s += f * array_get(&c.v, (head * c.seq_kv + j) * c.dim_v);
        }
        EXPECT(fabsl(array_get(&c.normalizer, i) - z) <= roundings(&c) * 0x1p-53 * z, "z[%lld]",
               (long long)i);
        EXPECT(fabsl(array_get(&c.state, i * c.dim_v) - s) <= roundings(&c) * 0x1p-53 * 6 * z, "S[%lld]",
               (long long)i);
    }
    destroy(&c);
}

/* ---- Bits ---- */

static void compare_runs(const linear_case *problem, const softattn_context *context,
                         const linear_case *other, const softattn_context *other_context,
                         random_source *random) {
    linear_case actual = *problem, expected = *other;
    random_source same = *random;
    create(&expected, random);
    create(&actual, &same);
    run(&expected, other_context);
    run(&actual, context);
    EXPECT(compare_bits("out", &actual.out, &expected.out) == 0 &&
               compare_bits("state", &actual.state, &expected.state) == 0 &&
               compare_bits("normalizer", &actual.normalizer, &expected.normalizer) == 0,
           "%s with %d threads", softattn_context_isa(context), softattn_context_threads(context));
    destroy(&actual);
    destroy(&expected);
}

static void machines_threads_and_layouts_do_not_change_bits(random_source *random) {
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        const char *isa = softattn_isa_name(i);
        softattn_context *const context = context_create(isa, 3), *const serial = context_create(isa, 1);
        for (int n = 0; n < RANDOM_PROBLEMS / 2; n++) {
            const linear_case c = random_problem(random);
            linear_case compact = c;
            compact.layout = ARRAY_COMPACT;
            compare_runs(&c, context, &compact, isa_is_exact(isa) ? generic : serial, random);
        }
        softattn_context_destroy(serial);
        softattn_context_destroy(context);
    }
    softattn_context_destroy(generic);
}

static void the_last_causal_row_is_the_row_without_a_mask(random_source *random) {
    linear_case c = {.batch = 1,
                     .heads_q = 1,
                     .heads_kv = 1,
                     .seq_q = 100,
                     .seq_kv = 100,
                     .dim_qk = 16,
                     .dim_v = 9,
                     .causal = SOFTATTN_CAUSAL_BOTTOM_RIGHT,
                     .normalization = 1};
    linear_case whole;
    random_source same = *random;
    create(&c, random);
    whole = c;
    create(&whole, &same);
    whole.causal = SOFTATTN_CAUSAL_NONE;
    run(&c, NULL);
    run(&whole, NULL);
    for (int64_t d = 0; d < c.dim_v; d++) {
        const int64_t at = (c.seq_q - 1) * c.dim_v + d;
        EXPECT(array_get(&c.out, at) == array_get(&whole.out, at), "column %lld", (long long)d);
    }
    destroy(&c);
    destroy(&whole);
}

/* ---- Parts ---- */

/* Rows first ... first + count - 1 of the sequence of a compact array. */
static void view_part(test_array *view, const test_array *base, int64_t first, int64_t count) {
    int64_t shape[] = {base->shape[0], base->shape[1], count, base->shape[3]};
    const int64_t row = base->shape[3];
    const int64_t strides[] = {base->shape[1] * base->shape[2] * row, base->shape[2] * row, row, 1};
    array_create_view(view, base, 4, shape, strides, first * row);
}

/* Runs c in parts of `part` positions that carry the state in place. */
static void run_in_parts(linear_case *c, int64_t part) {
    array_fill(&c->state, 0);
    array_fill(&c->normalizer, 0);
    for (int64_t first = 0; first < c->seq_q; first += part) {
        const int64_t count = c->seq_q - first < part ? c->seq_q - first : part;
        test_array q, k, v, out;
        softattn_linear_attention_args args = arguments(c);
        view_part(&q, &c->q, first, count);
        view_part(&k, &c->k, first, count);
        view_part(&v, &c->v, first, count);
        view_part(&out, &c->out, first, count);
        args.q = &q.tensor, args.k = &k.tensor, args.v = &v.tensor, args.out = &out.tensor;
        args.initial_state = args.final_state;
        args.initial_normalizer = args.final_normalizer;
        run_with(c, NULL, &args);
    }
}

static void parts_of_a_sequence_are_the_whole(random_source *random) {
    static const int64_t parts[] = {CHUNK, 2 * CHUNK, 1, 37};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        linear_case whole = {.batch = 2,
                             .heads_q = 4,
                             .heads_kv = 2,
                             .seq_q = 200,
                             .seq_kv = 200,
                             .dim_qk = 12,
                             .dim_v = 19,
                             .causal = SOFTATTN_CAUSAL_TOP_LEFT,
                             .normalization = 1};
        linear_case cut = whole;
        random_source same = *random;
        create(&whole, random);
        create(&cut, &same);
        run(&whole, NULL);
        run_in_parts(&cut, parts[i]);
        if (parts[i] % CHUNK == 0) {
            EXPECT(compare_bits("out", &cut.out, &whole.out) == 0 &&
                       compare_bits("state", &cut.state, &whole.state) == 0 &&
                       compare_bits("normalizer", &cut.normalizer, &whole.normalizer) == 0,
                   "parts of %lld", (long long)parts[i]);
        } else {
            whole.seq_kv *= CHUNK; /* up to one addition to the state for each key */
            const double bound = 2 * 6 * roundings(&whole) * 0x1p-24;
            for (int64_t n = 0; n < array_count(&cut.out); n++) {
                EXPECT(fabs(array_get(&cut.out, n) - array_get(&whole.out, n)) <= bound,
                       "parts of %lld, out[%lld]", (long long)parts[i], (long long)n);
            }
        }
        destroy(&whole);
        destroy(&cut);
    }
}

/* ---- Edges ---- */

static void what_a_query_does_not_see_has_no_effect(random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS / 2; i++) {
        linear_case c = random_problem(random), spoilt;
        c.causal = i % 2 ? SOFTATTN_CAUSAL_TOP_LEFT : SOFTATTN_CAUSAL_NONE;
        c.batch = c.heads_kv = c.heads_q = 1;
        c.has_lengths = c.causal == SOFTATTN_CAUSAL_NONE;
        spoilt = c;
        random_source same = *random;
        create(&c, random);
        create(&spoilt, &same);
        const int64_t seen = random_below(random, c.seq_kv + 1);
        array_fill(&c.lengths, (double)seen);
        array_fill(&spoilt.lengths, (double)seen);
        for (int64_t j = seen * c.dim_qk; j < array_count(&spoilt.k); j++) {
            array_set(&spoilt.k, j, (double)NAN);
        }
        for (int64_t j = seen * c.dim_v; j < array_count(&spoilt.v); j++) {
            array_set(&spoilt.v, j, random_below(random, 2) ? (double)INFINITY : (double)NAN);
        }
        run(&c, NULL);
        run(&spoilt, NULL);
        const int64_t rows = seen < c.seq_q && !c.has_lengths ? seen : c.seq_q;
        for (int64_t n = 0; n < rows * c.dim_v; n++) {
            EXPECT(array_get(&c.out, n) == array_get(&spoilt.out, n), "out[%lld]", (long long)n);
        }
        destroy(&c);
        destroy(&spoilt);
    }
}

static void a_denominator_of_zero_gives_zero(void) {
    const float q[2] = {1, -1}, k[2] = {1, 1}, v[1] = {3};
    float out[1] = {7};
    softattn_linear_attention *handle = NULL;
    int64_t qk[] = {1, 2}, vo[] = {1, 1};
    const softattn_tensor tq = {
        .data = (void *)q, .device = {1, 0}, .ndim = 2, .dtype = {2, 32, 1}, .shape = qk};
    softattn_tensor tk = tq, tv = tq, to = tq;
    tk.data = (void *)k;
    tv.data = (void *)v, tv.shape = vo;
    to.data = out, to.shape = vo;
    const softattn_linear_attention_args args = {
        .struct_size = sizeof args, .q = &tq, .k = &tk, .v = &tv, .out = &to};
    (void)softattn_linear_attention_create(NULL, &handle);
    (void)softattn_linear_attention_set_feature_map(handle, SOFTATTN_FEATURE_MAP_IDENTITY);
    EXPECT(softattn_linear_attention_run(handle, &args) == SOFTATTN_OK && out[0] == 0, "%g", (double)out[0]);
    softattn_linear_attention_destroy(handle);

    out[0] = 7; /* and without keys */
    EXPECT(softattn_linear_attention_f32(NULL, 1, 1, 1, 1, 0, 2, 1, q, NULL, NULL, out, 0) == SOFTATTN_OK &&
               out[0] == 0,
           "%g: %s", (double)out[0], last_error());
}

static void extreme_inputs_take_the_limits_of_the_map(void) {
    const double q[] = {0}, k[] = {-INFINITY, -800, 1e300}, v[] = {1, 2, 3};
    double out[1] = {7};
    EXPECT(softattn_linear_attention_f64(NULL, 1, 1, 1, 1, 2, 1, 1, q, k, v, out, 0) == SOFTATTN_OK &&
               out[0] == 0,
           "%g", out[0]); /* both features are 0, as exp's result is where it would be subnormal */
    EXPECT(softattn_linear_attention_f64(NULL, 1, 1, 1, 1, 3, 1, 1, q, k, v, out, 0) == SOFTATTN_OK &&
               out[0] == 3,
           "%g", out[0]);
}

int main(void) {
    random_source random;
    random_start(&random, "test_linear_attention");
    values_are_those_of_the_formula(&random);
    a_final_state_is_the_sum_over_all_keys(&random);
    machines_threads_and_layouts_do_not_change_bits(&random);
    the_last_causal_row_is_the_row_without_a_mask(&random);
    parts_of_a_sequence_are_the_whole(&random);
    what_a_query_does_not_see_has_no_effect(&random);
    a_denominator_of_zero_gives_zero();
    extreme_inputs_take_the_limits_of_the_map();
    return expect_summary();
}
