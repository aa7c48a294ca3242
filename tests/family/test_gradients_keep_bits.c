/*
 * Derivatives of softmax, cross-entropy and its total are the same bits on every instruction set with fused
 * multiply-add, with any number of threads, in any layout and alignment, in place or not, and in runs so
 * large that results are stored around the caches.
 */
#include "backward_case.h"
#include "compare.h"
#include "contexts.h"
#include "entropy_case.h"
#include "expect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_PROBLEMS = 60, SOME_ELEMENTS = 1500, MANY_ELEMENTS = 300000 };

/* A problem as two contexts, or two sets of options, may see it: contents are the same for the same random
 * source. */
static void compare_products(const backward_options *options, const softattn_context *context,
                             const backward_options *expected_options,
                             const softattn_context *expected_context, random_source *random) {
    backward_case actual, expected;
    random_source same = *random;
    backward_case_create(&expected, expected_options, random);
    backward_case_create(&actual, options, &same);
    EXPECT(backward_case_run(&expected, expected_context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(backward_case_run(&actual, context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(compare_bits("product", backward_case_result(&actual), backward_case_result(&expected)) == 0,
           "on %s with %d threads: %s", softattn_context_isa(context), softattn_context_threads(context),
           backward_case_text(&actual));
    backward_case_destroy(&actual);
    backward_case_destroy(&expected);
}

static void compare_entropies(const entropy_options *options, const softattn_context *context,
                              const entropy_options *expected_options,
                              const softattn_context *expected_context, random_source *random) {
    entropy_case actual, expected;
    random_source same = *random;
    entropy_case_create(&expected, expected_options, random);
    entropy_case_create(&actual, options, &same);
    EXPECT(entropy_case_run(&expected, expected_context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(entropy_case_run(&actual, context) == SOFTATTN_OK, "%s", last_error());
    int64_t differences =
        compare_bits("losses", &actual.losses, &expected.losses) +
        compare_bits("gradient", entropy_case_gradient(&actual), entropy_case_gradient(&expected)) +
        compare_bits("lse", &actual.lse, &expected.lse);
    if (options->reduction != SOFTATTN_REDUCTION_NONE) {
        differences += compare_bits("total", &actual.total, &expected.total);
    }
    EXPECT(differences == 0, "on %s with %d threads: %s", softattn_context_isa(context),
           softattn_context_threads(context), entropy_case_text(&actual));
    entropy_case_destroy(&actual);
    entropy_case_destroy(&expected);
}

/* ---- Contexts ---- */

static void contexts_do_not_change_bits(const softattn_context *context,
                                        const softattn_context *expected_context, int64_t problems,
                                        int64_t elements, random_source *random) {
    for (int64_t i = 0; i < problems; i++) {
        const backward_options product = backward_options_random(random, elements);
        const entropy_options entropy = entropy_options_random(random, elements);
        compare_products(&product, context, &product, expected_context, random);
        compare_entropies(&entropy, context, &entropy, expected_context, random);
    }
}

static void instruction_sets_do_not_change_bits(random_source *random) {
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        if (isa_is_exact(softattn_isa_name(i))) {
            softattn_context *const context = context_create(softattn_isa_name(i), 1);
            contexts_do_not_change_bits(context, generic, RANDOM_PROBLEMS, SOME_ELEMENTS, random);
            softattn_context_destroy(context);
        }
    }
    softattn_context_destroy(generic);
}

/* Rows enough for every thread to get some, losses enough for their sum to show its order. */
static void threads_do_not_change_bits(random_source *random) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const serial = context_create(softattn_isa_name(i), 1);
        for (int32_t threads = 2; threads <= 7; threads += 5) {
            softattn_context *const context = context_create(softattn_isa_name(i), threads);
            contexts_do_not_change_bits(context, serial, 2, MANY_ELEMENTS, random);
            for (int type = 0; type < 2; type++) {
                const entropy_options tall = entropy_options_plain(type ? ARRAY_F64 : ARRAY_F32, 30000, 9);
                compare_entropies(&tall, context, &tall, serial, random);
            }
            softattn_context_destroy(context);
        }
        softattn_context_destroy(serial);
    }
}

/* ---- Layouts ---- */

static void layouts_do_not_change_bits(const softattn_context *context, random_source *random) {
    for (int i = 0; i < RANDOM_PROBLEMS; i++) {
        const backward_options product = backward_options_random(random, SOME_ELEMENTS);
        const entropy_options entropy = entropy_options_random(random, SOME_ELEMENTS);
        backward_options compact_product = product;
        entropy_options compact_entropy = entropy;
        compact_product.layout = compact_product.output_layout = ARRAY_COMPACT;
        compact_entropy.layout = compact_entropy.output_layout = ARRAY_COMPACT;
        compact_product.in_place = compact_entropy.in_place = false;
        compare_products(&product, context, &compact_product, context, random);
        compare_entropies(&entropy, context, &compact_entropy, context, random);
    }
}

enum { ALIGNED_ROWS = 3, ALIGNED_COLS = 75, BUFFER = ALIGNED_ROWS * ALIGNED_COLS + 32 };

/* Arrays that start `shift` elements behind a boundary of 128 bytes. */
static void run_shifted(const softattn_context *context, int shift, const float *numbers, float *results) {
    static const int64_t targets[ALIGNED_ROWS] = {5, 74, 0};
    float *const y = aligned_alloc(128, (BUFFER * sizeof(float) + 127) / 128 * 128);
    float *const dx = aligned_alloc(128, (BUFFER * sizeof(float) + 127) / 128 * 128);
    const size_t bytes = ALIGNED_ROWS * ALIGNED_COLS * sizeof(float);
    const int64_t cols = ALIGNED_COLS;
    if (y == NULL || dx == NULL) {
        abort();
    }
    memcpy(y + shift, numbers, bytes);
    EXPECT(softattn_softmax_backward_f32(context, ALIGNED_ROWS, cols, y + shift, cols, y + shift, cols,
                                         dx + shift, cols) == SOFTATTN_OK,
           "%s", last_error());
    memcpy(results, dx + shift, bytes);
    EXPECT(softattn_cross_entropy_f32(context, ALIGNED_ROWS, cols, y + shift, cols, targets, NULL, dx + shift,
                                      cols) == SOFTATTN_OK,
           "%s", last_error());
    memcpy(results + ALIGNED_ROWS * ALIGNED_COLS, dx + shift, bytes);
    free(y);
    free(dx);
}

static void alignment_does_not_change_bits(const softattn_context *context, random_source *random) {
    float numbers[ALIGNED_ROWS * ALIGNED_COLS];
    float expected[2 * ALIGNED_ROWS * ALIGNED_COLS], actual[2 * ALIGNED_ROWS * ALIGNED_COLS];
    for (int i = 0; i < ALIGNED_ROWS * ALIGNED_COLS; i++) {
        numbers[i] = (float)random_normal(random);
    }
    run_shifted(context, 0, numbers, expected);
    for (int shift = 1; shift < 32; shift++) {
        run_shifted(context, shift, numbers, actual);
        EXPECT(memcmp(actual, expected, sizeof actual) == 0, "on %s, shifted by %d",
               softattn_context_isa(context), shift);
    }
}

/* ---- Around the caches ---- */

/* 96 MiB in three arrays: more than a core's share of the last cache, so the big run streams its results and
 * the small one, of its last rows alone, does not. The gradients are of sums: a mean's depends on the other
 * rows. */
enum { BIG_ELEMENTS = 4099 * 2047, LAST_ROWS = 5 };

static float *make_floats(int64_t count) {
    float *const floats = malloc((size_t)count * sizeof *floats);
    if (floats == NULL) {
        abort();
    }
    return floats;
}

static void streaming_does_not_change_bits(const softattn_context *context, int64_t cols,
                                           random_source *random) {
    const int64_t rows = BIG_ELEMENTS / cols, elements = rows * cols, last = elements - LAST_ROWS * cols;
    const size_t last_bytes = (size_t)(LAST_ROWS * cols) * sizeof(float);
    float *const y = make_floats(elements), *const v = make_floats(elements);
    float *const out = make_floats(elements), *const small = make_floats(LAST_ROWS * cols);
    int64_t *const targets = calloc((size_t)rows, sizeof *targets);
    if (targets == NULL) {
        abort();
    }
    for (int64_t i = 0; i < elements; i++) {
        y[i] = i < last ? 1.0f / (float)cols : (float)random_uniform(random, 0, 2.0 / (double)cols);
        v[i] = i < last ? 1.0f : (float)random_normal(random);
    }
    for (int64_t row = 0; row < rows; row++) {
        targets[row] = row < rows - LAST_ROWS ? -100 : random_below(random, cols); /* the others ignored */
    }
    EXPECT(softattn_softmax_backward_f32(context, rows, cols, y, cols, v, cols, out, cols) == SOFTATTN_OK,
           "%s", last_error());
    EXPECT(softattn_softmax_backward_f32(context, LAST_ROWS, cols, y + last, cols, v + last, cols, small,
                                         cols) == SOFTATTN_OK,
           "%s", last_error());
    EXPECT(memcmp(out + last, small, last_bytes) == 0, "backward of %" PRId64 " columns on %s", cols,
           softattn_context_isa(context));
    EXPECT(softattn_cross_entropy_f32(context, rows, cols, v, cols, targets, NULL, out, cols) == SOFTATTN_OK,
           "%s", last_error());
    EXPECT(softattn_cross_entropy_f32(context, LAST_ROWS, cols, v + last, cols, targets + rows - LAST_ROWS,
                                      NULL, small, cols) == SOFTATTN_OK,
           "%s", last_error());
    EXPECT(memcmp(out + last, small, last_bytes) == 0, "cross-entropy of %" PRId64 " columns on %s", cols,
           softattn_context_isa(context));
    free(y);
    free(v);
    free(out);
    free(small);
    free(targets);
}

int main(void) {
    random_source random;
    random_start(&random, "test_gradients_keep_bits");
    instruction_sets_do_not_change_bits(&random);
    threads_do_not_change_bits(&random);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        layouts_do_not_change_bits(context, &random);
        alignment_does_not_change_bits(context, &random);
        const int64_t widths[] = {2047, 100, 45, 24};
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            streaming_does_not_change_bits(context, widths[w], &random);
        }
        softattn_context_destroy(context);
    }
    return expect_summary();
}
