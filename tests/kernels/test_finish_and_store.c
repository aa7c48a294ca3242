/*
 * finish, store_lanes and store_rows of every instruction set give the generic one's bits, and touch nothing outside
 * their operands, gaps between output rows included. Of a row without visible keys nothing shows, of others even a value times 0.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static guard_side random_side(random_source *random) {
    return random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
}

/* ---- finish ---- */

struct finish_results {
    struct reals factor, lse;
};

static struct finish_results run_finish(const struct softattn_kernels *kernels, double keep_scale,
                                        const struct reals *sink, const struct reals *max,
                                        const struct reals *sum, bool wants_lse, guard_side side) {
    struct finish_results results = {reals_create(kernels->real_bytes, max->count, side),
                                     reals_create(kernels->real_bytes, max->count, side)};
    kernels->finish(max->count, keep_scale, sink ? sink->block.data : NULL, max->block.data, sum->block.data,
                    results.factor.block.data, wants_lse ? results.lse.block.data : NULL);
    return results;
}

static void destroy_finish(struct finish_results *results) {
    reals_destroy(&results->factor);
    reals_destroy(&results->lse);
}

static void check_finish(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                         random_source *random) {
    const int32_t bytes = tested->real_bytes;
    const int64_t n = random_between(random, 0, 3 * 64);
    const guard_side side = random_side(random);
    const double keep_scale = random_below(random, 2) ? 1 : random_uniform(random, 1, 10);
    const bool has_sink = random_below(random, 2), wants_lse = random_below(random, 3) != 0;
    struct reals max = reals_create(bytes, n, side), sum = reals_create(bytes, n, side);
    struct reals sink = reals_create(bytes, n, side);
    reals_fill_normal(&max, random, 30);
    reals_fill_normal(&sink, random, 30);
    for (int64_t i = 0; i < n; i++) {
        const bool saw_nothing = random_below(random, 5) == 0;
        reals_set(&sum, i, saw_nothing ? 0 : random_uniform(random, 1, 4096));
        reals_set(&max, i, saw_nothing ? -(double)INFINITY : reals_get(&max, i));
    }
    if (table_is_exact(tested) && random_below(random, 3) == 0) {
        reals_sprinkle_specials(&sum, random, 8);
        reals_sprinkle_specials(&sink, random, 8);
    }
    struct finish_results actual =
        run_finish(tested, keep_scale, has_sink ? &sink : NULL, &max, &sum, wants_lse, side);
    struct finish_results expected =
        run_finish(generic, keep_scale, has_sink ? &sink : NULL, &max, &sum, wants_lse, side);
    char context[200];
    snprintf(context, sizeof context, "finish, %s f%d, %" PRId64 " rows, sink %d", tested->isa, 8 * bytes, n,
             has_sink);
    /* Without fma the sum and the weights in it are off by a few units, lse by as many of its terms, below 256. */
    const double roundoff = unit_roundoff(bytes);
    const struct tolerance few = {8 * roundoff * 256, 16 * roundoff};
    expect_equal(context, "factor", &actual.factor, &expected.factor,
                 table_is_exact(tested) ? tolerance_none : few);
    expect_equal(context, "lse", &actual.lse, &expected.lse, table_is_exact(tested) ? tolerance_none : few);
    destroy_finish(&actual);
    destroy_finish(&expected);
    reals_destroy(&max);
    reals_destroy(&sum);
    reals_destroy(&sink);
}

/* ---- store_lanes, store_rows ---- */

/* Multiplying by the factor is one rounding on every instruction set; without fma only the sign of a product that underflows
 * to 0 differs, which a tolerance forgives. */
