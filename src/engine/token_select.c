/* Selecting the largest logits whose masses reach a goal. */
#include "engine/token_select.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "engine/reals.h"

enum {
    BINS = 256,        /* of a sample's histogram */
    SORTED_LIST = 24,  /* lists up to this length are sorted */
    WHOLE_LIST = 1024, /* lists up to this length are their own sample */
    LIST_SAMPLE = 512  /* at least this many tokens are taken from longer ones */
};

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

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

/* ---- Guessing ---- */

/* Mass of a sample by bins of equal width from its largest value down to its least, as weights; and its error. */
struct histogram {
    double largest, least;
    double mass[BINS];
    double total, variance;
};

/* Halved, so that no difference overflows. */
static int32_t bin_of(const struct histogram *histogram, double value) {
    const double range = histogram->largest / 2 - histogram->least / 2;
    const double place = (histogram->largest / 2 - value / 2) / range * BINS;
    return place < BINS - 1 ? (int32_t)place : BINS - 1;
}

/* Value at the upper edge of a bin. */
static double edge_of(const struct histogram *histogram, int32_t bin) {
    return histogram->largest - (histogram->largest / 2 - histogram->least / 2) * bin * (2.0 / BINS);
}

static void make_histogram(const struct sample *sample, int64_t bytes, struct histogram *histogram) {
    *histogram = (struct histogram){.largest = -(double)INFINITY, .least = (double)INFINITY};
    for (int64_t i = 0; i < sample->count; i++) {
        const double value = softattn_get_real(sample->values, i, bytes);
        const double weight = softattn_get_real(sample->weights, i, bytes);
        if (value > -(double)INFINITY && softattn_mass(weight) > 0) {
            histogram->largest = value > histogram->largest ? value : histogram->largest;
            histogram->least = value < histogram->least ? value : histogram->least;
        }
    }
    for (int64_t i = 0; i < sample->count && histogram->largest > histogram->least; i++) {
        const double value = softattn_get_real(sample->values, i, bytes);
        const double weight =
            softattn_get_real(sample->weights, i, bytes) * (i < sample->exact ? 1 : sample->each);
        if (value >= histogram->least) {
            histogram->mass[bin_of(histogram, value)] += weight;
            histogram->total += weight;
            histogram->variance += i < sample->exact ? 0 : weight * weight;
        }
    }
}

struct range {
    double low, high; /* low < x <= high */
};

static struct range halve(struct range range, int32_t bytes) {
    range.low = narrow(range.low / 2 + range.high / 2, bytes);
    range.low = range.low < range.high ? range.low : softattn_next_below(range.high, bytes);
    return range;
}

/*
 * Between which logits the token lies at which the fraction of the mass is reached, going down. The range is narrower
 * than `outer`, which holds the sample.
 */
static struct range guess(const struct softattn_logits *row, double factor, const struct sample *sample,
                          double fraction, struct range outer) {
    const int32_t bytes = row->kernels->real_bytes;
    struct histogram histogram;
    row->kernels->token_weights(sample->count, sample->values, row->max, factor, sample->weights);
    make_histogram(sample, bytes, &histogram);
    if (histogram.largest < histogram.least) { /* nothing of the sample has any mass */
        return halve(outer, bytes);
    }
    if (histogram.largest == histogram.least) {
        return (struct range){softattn_next_below(histogram.largest, bytes), histogram.largest};
    }
    const double margin = sqrt(histogram.variance) + 1e-6 * histogram.total;
    const double target = fraction * histogram.total;
    double sum = histogram.mass[0];
    int32_t top = 0, bottom;
    while (top < BINS - 1 && sum < target - margin) {
        sum += histogram.mass[++top];
    }
    for (bottom = top; bottom < BINS - 1 && sum < target + margin;) {
        sum += histogram.mass[++bottom];
    }
    bottom = (int32_t)min_i64(bottom, top + BINS / 2 - 1);
    struct range range = outer;
    if (top > 0) {
        range.high = narrow(edge_of(&histogram, top), bytes);
    }
    if (bottom < BINS - 1) {
        range.low = narrow(edge_of(&histogram, bottom + 1), bytes);
    }
    range.high = range.high < outer.high && range.high > outer.low ? range.high : outer.high;
    range.low = range.low > outer.low ? range.low : outer.low;
    if (!(range.low < range.high)) {
        range.low = softattn_next_below(range.high, bytes);
    }
    return range;
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
    const struct range range = guess(row, factor, &sample, fraction, part.range);
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

/* A logit up to which no token has any mass: weights of 2^-37 are rounded down to none. */
static double massless(const struct softattn_logits *row, double factor) {
    return factor > 0 ? narrow(row->max - 37.01 / factor, row->kernels->real_bytes) : -(double)INFINITY;
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

/* The tokens of the row in a range, on the bracket's list. What is above it is then not known block by block. */
static struct part collect_part(const struct softattn_logits *row, struct range range, int64_t inside,
                                int64_t missing, struct softattn_bracket *bracket) {
    const struct softattn_token_range inner = {row->cols, row->x, row->maxima, range.low, range.high};
    bracket->count = row->kernels->token_collect(&inner, bracket->list, bracket->counts);
    return (struct part){bracket->list, bracket->count, range, inside, missing};
}

struct softattn_token_limit softattn_select_from_row(const struct softattn_logits *row, double factor,
                                                     double fraction, int64_t goal,
                                                     struct softattn_bracket *bracket, bool *holds,
                                                     const struct softattn_select_scratch *scratch) {
    const struct range outer = {massless(row, factor), row->max};
    const struct sample sample = sample_row(row, scratch);
    const struct range range = guess(row, factor, &sample, fraction, outer);
    struct softattn_token_pass pass = {
        .cols = row->cols, .x = row->x, .maxima = row->maxima, .max = row->max};
    pass.factor = factor;
    pass.low = bracket->low = range.low;
    pass.high = bracket->high = range.high;
    pass.above = bracket->above;
    pass.candidate_values = bracket->list;
    pass.block_candidates = bracket->counts;
    row->kernels->token_pass(&pass);
    bracket->factor = factor;
    bracket->count = pass.candidates;
    if (goal == 0) {
        goal = max_i64(1, min_i64(pass.total, (int64_t)ceil(fraction * (double)pass.total)));
    }
    const int64_t above = softattn_sum_masses(bracket->above, row->blocks);
    const int64_t inside =
        softattn_list_mass(row, factor, bracket->list, bracket->count, range.low, 0, scratch);
    struct part part = {bracket->list, bracket->count, range, inside, goal - above};
    *holds = above < goal && goal <= above + inside;
    if (above >= goal) {
        part = collect_part(row, (struct range){range.high, row->max}, above, goal, bracket);
    } else if (!*holds) {
        const int64_t reached = above + inside;
        part = collect_part(row, (struct range){outer.low, range.low}, pass.total - reached, goal - reached,
                            bracket);
    }
    return select_from_part(row, factor, part, scratch);
}
