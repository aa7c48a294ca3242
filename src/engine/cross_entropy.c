/*
 * Cross-entropy: first the divisor of the mean, which the gradient needs, from the targets alone; then each
 * row's loss and gradient; then the losses' total.
 */
#include "engine/cross_entropy.h"

#include <stddef.h>
#include <string.h>

#include "engine/reals.h"
#include "platform/cpu.h"
#include "platform/memory.h"

enum { LOGITS, PROBABILITIES, GRADIENT };

struct run {
    const struct softattn_cross_entropy_problem *problem;
    int64_t *targets;    /* [rows], -1 where the row is ignored; NULL with probabilities */
    char *losses;        /* [rows], for the total; NULL: not wanted */
    const char *weights; /* the class weights, contiguous; NULL: all 1 */
    double factor;       /* of the gradient */
    bool halves, prefetch, stream;
};

/* ---- Targets ---- */

int64_t softattn_cross_entropy_target(const struct softattn_cross_entropy_problem *problem,
                                      const struct softattn_row_place *place) {
    const char *target = softattn_row_at(&problem->rows, &problem->targets, place, problem->target_bytes);
    int32_t narrow;
    int64_t wide;
    if (problem->target_bytes == 4) {
        memcpy(&narrow, target, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, target, sizeof wide);
    return wide;
}

/* Rows that count, and what the mean divides by: their number, or the sum of their targets' class weights. */
struct count {
    int64_t rows;
    double divisor;
};

static struct count read_targets(const struct run *run) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const int64_t rows = softattn_rows_count(&problem->rows);
    struct softattn_row_place place = {{0}};
    struct count count = {0, 0};
    if (run->targets == NULL) {
        return (struct count){rows, (double)rows};
    }
    for (int64_t row = 0; row < rows; row++, softattn_row_step(&problem->rows, &place)) {
        const int64_t target = softattn_cross_entropy_target(problem, &place);
        const bool is_ignored = target == problem->ignore_index;
        run->targets[row] = is_ignored ? -1 : target;
        if (!is_ignored) {
            const double weight = run->weights == NULL
                                      ? 1
                                      : softattn_get_real(run->weights, target, problem->kernels->real_bytes);
            count.rows += weight != 0;
            count.divisor += weight;
        }
    }
    return count;
}

/* ---- Rows ---- */

static void visit_rows(void *user, const struct softattn_row_visit *visit) {
    const struct run *run = user;
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const int64_t bytes = problem->kernels->real_bytes;
    const int32_t format = run->halves ? problem->logits.format : SOFTATTN_FORMAT_REAL;
    char *losses = softattn_row_at(&problem->rows, &problem->losses, &visit->place, bytes);
    char *own_losses = run->losses == NULL ? NULL : run->losses + visit->row * bytes;
    const struct softattn_row_cross_entropy rows = {
        .rows = visit->count,
        .cols = problem->rows.cols,
        .format = format,
        .x = visit->data[LOGITS],
        .probabilities = visit->data[PROBABILITIES],
        .gradient = visit->data[GRADIENT],
        .x_step = visit->step[LOGITS],
        .probabilities_step = visit->step[PROBABILITIES],
        .gradient_step = visit->step[GRADIENT],
        .targets = run->targets == NULL ? NULL : run->targets + visit->row,
        .weights = run->weights,
        .scale = problem->scale,
        .smoothing = problem->smoothing,
        .z_loss = problem->z_loss,
        .factor = run->factor,
        .loss = own_losses != NULL ? own_losses : losses,
        .lse = softattn_row_at(&problem->rows, &problem->lse, &visit->place, bytes),
        .loss_step = own_losses != NULL ? 1 : softattn_row_inner_stride(&problem->rows, &problem->losses),
        .lse_step = softattn_row_inner_stride(&problem->rows, &problem->lse),
        .prefetch = run->prefetch,
        .asking = softattn_cpu_asking(),
        .stream = run->stream && format == problem->gradient.format,
        .scratch = visit->scratch};
    problem->kernels->cross_entropy(&rows);
    if (losses != NULL && own_losses != NULL) {
        const int64_t step = softattn_row_inner_stride(&problem->rows, &problem->losses) * bytes;
        softattn_copy_reals(visit->count, bytes, own_losses, bytes, losses, step);
    }
}

static bool walk_rows(struct run *run, const struct softattn_runtime *runtime) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const struct softattn_row_walk walk = {
        .kernels = problem->kernels,
        .rows = problem->rows,
        .matrix = {[LOGITS] = {.operand = problem->logits, .is_read = true, .may_be_overwritten = true},
                   [PROBABILITIES] = {.operand = problem->probabilities, .is_read = true},
                   [GRADIENT] = {.operand = problem->gradient, .is_written = true}},
        .scratch_reals = run->stream || run->halves ? SOFTATTN_ROW_SCRATCH(problem->rows.cols) : 0,
        .in_runs = true,
        .takes_halves = run->halves,
        .stream = run->stream,
        .visit = visit_rows,
        .user = run};
    return softattn_rows_walk(&walk, runtime);
}

