/*
 * The row-wise softmax engine. Workers take groups of neighbouring rows from a shared counter. Rows that are contiguous
 * in memory go to the kernel as they are; others are gathered into scratch, a cache line's worth of rows at a time.
 */
#include "engine/softmax.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "platform/cpu.h"
#include "platform/memory.h"

enum {
    GROUP_BYTES = 64,         /* rows gathered together: those that share cache lines */
    WORK_PER_GRAB = 1 << 16,  /* elements a worker takes from the counter at a time, about 10 microseconds */
    ALIGNMENT = 64
};

struct run {
    const struct softattn_softmax_problem *problem;
    int64_t rows, rows_per_grab;
    int64_t group;             /* rows gathered together, 1 where rows need no gathering */
    bool gather_x, gather_y, stream;
    char *scratch;
    uint64_t scratch_per_worker, buffer_bytes;
    atomic_llong next;
};

/* Where a row stands in each row dimension. */
struct place {
    int64_t index[SOFTATTN_ROW_RANK];
};

static struct place place_of(const struct softattn_softmax_problem *problem, int64_t row) {
    struct place place = {{0}};
    for (int32_t d = problem->rank - 1; d >= 0; d--) {
        place.index[d] = row % problem->shape[d];
        row /= problem->shape[d];
    }
    return place;
}

static int64_t offset_of(const struct softattn_softmax_problem *problem, const struct softattn_row_operand *operand,
                         const struct place *place) {
    int64_t offset = 0;
    for (int32_t d = 0; d < problem->rank; d++) {
        offset += place->index[d] * operand->stride[d];
    }
    return offset;
}

static char *row_of(const struct softattn_softmax_problem *problem, const struct softattn_row_operand *operand,
                    const struct place *place, int64_t bytes) {
    return operand->data == NULL ? NULL : operand->data + offset_of(problem, operand, place) * bytes;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Columns 0 … the result - 1 of the row are visible to lengths and the causal mask. */
static int64_t visible_columns(const struct softattn_softmax_problem *problem, const struct place *place) {
    int64_t last = problem->cols;
    const char *length = row_of(problem, &problem->lengths, place, problem->length_bytes);
    if (length != NULL && problem->length_bytes == 4) {
        int32_t value;
        memcpy(&value, length, sizeof value);
        last = clamp(value, 0, last);
    } else if (length != NULL) {
        int64_t value;
        memcpy(&value, length, sizeof value);
        last = clamp(value, 0, last);
    }
    if (problem->causal) {
        const int64_t query = place->index[problem->rank - 1];
        const bool all = problem->causal_offset >= problem->cols; /* and the sum below stays in range */
        last = all ? last : clamp(query + problem->causal_offset + 1, 0, last);
    }
    return last;
}

/* One row: x and y contiguous (gathered already if they were not), the other operands at their own places. */
static void run_row(const struct run *run, const struct place *place, const char *x, char *y, const char *next_x,
                    char *scratch) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t bytes = problem->kernels->real_bytes;
    struct softattn_row row = {.cols = problem->cols, .x = x, .y = y, .first = 0, .scale = problem->scale};
    row.scratch = scratch;
    row.bias = row_of(problem, &problem->bias, place, bytes);
    row.bias_stride = problem->bias.axis_stride;
    row.keep = (const uint8_t *)row_of(problem, &problem->keep, place, 1);
    row.keep_stride = problem->keep.axis_stride;
    row.last = visible_columns(problem, place);
    row.output = problem->output;
    row.empty_is_zero = problem->empty_is_zero;
    row.stream = run->stream;
    row.prefetch = next_x;
    row.lse = row_of(problem, &problem->lse, place, bytes);
    row.max = row_of(problem, &problem->row_max, place, bytes);
    problem->kernels->softmax_row(&row);
}

/* rows neighbours along the last row dimension, their elements gathered row by row (or put back). */
static void move_rows(const struct run *run, const struct softattn_row_operand *operand, int64_t rows, char *strided,
                      char *packed, bool gather) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t row_stride = problem->rank > 0 ? operand->stride[problem->rank - 1] : 0;
    if (row_stride == 1 && gather) {
        problem->kernels->transpose(problem->cols, rows, 1, strided, operand->axis_stride, packed, problem->cols);
        return;
    }
    if (row_stride == 1) {
        problem->kernels->transpose(rows, problem->cols, 1, packed, problem->cols, strided, operand->axis_stride);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < problem->cols; j++) {
            char *element = strided + (r * row_stride + j * operand->axis_stride) * bytes;
            char *copy = packed + (r * problem->cols + j) * bytes;
            memcpy(gather ? copy : element, gather ? element : copy, (size_t)bytes);
        }
    }
}

