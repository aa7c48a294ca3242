/* Selecting the largest logits whose masses reach a goal. */
#include "engine/token_select.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/integers.h"
#include "engine/reals.h"

enum {
    BINS = 128,       /* of a sample's histogram */
    SORTED_LIST = 24, /* lists up to this length are sorted */
    WHOLE_LIST = 512, /* lists up to this length are their own sample */
    LIST_SAMPLE = 256 /* at least this many tokens are taken from longer ones */
};

/* Standard deviations of the guess that a range allows for, and its rounding. */
#define ERRORS   2.5
#define ROUNDING 1e-6

int64_t softattn_token_blocks(int64_t cols) {
    return (cols + SOFTATTN_TOKEN_BLOCK - 1) / SOFTATTN_TOKEN_BLOCK;
}

/* Columns of each block that a row's sample takes. */
static int64_t columns_per_block(int64_t blocks) {
    return max_i64(1, min_i64(SOFTATTN_TOKEN_SAMPLE / max_i64(blocks, 1), SOFTATTN_TOKEN_BLOCK));
}

int64_t softattn_token_sample_size(int64_t cols) {
    const int64_t blocks = softattn_token_blocks(cols);
    return max_i64(WHOLE_LIST, blocks * (1 + columns_per_block(blocks)));
}

/* Adding 1.5 * 2^16 leaves the nearest multiple of 2^-36. */
int64_t softattn_mass(double weight) {
    return (int64_t)(((weight + 0x1.8p16) - 0x1.8p16) * (double)SOFTATTN_WHOLE_MASS);
}

