/*
 * softmax_columns and softmax_backward_columns of every instruction set give rows that lie side by side, and contiguous ones, the
 * bits that softmax_row and softmax_backward give each of them alone: any number of rows and columns, any distance of columns, either output, scales,
 * one score more, rows without visible scores, special values, 16-bit floats, log-sum-exp and maximum, in place, streamed.
 * Nothing but the rows is touched.
 */
#include "expect.h"
#include "guard.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOME_COLS = 100,
    MANY_COLS = 700,
    MOST_ROWS = 3 * SOFTATTN_BLOCK_VECTORS * SOFTATTN_MAX_LANES + 7,
    STATISTICS = 2
};

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

/* ---- Matrices by columns ---- */

/* What the tested rows have in common. */
struct shape {
    const struct softattn_kernels *kernels;
    int64_t rows, cols;
    int32_t format;
    size_t bytes; /* of an element */
    bool by_rows; /* contiguous rows, else contiguous columns */
};

/* Row r and column j at r * step + j * stride, of which one is 1, and so in pieces of `length` that many elements apart. */
struct matrix {
    const struct shape *shape;
    int64_t step, stride;
    int64_t pieces, length;
    guard_block block;
};

static void *matrix_at(const struct matrix *m, int64_t row, int64_t col) {
    return m->block.data + (size_t)(col * m->stride + row * m->step) * m->shape->bytes;
}

/* Everywhere sentinels. */
static struct matrix matrix_create(const struct shape *shape, random_source *random) {
    struct matrix m = {.shape = shape, .step = 1, .stride = 1};
    m.pieces = shape->by_rows ? shape->rows : shape->cols;
    m.length = shape->by_rows ? shape->cols : shape->rows;
    int64_t apart = m.length + (chance(random, 2) ? random_between(random, 1, 5) : 0);
    if (chance(random, 3)) { /* so that columns may be streamed, as rows may without gaps */
        apart = (m.length + 63) / 64 * 64;
    }
    apart = apart < 2 ? 2 : apart;
    *(shape->by_rows ? &m.step : &m.stride) = apart;
    const int64_t elements = shape->cols == 0 ? 0 : (m.pieces - 1) * apart + m.length;
    guard_create(&m.block, (size_t)elements * shape->bytes, chance(random, 2) ? 64 : shape->bytes,
                 chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE);
    return m;
}

static void put_number(const struct shape *shape, void *to, double value) {
    const float single = (float)value;
    if (shape->format != SOFTATTN_FORMAT_REAL) {
        shape->kernels->narrow(shape->format, 1, &single, to, 0);
    } else if (shape->bytes == sizeof single) {
        memcpy(to, &single, sizeof single);
    } else {
        memcpy(to, &value, sizeof value);
    }
}

static void matrix_fill(const struct matrix *m, double mean, double deviation, double special, int64_t one_in,
                        random_source *random) {
    for (int64_t j = 0; j < m->shape->cols; j++) {
        for (int64_t r = 0; r < m->shape->rows; r++) {
            const double value = mean + deviation * random_normal(random);
            put_number(m->shape, matrix_at(m, r, j), chance(random, one_in) ? special : value);
        }
    }
}

/* A row by itself, its elements neighbours. Freed by free(). */
static void *row_of(const struct matrix *m, int64_t row) {
    unsigned char *copy = malloc((size_t)(m->shape->cols + 1) * m->shape->bytes);
    if (copy == NULL) {
        abort();
    }
    for (int64_t j = 0; j < m->shape->cols; j++) {
        memcpy(copy + (size_t)j * m->shape->bytes, matrix_at(m, row, j), m->shape->bytes);
    }
    return copy;
}

static bool is_nan(const struct shape *shape, const void *element) {
    float single;
    double value;
    if (shape->format != SOFTATTN_FORMAT_REAL) {
        shape->kernels->widen(shape->format, 1, element, &single);
        return isnan(single);
    }
    if (shape->bytes == sizeof single) {
        memcpy(&single, element, sizeof single);
        return isnan(single);
    }
    memcpy(&value, element, sizeof value);
    return isnan(value);
}

