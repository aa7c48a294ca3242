/* The row-wise softmax engine: walks the rows (rows.h) and hands each, with what masks it, to the row kernel. */
#include "engine/softmax.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/integers.h"
#include "platform/cpu.h"

enum { X, Y }; /* the walk's matrices */

struct run {
    const struct softattn_softmax_problem *problem;
    bool columns, halves, stream;
};

static int64_t length_at(const struct softattn_softmax_problem *problem,
                         const struct softattn_row_place *place) {
    const char *length = softattn_row_at(&problem->rows, &problem->lengths, place, problem->length_bytes);
    int32_t narrow;
    int64_t wide;
    if (length == NULL) {
        return problem->rows.cols;
    }
    if (problem->length_bytes == 4) {
        memcpy(&narrow, length, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, length, sizeof wide);
    return wide;
}

enum { ROWS_WITH_LENGTHS = 64 }; /* that the kernel gets together */

/* Neighbouring rows of which the columns before `last` are visible, in each row `step` more than in the one before; or in each
 * those before its own of lasts, where that is not NULL. */
struct stretch {
    int64_t rows, last, step;
    const int64_t *lasts;
};

/* Whether lengths differ between neighbours. */
static bool lengths_vary(const struct softattn_softmax_problem *problem) {
    return problem->lengths.data != NULL && softattn_row_inner_stride(&problem->rows, &problem->lengths) != 0;
}

/* The first column that the causal mask hides; it may lie beyond the row's ends. */
static int64_t causal_last(const struct softattn_softmax_problem *problem,
                           const struct softattn_row_place *place) {
    return place->index[problem->rows.rank - 1] + problem->causal_offset + 1;
}

/* Rows with lengths of their own from a place on, at most `most`. */
static struct stretch stretch_of_lengths(const struct softattn_softmax_problem *problem,
                                         struct softattn_row_place place, int64_t most, int64_t *lasts) {
    const int64_t rows = min_i64(most, ROWS_WITH_LENGTHS);
    for (int64_t r = 0; r < rows; r++, place.index[problem->rows.rank - 1]++) {
        const int64_t length = length_at(problem, &place);
        const int64_t last = problem->causal ? min_i64(length, causal_last(problem, &place)) : length;
        lasts[r] = clamp_i64(last, 0, problem->rows.cols);
    }
    return (struct stretch){rows, lasts[0], 0, rows > 1 ? lasts : NULL};
}

/* The longest stretch from a place on, of at most `most` rows, by lengths and the causal mask. */
static struct stretch stretch_at(const struct softattn_softmax_problem *problem,
                                 const struct softattn_row_place *place, int64_t most, int64_t *lasts) {
    if (lengths_vary(problem)) {
        return stretch_of_lengths(problem, *place, most, lasts);
    }
    const int64_t length = clamp_i64(length_at(problem, place), 0, problem->rows.cols);
    const int64_t last = problem->causal ? causal_last(problem, place) : length;
    if (last >= length) {
        return (struct stretch){most, length, 0, NULL};
    }
    return last < 0 ? (struct stretch){min_i64(most, -last), 0, 0, NULL}
                    : (struct stretch){min_i64(most, length - last), last, 1, NULL};
}

/* One row of the visit, or a stretch from there on: row number r. */
static struct softattn_row row_at(const struct run *run, const struct softattn_row_visit *visit,
                                  const struct softattn_row_place *place, int64_t r,
                                  const struct stretch *stretch) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t real_bytes = problem->kernels->real_bytes;
    const int64_t element_bytes = run->halves ? (int64_t)sizeof(uint16_t) : real_bytes;
    const int64_t x_bytes = visit->step[X] * element_bytes, y_bytes = visit->step[Y] * element_bytes;
    const bool is_end = r + stretch->rows == visit->count;
    return (struct softattn_row){
        .rows = stretch->rows,
        .x_step = visit->step[X],
        .y_step = visit->step[Y],
        .x_stride = visit->stride[X],
        .y_stride = visit->stride[Y],
        .cols = problem->rows.cols,
        .format = run->halves ? problem->x.format : SOFTATTN_FORMAT_REAL,
        .x = visit->data[X] + r * x_bytes,
        .y = visit->data[Y] == NULL ? NULL : visit->data[Y] + r * y_bytes,
        .bias = softattn_row_at(&problem->rows, &problem->bias, place, real_bytes),
        .bias_stride = problem->bias.axis_stride,
        .bias_step = softattn_row_inner_stride(&problem->rows, &problem->bias),
        .keep = (const uint8_t *)softattn_row_at(&problem->rows, &problem->keep, place, 1),
        .keep_stride = problem->keep.axis_stride,
        .keep_step = softattn_row_inner_stride(&problem->rows, &problem->keep),
        .last = stretch->last,
        .last_step = stretch->step,
        .lasts = stretch->lasts,
        .scale = problem->scale,
        .output = problem->output,
        .plus_one = problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX_PLUS_ONE,
        .empty_is_zero = problem->empty_is_zero,
        /* else the walk sees to it */
        .stream = run->stream && (run->halves || problem->y.format == SOFTATTN_FORMAT_REAL),
        .asking = softattn_cpu_asking(),
        .prefetch = is_end ? visit->next[X] : visit->data[X] + (r + stretch->rows) * x_bytes,
        .scratch = visit->scratch,
        .lse = softattn_row_at(&problem->rows, &problem->lse, place, real_bytes),
        .lse_step = softattn_row_inner_stride(&problem->rows, &problem->lse),
        .max = softattn_row_at(&problem->rows, &problem->row_max, place, real_bytes),
        .max_step = softattn_row_inner_stride(&problem->rows, &problem->row_max)};
}

