/*
 * A row of softmax is the same bits whatever the thread count, the rows around it, the layout, the dimensions that number the
 * rows, the alignment and the store path, on every instruction set.
 */
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "softmax_case.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 8 };

static void softmax_ignores_the_thread_count(const char *isa, random_source *random) {
    for (int variant = 0; variant < 8; variant++) {
        softmax_options options = softmax_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 301, 129);
        options.axis = variant / 2 % 2;
        options.keep.given = variant < 4;
        options.lengths.given = variant >= 4;
        softmax_case c;
        test_array serial;
        softmax_case_create(&c, &options, random);
        array_create(&serial, options.type, 2, options.shape, ARRAY_COMPACT, GUARD_AFTER);
        for (int32_t threads = 1; threads <= MOST_THREADS; threads++) {
            softattn_context *const context = context_create(isa, threads);
            EXPECT(softmax_case_run(&c, context) == SOFTATTN_OK, "%s", last_error());
            if (threads == 1) {
                array_copy(&serial, &c.y);
            }
            EXPECT(compare_bits("y", &c.y, &serial) == 0, "%d threads on %s", (int)threads, isa);
            array_fill(&c.y, 0.0);
            softattn_context_destroy(context);
        }
        array_destroy(&serial);
        softmax_case_destroy(&c);
    }
}