double softattn_next_below(double value, int32_t real_bytes) {
    if (value == -(double)INFINITY) {
        return value;
    }
    if (real_bytes == 4) {
        const float narrow = (float)value;
        int32_t bits;
        float below;
        memcpy(&bits, &narrow, sizeof bits);
        bits = narrow == 0 ? INT32_MIN + 1 : narrow > 0 ? bits - 1 : bits + 1;
        memcpy(&below, &bits, sizeof below);
        return below;
    }
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = value == 0 ? INT64_MIN + 1 : value > 0 ? bits - 1 : bits + 1;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int64_t softattn_fraction_of(double fraction, int64_t mass) {
    return max_i64(1, min_i64(mass, (int64_t)ceil(fraction * (double)mass)));
}

/* The real nearest to a value. */
static double narrow(double value, int32_t real_bytes) {
    return real_bytes == 4 ? (double)(float)value : value;
}

/* ---- Samples ---- */

/* The first `exact` stand for themselves, each of the others for `each` tokens. */
struct sample {
    const char *values;
    char *weights;
    int64_t exact, count;
    double each;
};

/* The blocks' maxima, each for itself, and the first columns of each block but for those. */
static struct sample sample_row(const struct softattn_logits *row,
                                const struct softattn_select_scratch *scratch) {
    const int64_t bytes = row->kernels->real_bytes, take = columns_per_block(row->blocks);
    struct sample sample = {scratch->sample, scratch->weights, row->blocks, row->blocks, 1};
    memcpy(scratch->sample, row->maxima, (size_t)(row->blocks * bytes));
    for (int64_t block = 0; block < row->blocks; block++) {
        const int64_t first = block * SOFTATTN_TOKEN_BLOCK, end = min_i64(first + take, row->cols);
        const double maximum = softattn_get_real(row->maxima, block, bytes);
        for (int64_t j = first; j < end; j++) {
            const double x = softattn_get_real(row->x, j, bytes);
            softattn_put_real(scratch->sample, sample.count, x, bytes);
            sample.count += x != maximum;
        }
    }
    sample.each = (double)(row->cols - row->blocks) / (double)max_i64(sample.count - row->blocks, 1);
    return sample;
}

static struct sample sample_list(const char *list, int64_t count, int64_t bytes,
                                 const struct softattn_select_scratch *scratch) {
    struct sample sample = {list, scratch->weights, count, count, 1};
    if (count <= WHOLE_LIST) {
        return sample;
    }
    const int64_t step = count / LIST_SAMPLE;
    sample.values = scratch->sample;
    sample.exact = sample.count = 0;
    for (int64_t j = step / 2; j < count; j += step) {
        memcpy(scratch->sample + sample.count * bytes, list + j * bytes, (size_t)bytes);
        sample.count++;
    }
    sample.each = (double)count / (double)sample.count;
    return sample;
}

double softattn_bound_of_largest(const struct softattn_logits *row, int64_t k,
                                 const struct softattn_select_scratch *scratch) {
    const int64_t bytes = row->kernels->real_bytes, take = columns_per_block(row->blocks);
    int64_t count = 0;
    for (int64_t block = 0; block < row->blocks; block++) {
        const int64_t first = block * SOFTATTN_TOKEN_BLOCK, columns = min_i64(take, row->cols - first);
        memcpy(scratch->sample + count * bytes, row->x + first * bytes, (size_t)(columns * bytes));
        count += columns;
    }
    const double rank = (double)k * (double)count / (double)row->cols;
    const double low_rank = rank + 3 * sqrt(rank) + 1;
    if (low_rank >= (double)count) {
        return -(double)INFINITY;
    }
    const double bound = row->kernels->kth_largest(count, scratch->sample, (int64_t)low_rank);
    return softattn_next_below(bound, row->kernels->real_bytes);
}

/* ---- Guessing ---- */

/* Mass of a sample by bins of equal width from its largest value down to its least, as weights; and its error: the
 * squares of what the tokens that stand for others add. */
struct histogram {
    double largest, least;
    double mass[BINS], squares[BINS];
    double total, total_squares;
};

/* Value at the upper edge of a bin; the range is halved so that no difference overflows. */
static double edge_of(const struct histogram *histogram, int32_t bin) {
    return histogram->largest - (histogram->largest / 2 - histogram->least / 2) * bin * (2.0 / BINS);
}

static void find_range(const struct sample *sample, int64_t bytes, struct histogram *histogram) {
    const double half_unit = 0.5 / (double)SOFTATTN_WHOLE_MASS;
    double largest = -(double)INFINITY, least = (double)INFINITY;
    for (int64_t i = 0; i < sample->count; i++) {
        const double value = softattn_get_real(sample->values, i, bytes);
        const double weight = softattn_get_real(sample->weights, i, bytes);
        const bool counts = weight > half_unit && value > -(double)INFINITY;
        largest = counts && value > largest ? value : largest;
        least = counts && value < least ? value : least;
    }
    histogram->largest = largest;
    histogram->least = least;
}

/* Tokens first ... end - 1 of the sample, each of which stands for `each`. */
static void add_tokens(const struct sample *sample, int64_t bytes, int64_t first, int64_t end, double each,
                       struct histogram *histogram) {
    const double half = histogram->largest / 2, step = BINS / (half - histogram->least / 2);
    for (int64_t i = first; i < end; i++) {
        const double value = softattn_get_real(sample->values, i, bytes);
        const double weight = softattn_get_real(sample->weights, i, bytes) * each;
        const double place = (half - value / 2) * step;
        if (place <= BINS) {
            const int32_t bin = place < BINS ? (int32_t)place : BINS - 1;
            histogram->mass[bin] += weight;
            histogram->squares[bin] += each > 1 ? weight * weight : 0;
        }
    }
}

static void make_histogram(const struct softattn_logits *row, double factor, const struct sample *sample,
                           struct histogram *histogram) {
    const int64_t bytes = row->kernels->real_bytes;
    memset(histogram, 0, sizeof *histogram);
    row->kernels->token_weights(sample->count, sample->values, row->max, factor, sample->weights);
    find_range(sample, bytes, histogram);
    if (histogram->largest > histogram->least) {
        add_tokens(sample, bytes, 0, sample->exact, 1, histogram);
        add_tokens(sample, bytes, sample->exact, sample->count, sample->each, histogram);
    }
    for (int32_t bin = 0; bin < BINS; bin++) {
        histogram->total += histogram->mass[bin];
        histogram->total_squares += histogram->squares[bin];
    }
}

/* Standard deviation of the mass above a token as a part of all, where that part is `fraction`: errors above and below
 * it work against each other. */
static double error_at(const struct histogram *histogram, double fraction, double squares_above) {
    const double below = histogram->total_squares - squares_above;
    return sqrt(squares_above * (1 - fraction) * (1 - fraction) + below * fraction * fraction);
}

struct range {
    double low, high; /* low < x <= high */
};

static struct range halve(struct range range, int32_t bytes) {
    range.low = narrow(range.low / 2 + range.high / 2, bytes);
    range.low = range.low < range.high ? range.low : softattn_next_below(range.high, bytes);
    return range;
}

/* The values of bins top ... bottom; the first and the last bin are open to outer. Never all of outer, never nothing. */
static struct range range_of(const struct histogram *histogram, int32_t top, int32_t bottom,
                             struct range outer, int32_t bytes) {
    struct range range = outer;
    if (top > 0) {
        const double edge = narrow(edge_of(histogram, top), bytes);
        range.high = edge < outer.high && edge > outer.low ? edge : outer.high;
    }
    if (bottom < BINS - 1) {
        const double edge = narrow(edge_of(histogram, bottom + 1), bytes);
        range.low = edge > outer.low ? edge : outer.low;
    }
    range.low = range.low < range.high ? range.low : softattn_next_below(range.high, bytes);
    return range;
}

/*
 * Between which logits the token lies at which the fraction of the mass is reached, going down. The range is narrower
 * than `outer`, which holds the sample.
 */
static struct range guess(const struct histogram *histogram, double fraction, struct range outer,
                          int32_t bytes) {
    if (histogram->largest < histogram->least) { /* nothing of the sample has any mass */
        return halve(outer, bytes);
    }
    if (histogram->largest == histogram->least) {
        return (struct range){softattn_next_below(histogram->largest, bytes), histogram->largest};
    }
    const double target = fraction * histogram->total;
    double above = 0, squares = 0;
    int32_t bottom = 0;
    for (; bottom < BINS - 1 && above + histogram->mass[bottom] < target; bottom++) {
        above += histogram->mass[bottom];
        squares += histogram->squares[bottom];
    }
    const double margin = ERRORS * error_at(histogram, fraction, squares) + ROUNDING * histogram->total;
    double reached = above + histogram->mass[bottom];
    int32_t top = bottom;
    while (top > 0 && above > target - margin) {
        above -= histogram->mass[--top];
    }
    while (bottom < BINS - 1 && reached < target + margin) {
        reached += histogram->mass[++bottom];
    }
    return range_of(histogram, top, (int32_t)min_i64(bottom, top + BINS / 2 - 1), outer, bytes);
}

/* ---- Lists ---- */

int64_t softattn_sum_masses(const int64_t *masses, int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += masses[i];
    }
    return sum;
}