static void check_store(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                        random_source *random) {
    const int32_t bytes = tested->real_bytes;
    const int64_t block = tested->lanes() * random_between(random, 1, tested->query_vectors);
    const int64_t rows = random_between(random, 0, block), dim = random_between(random, 0, 140);
    const int64_t from_stride = dim + random_below(random, 9), to_stride = dim + random_below(random, 9);
    const int64_t to_count = rows == 0 || dim == 0 ? 0 : (rows - 1) * to_stride + dim;
    const guard_side side = random_side(random);
    struct reals factor = reals_create(bytes, rows, side);
    struct reals lanes = reals_create(bytes, dim * block, side);
    struct reals strided = reals_create(bytes, rows == 0 ? 0 : (rows - 1) * from_stride + dim, side);
    reals_fill_normal(&factor, random, 1);
    reals_fill_normal(&lanes, random, 1);
    reals_fill_normal(&strided, random, 1);
    reals_sprinkle_specials(&lanes, random, 50);
    reals_sprinkle_specials(&strided, random, 50);
    const struct tolerance any_zero = {2 * smallest_normal(bytes) * unit_roundoff(bytes), 0};
    char context[200];
    for (int by_lanes = 0; by_lanes < 2; by_lanes++) {
        struct reals to[2] = {reals_create(bytes, to_count, side), reals_create(bytes, to_count, side)};
        const struct softattn_kernels *kernels[2] = {tested, generic};
        for (int i = 0; i < 2; i++) {
            if (by_lanes) {
                struct reals used_up = reals_copy(&lanes, side);
                kernels[i]->store_lanes(rows, dim, block, used_up.block.data, factor.block.data,
                                        to[i].block.data, to_stride);
                reals_destroy(&used_up);
            } else {
                kernels[i]->store_rows(rows, dim, strided.block.data, from_stride, factor.block.data,
                                       to[i].block.data, to_stride);
            }
        }
        snprintf(context, sizeof context, "%s, %s f%d, %" PRId64 " rows, block %" PRId64 ", dim %" PRId64,
                 by_lanes ? "store_lanes" : "store_rows", tested->isa, 8 * bytes, rows, block, dim);
        expect_equal(context, "to", &to[0], &to[1], table_is_exact(tested) ? tolerance_none : any_zero);
        expect_gaps_untouched(context, &to[0], dim, to_stride);
        reals_destroy(&to[0]);
        reals_destroy(&to[1]);
    }
    reals_destroy(&factor);
    reals_destroy(&lanes);
    reals_destroy(&strided);
}

/* The factor of a row without visible keys, of one whose keys weigh nothing beside the sink, of one that has its weight, and of
 * one without keys and with a sink of NaN. */
static void check_emptiness(const struct softattn_kernels *tested) {
    enum { ROWS = 4 };
    const double maxima[ROWS] = {-(double)INFINITY, 0, 0, -(double)INFINITY}, sums[ROWS] = {0, 1, 1, 0};
    const double sinks[ROWS] = {5, 1e4, -1e4, NAN};
    const double to_expected[ROWS] = {0, NAN, NAN, NAN}, factors_expected[ROWS] = {-1, 0, 8, NAN};
    const int32_t bytes = tested->real_bytes;
    const int64_t block = tested->lanes() * ((ROWS + tested->lanes() - 1) / tested->lanes());
    struct reals max = reals_create(bytes, ROWS, GUARD_AFTER), sum = reals_create(bytes, ROWS, GUARD_AFTER);
    struct reals sink = reals_create(bytes, ROWS, GUARD_AFTER),
                 factor = reals_create(bytes, ROWS, GUARD_AFTER);
    struct reals from = reals_create(bytes, block, GUARD_AFTER);
    struct reals by_rows = reals_create(bytes, ROWS, GUARD_AFTER),
                 by_lanes = reals_create(bytes, ROWS, GUARD_AFTER);
    for (int r = 0; r < ROWS; r++) {
        reals_set(&max, r, maxima[r]);
        reals_set(&sum, r, sums[r]);
        reals_set(&sink, r, sinks[r]);
    }
    reals_fill(&from, NAN);
    tested->finish(ROWS, 8, sink.block.data, max.block.data, sum.block.data, factor.block.data, NULL);
    tested->store_rows(ROWS, 1, from.block.data, 1, factor.block.data, by_rows.block.data, 1);
    tested->store_lanes(ROWS, 1, block, from.block.data, factor.block.data, by_lanes.block.data, 1);
    for (int r = 0; r < ROWS; r++) {
        const double f = reals_get(&factor, r);
        EXPECT(f == factors_expected[r] || (isnan(f) && isnan(factors_expected[r])),
               "%s f%d, row %d: factor %g", tested->isa, 8 * bytes, r, f);
        for (int i = 0; i < 2; i++) {
            const double to = reals_get(i ? &by_lanes : &by_rows, r);
            EXPECT(to == to_expected[r] || (isnan(to) && isnan(to_expected[r])),
                   "%s f%d, row %d: NaN became %g", tested->isa, 8 * bytes, r, to);
        }
    }
    struct reals *const all[] = {&max, &sum, &sink, &factor, &from, &by_rows, &by_lanes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        reals_destroy(all[i]);
    }
}

static void finish_and_store_equal_generic(const struct softattn_kernels *tested,
                                           const struct softattn_kernels *generic, random_source *random) {
    check_emptiness(tested);
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_finish(tested, generic, random);
        check_store(tested, generic, random);
    }
}

int main(void) { return check_tables("test_finish_and_store", finish_and_store_equal_generic); }