/* One matrix in every layout, in place and not, along either axis of its transpose. */
static void softmax_ignores_the_layout(const char *isa, random_source *random) {
    softattn_context *const context = context_create(isa, 1);
    for (int variant = 0; variant < 2 * ARRAY_LAYOUTS * ARRAY_BACKWARDS; variant++) {
        softmax_options options = softmax_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 9, 83);
        random_source contents = *random;
        softmax_case compact, other;
        softmax_case_create(&compact, &options, random);
        options.layout = (array_layout)(variant / 2 % ARRAY_LAYOUTS);
        options.output_layout = (array_layout)(variant / 2 / ARRAY_LAYOUTS);
        options.in_place = options.layout == options.output_layout;
        options.side = GUARD_BEFORE;
        softmax_case_create(&other, &options, &contents);
        EXPECT(softmax_case_run(&compact, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softmax_case_run(&other, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("y", softmax_case_result(&other), &compact.y) == 0 &&
                   compare_bits("lse", &other.lse, &compact.lse) == 0,
               "on %s: %s", isa, softmax_case_text(&other));
        softmax_case_destroy(&compact);
        softmax_case_destroy(&other);
    }
    softattn_context_destroy(context);
}

/* Rows in one dimension and in several, with lengths and a causal mask that tell them apart; in the padded layout dimensions are
 * not one as they lie in memory. */
static void softmax_ignores_how_rows_are_numbered(const char *isa, random_source *random) {
    enum { COLS = 37, SHAPES = 6 };
    static const struct {
        int32_t rank;
        int64_t shape[SOFTATTN_MAX_RANK];
    } numberings[SHAPES] = {{3, {4, 15, COLS}},          {4, {1, 4, 15, COLS}},
                            {4, {2, 2, 15, COLS}},       {5, {4, 1, 1, 15, COLS}},
                            {6, {1, 2, 1, 2, 15, COLS}}, {8, {1, 1, 2, 1, 2, 1, 15, COLS}}};
    softattn_context *const context = context_create(isa, 1);
    for (int variant = 0; variant < 16 * SHAPES; variant++) {
        softmax_options options = softmax_options_plain(variant % 2 ? ARRAY_F64 : ARRAY_F32, 60, COLS);
        random_source contents = *random;
        softmax_case flat, other;
        options.lengths.given = variant / 4 % 2;
        options.keep.given = variant / 8 % 2;
        options.rank = numberings[0].rank;
        options.axis = options.rank - 1;
        memcpy(options.shape, numberings[0].shape, sizeof options.shape);
        options.causal = variant / 2 % 2 ? SOFTATTN_CAUSAL_TOP_LEFT : SOFTATTN_CAUSAL_NONE;
        softmax_case_create(&flat, &options, random);
        options.rank = numberings[variant / 16].rank;
        options.axis = options.rank - 1;
        memcpy(options.shape, numberings[variant / 16].shape, sizeof options.shape);
        options.layout = variant % 3 ? ARRAY_COMPACT : ARRAY_PADDED;
        options.output_layout = variant % 5 ? ARRAY_COMPACT : ARRAY_PADDED;
        softmax_case_create(&other, &options, &contents);
        EXPECT(softmax_case_run(&flat, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softmax_case_run(&other, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(compare_bits("y", &other.y, &flat.y) == 0 && compare_bits("lse", &other.lse, &flat.lse) == 0 &&
                   compare_bits("row_max", &other.row_max, &flat.row_max) == 0,
               "on %s: %s", isa, softmax_case_text(&other));
        softmax_case_destroy(&flat);
        softmax_case_destroy(&other);
    }
    softattn_context_destroy(context);
}

/* The same row at every offset from an aligned address, read from and written to. */
static void softmax_ignores_the_alignment(const char *isa, random_source *random) {
    enum { COLS = 150, OFFSETS = 17 };
    softattn_context *const context = context_create(isa, 1);
    float x[COLS + OFFSETS], y[COLS + OFFSETS], values[COLS], first[COLS];
    for (int i = 0; i < COLS; i++) {
        values[i] = (float)random_normal(random);
    }
    for (int cols = 1; cols <= COLS; cols += 7) {
        for (int offset = 0; offset < OFFSETS * OFFSETS; offset++) {
            float *const from = x + offset % OFFSETS, *const to = y + offset / OFFSETS;
            memcpy(from, values, sizeof values);
            EXPECT(softattn_softmax_f32(context, 1, cols, from, cols, to, cols) == SOFTATTN_OK, "%s",
                   last_error());
            if (offset == 0) {
                memcpy(first, to, (size_t)cols * sizeof *first);
            }
            EXPECT(memcmp(to, first, (size_t)cols * sizeof *first) == 0, "%d cols from +%d to +%d on %s",
                   cols, offset % OFFSETS, offset / OFFSETS, isa);
        }
    }
    softattn_context_destroy(context);
}

/* Whether the y of some rows of a matrix without gaps is the softmax of each alone. */
static void check_rows_alone(const softattn_context *context, int64_t rows, int64_t cols, const float *x,
                             const float *y, random_source *random) {
    enum { ROWS_CHECKED = 60 };
    float *const row = malloc((size_t)cols * sizeof *row);
    if (!row) {
        abort();
    }
    for (int i = 0; i < ROWS_CHECKED; i++) {
        const int64_t r = i == 0 ? 0 : i == 1 ? rows - 1 : random_below(random, rows);
        EXPECT(softattn_softmax_f32(context, 1, cols, x + r * cols, cols, row, cols) == SOFTATTN_OK, "%s",
               last_error());
        EXPECT(memcmp(row, y + r * cols, (size_t)cols * sizeof *row) == 0,
               "row %" PRId64 " of %" PRId64 " with %" PRId64 " columns on %s", r, rows, cols,
               softattn_context_isa(context));
    }
    free(row);
}

static float *make_scores(size_t count, random_source *random) {
    float *const x = malloc(count * sizeof *x);
    if (!x) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(random_bits(random) >> 40) * 0x1p-20f; /* 0 … 16 */
    }
    return x;
}

/* Short rows, of which kernels may take some dozens at a time and others one by one. */
static void softmax_ignores_how_many_rows_there_are(const char *isa, random_source *random) {
    enum { MOST_ROWS = 150, MOST_COLS = 100 };
    softattn_context *const context = context_create(isa, 1);
    float *const x = make_scores(MOST_ROWS * MOST_COLS, random), *const y = make_scores(MOST_ROWS * MOST_COLS,
                                                                                        random);
    for (int64_t cols = 1; cols <= MOST_COLS; cols++) {
        const int64_t rows = random_between(random, 2, MOST_ROWS);
        EXPECT(softattn_softmax_f32(context, rows, cols, x, cols, y, cols) == SOFTATTN_OK, "%s",
               last_error());
        check_rows_alone(context, rows, cols, x, y, random);
    }
    free(x);
    free(y);
    softattn_context_destroy(context);
}

/* Matrices far larger than the caches, which may be stored in another way, to a place that is not aligned. */
static void softmax_of_a_large_matrix_equals_its_rows(const char *isa, random_source *random) {
    static const int64_t widths[] = {1031, 100, 45, 24};
    const int64_t count = 9000 * 1031;
    softattn_context *const context = context_create(isa, 2);
    float *const x = make_scores((size_t)count, random), *const y = malloc((size_t)(count + 1) * sizeof *y);
    if (!y) {
        abort();
    }
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int64_t cols = widths[i], rows = count / cols;
        EXPECT(softattn_softmax_f32(context, rows, cols, x, cols, y + 1, cols) == SOFTATTN_OK, "%s",
               last_error());
        check_rows_alone(context, rows, cols, x, y + 1, random);
    }
    free(x);
    free(y);
    softattn_context_destroy(context);
}

int main(void) {
    random_source random;
    random_start(&random, "test_softmax_bits_on_any_machine");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        const char *const isa = softattn_isa_name(i);
        softmax_ignores_the_thread_count(isa, &random);
        softmax_ignores_the_layout(isa, &random);
        softmax_ignores_how_rows_are_numbered(isa, &random);
        softmax_ignores_the_alignment(isa, &random);
        softmax_ignores_how_many_rows_there_are(isa, &random);
        softmax_of_a_large_matrix_equals_its_rows(isa, &random);
    }
    return expect_summary();
}
