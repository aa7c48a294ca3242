/*
 * merge_lanes and merge_rows of every instruction set give the generic one's bits, and the same bits as each other, and
 * touch nothing outside their operands.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One side of a merge: out [rows][dim], or [dim][rows] in lane form. */
struct partial {
    struct reals out, max, sum;
};

struct merge_case {
    int64_t rows, dim, total_stride, chunk_stride;
    struct partial total, chunk;
    guard_side side;
};

static struct partial make_partial(const struct softattn_kernels *tested, int64_t rows, int64_t dim,
                                   guard_side side, random_source *random) {
    const int32_t real_bytes = tested->real_bytes;
    struct partial partial = {reals_create(real_bytes, rows * dim, side),
                              reals_create(real_bytes, rows, side), reals_create(real_bytes, rows, side)};
    reals_fill_normal(&partial.out, random, 3);
    reals_fill_normal(&partial.max, random, 20);
    for (int64_t r = 0; r < rows; r++) {
        const bool saw_nothing = random_below(random, 5) == 0;
        reals_set(&partial.sum, r, saw_nothing ? 0 : random_uniform(random, 1, 512));
        if (saw_nothing) {
            reals_set(&partial.max, r, -(double)INFINITY);
        }
    }
    if (table_is_exact(tested) && random_below(random, 4) == 0) {
        reals_sprinkle_specials(&partial.out, random, 10);
        reals_sprinkle_specials(&partial.max, random, 10);
        reals_sprinkle_specials(&partial.sum, random, 10);
    }
    return partial;
}

static struct partial copy_partial(const struct partial *partial, guard_side side) {
    return (struct partial){reals_copy(&partial->out, side), reals_copy(&partial->max, side),
                            reals_copy(&partial->sum, side)};
}

static void destroy_partial(struct partial *partial) {
    reals_destroy(&partial->out);
    reals_destroy(&partial->max);
    reals_destroy(&partial->sum);
}

/* [rows][cols] as [cols][stride], elements beyond `rows` in a row being sentinels. */
static struct reals turned(const struct reals *from, int64_t rows, int64_t cols, int64_t stride,
                           guard_side side) {
    struct reals to = reals_create(from->bytes, cols == 0 ? 0 : (cols - 1) * stride + rows, side);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            reals_set(&to, c * stride + r, reals_get(from, r * cols + c));
        }
    }
    return to;
}

/* The total after merging the lane form. */
static struct partial merged_lanes(const struct softattn_kernels *kernels, const struct merge_case *c) {
    struct partial total = copy_partial(&c->total, c->side);
    struct partial chunk = copy_partial(&c->chunk, c->side);
    kernels->merge_lanes(c->dim, c->rows, total.out.block.data, total.max.block.data, total.sum.block.data,
                         chunk.out.block.data, chunk.max.block.data, chunk.sum.block.data);
    destroy_partial(&chunk);
    return total;
}

/* The same by the row form; the lane form's out is turned into strided rows and back. */
static struct partial merged_rows(const struct softattn_kernels *kernels, const struct merge_case *c,
                                  const char *context) {
    struct partial total = copy_partial(&c->total, c->side);
    struct reals total_rows = turned(&total.out, c->dim, c->rows, c->total_stride, c->side);
    struct reals chunk_rows = turned(&c->chunk.out, c->dim, c->rows, c->chunk_stride, c->side);
    kernels->merge_rows(c->rows, c->dim, total_rows.block.data, c->total_stride, total.max.block.data,
                        total.sum.block.data, chunk_rows.block.data, c->chunk_stride, c->chunk.max.block.data,
                        c->chunk.sum.block.data);
    expect_gaps_untouched(context, &total_rows, c->dim, c->total_stride);
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t d = 0; d < c->dim; d++) {
            reals_set(&total.out, d * c->rows + r, reals_get(&total_rows, r * c->total_stride + d));
        }
    }
    reals_destroy(&total_rows);
    reals_destroy(&chunk_rows);
    return total;
}

static void compare(const char *context, const struct partial *actual, const struct partial *expected,
                    struct tolerance tolerance) {
    expect_equal(context, "out", &actual->out, &expected->out, tolerance);
    expect_equal(context, "max", &actual->max, &expected->max, tolerance_none);
    expect_equal(context, "sum", &actual->sum, &expected->sum, tolerance);
}

/*
 * Without fma two terms t * a + c * b are rounded three times instead of twice, and a and b differ by some units of
 * exp2: within 8 u of the terms' magnitudes, which are below 18 (six deviations of 3) in the outputs and below 512 in
 * the sums.
 */
static struct tolerance merge_tolerance(const struct softattn_kernels *tested) {
    const double roundoff = unit_roundoff(tested->real_bytes);
    return table_is_exact(tested) ? tolerance_none : (struct tolerance){8 * roundoff * 1024, 8 * roundoff};
}

static void check_merge(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                        random_source *random) {
    const int64_t lanes = tested->lanes();
    struct merge_case c = {.rows = lanes * random_between(random, 1, tested->query_vectors),
                           .dim = random_between(random, 0, 70),
                           .side = random_below(random, 2) ? GUARD_AFTER : GUARD_BEFORE};
    c.total_stride = c.dim + random_below(random, 20);
    c.chunk_stride = c.dim + random_below(random, 20);
    c.total = make_partial(tested, c.rows, c.dim, c.side, random);
    c.chunk = make_partial(tested, c.rows, c.dim, c.side, random);
    char context[200];
    snprintf(context, sizeof context, "%s f%d, %" PRId64 " rows, dim %" PRId64, tested->isa,
             8 * tested->real_bytes, c.rows, c.dim);
    struct partial expected = merged_lanes(generic, &c);
    struct partial lane_form = merged_lanes(tested, &c);
    struct partial row_form = merged_rows(tested, &c, context);
    compare(context, &lane_form, &expected, merge_tolerance(tested));
    compare(context, &row_form, &lane_form, tolerance_none);
    destroy_partial(&expected);
    destroy_partial(&lane_form);
    destroy_partial(&row_form);
    destroy_partial(&c.total);
    destroy_partial(&c.chunk);
}

static void merges_equal_generic(const struct softattn_kernels *tested,
                                 const struct softattn_kernels *generic, random_source *random) {
    for (int64_t i = 0; i < test_rounds(); i++) {
        check_merge(tested, generic, random);
    }
}

int main(void) { return check_tables("test_merge", merges_equal_generic); }