int64_t softattn_token_mass(const struct softattn_logits *row, double factor, double x) {
    const int64_t bytes = row->kernels->real_bytes;
    double logit = 0, weight = 0; /* memory for a real of either type */
    softattn_put_real((char *)&logit, 0, x, bytes);
    row->kernels->token_weights(1, &logit, row->max, factor, &weight);
    return softattn_mass(softattn_get_real((const char *)&weight, 0, bytes));
}

/* Sums the mass above high, and puts the tokens of the range on the list to; returns their number. */
static int64_t pass_list(const struct softattn_logits *row, double factor, const char *x, int64_t count,
                         struct range range, double least_weight, int64_t *above, char *to,
                         const struct softattn_select_scratch *scratch) {
    struct softattn_token_pass pass = {.cols = count, .x = x, .max = row->max, .factor = factor};
    pass.low = range.low;
    pass.high = range.high;
    pass.least_weight = least_weight;
    pass.above = scratch->above;
    pass.candidate_values = to;
    row->kernels->token_pass(&pass);
    *above = softattn_sum_masses(scratch->above, softattn_token_blocks(count));
    return pass.candidates;
}

int64_t softattn_list_mass(const struct softattn_logits *row, double factor, const char *x, int64_t count,
                           double low, double least_weight, const struct softattn_select_scratch *scratch) {
    int64_t mass;
    (void)pass_list(row, factor, x, count, (struct range){low, low}, least_weight, &mass, NULL, scratch);
    return mass;
}

