/* Walking the rows of strided arrays: who takes which rows, where they are, copying them and putting them back. */
#include "engine/rows.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "engine/reals.h"
#include "platform/cpu.h"
#include "platform/memory.h"

enum {
    LINE_BYTES = 64,          /* of the caches */
    GROUP_BYTES = LINE_BYTES, /* rows gathered together: those that share cache lines */
    CONVERTED_BYTES =
        16384, /* floats converted together: with other things, they stay in the nearest cache */
    HALVES_PER_LINE = 32,
    PUT_TOGETHER = 8, /* columns of gathered rows: as many lines are sure to be cached till they are full */
    STRIP = 64,       /* columns gathered for one conversion */
    ROWS_OF_HALVES = GROUP_BYTES / sizeof(float), /* gathered together */
    MANY_COLUMNS = 256, /* from here on gathering rows costs little beside the rows themselves */
    SIDE_BY_SIDE =
        64, /* rows that lie so are shared out so many at a time: whole vectors and lines of any kind */
    WORK_PER_GRAB = 1 << 16, /* elements a worker takes from the counter at a time, about 10 microseconds, */
    GRABS_PER_WORKER =
        16, /* or more, where it still comes back so often: each grab starts with an empty pipeline */
    ALIGNMENT = 64
};

/* ---- Where rows are ---- */

int64_t softattn_rows_count(const struct softattn_rows *rows) {
    int64_t count = 1;
    for (int32_t d = 0; d < rows->rank; d++) {
        count *= rows->shape[d];
    }
    return count;
}

struct softattn_row_place softattn_row_place(const struct softattn_rows *rows, int64_t row) {
    struct softattn_row_place place = {{0}};
    for (int32_t d = rows->rank - 1; d >= 0; d--) {
        place.index[d] = row % rows->shape[d];
        row /= rows->shape[d];
    }
    return place;
}

bool softattn_row_is_contiguous(const struct softattn_rows *rows,
                                const struct softattn_row_operand *operand) {
    return operand->data == NULL || operand->axis_stride == 1 || rows->cols <= 1;
}

bool softattn_rows_suit_halves(const struct softattn_rows *rows, int64_t shortest) {
    const bool is_whole_lines = rows->cols % HALVES_PER_LINE == 0;
    return rows->cols >= shortest && (is_whole_lines || rows->cols / 4 >= shortest);
}

bool softattn_rows_exceed_cache(double bytes) { return bytes > (double)softattn_cpu_l3_share_bytes(); }

/*
 * The line in which a row ends and the next begins, and no seam lies, is stored in the ordinary way, and while it waits for memory
 * streamed stores wait behind it. Where rows are short that takes more than it saves: without streaming 0.2 to 0.9 of the time, of
 * longer ones, and of rows that begin with lines of their own, 1.0 to 1.8 (Zen 4 and 5). 16-bit floats are streamed many rows at a
 * time, and rows side by side by columns.
 */
enum { SHORTEST_STREAMED = 896, SHORTEST_STREAMED_OF_DOUBLES = 640 };
bool softattn_rows_suit_streaming(const struct softattn_rows *rows, const struct softattn_row_operand *to,
                                  const struct softattn_kernels *kernels, bool may_have_seams) {
    const int64_t step = softattn_row_inner_stride(rows, to), bytes = rows->cols * kernels->real_bytes;
    const int64_t vector_bytes = (int64_t)kernels->lanes() * kernels->real_bytes;
    const bool is_short =
        bytes < (kernels->real_bytes == 8 ? SHORTEST_STREAMED_OF_DOUBLES : SHORTEST_STREAMED);
    const bool shares_lines = bytes % vector_bytes != 0 && step * kernels->real_bytes % LINE_BYTES != 0;
    const bool has_seams = may_have_seams && kernels->streams_across_rows && step == rows->cols;
    return to->format != SOFTATTN_FORMAT_REAL || !softattn_row_is_contiguous(rows, to) || !is_short ||
           !shares_lines || has_seams;
}

/* Size of the last row dimension, along which neighbouring rows lie. */
static int64_t inner_size(const struct softattn_rows *rows) {
    return rows->rank > 0 ? rows->shape[rows->rank - 1] : 1;
}

/* ---- Rows by columns ---- */

