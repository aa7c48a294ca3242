/*
 * decode_heads gives each of its tiles the bits of decode_tile, whatever the tiles beside it hold, and touches nothing outside their
 * operands.
 */
#include "expect.h"
#include "tables.h"
#include "tile_problem.h"

#include <inttypes.h>
#include <stdio.h>

static void check_heads(const struct softattn_kernels *tested, int64_t count, random_source *random) {
    const struct tolerance none = {0, 0};
    struct tile_problem problems[SOFTATTN_MAX_DECODE_HEADS] = {0};
    struct tile_results together[SOFTATTN_MAX_DECODE_HEADS];
    for (int64_t h = 0; h < count; h++) {
        const int64_t rows = random_between(random, 1, tested->decode_rows);
        problems[h] = tile_problem_random(tested->real_bytes, rows, true, random);
    }
    tile_run_heads(tested, problems, count, together);
    for (int64_t h = 0; h < count; h++) {
        struct tile_results alone = tile_run_rows(tested, &problems[h]);
        char text[300], context[370];
        tile_problem_text(&problems[h], text, sizeof text);
        snprintf(context, sizeof context, "%s, head %" PRId64 " of %" PRId64 ", %s", tested->isa, h, count,
                 text);
        expect_equal(context, "out", &together[h].out, &alone.out, none);
        expect_equal(context, "max", &together[h].max, &alone.max, none);
        expect_equal(context, "sum", &together[h].sum, &alone.sum, none);
        tile_results_destroy(&alone);
        tile_results_destroy(&together[h]);
        tile_problem_destroy(&problems[h]);
    }
}

static void decode_heads_equals_decode_tile(const struct softattn_kernels *tested,
                                            const struct softattn_kernels *generic, random_source *random) {
    (void)generic;
    for (int64_t i = 0; i < test_rounds() && tested->decode_heads != NULL; i++) {
        const int64_t most = random_below(random, 8) == 0 ? tested->decode_heads_together : 7;
        check_heads(tested, random_between(random, 1, most), random);
    }
}

int main(void) { return check_tables("test_decode_heads", decode_heads_equals_decode_tile); }