/* A list of all tokens in a range, with the mass that the goal still lacks above it. */
struct part {
    const char *list;
    int64_t count;
    struct range range;
    int64_t inside; /* mass of the list; at least missing */
    int64_t missing;
};

/* The limit when `ties` of `all` tokens of one value are needed. */
static struct softattn_token_limit limit_at(double value, int64_t ties, int64_t all, int32_t real_bytes) {
    if (ties >= all) {
        return (struct softattn_token_limit){softattn_next_below(value, real_bytes), 0};
    }
    return (struct softattn_token_limit){value, ties};
}

/* Tokens of mass `each` that reach the mass; one of no mass adds none, but is as good as any. */
static int64_t tokens_for(int64_t mass, int64_t each) { return each > 0 ? (mass + each - 1) / each : 1; }

static struct softattn_token_limit select_sorted(const struct softattn_logits *row, double factor,
                                                 struct part part) {
    const int32_t bytes = row->kernels->real_bytes;
    double sorted[SORTED_LIST];
    for (int64_t i = 0; i < part.count; i++) {
        const double x = softattn_get_real(part.list, i, bytes);
        int64_t place = i;
        for (; place > 0 && sorted[place - 1] < x; place--) {
            sorted[place] = sorted[place - 1];
        }
        sorted[place] = x;
    }
    for (int64_t i = 0; i < part.count;) {
        const int64_t each = softattn_token_mass(row, factor, sorted[i]);
        int64_t ties = 1;
        while (i + ties < part.count && sorted[i + ties] == sorted[i]) {
            ties++;
        }
        if (ties * each >= part.missing || i + ties == part.count) {
            return limit_at(sorted[i], tokens_for(part.missing, each), ties, bytes);
        }
        part.missing -= ties * each;
        i += ties;
    }
    return (struct softattn_token_limit){part.range.low, 0};
}

/* The tokens of a part in a range, as a part of their own. */
static struct part narrow_part(const struct softattn_logits *row, struct part part, struct range range,
                               int64_t inside, int64_t missing, char *to) {
    const struct softattn_token_range inner = {part.count, part.list, NULL, range.low, range.high};
    return (struct part){to, row->kernels->token_collect(&inner, to, NULL), range, inside, missing};
}

/* One step: the part of a part in which the goal is reached. */
static struct part shrink(const struct softattn_logits *row, double factor, struct part part,
                          const struct softattn_select_scratch *scratch) {
    const struct sample sample = sample_list(part.list, part.count, row->kernels->real_bytes, scratch);
    const double fraction = (double)part.missing / (double)part.inside;
    struct histogram histogram;
    make_histogram(row, factor, &sample, &histogram);
    const struct range range = guess(&histogram, fraction, part.range, row->kernels->real_bytes);
    char *to = part.list == scratch->work[0] ? scratch->work[1] : scratch->work[0];
    int64_t above;
    const int64_t count = pass_list(row, factor, part.list, part.count, range, 0, &above, to, scratch);
    if (above >= part.missing) {
        const struct range upper = {range.high, part.range.high};
        return narrow_part(row, part, upper, above, part.missing, to);
    }
    const int64_t inside = softattn_list_mass(row, factor, to, count, range.low, 0, scratch);
    if (above + inside >= part.missing) {
        return (struct part){to, count, range, inside, part.missing - above};
    }
    const struct range lower = {part.range.low, range.low};
    const int64_t reached = above + inside;
    return narrow_part(row, part, lower, part.inside - reached, part.missing - reached, to);
}

