/*
 * attention_tile of every instruction set gives the generic one's bits for every query, whatever the width of the block
 * and the other queries in it: any dimensions, strides, range of keys, mask and option; masked values may be anything. It
 * touches nothing outside its operands.
 */
#include "expect.h"
#include "tables.h"
#include "tile_problem.h"

#include <stdio.h>

static void check_problem(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                          int64_t queries, random_source *random) {
    const bool exact = table_is_exact(tested);
    struct tile_problem problem = tile_problem_random(tested->real_bytes, queries, exact, random);
    struct tile_results actual = tile_run_lanes(tested, &problem);
    struct tile_results expected = tile_run_lanes(generic, &problem);
    const struct tile_tolerances tolerances =
        exact ? (struct tile_tolerances){{0, 0}, {0, 0}, {0, 0}} : tile_tolerances_without_fma(&problem);
    char text[300], context[320];
    tile_problem_text(&problem, text, sizeof text);
    snprintf(context, sizeof context, "%s %s", tested->isa, text);
    expect_equal(context, "out", &actual.out, &expected.out, tolerances.out);
    expect_equal(context, "max", &actual.max, &expected.max, tolerances.max);
    expect_equal(context, "sum", &actual.sum, &expected.sum, tolerances.sum);
    tile_results_destroy(&actual);
    tile_results_destroy(&expected);
    tile_problem_destroy(&problem);
}

static void attention_tile_equals_generic(const struct softattn_kernels *tested,
                                          const struct softattn_kernels *generic, random_source *random) {
    const int64_t block = tested->query_vectors * tested->lanes();
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_problem(tested, generic, random_between(random, 1, block + 1), random);
    }
}

int main(void) { return check_tables("test_attention_tile", attention_tile_equals_generic); }