static int64_t row_differences(const struct matrix *m, int64_t row, const unsigned char *expected) {
    int64_t differences = 0;
    for (int64_t j = 0; j < m->shape->cols; j++) {
        const void *a = matrix_at(m, row, j), *b = expected + (size_t)j * m->shape->bytes;
        differences += memcmp(a, b, m->shape->bytes) != 0 && !(is_nan(m->shape, a) && is_nan(m->shape, b));
    }
    return differences;
}

/* Bytes between columns, and around the matrix, that hold no sentinel. */
static int64_t gap_differences(const struct matrix *m) {
    int64_t differences = !guard_surroundings_untouched(&m->block);
    const size_t bytes = m->shape->bytes, apart = (size_t)(m->shape->by_rows ? m->step : m->stride) * bytes;
    for (int64_t i = 0; m->shape->cols > 0 && i + 1 < m->pieces; i++) {
        const unsigned char *piece = m->block.data + (size_t)i * apart;
        for (size_t b = (size_t)m->length * bytes; b < apart; b++) {
            differences += piece[b] != GUARD_SENTINEL;
        }
    }
    return differences;
}

static struct shape random_shape(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    struct shape shape = {.kernels = tested, .cols = cols, .bytes = (size_t)tested->real_bytes};
    shape.rows = random_between(random, 1, chance(random, 3) ? MOST_ROWS : 5 * tested->lanes() + 1);
    if (tested->real_bytes == sizeof(float) && chance(random, 2)) {
        shape.format = chance(random, 2) ? SOFTATTN_FORMAT_F16 : SOFTATTN_FORMAT_BF16;
        shape.bytes = sizeof(uint16_t);
    }
    shape.by_rows = shape.format == SOFTATTN_FORMAT_REAL && chance(random, 2);
    return shape;
}

static guard_block scratch_create(const struct shape *shape, int64_t reals) {
    guard_block scratch;
    guard_create(&scratch, (size_t)(reals * shape->kernels->real_bytes), 64, GUARD_AFTER);
    return scratch;
}

/* ---- Softmax ---- */

static struct softattn_row random_row(const struct shape *shape, random_source *random) {
    const double scales[] = {1, 1, 0.125, 1.7, 3.0e3};
    struct softattn_row row = {
        .rows = shape->rows, .cols = shape->cols, .last = shape->cols, .format = shape->format};
    row.scale = scales[random_below(random, 5)];
    row.output = (int32_t)random_below(random, 2);
    row.plus_one = chance(random, 4);
    row.empty_is_zero = chance(random, 2);
    row.lse_step = 1 + random_below(random, 3);
    row.max_step = 1 + random_below(random, 3);
    return row;
}

/* The row with this number by softmax_row, against what there is. */
static int64_t check_row(const struct softattn_row *all, const struct matrix *x, const struct matrix *y,
                         int64_t r) {
    const struct shape *shape = x->shape;
    const size_t real_bytes = (size_t)shape->kernels->real_bytes;
    struct softattn_row row = *all;
    unsigned char statistics[STATISTICS][sizeof(double)], *scores = row_of(x, r), *expected = row_of(x, r);
    guard_block scratch = scratch_create(shape, SOFTATTN_SCORES_SCRATCH(shape->cols));
    row.rows = row.x_stride = row.y_stride = 1;
    row.x = scores;
    row.y = expected;
    row.stream = 0;
    row.scratch = scratch.data;
    row.lse = all->lse ? statistics[0] : NULL;
    row.max = all->max ? statistics[1] : NULL;
    shape->kernels->softmax_row(&row);
    int64_t differences = all->y ? row_differences(y, r, expected) : 0;
    const struct shape values = {.kernels = shape->kernels, .bytes = real_bytes};
    for (int i = 0; i < STATISTICS; i++) {
        const unsigned char *actual = i == 0 ? all->lse : all->max;
        const int64_t step = i == 0 ? all->lse_step : all->max_step;
        const unsigned char *at = actual ? actual + (size_t)(r * step) * real_bytes : NULL;
        differences += at && memcmp(at, statistics[i], real_bytes) != 0 &&
                       !(is_nan(&values, at) && is_nan(&values, statistics[i]));
    }
    guard_destroy(&scratch);
    free(expected);
    free(scores);
    return differences;
}

