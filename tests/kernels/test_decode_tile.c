/*
 * decode_tile gives the bits of attention_tile of the same instruction set for every row, key and dimension, so that
 * decoding continues a prefill to the bit, and the generic one's bits. It touches nothing outside its operands.
 */
#include "expect.h"
#include "tables.h"
#include "tile_problem.h"

#include <stdio.h>

/* The maximum's zero may have either sign, depending on the order of comparisons; the weights do not show it. */
static void make_zeros_positive(struct reals *array) {
    for (int64_t i = 0; i < array->count; i++) {
        reals_set(array, i, reals_get(array, i) + 0.0);
    }
}

static void compare(const char *context, struct tile_results *actual, struct tile_results *expected,
                    struct tile_tolerances tolerances) {
    make_zeros_positive(&actual->max);
    make_zeros_positive(&expected->max);
    expect_equal(context, "out", &actual->out, &expected->out, tolerances.out);
    expect_equal(context, "max", &actual->max, &expected->max, tolerances.max);
    expect_equal(context, "sum", &actual->sum, &expected->sum, tolerances.sum);
}

static void check_problem(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                          int64_t rows, random_source *random) {
    const bool exact = table_is_exact(tested);
    const struct tile_tolerances none = {{0, 0}, {0, 0}, {0, 0}};
    struct tile_problem problem = tile_problem_random(tested->real_bytes, rows, exact, random);
    struct tile_results decoded = tile_run_rows(tested, &problem);
    struct tile_results prefilled = tile_run_lanes(tested, &problem);
    struct tile_results expected = tile_run_rows(generic, &problem);
    char text[300], context[350];
    tile_problem_text(&problem, text, sizeof text);
    snprintf(context, sizeof context, "%s against its attention_tile, %s", tested->isa, text);
    compare(context, &decoded, &prefilled, none);
    snprintf(context, sizeof context, "%s against generic, %s", tested->isa, text);
    compare(context, &decoded, &expected, exact ? none : tile_tolerances_without_fma(&problem));
    tile_results_destroy(&decoded);
    tile_results_destroy(&prefilled);
    tile_results_destroy(&expected);
    tile_problem_destroy(&problem);
}

static void decode_tile_equals_attention_tile(const struct softattn_kernels *tested,
                                              const struct softattn_kernels *generic, random_source *random) {
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_problem(tested, generic, random_between(random, 1, tested->decode_rows), random);
    }
}

int main(void) { return check_tables("test_decode_tile", decode_tile_equals_attention_tile); }