static struct softattn_token_limit select_from_part(const struct softattn_logits *row, double factor,
                                                    struct part part,
                                                    const struct softattn_select_scratch *scratch) {
    const int32_t bytes = row->kernels->real_bytes;
    while (part.count > SORTED_LIST && softattn_next_below(part.range.high, bytes) > part.range.low) {
        part = shrink(row, factor, part, scratch);
    }
    if (part.count > SORTED_LIST) { /* all of one value */
        const int64_t each = softattn_token_mass(row, factor, part.range.high);
        return limit_at(part.range.high, tokens_for(part.missing, each), part.count, bytes);
    }
    return select_sorted(row, factor, part);
}

/* A logit up to which no token has any mass: weights of 2^-37 are rounded down to none. At a small temperature
 * the nearest real may have some, or even be the largest logit, so it is the next one below. */
static double massless(const struct softattn_logits *row, double factor) {
    const int32_t bytes = row->kernels->real_bytes;
    return softattn_next_below(narrow(row->max - 37.01 / factor, bytes), bytes);
}

struct softattn_token_limit softattn_select_from_list(const struct softattn_logits *row, double factor,
                                                      int64_t goal, const struct softattn_bracket *bracket,
                                                      const struct softattn_select_scratch *scratch) {
    const double bottom = massless(row, factor);
    const struct range range = {bracket->low > bottom ? bracket->low : bottom, bracket->high};
    const int64_t inside =
        softattn_list_mass(row, factor, bracket->list, bracket->count, range.low, 0, scratch);
    const struct part all = {bracket->list, bracket->count, range, inside, goal};
    return select_from_part(row, factor, narrow_part(row, all, range, inside, goal, scratch->work[0]),
                            scratch);
}

/* ---- Rows ---- */

int64_t softattn_pass_row(const struct softattn_logits *row, double factor, double low, double high,
                          double least_weight, struct softattn_bracket *bracket, int64_t *total) {
    struct softattn_token_pass pass = {
        .cols = row->cols, .x = row->x, .maxima = row->maxima, .next = row->next, .max = row->max};
    pass.factor = factor;
    pass.low = bracket->low = low;
    pass.high = bracket->high = high;
    pass.least_weight = least_weight;
    pass.above = bracket->above;
    pass.candidate_values = low < high ? bracket->list : NULL;
    pass.block_candidates = bracket->counts;
    row->kernels->token_pass(&pass);
    bracket->count = pass.candidates;
    *total = pass.total;
    return softattn_sum_masses(bracket->above, row->blocks);
}

/* The tokens of the row in a range, on the bracket's list. What is above it is then not known block by block. */
static struct part collect_part(const struct softattn_logits *row, struct range range, int64_t inside,
                                int64_t missing, struct softattn_bracket *bracket) {
    const struct softattn_token_range inner = {row->cols, row->x, row->maxima, range.low, range.high};
    bracket->count = row->kernels->token_collect(&inner, bracket->list, bracket->counts);
    return (struct part){bracket->list, bracket->count, range, inside, missing};
}

struct softattn_token_limit softattn_select_from_row(const struct softattn_logits *row, double factor,
                                                     double fraction, struct softattn_bracket *bracket,
                                                     bool *holds,
                                                     const struct softattn_select_scratch *scratch) {
    const struct range outer = {massless(row, factor), row->max};
    const struct sample sample = sample_row(row, scratch);
    struct histogram histogram;
    int64_t total;
    make_histogram(row, factor, &sample, &histogram);
    const struct range range = guess(&histogram, fraction, outer, row->kernels->real_bytes);
    const int64_t above = softattn_pass_row(row, factor, range.low, range.high, 0, bracket, &total);
    const int64_t goal = softattn_fraction_of(fraction, total);
    const int64_t inside =
        softattn_list_mass(row, factor, bracket->list, bracket->count, range.low, 0, scratch);
    struct part part = {bracket->list, bracket->count, range, inside, goal - above};
    *holds = above < goal && goal <= above + inside;
    if (above >= goal) {
        part = collect_part(row, (struct range){range.high, row->max}, above, goal, bracket);
    } else if (!*holds) {
        const int64_t reached = above + inside;
        part =
            collect_part(row, (struct range){outer.low, range.low}, total - reached, goal - reached, bracket);
    }
    return select_from_part(row, factor, part, scratch);
}
