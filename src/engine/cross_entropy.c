/*
 * Cross-entropy: first the divisor of the mean, which the gradient needs, from the targets alone; then each row's loss
 * and gradient; then the losses' total.
 */
#include "engine/cross_entropy.h"

#include <stddef.h>
#include <string.h>

#include "engine/reals.h"
#include "platform/memory.h"

enum { LOGITS, PROBABILITIES, GRADIENT };

struct run {
    const struct softattn_cross_entropy_problem *problem;
    const char *weights; /* the class weights, contiguous; NULL: all 1 */
    char *losses;        /* [rows], for the total; NULL: not wanted */
    double factor;       /* of the gradient */
    bool prefetch, stream;
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

static struct count count_rows(const struct run *run) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const int64_t rows = softattn_rows_count(&problem->rows);
    struct count count = {0, 0};
    if (problem->probabilities.data != NULL) {
        return (struct count){rows, (double)rows};
    }
    struct softattn_row_place place = {{0}};
    for (int64_t row = 0; row < rows; row++, softattn_row_step(&problem->rows, &place)) {
        const int64_t target = softattn_cross_entropy_target(problem, &place);
        if (target != problem->ignore_index) {
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

static void visit_row(void *user, const struct softattn_row_visit *visit) {
    const struct run *run = user;
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const int64_t bytes = problem->kernels->real_bytes;
    char *loss = softattn_row_at(&problem->rows, &problem->losses, &visit->place, bytes);
    char *own_loss = run->losses == NULL ? loss : run->losses + visit->row * bytes;
    struct softattn_row_cross_entropy row = {.cols = problem->rows.cols,
                                             .x = visit->data[LOGITS],
                                             .gradient = visit->data[GRADIENT],
                                             .probabilities = visit->data[PROBABILITIES],
                                             .weights = run->weights,
                                             .scale = problem->scale,
                                             .smoothing = problem->smoothing,
                                             .z_loss = problem->z_loss,
                                             .factor = run->factor,
                                             .stream = run->stream,
                                             .prefetch_x = run->prefetch ? visit->next[LOGITS] : NULL,
                                             .prefetch_probabilities =
                                                 run->prefetch ? visit->next[PROBABILITIES] : NULL,
                                             .scratch = visit->scratch,
                                             .loss = own_loss};
    row.lse = softattn_row_at(&problem->rows, &problem->lse, &visit->place, bytes);
    if (row.probabilities == NULL) {
        const int64_t target = softattn_cross_entropy_target(problem, &visit->place);
        row.target = target == problem->ignore_index ? -1 : target;
    }
    problem->kernels->cross_entropy(&row);
    if (loss != NULL && loss != own_loss) {
        memcpy(loss, own_loss, (size_t)bytes);
    }
}

static bool walk_rows(struct run *run, const struct softattn_runtime *runtime) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const struct softattn_row_walk walk = {
        .kernels = problem->kernels,
        .rows = problem->rows,
        .matrix = {[LOGITS] = {.operand = problem->logits, .is_read = true},
                   [PROBABILITIES] = {.operand = problem->probabilities, .is_read = true},
                   [GRADIENT] = {.operand = problem->gradient, .is_written = true}},
        .scratch_reals = run->stream ? problem->rows.cols : 0,
        .visit = visit_row,
        .user = run};
    return softattn_rows_walk(&walk, runtime);
}

/* What does not stay in the caches anyway is asked for early and, where the gradient is not written over the logits,
 * stored around them. */
static void suit_to_caches(struct run *run) {
    const struct softattn_cross_entropy_problem *problem = run->problem;
    const struct softattn_rows *rows = &problem->rows;
    const int matrices = 1 + (problem->probabilities.data != NULL) + (problem->gradient.data != NULL);
    const double elements = (double)softattn_rows_count(rows) * (double)rows->cols;
    run->prefetch = softattn_rows_exceed_cache(matrices * elements * problem->kernels->real_bytes);
    run->stream = run->prefetch && problem->gradient.data != NULL &&
                  problem->gradient.data != problem->logits.data &&
                  softattn_row_is_contiguous(rows, &problem->logits) &&
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
    for (int64_t j = 0; j < problem->rows.cols; j++) {
        memcpy(to + j * bytes, weights->data + j * weights->axis_stride * bytes, (size_t)bytes);
    }
    return to;
}

bool softattn_cross_entropy_execute(const struct softattn_cross_entropy_problem *problem,
                                    const struct softattn_runtime *runtime) {
    struct run run = {.problem = problem};
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t losses = problem->total == NULL ? 0 : softattn_rows_count(&problem->rows);
    char *block = softattn_memory_acquire(runtime->memory, (uint64_t)((losses + problem->rows.cols) * bytes));
    if (block == NULL) {
        return false;
    }
    run.losses = problem->total == NULL ? NULL : block;
    run.weights = contiguous_weights(problem, block + losses * bytes);
    const struct count count = count_rows(&run);
    const bool is_mean = problem->reduction == SOFTATTN_ROWS_MEAN;
    run.factor = !is_mean ? 1 : count.rows == 0 ? 0 : 1 / count.divisor;
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