/* Whether rows differ in nothing but x and y, of which all is visible. */
static bool rows_are_plain(const struct softattn_softmax_problem *problem) {
    return problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX && problem->scale == 1 &&
           problem->output == SOFTATTN_ROW_PROBABILITIES && problem->lengths.data == NULL &&
           problem->lse.data == NULL && problem->row_max.data == NULL && !problem->causal;
}

/* Contiguous rows that are turned into lanes have fewer bytes: see short_bytes. */
enum { SHORT_BYTES = 256, SHORT_BYTES_WITH_OPTIONS = 384, SHORT_BYTES_AROUND_CACHES = 128 };

/*
 * How many of the next rows the kernel by columns had better take: plain contiguous ones that turning makes little
 * faster, from half of SHORT_BYTES on, only where they fill most of a block, as a row by itself takes the time of some 0.75 + 72 / bytes
 * of those in a whole one: 0.69 to 0.95 of the time of 33 to 60 rows and columns (AVX-512 and AVX2, Zen 4).
 */
static int64_t rows_in_blocks(const struct run *run, int64_t x_stride, int64_t rows) {
    const struct softattn_kernels *kernels = run->problem->kernels;
    const int64_t block = SOFTATTN_BLOCK_VECTORS * (int64_t)kernels->lanes(), rest = rows % block;
    const int64_t bytes = run->problem->rows.cols * kernels->real_bytes;
    const bool is_enough = rest * (3 * bytes + 288) >= block * 4 * bytes;
    const bool is_faster_in_any = bytes < SHORT_BYTES / 2 || !rows_are_plain(run->problem);
    return x_stride != 1 || is_faster_in_any || is_enough ? rows : rows - rest;
}

/* A stretch of rows of softmax, or diagnosed, from row number r on; returns how many. */
static int64_t softmax_rows(const struct run *run, const struct softattn_row_visit *visit,
                            const struct softattn_row_place *place, int64_t r) {
    const struct softattn_softmax_problem *problem = run->problem;
    int64_t lasts[ROWS_WITH_LENGTHS];
    struct stretch stretch = stretch_at(problem, place, visit->count - r, lasts);
    const int64_t in_blocks = run->columns ? rows_in_blocks(run, visit->stride[X], stretch.rows) : 0;
    stretch.rows = in_blocks > 0 ? in_blocks : stretch.rows;
    const struct softattn_row row = row_at(run, visit, place, r, &stretch);
    if (problem->diagnoses != NULL) {
        problem->kernels->diagnose_row(&row, row.plus_one ? 0 : -(double)INFINITY,
                                       &problem->diagnoses[visit->row]);
    } else if (in_blocks > 0) {
        problem->kernels->softmax_columns(&row);
    } else {
        problem->kernels->softmax_row(&row);
    }
    return stretch.rows;
}

enum { COLUMNS_AT_ONCE = 4096 }; /* of rows that are one to the kernel */