static bool lies_side_by_side(const struct softattn_rows *rows, const struct softattn_row_operand *matrix) {
    return matrix->data == NULL || softattn_row_inner_stride(rows, matrix) == 1;
}

/* These kernels compute whole blocks of rows. */
bool softattn_rows_suit_columns(const struct softattn_rows *rows, const struct softattn_kernels *kernels,
                                const struct softattn_row_operand *const *matrices, int32_t count,
                                int64_t short_bytes) {
    bool are_short = rows->cols * kernels->real_bytes < short_bytes;
    bool are_beside = !softattn_row_is_contiguous(rows, matrices[0]);
    for (int32_t i = 0; i < count; i++) {
        are_short = are_short && softattn_row_is_contiguous(rows, matrices[i]);
        are_beside = are_beside && lies_side_by_side(rows, matrices[i]);
    }
    return inner_size(rows) >= (rows->cols > MANY_COLUMNS ? 8 : 2) * kernels->lanes() &&
           (are_short || are_beside);
}

/* ---- Copying ---- */

/* Rows in scratch: contiguous, and so many reals apart. */
struct packed {
    char *first;
    int64_t stride;
};

/* count neighbours along the last row dimension, their elements gathered row by row (or put back). */
static void gather_rows(const struct softattn_row_walk *walk, const struct softattn_row_operand *operand,
                        int64_t count, char *strided, struct packed packed, bool gather) {
    const struct softattn_kernels *kernels = walk->kernels;
    const int64_t bytes = kernels->real_bytes, cols = walk->rows.cols, axis = operand->axis_stride;
    const int64_t step = softattn_row_inner_stride(&walk->rows, operand);
    if (step == 1 && gather) {
        kernels->transpose(cols, count, 1, strided, axis, packed.first, packed.stride);
        return;
    }
    for (int64_t j = 0; step == 1 && j < cols; j += PUT_TOGETHER) {
        const int64_t width = cols - j < PUT_TOGETHER ? cols - j : PUT_TOGETHER;
        kernels->transpose(count, width, 1, packed.first + j * bytes, packed.stride,
                           strided + j * axis * bytes, axis);
    }
    if (step == 1) {
        return;
    }
    for (int64_t r = 0; r < count; r++) {
        char *elements = strided + r * step * bytes, *copies = packed.first + r * packed.stride * bytes;
        if (gather) {
            softattn_copy_reals(cols, bytes, elements, axis * bytes, copies, bytes);
        } else {
            softattn_copy_reals(cols, bytes, copies, bytes, elements, axis * bytes);
        }
    }
}

static void convert(const struct softattn_row_walk *walk, int32_t format, int64_t count, uint16_t *halves,
                    char *floats, bool widen) {
    if (widen) {
        walk->kernels->widen(format, count, halves, floats);
    } else {
        walk->kernels->narrow(format, count, floats, halves, walk->stream);
    }
}

/* As gather_rows, with 16-bit floats whose columns are no neighbours and whose rows need not be, a strip of all rows after the
 * other. */
static void convert_strips(const struct softattn_row_walk *walk, const struct softattn_row_operand *operand,
                           int64_t count, char *strided, struct packed packed, bool widen) {
    const int64_t cols = walk->rows.cols, axis = operand->axis_stride;
    const int64_t step = softattn_row_inner_stride(&walk->rows, operand);
    uint16_t *halves = (uint16_t *)(void *)strided, strip[STRIP];
    for (int64_t j = 0; j < cols; j += STRIP) {
        const int64_t width = cols - j < STRIP ? cols - j : STRIP;
        for (int64_t r = 0; r < count; r++) {
            uint16_t *from = halves + r * step + j * axis;
            char *floats = packed.first + (r * packed.stride + j) * (int64_t)sizeof(float);
            for (int64_t i = 0; widen && i < width; i++) {
                strip[i] = from[i * axis];
            }
            convert(walk, operand->format, width, strip, floats, widen);
            for (int64_t i = 0; !widen && i < width; i++) {
                from[i * axis] = strip[i];
            }
        }
    }
}

