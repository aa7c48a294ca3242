/*
 * Every size may be 0. Where an output has elements all the same they get the values of an empty sum; arrays
 * without elements may have any pointer, and it is not followed.
 */
#include "assert_status.h"
#include "attention_case.h"
#include "guard.h"
#include "softmax_case.h"

#include <math.h>

static random_source contents;

/* ---- Attention ----------------------------------------------------------------------------------------- */

static void assert_all(const test_array *array, double value) {
    for (int64_t i = 0; i < array_count(array); i++) {
        const double actual = array_get(array, i);
        assert_true(actual == value);
    }
}

/* Pointers of arrays without elements: NULL and one that must not be followed. */
static void set_data_of_empty(test_array *array, void *data) {
    if (array_count(array) == 0) {
        array->tensor.data = data;
    }
}

static void run_attention_case(attention_case *c, const attention_options *options, void *data_of_empty,
                               const softattn_context *context) {
    attention_case_create(c, options, &contents);
    test_array *const arrays[] = {&c->q, &c->k, &c->v, &c->out, &c->lse, &c->weights};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        set_data_of_empty(arrays[i], data_of_empty);
    }
    assert_ok(attention_case_run(c, context));
}

static int64_t *size_of(attention_options *o, int which) {
    int64_t *const sizes[] = {&o->batch, &o->heads_q, &o->seq_q, &o->seq_kv, &o->dim_qk, &o->dim_v};
    return sizes[which];
}

enum { SIZES = 6, HEADS = 1, SEQ_KV = 3, DIM_QK = 4 };

/* With every size but those in `zero` at least 2. */
static void check_attention(unsigned zero, int variant, const softattn_context *context) {
    attention_options options = attention_options_plain(variant & 1 ? ARRAY_F64 : ARRAY_F32, 4, 3, 5);
    options.batch = 2;
    options.seq_kv = 6;
    options.causal = variant & 2 ? SOFTATTN_CAUSAL_BOTTOM_RIGHT : SOFTATTN_CAUSAL_NONE;
    options.wants_weights = (variant & 4) != 0;
    options.engine = options.wants_weights ? SOFTATTN_ENGINE_AUTO : variant >> 3;
    for (int which = 0; which < SIZES; which++) {
        if (zero >> which & 1) {
            *size_of(&options, which) = 0;
        }
    }
    options.heads_kv = zero >> HEADS & 1 ? 0 : 2;
    attention_case c;
    run_attention_case(&c, &options, variant & 8 ? guard_forbidden() : NULL, context);
    if (zero >> SEQ_KV & 1) {
        assert_all(&c.out, 0.0);
        assert_all(&c.lse, -HUGE_VAL);
    } else if (zero >> DIM_QK & 1 && options.causal == SOFTATTN_CAUSAL_NONE) {
        /* all scores are empty sums, 0: the weights are equal */
        for (int64_t i = 0; i < array_count(&c.lse); i++) {
            assert_true(fabs(array_get(&c.lse, i) - log(6.0)) < 1e-6);
        }
        for (int64_t i = 0; options.wants_weights && i < array_count(&c.weights); i++) {
            assert_true(fabs(array_get(&c.weights, i) - 1.0 / 6.0) < 1e-6);
        }
    }
    assert_true(array_gaps_untouched(&c.out) && array_gaps_untouched(&c.lse));
    attention_case_destroy(&c);
}

static void attention_accepts_every_combination_of_zero_sizes(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        softattn_context *const context = context_create(NULL, threads);
        for (unsigned zero = 1; zero < 1u << SIZES; zero++) {
            for (int variant = 0; variant < 3 * 8; variant++) {
                check_attention(zero, variant, context);
            }
        }
        softattn_context_destroy(context);
    }
}

static void attention_over_dimensionless_keys_is_the_mean_of_values(void **state) {
    static const float v[6] = {1, 2, 4, 8, 16, 32};
    float out[4];
    (void)state;
    assert_ok(softattn_attention_f32(NULL, 1, 1, 1, 2, 3, 0, 2, NULL, NULL, v, out, SOFTATTN_CAUSAL_NONE));
    for (int i = 0; i < 4; i++) {
        assert_true(fabsf(out[i] - (i % 2 ? 14.0f : 7.0f)) < 1e-4f);
    }
}

static void flat_attention_without_keys_gives_zero(void **state) {
    const double q[6] = {1, 2, 3, 4, 5, 6};
    double out[4] = {77, 77, 77, 77};
    (void)state;
    assert_ok(
        softattn_attention_f64(NULL, 1, 1, 1, 2, 0, 3, 2, q, NULL, NULL, out, SOFTATTN_CAUSAL_TOP_LEFT));
    for (int i = 0; i < 4; i++) {
        assert_true(out[i] == 0.0);
    }
}

/* ---- Softmax ------------------------------------------------------------------------------------------- */

static void softmax_accepts_every_combination_of_zero_sizes(void **state) {
    (void)state;
    for (unsigned zero = 1; zero < 8; zero++) {
        for (int32_t axis = 0; axis < 3; axis++) {
            softmax_options options = {
                .type = ARRAY_F32, .rank = 3, .shape = {2, 3, 4}, .axis = axis, .scale = 1.0};
            for (int i = 0; i < 3; i++) {
                options.shape[i] = zero >> i & 1 ? 0 : options.shape[i];
            }
            softmax_case c;
            softmax_case_create(&c, &options, &contents);
            set_data_of_empty(&c.x, axis % 2 ? NULL : guard_forbidden());
            set_data_of_empty(&c.y, axis % 2 ? guard_forbidden() : NULL);
            assert_ok(softmax_case_run(&c, NULL));
            assert_all(&c.lse, -HUGE_VAL); /* those that exist are of rows without elements */
            assert_all(&c.row_max, -HUGE_VAL);
            softmax_case_destroy(&c);
        }
    }
}

static void flat_softmax_of_nothing_follows_no_pointer(void **state) {
    void *const forbidden = guard_forbidden();
    (void)state;
    assert_ok(softattn_softmax_f32(NULL, 0, 5, forbidden, 5, forbidden, 5));
    assert_ok(softattn_softmax_f32(NULL, 5, 0, forbidden, 0, forbidden, 0));
    assert_ok(softattn_softmax_f64(NULL, 0, 0, NULL, 0, NULL, 0));
    assert_ok(softattn_softmax_f64(NULL, 0, INT64_C(1) << 40, NULL, INT64_MAX, NULL, INT64_MIN));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_accepts_every_combination_of_zero_sizes),
        cmocka_unit_test(attention_over_dimensionless_keys_is_the_mean_of_values),
        cmocka_unit_test(flat_attention_without_keys_gives_zero),
        cmocka_unit_test(softmax_accepts_every_combination_of_zero_sizes),
        cmocka_unit_test(flat_softmax_of_nothing_follows_no_pointer),
    };
    random_start(&contents, "test_zero_sizes");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
