/* Choosing tokens, a row of logits at a time. */
#include "engine/sampling.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/integers.h"
#include "engine/reals.h"
#include "engine/token_select.h"

enum {
    ALIGNMENT = 64,
    SHORT_ROW = 4096, /* rows up to this length go on a list as a whole */
    GROUP = 16,       /* blocks whose masses are summed together first */
    LOGITS = 0,       /* matrices of the walk */
    PROBABILITIES = 1
};

/* A row on its way to a token. */
struct row {
    const struct softattn_sampling_problem *problem;
    struct softattn_logits logits;
    double factor, least_weight;
    struct softattn_bracket bracket;
    bool listed; /* the bracket's list has every token that the filters may keep, and nothing is above it */
    bool holds;  /* the bracket holds the limit */
    struct softattn_token_limit limit;
    int64_t split; /* tokens equal to the limit's value are kept before this column */
    char *block_weights;
    int64_t *group_masses;
    struct softattn_select_scratch scratch;
};

/* ---- Scratch ---- */

static char *cut(char *memory, uint64_t *used, int64_t count, int64_t bytes) {
    char *piece = memory == NULL ? NULL : memory + *used;
    *used += ((uint64_t)(count * bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static int64_t *cut_integers(char *memory, uint64_t *used, int64_t count) {
    return (int64_t *)(void *)cut(memory, used, count, (int64_t)sizeof(int64_t));
}

/* maxima are the last, so that they may be written. */
static uint64_t cut_scratch(const struct softattn_sampling_problem *problem, char *memory, struct row *row,
                            char **maxima) {
    const int64_t bytes = problem->kernels->real_bytes, cols = problem->rows.cols;
    const int64_t blocks = softattn_token_blocks(cols), list = cols + SOFTATTN_LIST_MARGIN;
    const int64_t sample = softattn_token_sample_size(cols);
    uint64_t used = 0;
    row->bracket.above = cut_integers(memory, &used, blocks);
    row->bracket.counts = cut_integers(memory, &used, blocks);
    row->scratch.above = cut_integers(memory, &used, blocks);
    row->group_masses = cut_integers(memory, &used, blocks / GROUP + 1);
    row->bracket.list = cut(memory, &used, list, bytes);
    row->scratch.work[0] = cut(memory, &used, list, bytes);
    row->scratch.work[1] = cut(memory, &used, list, bytes);
    row->scratch.sample = cut(memory, &used, sample, bytes);
    row->scratch.weights = cut(memory, &used, sample, bytes);
    row->block_weights = cut(memory, &used, SOFTATTN_TOKEN_BLOCK, bytes);
    *maxima = cut(memory, &used, blocks, bytes);
    return used;
}

/* ---- Top-k ---- */

/* The limit at value when `keep` tokens of a list are wanted, of which value is the least. */
static struct softattn_token_limit limit_at(const char *list, int64_t count, double value, int64_t keep,
                                            int32_t bytes) {
    int64_t larger = 0, equal = 0;
    for (int64_t i = 0; i < count; i++) {
        const double x = softattn_get_real(list, i, bytes);
        larger += x > value;
        equal += x == value;
    }
    if (larger + equal == keep) {
        return (struct softattn_token_limit){softattn_next_below(value, bytes), 0};
    }
    return (struct softattn_token_limit){value, keep - larger};
}

/* Puts every token above low on the list; nothing else matters from then on. */
static void list_above(struct row *row, double low) {
    const struct softattn_logits *logits = &row->logits;
    const struct softattn_token_range range = {logits->cols, logits->x, logits->maxima, low, logits->max};
    row->bracket.low = low;
    row->bracket.high = logits->max;
    row->bracket.count = logits->kernels->token_collect(&range, row->bracket.list, row->bracket.counts);
    memset(row->bracket.above, 0, (size_t)logits->blocks * sizeof row->bracket.above[0]);
    row->listed = row->holds = true;
}

/* Lists the k largest tokens and perhaps some more. The k largest maxima of blocks are k tokens, so no token below the
 * least of those is among the k largest. */
static void list_largest(struct row *row, int64_t k) {
    const struct softattn_logits *logits = &row->logits;
    if (k <= logits->blocks) {
        const double least = logits->kernels->kth_largest(logits->blocks, logits->maxima, k);
        list_above(row, softattn_next_below(least, logits->kernels->real_bytes));
        return;
    }
    list_above(row, softattn_bound_of_largest(logits, k, &row->scratch));
    if (row->bracket.count < k) {
        list_above(row, -(double)INFINITY);
    }
}

static void keep_k(struct row *row, int64_t k) {
    const struct softattn_kernels *kernels = row->logits.kernels;
    const struct softattn_bracket *bracket = &row->bracket;
    list_largest(row, k);
    if (k < bracket->count) {
        const double value = kernels->kth_largest(bracket->count, bracket->list, k);
        row->limit = limit_at(bracket->list, bracket->count, value, k, kernels->real_bytes);
    } else {
        row->limit.value = bracket->low;
    }
}

/* ---- Top-p ---- */

static void keep_p(struct row *row, double p) {
    const struct softattn_logits *logits = &row->logits;
    const struct softattn_bracket *bracket = &row->bracket;
    if (!row->listed && logits->cols <= SHORT_ROW) {
        list_above(row, -(double)INFINITY);
    }
    if (!row->listed) {
        row->limit =
            softattn_select_from_row(logits, row->factor, p, &row->bracket, &row->holds, &row->scratch);
        return;
    }
    const double value = row->limit.value;
    int64_t mass =
        softattn_list_mass(logits, row->factor, bracket->list, bracket->count, value, 0, &row->scratch);
    if (row->limit.ties > 0) {
        mass += row->limit.ties * softattn_token_mass(logits, row->factor, value);
    }
    row->limit =
        softattn_select_from_list(logits, row->factor, softattn_fraction_of(p, mass), bracket, &row->scratch);
}

/* ---- The choice ---- */

/* The column after the last token that is kept for being equal to the limit's value. */
static int64_t find_split(const struct row *row) {
    const struct softattn_logits *logits = &row->logits;
    const int32_t bytes = logits->kernels->real_bytes;
    const double value = row->limit.value;
    const struct softattn_token_range range = {logits->cols, logits->x, logits->maxima,
                                               softattn_next_below(value, bytes), value};
    int64_t left = row->limit.ties, block = 0;
    if (left == 0) {
        return 0;
    }
    (void)logits->kernels->token_collect(&range, row->scratch.work[0], row->scratch.above);
    for (; left > row->scratch.above[block]; block++) {
        left -= row->scratch.above[block];
    }
    int64_t j = block * SOFTATTN_TOKEN_BLOCK;
    for (; left > 0; j++) {
        left -= softattn_get_real(logits->x, j, bytes) == value;
    }
    return j;
}

/* Kept mass of a block, column by column; or in *token the column at which it exceeds target, if it does. */
static int64_t walk_block(const struct row *row, int64_t block, int64_t target, int64_t *token) {
    const struct softattn_logits *logits = &row->logits;
    const int64_t bytes = logits->kernels->real_bytes, first = block * SOFTATTN_TOKEN_BLOCK;
    const int64_t cols = min_i64(logits->cols - first, SOFTATTN_TOKEN_BLOCK);
    int64_t mass = 0;
    logits->kernels->token_weights(cols, logits->x + first * bytes, logits->max, row->factor,
                                   row->block_weights);
    for (int64_t j = 0; j < cols && mass <= target; j++) {
        const double x = softattn_get_real(logits->x, first + j, bytes);
        const double weight = softattn_get_real(row->block_weights, j, bytes);
        const bool inside = x > row->limit.value || (x == row->limit.value && first + j < row->split);
        if (inside && weight >= row->least_weight) {
            mass += softattn_mass(weight);
            *token = first + j;
        }
    }
    return mass;
}

/* Kept mass of blocks first ... end - 1, of which the list's part starts at list_first. */
static int64_t kept_mass(const struct row *row, int64_t first, int64_t end, int64_t list_first) {
    const struct softattn_bracket *bracket = &row->bracket;
    const int32_t bytes = row->logits.kernels->real_bytes;
    const bool splits = row->split > first * SOFTATTN_TOKEN_BLOCK && row->split < end * SOFTATTN_TOKEN_BLOCK;
    int64_t token, mass = 0, count = 0;
    if (splits && end - first == 1) {
        return walk_block(row, first, INT64_MAX, &token);
    }
    for (int64_t block = first; block < end; block++) {
        if (splits) {
            mass += kept_mass(row, block, block + 1, list_first + count);
        } else {
            mass += bracket->above[block];
        }
        count += bracket->counts[block];
    }
    if (splits || count == 0) {
        return mass;
    }
    const double value = row->limit.value;
    const double low = first * SOFTATTN_TOKEN_BLOCK < row->split ? softattn_next_below(value, bytes) : value;
    return mass + softattn_list_mass(&row->logits, row->factor, bracket->list + list_first * bytes, count,
                                     low, row->least_weight, &row->scratch);
}

/* The first token at which the kept mass, in the order of columns, exceeds uniform times all of it. */
static int64_t draw(const struct row *row, double uniform) {
    const int64_t blocks = row->logits.blocks;
    const int64_t *counts = row->bracket.counts;
    int64_t total = 0, block = 0, list_first = 0, token = -1;
    for (int64_t first = 0; first < blocks; first += GROUP) {
        const int64_t end = min_i64(first + GROUP, blocks);
        row->group_masses[first / GROUP] = kept_mass(row, first, end, list_first);
        total += row->group_masses[first / GROUP];
        list_first += softattn_sum_masses(counts + first, end - first);
    }
    int64_t target = min_i64((int64_t)(uniform * (double)total), total - 1);
    list_first = 0;
    for (; target >= row->group_masses[block / GROUP]; block += GROUP) {
        target -= row->group_masses[block / GROUP];
        list_first += softattn_sum_masses(counts + block, GROUP);
    }
    for (int64_t mass; (mass = kept_mass(row, block, block + 1, list_first)) <= target; block++) {
        target -= mass;
        list_first += counts[block];
    }
    (void)walk_block(row, block, target, &token);
    return token;
}

/* ---- Rows ---- */

/* What a row is that has no distribution, or whose tokens the filters can choose among. */
enum kind { ORDINARY, EMPTY, NOT_A_NUMBER };

static enum kind open_row(struct row *row, const struct softattn_row_visit *visit, char *maxima) {
    const struct softattn_kernels *kernels = row->problem->kernels;
    const int64_t cols = row->problem->rows.cols;
    const char *x = visit->data[LOGITS];
    row->logits = (struct softattn_logits){.kernels = kernels, .cols = cols, .x = x, .maxima = maxima};
    row->logits.next = visit->next[LOGITS];
    row->logits.blocks = softattn_token_blocks(cols);
    row->logits.max = kernels->block_maxima(cols, x, maxima);
    if (row->logits.max != row->logits.max || row->logits.max == (double)INFINITY) {
        return NOT_A_NUMBER;
    }
    return row->logits.max == -(double)INFINITY ? EMPTY : ORDINARY;
}

static void filter(struct row *row) {
    const struct softattn_sampling_problem *problem = row->problem;
    row->listed = row->holds = false;
    row->limit = (struct softattn_token_limit){-(double)INFINITY, 0};
    if (problem->top_k > 0 && problem->top_k < row->logits.cols) {
        keep_k(row, problem->top_k);
    }
    if (problem->top_p < 1) {
        keep_p(row, problem->top_p);
    }
    row->split = find_split(row);
}

/* Where the bracket does not hold the limit, another one is put around it. */
static void hold_limit(struct row *row) {
    int64_t unused;
    if (row->listed || (row->holds && row->least_weight == 0)) {
        return;
    }
    const double value = row->limit.value;
    const double low = row->split > 0 ? softattn_next_below(value, row->logits.kernels->real_bytes) : value;
    (void)softattn_pass_row(&row->logits, row->factor, low, value, row->least_weight, &row->bracket, &unused);
}

/* ---- Outputs ---- */

struct outputs {
    char *probabilities;
    uint8_t *keep;
    int64_t keep_stride;
};

static void put_token(const struct softattn_sampling_problem *problem, const struct softattn_row_place *place,
                      int64_t token) {
    char *to = softattn_row_at(&problem->rows, &problem->tokens, place, problem->token_bytes);
    const int32_t narrow = (int32_t)token;
    if (to != NULL) {
        memcpy(to, problem->token_bytes == 4 ? (const void *)&narrow : &token, (size_t)problem->token_bytes);
    }
}

/* All probability in one column, or with -1 in none; NaN everywhere instead where is_nan. */
static void put_single(const struct softattn_sampling_problem *problem, const struct outputs *outputs,
                       int64_t column, bool is_nan) {
    for (int64_t j = 0; j < problem->rows.cols; j++) {
        if (outputs->probabilities != NULL) {
            softattn_put_real(outputs->probabilities, j, is_nan ? (double)NAN : j == column,
                              problem->kernels->real_bytes);
        }
        if (outputs->keep != NULL) {
            outputs->keep[j * outputs->keep_stride] = j == column;
        }
    }
}

static void put_choice(const struct row *row, const struct outputs *outputs) {
    const struct softattn_logits *logits = &row->logits;
    struct softattn_token_choice choice = {.cols = logits->cols, .x = logits->x, .max = logits->max};
    choice.factor = row->factor;
    choice.value = row->limit.value;
    choice.below_value = softattn_next_below(row->limit.value, logits->kernels->real_bytes);
    choice.split = row->split;
    choice.least_weight = row->least_weight;
    choice.probabilities = outputs->probabilities;
    choice.keep = outputs->keep;
    choice.keep_stride = outputs->keep_stride;
    if (choice.probabilities != NULL || choice.keep != NULL) {
        logits->kernels->token_choice(&choice);
    }
}

/* The row's number; 0 where no token is wanted. */
static double uniform_at(const struct softattn_sampling_problem *problem,
                         const struct softattn_row_place *place) {
    const int64_t bytes = problem->kernels->real_bytes;
    const char *uniform = softattn_row_at(&problem->rows, &problem->uniform, place, bytes);
    return uniform == NULL ? 0 : softattn_get_real(uniform, 0, bytes);
}

static void sample_row(const struct softattn_sampling_problem *problem,
                       const struct softattn_row_visit *visit, const struct outputs *outputs) {
    struct row row = {.problem = problem};
    char *maxima;
    (void)cut_scratch(problem, visit->scratch, &row, &maxima);
    row.factor = SOFTATTN_LOG2_E / problem->temperature;
    row.least_weight = problem->kernels->real_bytes == 4 ? (double)(float)problem->min_p : problem->min_p;
    const enum kind kind = open_row(&row, visit, maxima);
    if (kind != ORDINARY) {
        put_token(problem, &visit->place, -1);
        put_single(problem, outputs, -1, kind == NOT_A_NUMBER);
        return;
    }
    filter(&row);
    if (problem->tokens.data != NULL) {
        hold_limit(&row);
        put_token(problem, &visit->place, draw(&row, uniform_at(problem, &visit->place)));
    }
    put_choice(&row, outputs);
}

static void argmax_row(const struct softattn_sampling_problem *problem,
                       const struct softattn_row_visit *visit, const struct outputs *outputs) {
    const int64_t token = problem->kernels->argmax(problem->rows.cols, visit->data[LOGITS]);
    put_token(problem, &visit->place, token);
    if (outputs->probabilities != NULL || outputs->keep != NULL) {
        struct row row = {.problem = problem};
        char *maxima;
        (void)cut_scratch(problem, visit->scratch, &row, &maxima);
        const bool is_nan = token < 0 && open_row(&row, visit, maxima) == NOT_A_NUMBER;
        put_single(problem, outputs, token, is_nan);
    }
}

static void visit_row(void *user, const struct softattn_row_visit *visit) {
    const struct softattn_sampling_problem *problem = user;
    struct outputs outputs = {visit->data[PROBABILITIES], NULL, problem->keep.axis_stride};
    outputs.keep = (uint8_t *)softattn_row_at(&problem->rows, &problem->keep, &visit->place, 1);
    if (problem->temperature > 0) {
        sample_row(problem, visit, &outputs);
    } else {
        argmax_row(problem, visit, &outputs);
    }
}

bool softattn_sampling_execute(const struct softattn_sampling_problem *problem,
                               const struct softattn_runtime *runtime) {
    struct softattn_row_walk walk = {.kernels = problem->kernels, .rows = problem->rows, .visit = visit_row};
    struct row unused_row = {.problem = problem};
    char *unused_maxima;
    walk.matrix[LOGITS] = (struct softattn_row_matrix){.operand = problem->logits, .is_read = true};
    walk.matrix[PROBABILITIES] =
        (struct softattn_row_matrix){.operand = problem->probabilities, .is_written = true};
    walk.user = (void *)problem;
    if (problem->temperature > 0 || problem->probabilities.data != NULL || problem->keep.data != NULL) {
        walk.scratch_reals =
            (int64_t)cut_scratch(problem, NULL, &unused_row, &unused_maxima) / problem->kernels->real_bytes;
    }
    return softattn_rows_walk(&walk, runtime);
}