/* How many rows may be one to the kernel: several where each score is weighed alone and nothing is masked. */
static int64_t rows_at_once(const struct softattn_softmax_problem *problem) {
    const bool has_masks = problem->bias.data != NULL || problem->keep.data != NULL ||
                           problem->lengths.data != NULL || problem->causal;
    return softattn_normalize_is_alone(problem->normalizer) && !has_masks
               ? max_i64(COLUMNS_AT_ONCE / max_i64(problem->rows.cols, 1), 1)
               : 1;
}

/* A row by another normalizer, or several that lie without gaps: 0.03 to 0.34 of the time of up to 100 columns one by one. */
static int64_t normalize_rows(const struct run *run, const struct softattn_row_visit *visit,
                              const struct softattn_row_place *place, int64_t r) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t cols = problem->rows.cols;
    const bool has_gaps = visit->step[X] != cols || visit->step[Y] != cols;
    const int64_t rows = has_gaps ? 1 : min_i64(rows_at_once(problem), visit->count - r);
    int64_t lasts[ROWS_WITH_LENGTHS];
    const struct stretch stretch = stretch_at(problem, place, 1, lasts);
    struct softattn_row row = row_at(run, visit, place, r, &stretch);
    if (rows > 1) {
        row.cols = rows * cols;
        row.last = row.cols;
    }
    problem->kernels->normalize_row(problem->normalizer, problem->sigmoid_bias, &row);
    return rows;
}

static void visit(void *user, const struct softattn_row_visit *visit) {
    const struct run *run = user;
    const struct softattn_softmax_problem *problem = run->problem;
    const bool is_softmax = problem->diagnoses != NULL || softattn_normalize_is_softmax(problem->normalizer);
    const int32_t last_dimension = problem->rows.rank > 0 ? problem->rows.rank - 1 : 0;
    struct softattn_row_place place = visit->place;
    for (int64_t r = 0; r < visit->count;) {
        const int64_t rows =
            is_softmax ? softmax_rows(run, visit, &place, r) : normalize_rows(run, visit, &place, r);
        r += rows;
        place.index[last_dimension] += rows;
    }
}

/* Whether the kernel joins the end of a row and the beginning of the next: where all columns are made in the same way, of x that,
 * for logarithms, has no gaps. */
static bool may_have_seams(const struct softattn_softmax_problem *problem) {
    const struct softattn_rows *rows = &problem->rows;
    return !problem->causal && problem->lengths.data == NULL &&
           (problem->output != SOFTATTN_ROW_LOG_PROBABILITIES ||
            softattn_row_inner_stride(rows, &problem->x) == rows->cols);
}

/* Whether y is not x, and both together do not stay in the cache anyway. */
static bool comes_from_memory(const struct softattn_softmax_problem *problem) {
    const double elements = (double)softattn_rows_count(&problem->rows) * (double)problem->rows.cols;
    return problem->y.data != NULL && problem->y.data != problem->x.data &&
           softattn_rows_exceed_cache(
               2 * elements * (double)softattn_row_element_bytes(&problem->y, problem->kernels->real_bytes));
}

/* Then stores that go around the caches pay. */
static bool worth_streaming(const struct softattn_softmax_problem *problem) {
    return comes_from_memory(problem) && softattn_normalize_is_softmax(problem->normalizer) &&
           softattn_rows_suit_streaming(&problem->rows, &problem->y, problem->kernels,
                                        may_have_seams(problem));
}

/* Whether the kernel writes the scores down before it makes weights of them: those of masked rows, and of a scale that is not
 * above 0 and finite in the rows' type. */
static bool makes_scores_first(const struct softattn_softmax_problem *problem) {
    return problem->bias.data != NULL || problem->keep.data != NULL ||
           !(problem->scale >= (double)FLT_MIN && problem->scale <= (double)FLT_MAX);
}

/* Columns from which on 16-bit floats are faster converted in the kernel than beside it. */
enum { SHORTEST_OF_HALVES = 256, SHORTEST_OF_OTHER_HALVES = 1024 };