/* The same of rows that are neighbours, column by column, each of which is contiguous. */
static void convert_columns(const struct softattn_row_walk *walk, const struct softattn_row_operand *operand,
                            int64_t count, char *strided, struct packed packed, bool widen) {
    const struct softattn_kernels *kernels = walk->kernels;
    const int64_t cols = walk->rows.cols, axis = operand->axis_stride;
    float columns[STRIP * ROWS_OF_HALVES];
    for (int64_t j = 0; j < cols; j += STRIP) {
        const int64_t width = cols - j < STRIP ? cols - j : STRIP;
        char *copies = packed.first + j * (int64_t)sizeof(float);
        uint16_t *halves = (uint16_t *)(void *)strided + j * axis;
        if (!widen) {
            kernels->transpose(count, width, 1, copies, packed.stride, columns, count);
        }
        for (int64_t i = 0; i < width; i++) {
            convert(walk, operand->format, count, halves + i * axis, (char *)(columns + i * count), widen);
        }
        if (widen) {
            kernels->transpose(width, count, 1, columns, count, copies, packed.stride);
        }
    }
}

/* The same of columns that are neighbours. */
static void convert_rows(const struct softattn_row_walk *walk, const struct softattn_row_operand *operand,
                         int64_t count, char *memory, struct packed packed, bool widen) {
    const int64_t cols = walk->rows.cols, step = softattn_row_inner_stride(&walk->rows, operand);
    const int64_t together = step == cols && packed.stride == cols ? count : 1;
    uint16_t *halves = (uint16_t *)(void *)memory;
    for (int64_t r = 0; r < count; r += together) {
        convert(walk, operand->format, together * cols, halves + r * step,
                packed.first + r * packed.stride * (int64_t)sizeof(float), widen);
    }
}

/* Between an operand in memory and its copy in scratch. */
static void copy_rows(const struct softattn_row_walk *walk, const struct softattn_row_operand *operand,
                      int64_t count, char *memory, struct packed packed, bool into_copy) {
    if (operand->format == SOFTATTN_FORMAT_REAL) {
        gather_rows(walk, operand, count, memory, packed, into_copy);
    } else if (softattn_row_is_contiguous(&walk->rows, operand)) {
        convert_rows(walk, operand, count, memory, packed, into_copy);
    } else if (softattn_row_inner_stride(&walk->rows, operand) == 1) {
        convert_columns(walk, operand, count, memory, packed, into_copy);
    } else {
        convert_strips(walk, operand, count, memory, packed, into_copy);
    }
}

/* ---- The walk ---- */

struct run {
    const struct softattn_row_walk *walk;
    int64_t rows, rows_per_grab, workers;
    int64_t group;  /* rows copied together, 1 where nothing is copied, */
    int64_t stride; /* and reals from one copied row to the next */
    bool has_copies, streams_halves;
    bool copied[SOFTATTN_ROW_MATRICES];
    char *scratch;
    uint64_t visit_bytes, buffer_bytes,
        worker_bytes; /* of a visit, of one copied matrix, of all that a worker has */
    atomic_llong next;
};

/* A matrix during the visits to a group of rows. */
struct group_matrix {
    char *memory; /* its first row where it lies; NULL: not given */
    char *first;  /* its first row as visited */
    int64_t step; /* bytes from one visited row to the next */
};

/* The read matrix that a written one shares its copy with, -1 where there is none. */
static int32_t shared_copy(const struct run *run, int32_t written) {
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        if (run->walk->matrix[written].is_written && run->copied[written] && run->copied[i] &&
            run->walk->matrix[i].may_be_overwritten) {
            return i;
        }
    }
    return -1;
}

static void open_group(const struct run *run, const struct softattn_row_place *place, int64_t count,
                       char *scratch, struct group_matrix *matrices) {
    const struct softattn_row_walk *walk = run->walk;
    const int64_t bytes = walk->kernels->real_bytes;
    char *buffer = scratch + run->visit_bytes;
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        const struct softattn_row_operand *operand = &walk->matrix[i].operand;
        const int64_t element_bytes = softattn_row_element_bytes(operand, bytes);
        char *memory = softattn_row_at(&walk->rows, operand, place, element_bytes);
        matrices[i] = (struct group_matrix){memory, memory,
                                            softattn_row_inner_stride(&walk->rows, operand) * element_bytes};
        if (!run->copied[i]) {
            continue;
        }
        matrices[i].step = run->stride * bytes;
        const int32_t shared = shared_copy(run, i);
        if (shared >= 0) {
            matrices[i].first = matrices[shared].first;
            continue;
        }
        matrices[i].first = buffer;
        buffer += run->buffer_bytes;
        if (walk->matrix[i].is_read) {
            copy_rows(walk, operand, count, memory, (struct packed){matrices[i].first, run->stride}, true);
        }
    }
}