/* Rows first … first + rows - 1, neighbours along the last row dimension. */
static void run_group(const struct run *run, int64_t first, int64_t rows, char *scratch) {
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t row_bytes = problem->cols * bytes;
    struct place place = place_of(problem, first);
    char *packed = scratch + run->buffer_bytes;
    char *x = row_of(problem, &problem->x, &place, bytes);
    char *y = row_of(problem, &problem->y, &place, bytes);
    const int64_t x_step = problem->rank > 0 ? problem->x.stride[problem->rank - 1] * bytes : 0;
    const int64_t y_step = problem->rank > 0 ? problem->y.stride[problem->rank - 1] * bytes : 0;
    if (run->gather_x) {
        move_rows(run, &problem->x, rows, x, packed, true);
    }
    for (int64_t r = 0; r < rows; r++) {
        char *own = packed + r * row_bytes;
        const char *row_x = run->gather_x ? own : x + r * x_step;
        char *row_y = y == NULL ? NULL : run->gather_y ? own : y + r * y_step;
        const bool next = run->stream && !run->gather_x && r + 1 < rows;
        run_row(run, &place, row_x, row_y, next ? row_x + x_step : NULL, scratch);
        place.index[problem->rank > 0 ? problem->rank - 1 : 0]++;
    }
    if (y != NULL && run->gather_y) {
        move_rows(run, &problem->y, rows, y, packed, false);
    }
}

static void worker(void *context, int64_t index) {
    struct run *run = context;
    const struct softattn_softmax_problem *problem = run->problem;
    const int64_t inner = problem->rank > 0 ? problem->shape[problem->rank - 1] : 1;
    char *scratch = run->scratch + (uint64_t)index * run->scratch_per_worker;
    for (;;) {
        const int64_t begin = atomic_fetch_add_explicit(&run->next, run->rows_per_grab, memory_order_relaxed);
        if (begin >= run->rows) {
            return;
        }
        const int64_t end = begin + run->rows_per_grab < run->rows ? begin + run->rows_per_grab : run->rows;
        for (int64_t row = begin; row < end;) {
            const int64_t to_edge = inner - row % inner;
            const int64_t most = run->group > 1 ? run->group : end - row;
            int64_t rows = end - row < most ? end - row : most;
            rows = rows < to_edge ? rows : to_edge;
            run_group(run, row, rows, scratch);
            row += rows;
        }
    }
}

/* Stores that go around the caches pay when y is not x and both together do not stay in the cache anyway. */
static bool worth_streaming(const struct softattn_softmax_problem *problem, int64_t rows) {
    const double bytes = 2.0 * (double)rows * (double)problem->cols * problem->kernels->real_bytes;
    return problem->y.data != NULL && problem->y.data != problem->x.data &&
           problem->output == SOFTATTN_ROW_PROBABILITIES && bytes > (double)softattn_cpu_l3_share_bytes();
}

static bool contiguous(const struct softattn_softmax_problem *problem, const struct softattn_row_operand *operand) {
    return operand->data == NULL || operand->axis_stride == 1 || problem->cols <= 1;
}

static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

bool softattn_softmax_execute(const struct softattn_softmax_problem *problem, const struct softattn_runtime *runtime) {
    struct run run = {.problem = problem, .rows = 1};
    for (int32_t d = 0; d < problem->rank; d++) {
        run.rows *= problem->shape[d];
    }
    if (run.rows == 0) {
        return true;
    }
    const int64_t bytes = problem->kernels->real_bytes;
    run.gather_x = !contiguous(problem, &problem->x);
    run.gather_y = !contiguous(problem, &problem->y);
    const bool gather = run.gather_x || run.gather_y;
    run.group = gather ? GROUP_BYTES / bytes : 1;
    run.stream = !gather && worth_streaming(problem, run.rows);
    run.rows_per_grab = clamp(WORK_PER_GRAB / (problem->cols + 1) + 1, run.group, run.rows + run.group);
    run.rows_per_grab = run.rows_per_grab / run.group * run.group;
    const int64_t grabs = (run.rows + run.rows_per_grab - 1) / run.rows_per_grab;
    const int64_t workers = grabs < runtime->threads ? grabs : runtime->threads;
    if (problem->cols > INT64_MAX / (2 * GROUP_BYTES * (int64_t)workers)) {
        return false; /* more scratch than an address can count */
    }
    /* scores of one row, gathered rows */
    run.buffer_bytes = round_up((uint64_t)(problem->cols * bytes));
    run.scratch_per_worker = run.buffer_bytes + (gather ? round_up((uint64_t)(run.group * problem->cols * bytes)) : 0);
    run.scratch = softattn_memory_acquire(runtime->memory, run.scratch_per_worker * (uint64_t)workers);
    if (run.scratch == NULL) {
        return false;
    }
    atomic_init(&run.next, 0);
    softattn_runtime_run(runtime, workers, worker, &run);
    softattn_memory_release(runtime->memory, run.scratch);
    return true;
}