static void check_softmax(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    const struct shape shape = random_shape(tested, cols, random);
    const bool in_place = chance(random, 4);
    const double specials[] = {NAN, INFINITY, -INFINITY};
    struct matrix x = matrix_create(&shape, random), y = matrix_create(&shape, random);
    struct softattn_row row = random_row(&shape, random);
    matrix_fill(&x, 0, chance(random, 3) ? 30 : 2, specials[random_below(random, 3)],
                chance(random, 2) ? 5 : 300, random);
    const bool has_empty = chance(random, 2);
    for (int64_t j = 0, r = random_below(random, shape.rows); has_empty && j < cols; j++) {
        put_number(&shape, matrix_at(&x, r, j), -INFINITY);
    }
    guard_block before, scratch = scratch_create(&shape, SOFTATTN_COLUMNS_SCRATCH(cols, tested->lanes()));
    guard_block values[STATISTICS];
    guard_create(&before, x.block.bytes, shape.bytes, GUARD_AFTER);
    memcpy(before.data, x.block.data, x.block.bytes);
    for (int i = 0; i < STATISTICS; i++) {
        const int64_t step = i == 0 ? row.lse_step : row.max_step;
        guard_create(&values[i], (size_t)(((shape.rows - 1) * step + 1) * tested->real_bytes),
                     (size_t)tested->real_bytes, GUARD_AFTER);
    }
    const struct matrix *result = in_place ? &x : &y;
    row.x = x.block.data;
    row.y = chance(random, 8) ? NULL : result->block.data;
    row.x_step = x.step;
    row.y_step = result->step;
    row.x_stride = x.stride;
    row.y_stride = result->stride;
    row.stream = row.y && !in_place && chance(random, 2);
    row.asking = (enum softattn_asking)random_below(random, 3);
    row.scratch = scratch.data;
    row.lse = chance(random, 2) ? values[0].data : NULL;
    row.max = chance(random, 2) ? values[1].data : NULL;
    tested->softmax_columns(&row);
    struct matrix scores = x;
    scores.block = before;
    int64_t differences = gap_differences(&x) + gap_differences(&y) + !guard_surroundings_untouched(&scratch);
    for (int64_t r = 0; r < shape.rows; r++) {
        differences += check_row(&row, &scores, result, r);
    }
    for (int i = 0; i < STATISTICS; i++) {
        differences += !guard_surroundings_untouched(&values[i]);
        guard_destroy(&values[i]);
    }
    EXPECT(differences == 0,
           "softmax_columns %s f%d, format %d, by rows %d, %" PRId64 " rows, %" PRId64
           " columns, scale %g, log %d, plus one %d, stream %d, in place %d: %" PRId64 " differ",
           tested->isa, 8 * tested->real_bytes, shape.format, shape.by_rows, shape.rows, cols, row.scale,
           row.output, row.plus_one, row.stream, in_place, differences);
    guard_destroy(&before);
    guard_destroy(&scratch);
    guard_destroy(&x.block);
    guard_destroy(&y.block);
}

/* ---- Derivatives ---- */

static int64_t check_product(const struct softattn_row_backward *all, const struct matrix *y,
                             const struct matrix *v, const struct matrix *out, int64_t r) {
    const struct shape *shape = y->shape;
    struct softattn_row_backward row = *all;
    void *y_row = row_of(y, r), *v_row = row_of(v, r), *expected = row_of(v, r);
    row.rows = row.y_stride = row.v_stride = row.out_stride = 1;
    row.y = y_row;
    row.v = v_row;
    row.out = expected;
    row.stream = 0;
    row.scratch = NULL;
    shape->kernels->softmax_backward(&row);
    const int64_t differences = row_differences(out, r, expected);
    free(y_row);
    free(v_row);
    free(expected);
    return differences;
}