static void close_group(const struct run *run, int64_t count, const struct group_matrix *matrices) {
    const struct softattn_row_walk *walk = run->walk;
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        if (run->copied[i] && walk->matrix[i].is_written) {
            copy_rows(walk, &walk->matrix[i].operand, count, matrices[i].memory,
                      (struct packed){matrices[i].first, run->stride}, false);
        }
    }
}

/* Points the visit to `visit->count` rows from number r of the group on. */
static void point_to(struct softattn_row_visit *visit, const struct run *run,
                     const struct group_matrix *matrices, int64_t r, int64_t group_count) {
    const int64_t bytes = run->walk->kernels->real_bytes;
    const bool is_last = r + visit->count == group_count;
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        const struct group_matrix *matrix = &matrices[i];
        const struct softattn_row_operand *operand = &run->walk->matrix[i].operand;
        const int64_t element_bytes = softattn_row_element_bytes(operand, bytes);
        const int64_t memory_step = softattn_row_inner_stride(&run->walk->rows, operand) * element_bytes;
        /* of these, what is converted next is worth asking for; neighbours in a group of copies are here already */
        const bool is_contiguous_half =
            operand->format != SOFTATTN_FORMAT_REAL && softattn_row_is_contiguous(&run->walk->rows, operand);
        if (matrix->memory != NULL) {
            visit->data[i] = matrix->first + r * matrix->step;
            visit->step[i] = matrix->step / (run->copied[i] ? bytes : element_bytes);
            visit->stride[i] =
                run->walk->takes_columns && !softattn_row_is_contiguous(&run->walk->rows, operand)
                    ? operand->axis_stride
                    : 1;
            visit->next[i] = !is_last             ? visit->data[i] + visit->count * matrix->step
                             : is_contiguous_half ? matrix->memory + group_count * memory_step
                                                  : NULL;
        }
    }
}

/* Rows first … first + count - 1, neighbours along the last row dimension. */
static void visit_group(const struct run *run, int64_t first, int64_t count, char *scratch) {
    const struct softattn_row_walk *walk = run->walk;
    const int32_t last_dimension = walk->rows.rank > 0 ? walk->rows.rank - 1 : 0;
    struct softattn_row_visit visit = {.row = first, .scratch = scratch};
    struct group_matrix matrices[SOFTATTN_ROW_MATRICES];
    visit.place = softattn_row_place(&walk->rows, first);
    visit.count = walk->in_runs ? count : 1;
    open_group(run, &visit.place, count, scratch, matrices);
    for (int64_t r = 0; r < count; r += visit.count) {
        point_to(&visit, run, matrices, r, count);
        walk->visit(walk->user, &visit);
        visit.row += visit.count;
        visit.place.index[last_dimension] += visit.count;
    }
    close_group(run, count, matrices);
}

static void worker(void *context, int64_t index) {
    struct run *run = context;
    const int64_t inner = inner_size(&run->walk->rows);
    char *scratch = run->scratch + (uint64_t)index * run->worker_bytes;
    for (;;) {
        const int64_t begin = atomic_fetch_add_explicit(&run->next, run->rows_per_grab, memory_order_relaxed);
        if (begin >= run->rows) {
            break;
        }
        const int64_t end = begin + run->rows_per_grab < run->rows ? begin + run->rows_per_grab : run->rows;
        for (int64_t row = begin; row < end;) {
            const int64_t to_edge = inner - row % inner;
            const int64_t most = run->has_copies ? run->group : end - row;
            int64_t count = end - row < most ? end - row : most;
            count = count < to_edge ? count : to_edge;
            visit_group(run, row, count, scratch);
            row += count;
        }
    }
    if (run->streams_halves) {
        run->walk->kernels->finish_narrowing();
    }
}

/* ---- Sharing out ---- */