/* Whether the kernel takes rows of 16-bit floats as they are. */
static bool takes_halves(const struct run *run) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t shortest = rows_are_plain(problem) ? SHORTEST_OF_HALVES : SHORTEST_OF_OTHER_HALVES;
    return problem->x.format != SOFTATTN_FORMAT_REAL && softattn_rows_suit_halves(&problem->rows, shortest) &&
           problem->y.data != NULL && problem->diagnoses == NULL &&
           softattn_normalize_is_softmax(problem->normalizer) && !makes_scores_first(problem) &&
           softattn_row_is_contiguous(&problem->rows, &problem->x) &&
           softattn_row_is_contiguous(&problem->rows, &problem->y);
}

/*
 * Contiguous rows of fewer bytes are faster turned into lanes, unless they fill whole turns of the loop over the row, whose ends
 * are what takes the time: 0.6 to 0.9 of the time from half the bytes on; options make those ends longer: 0.4 to 0.9 (Zen 4).
 * Those with gaps are not stored around the caches when they are turned, which outweighs that: 1.3 to 2.3.
 */
static int64_t short_bytes(const struct softattn_softmax_problem *problem) {
    const struct softattn_kernels *kernels = problem->kernels;
    const int64_t stripes = 128, four_vectors = 4 * (int64_t)kernels->lanes() * kernels->real_bytes;
    const int64_t bytes = problem->rows.cols * kernels->real_bytes;
    const bool is_plain = rows_are_plain(problem);
    const bool has_gaps = softattn_row_inner_stride(&problem->rows, &problem->y) != problem->rows.cols;
    if (problem->x.format == SOFTATTN_FORMAT_REAL && (has_gaps || !kernels->streams_across_rows) &&
        comes_from_memory(problem)) {
        return SHORT_BYTES_AROUND_CACHES;
    }
    if (bytes % max_i64(four_vectors, stripes) == 0 && (is_plain || bytes >= SHORT_BYTES)) {
        return 0;
    }
    return is_plain ? SHORT_BYTES : SHORT_BYTES_WITH_OPTIONS;
}

/* Whether the kernel by columns takes the rows: without masks. */
static bool takes_columns(const struct softattn_softmax_problem *problem) {
    const struct softattn_row_operand *matrices[] = {&problem->x, &problem->y};
    return softattn_normalize_is_softmax(problem->normalizer) && !makes_scores_first(problem) &&
           problem->lengths.data == NULL && !problem->causal && problem->diagnoses == NULL &&
           softattn_rows_suit_columns(&problem->rows, problem->kernels, matrices, 2, short_bytes(problem));
}

/* Reals of scratch that a visit needs. */
static int64_t scratch_reals(const struct run *run) {
    const struct softattn_softmax_problem *problem = run->problem;
    if (run->columns) {
        return SOFTATTN_COLUMNS_SCRATCH(problem->rows.cols, problem->kernels->lanes());
    }
    return !softattn_normalize_is_softmax(problem->normalizer)
               ? SOFTATTN_NORMALIZE_SCRATCH(rows_at_once(problem) * problem->rows.cols)
           : makes_scores_first(problem) ? SOFTATTN_SCORES_SCRATCH(problem->rows.cols)
                                         : SOFTATTN_ROW_SCRATCH(problem->rows.cols);
}

bool softattn_softmax_execute(const struct softattn_softmax_problem *problem,
                              const struct softattn_runtime *runtime) {
    struct run run = {.problem = problem};
    struct softattn_row_walk walk = {
        .kernels = problem->kernels, .rows = problem->rows, .visit = visit, .user = &run};
    run.columns = takes_columns(problem);
    run.stream =
        worth_streaming(problem) && (run.columns || softattn_row_is_contiguous(&problem->rows, &problem->y));
    run.halves = run.columns && !softattn_row_is_contiguous(&problem->rows, &problem->x)
                     ? problem->x.format != SOFTATTN_FORMAT_REAL
                     : takes_halves(&run);
    walk.takes_columns = run.columns;
    walk.takes_halves = run.halves;
    walk.matrix[X] =
        (struct softattn_row_matrix){.operand = problem->x, .is_read = true, .may_be_overwritten = true};
    walk.matrix[Y] = (struct softattn_row_matrix){.operand = problem->y, .is_written = true};
    walk.stream = run.stream;
    walk.scratch_reals = scratch_reals(&run);
    walk.in_runs = problem->diagnoses == NULL;
    return softattn_rows_walk(&walk, runtime);
}