/* Whether a target is one class, as the kernel that works on several rows at a time wants it. */
static bool is_of_classes(const struct softattn_cross_entropy_problem *problem) {
    return problem->probabilities.data == NULL && problem->smoothing == 0 && problem->scale > 0;
}

enum { SHORTEST_OF_HALVES = 256 };

/* Whether the kernel takes rows of 16-bit floats as they are. */
static bool takes_halves(const struct softattn_cross_entropy_problem *problem) {
    const struct softattn_rows *rows = &problem->rows;
    return problem->logits.format != SOFTATTN_FORMAT_REAL &&
           softattn_rows_suit_halves(rows, SHORTEST_OF_HALVES) && is_of_classes(problem) &&
           softattn_row_is_contiguous(rows, &problem->logits) &&
           softattn_row_is_contiguous(rows, &problem->gradient);
}

/*
 * What does not stay in the caches anyway is asked for early, unless the next row would crowd out this one,
 * and where the gradient is not written over the logits it is stored around them.
 */
static void suit_to_caches(struct run *run) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const struct softattn_rows *rows = &problem->rows;
    const int matrices = 1 + (problem->probabilities.data != NULL) + (problem->gradient.data != NULL);
    const bool is_real = problem->logits.format == SOFTATTN_FORMAT_REAL;
    const double row_bytes =
        (double)(rows->cols * softattn_row_element_bytes(&problem->logits, problem->kernels->real_bytes));
    const bool is_cold = softattn_rows_exceed_cache(matrices * (double)softattn_rows_count(rows) * row_bytes);
    run->prefetch = is_cold && is_real && 3 * row_bytes <= (double)softattn_cpu_cache_bytes(2);
    run->stream =
        is_cold && problem->gradient.data != NULL && problem->gradient.data != problem->logits.data &&
        softattn_rows_suit_streaming(rows, &problem->gradient, problem->kernels, is_of_classes(problem)) &&
        softattn_row_is_contiguous(rows, &problem->gradient);
}

/* ---- The whole ---- */

static void store_total(const struct run *run, const struct count *count) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const int64_t rows = softattn_rows_count(&problem->rows);
    const bool is_mean = problem->reduction == SOFTATTN_ROWS_MEAN;
    double sum = 0;
    for (int64_t row = 0; row < rows; row++) {
        sum += softattn_get_real(run->losses, row, problem->kernels->real_bytes);
    }
    if (is_mean) {
        sum = count->rows == 0 ? 0 : sum / count->divisor;
    }
    softattn_put_real(problem->total, 0, sum, problem->kernels->real_bytes);
}

static void store_counted(const struct softattn_cross_entropy_problem *problem, int64_t rows) {
    const int32_t narrow = (int32_t)rows;
    if (problem->counted_bytes == 4) {
        memcpy(problem->counted, &narrow, sizeof narrow);
    } else {
        memcpy(problem->counted, &rows, sizeof rows);
    }
}

/* The class weights next to each other, copied to `to` where they are not. */
static const char *contiguous_weights(const struct softattn_cross_entropy_problem *problem, char *to) {
    const struct softattn_row_operand *weights = &problem->class_weights;
    const int64_t bytes = problem->kernels->real_bytes;
    if (softattn_row_is_contiguous(&problem->rows, weights)) {
        return weights->data;
    }
    softattn_copy_reals(problem->rows.cols, bytes, weights->data, weights->axis_stride * bytes, to, bytes);
    return to;
}

bool softattn_cross_entropy_execute(const struct softattn_cross_entropy_problem *problem,
                                    const struct softattn_runtime *runtime) {
    struct run run = {.problem = problem};
    const int64_t bytes = problem->kernels->real_bytes, rows = softattn_rows_count(&problem->rows);
    const int64_t target_bytes = problem->targets.data == NULL ? 0 : rows * (int64_t)sizeof *run.targets;
    const int64_t loss_bytes = problem->total == NULL ? 0 : rows * bytes;
    char *block = softattn_memory_acquire(runtime->memory,
                                          (uint64_t)(target_bytes + loss_bytes + problem->rows.cols * bytes));
    if (block == NULL) {
        return false;
    }
    run.targets = problem->targets.data == NULL ? NULL : (int64_t *)(void *)block;
    run.losses = problem->total == NULL ? NULL : block + target_bytes;
    run.weights = contiguous_weights(problem, block + target_bytes + loss_bytes);
    const struct count count = read_targets(&run);
    const bool is_mean = problem->reduction == SOFTATTN_ROWS_MEAN;
    run.factor = !is_mean ? 1 : count.rows == 0 ? 0 : 1 / count.divisor;
    run.halves = takes_halves(problem);
    suit_to_caches(&run);
    const bool had_memory = walk_rows(&run, runtime);
    if (had_memory && problem->total != NULL) {
        store_total(&run, &count);
    }
    if (had_memory && problem->counted != NULL) {
        store_counted(problem, count.rows);
    }
    softattn_memory_release(runtime->memory, block);
    return had_memory;
}