static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* A lone worker takes all rows at once: each is then prefetched during the visit before it. */
static void share_out(struct run *run, int32_t threads) {
    const int64_t groups = (run->rows + run->group - 1) / run->group;
    const int64_t few = (WORK_PER_GRAB / (run->walk->rows.cols + 1) + run->group) / run->group;
    const int64_t many = groups / (GRABS_PER_WORKER * (int64_t)threads);
    const int64_t groups_per_grab = many > few ? many : few;
    const int64_t grabs = (groups + groups_per_grab - 1) / groups_per_grab;
    run->workers = grabs < threads ? grabs : threads;
    run->rows_per_grab = (run->workers == 1 ? groups : groups_per_grab) * run->group;
}

/* False when the scratch is more than an address can count. */
static bool measure_scratch(struct run *run) {
    const struct softattn_row_walk *walk = run->walk;
    const int64_t bytes = walk->kernels->real_bytes;
    const int64_t reals = walk->scratch_reals > run->stride ? walk->scratch_reals : run->stride;
    if (reals > INT64_MAX / (4 * GROUP_BYTES * SOFTATTN_ROW_MATRICES * run->workers)) {
        return false;
    }
    run->visit_bytes = round_up((uint64_t)(walk->scratch_reals * bytes));
    run->buffer_bytes = round_up((uint64_t)(run->group * run->stride * bytes));
    run->worker_bytes = run->visit_bytes;
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        run->worker_bytes += run->copied[i] && shared_copy(run, i) < 0 ? run->buffer_bytes : 0;
    }
    return true;
}

/* Reals from one gathered row to the next: an odd number of cache lines, as they are written side by side, and would otherwise
 * crowd each other out of the first level. */
static int64_t stride_of_gathered(int64_t cols, int64_t bytes) {
    const int64_t line = GROUP_BYTES / bytes, lines = (cols + line - 1) / line;
    return (lines % 2 == 0 ? lines + 1 : lines) * line;
}

/* Which matrices are copied, and how many rows at a time. */
static void plan_copies(struct run *run) {
    const struct softattn_row_walk *walk = run->walk;
    const int64_t bytes = walk->kernels->real_bytes, row_bytes = (walk->rows.cols + 1) * bytes;
    bool gathers = false;
    for (int32_t i = 0; i < SOFTATTN_ROW_MATRICES; i++) {
        const struct softattn_row_operand *operand = &walk->matrix[i].operand;
        const bool is_gathered = !walk->takes_columns && !softattn_row_is_contiguous(&walk->rows, operand);
        gathers = gathers || is_gathered;
        run->copied[i] = is_gathered || (operand->data != NULL && !walk->takes_halves &&
                                         operand->format != SOFTATTN_FORMAT_REAL);
        run->has_copies = run->has_copies || run->copied[i];
        run->streams_halves = run->streams_halves || (walk->stream && walk->matrix[i].is_written &&
                                                      operand->format != SOFTATTN_FORMAT_REAL);
    }
    run->group = walk->takes_columns ? SIDE_BY_SIDE : 1;
    run->stride = walk->rows.cols;
    if (gathers) {
        run->group = GROUP_BYTES / bytes;
        run->stride = stride_of_gathered(walk->rows.cols, bytes);
    } else if (run->has_copies && row_bytes < CONVERTED_BYTES) {
        run->group = CONVERTED_BYTES / row_bytes;
        if (walk->takes_columns) { /* whole blocks of the kernels by columns */
            run->group = run->group > SIDE_BY_SIDE ? run->group / SIDE_BY_SIDE * SIDE_BY_SIDE : SIDE_BY_SIDE;
        }
    }
}

bool softattn_rows_walk(const struct softattn_row_walk *walk, const struct softattn_runtime *runtime) {
    struct run run = {.walk = walk, .rows = softattn_rows_count(&walk->rows)};
    if (run.rows == 0) {
        return true;
    }
    plan_copies(&run);
    share_out(&run, runtime->threads);
    if (!measure_scratch(&run)) {
        return false;
    }
    run.scratch = softattn_memory_acquire(runtime->memory, run.worker_bytes * (uint64_t)run.workers);
    if (run.scratch == NULL) {
        return false;
    }
    atomic_init(&run.next, 0);
    softattn_runtime_run(runtime, run.workers, worker, &run);
    softattn_memory_release(runtime->memory, run.scratch);
    return true;
}