static void check_backward(const struct softattn_kernels *tested, int64_t cols, random_source *random) {
    const struct shape shape = random_shape(tested, cols, random);
    const bool in_place = chance(random, 4), is_log = chance(random, 2);
    const double specials[] = {NAN, INFINITY, 0};
    struct matrix y = matrix_create(&shape, random), v = matrix_create(&shape, random),
                  out = matrix_create(&shape, random);
    struct softattn_row_backward row = {.rows = shape.rows, .cols = cols, .format = shape.format};
    row.output = is_log ? SOFTATTN_ROW_LOG_PROBABILITIES : SOFTATTN_ROW_PROBABILITIES;
    /* of log-probabilities softmax_backward takes 16-bit floats for one product alone */
    row.transposed = shape.format != SOFTATTN_FORMAT_REAL || chance(random, 2);
    row.scale = chance(random, 2) ? 1 : -0.75;
    matrix_fill(&y, is_log ? -3 : 0.02, is_log ? 1 : 0.004, is_log ? -INFINITY : 0, 4, random);
    matrix_fill(&v, 0, 1, specials[random_below(random, 3)], chance(random, 2) ? 5 : 300, random);
    guard_block before,
        scratch = scratch_create(&shape, SOFTATTN_BACKWARD_COLUMNS_SCRATCH(cols, tested->lanes()));
    guard_create(&before, v.block.bytes, shape.bytes, GUARD_AFTER);
    memcpy(before.data, v.block.data, v.block.bytes);
    const struct matrix *result = in_place ? &v : &out;
    row.y = y.block.data;
    row.v = v.block.data;
    row.out = result->block.data;
    row.y_step = y.step;
    row.v_step = v.step;
    row.out_step = result->step;
    row.y_stride = y.stride;
    row.v_stride = v.stride;
    row.out_stride = result->stride;
    row.stream = !in_place && chance(random, 2);
    row.asking = (enum softattn_asking)random_below(random, 3);
    row.scratch = scratch.data;
    tested->softmax_backward_columns(&row);
    struct matrix vectors = v;
    vectors.block = before;
    int64_t differences = gap_differences(&y) + gap_differences(&v) + gap_differences(&out) +
                          !guard_surroundings_untouched(&scratch);
    for (int64_t r = 0; r < shape.rows; r++) {
        differences += check_product(&row, &y, &vectors, result, r);
    }
    EXPECT(differences == 0,
           "softmax_backward_columns %s f%d, format %d, by rows %d, %" PRId64 " rows, %" PRId64
           " columns, log %d, transposed %d, stream %d, in place %d: %" PRId64 " differ",
           tested->isa, 8 * tested->real_bytes, shape.format, shape.by_rows, shape.rows, cols, is_log,
           row.transposed, row.stream, in_place, differences);
    guard_destroy(&before);
    guard_destroy(&scratch);
    guard_destroy(&y.block);
    guard_destroy(&v.block);
    guard_destroy(&out.block);
}

static void rows_side_by_side_keep_their_bits(const struct softattn_kernels *tested,
                                              const struct softattn_kernels *generic, random_source *random) {
    const int64_t rounds = test_rounds();
    (void)generic;
    for (int64_t cols = 0; cols <= SOME_COLS; cols++) {
        for (int64_t i = 0; i < 1 + rounds / 100; i++) {
            check_softmax(tested, cols, random);
            check_backward(tested, cols, random);
        }
    }
    for (int64_t i = 0; i < 1 + rounds / 40; i++) {
        check_softmax(tested, random_below(random, MANY_COLS), random);
        check_backward(tested, random_below(random, MANY_COLS), random);
    }
}

int main(void) { return check_tables("test_columns", rows_side_by_side_keep_their_bits); }
