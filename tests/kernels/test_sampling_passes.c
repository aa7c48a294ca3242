/*
 * The passes that choose tokens give the generic table's bits on every instruction set, fused multiply-add or not where
 * weights take no part, and touch nothing outside the row, the lists' room and the outputs. v_compress is tried with them.
 */
#include "expect.h"
#include "reals.h"
#include "tables.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_COLS = 5 * SOFTATTN_TOKEN_BLOCK, ROOM = 64 };

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

static int64_t random_cols(random_source *random) {
    return random_below(random, chance(random, 2) ? 150 : MOST_COLS);
}

/* Logits, now and then of few values, with -infinity among them. */
static struct reals make_logits(int32_t real_bytes, int64_t cols, random_source *random) {
    struct reals x = reals_create(real_bytes, cols, chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE);
    const bool few = chance(random, 3);
    reals_fill_normal(&x, random, chance(random, 2) ? 1 : 6);
    for (int64_t j = 0; j < cols; j++) {
        const double value = chance(random, 30) ? -(double)INFINITY : reals_get(&x, j);
        reals_set(&x, j, few && isfinite(value) ? floor(value) : value);
    }
    return x;
}

static double largest_of(const struct reals *x) {
    double max = -(double)INFINITY;
    for (int64_t j = 0; j < x->count; j++) {
        max = fmax(max, reals_get(x, j));
    }
    return max;
}

/* A logit of the row, or a number between. */
static double random_bound(const struct reals *x, random_source *random) {
    const double any = 3 * random_normal(random);
    const double bound =
        x->count > 0 && chance(random, 2) ? reals_get(x, random_below(random, x->count)) : any;
    return x->bytes == 4 ? (double)(float)bound : bound;
}

/* ---- Maxima and order ---- */

static void check_maxima(const struct softattn_kernels *tested, const struct reals *x,
                         random_source *random) {
    const int64_t blocks = (x->count + SOFTATTN_TOKEN_BLOCK - 1) / SOFTATTN_TOKEN_BLOCK;
    struct reals maxima = reals_create(x->bytes, blocks, GUARD_AFTER);
    double max = -(double)INFINITY;
    int64_t first = -1, nan = -1;
    for (int64_t j = 0; j < x->count; j++) {
        const double value = reals_get(x, j);
        nan = isnan(value) ? j : nan;
        first = value > max ? j : first;
        max = fmax(max, value);
    }
    const double result = tested->block_maxima(x->count, x->block.data, maxima.block.data);
    EXPECT(nan >= 0 ? isnan(result) : result == max, "%s: maximum %g of %" PRId64 " columns", tested->isa,
           result, x->count);
    for (int64_t b = 0; b < blocks; b++) {
        double block_max = -(double)INFINITY;
        bool block_nan = false;
        for (int64_t j = b * SOFTATTN_TOKEN_BLOCK; j < x->count && j < (b + 1) * SOFTATTN_TOKEN_BLOCK; j++) {
            block_nan = block_nan || isnan(reals_get(x, j));
            block_max = fmax(block_max, reals_get(x, j));
        }
        const double actual = reals_get(&maxima, b);
        EXPECT(block_nan ? isnan(actual) : actual == block_max, "%s: maximum of block %" PRId64, tested->isa,
               b);
    }
    const int64_t token = tested->argmax(x->count, x->block.data);
    EXPECT(token == (nan >= 0 ? -1 : first), "%s: argmax %" PRId64 " instead of %" PRId64, tested->isa, token,
           first);
    if (x->count > 0 && nan < 0) {
        const int64_t k = random_between(random, 1, x->count);
        const double kth = tested->kth_largest(x->count, x->block.data, k);
        int64_t above = 0, at_least = 0;
        for (int64_t j = 0; j < x->count; j++) {
            above += reals_get(x, j) > kth;
            at_least += reals_get(x, j) >= kth;
        }
        EXPECT(above < k && at_least >= k, "%s: %" PRId64 "-th largest %g has %" PRId64 " above", tested->isa,
               k, kth, above);
    }
    reals_destroy(&maxima);
}

static void maxima_are_right(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                             random_source *random) {
    (void)generic;
    for (int64_t i = 0; i < test_rounds(); i++) {
        struct reals x = make_logits(tested->real_bytes, random_cols(random), random);
        if (chance(random, 4) && x.count > 0) {
            reals_set(&x, random_below(random, x.count), chance(random, 2) ? (double)NAN : (double)INFINITY);
        }
        check_maxima(tested, &x, random);
        reals_destroy(&x);
    }
}

/* A float that counts by ones ends at 2^24. Only a table of one lane is given rows so long that this would matter. */
static void long_rows_are_counted_exactly(const struct softattn_kernels *tested) {
    enum { COUNTED = 1 << 24, COLS = COUNTED + 4096, SMALL = 1000 };
    if (tested->real_bytes != 4 || tested->lanes() != 1) {
        return;
    }
    struct reals x = reals_create(tested->real_bytes, COLS, GUARD_AFTER);
    reals_fill(&x, 3);
    for (int64_t j = 0; j < SMALL; j++) {
        reals_set(&x, j * 16000, 1);
    }
    const int64_t large = COLS - SMALL;
    EXPECT(tested->kth_largest(COLS, x.block.data, COUNTED + 1) == 3 &&
               tested->kth_largest(COLS, x.block.data, large) == 3 &&
               tested->kth_largest(COLS, x.block.data, large + 1) == 1,
           "%s: the k-th largest of 2^24 + 4096 columns", tested->isa);
    reals_destroy(&x);
}

/* ---- Collecting ---- */

static void collecting_is_right(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                                random_source *random) {
    (void)generic;
    for (int64_t i = 0; i < test_rounds(); i++) {
        struct reals x = make_logits(tested->real_bytes, random_cols(random), random);
        struct reals list = reals_create(x.bytes, x.count + ROOM, GUARD_AFTER);
        struct reals maxima = reals_create(x.bytes, MOST_COLS / SOFTATTN_TOKEN_BLOCK, GUARD_AFTER);
        int64_t counts[MOST_COLS / SOFTATTN_TOKEN_BLOCK + 1] = {0}, kept = 0, sum = 0, wrong = 0;
        const double low = random_bound(&x, random), high = random_bound(&x, random);
        const bool has_maxima = chance(random, 2), in_place = chance(random, 2);
        (void)tested->block_maxima(x.count, x.block.data, maxima.block.data);
        if (in_place) {
            memcpy(list.block.data, x.block.data, x.block.bytes);
        }
        const struct softattn_token_range range = {x.count, in_place ? list.block.data : x.block.data,
                                                   has_maxima ? maxima.block.data : NULL, low, high};
        const int64_t count = tested->token_collect(&range, list.block.data, counts);
        for (int64_t j = 0; j < x.count; j++) {
            const double value = reals_get(&x, j);
            if (value > low && value <= high) {
                wrong += kept < count && reals_get(&list, kept) != value;
                kept++;
            }
        }
        for (int64_t b = 0; b * SOFTATTN_TOKEN_BLOCK < x.count; b++) {
            sum += counts[b];
        }
        EXPECT(count == kept && wrong == 0 && sum == kept,
               "%s: %" PRId64 " of %" PRId64 " tokens in (%g, %g] of %" PRId64 " columns, %" PRId64 " wrong",
               tested->isa, count, kept, low, high, x.count, wrong);
        reals_destroy(&maxima);
        reals_destroy(&list);
        reals_destroy(&x);
    }
}

/* ---- Weights, masses and choices ---- */

/* A row with what the passes make of it. */
struct passed {
    struct softattn_token_pass pass;
    int64_t above[MOST_COLS / SOFTATTN_TOKEN_BLOCK + 1], counts[MOST_COLS / SOFTATTN_TOKEN_BLOCK + 1];
    struct reals weights, list, probabilities;
    guard_block keep;
};

static struct passed run_passes(const struct softattn_kernels *kernels, const struct reals *x,
                                const struct softattn_token_pass *pass,
                                const struct softattn_token_choice *choice, bool in_place) {
    struct passed p = {.pass = *pass, .above = {0}, .counts = {0}};
    struct softattn_token_choice own = *choice;
    p.weights = reals_create(x->bytes, x->count, GUARD_AFTER);
    p.list = reals_create(x->bytes, x->count + ROOM, GUARD_AFTER);
    p.probabilities = reals_create(x->bytes, x->count, GUARD_AFTER);
    guard_create(&p.keep, (size_t)(x->count * own.keep_stride), 1, GUARD_AFTER);
    kernels->token_weights(x->count, x->block.data, pass->max, pass->factor, p.weights.block.data);
    p.pass.above = p.above;
    p.pass.block_candidates = p.counts;
    p.pass.candidate_values = p.list.block.data;
    kernels->token_pass(&p.pass);
    if (in_place) {
        memcpy(p.probabilities.block.data, x->block.data, x->block.bytes);
        own.x = p.probabilities.block.data;
    }
    own.probabilities = p.probabilities.block.data;
    own.keep = p.keep.data;
    kernels->token_choice(&own);
    /* what follows the candidates may hold anything */
    memset(reals_at(&p.list, p.pass.candidates), GUARD_SENTINEL,
           (size_t)((p.list.count - p.pass.candidates) * x->bytes));
    return p;
}

static void destroy_passed(struct passed *p) {
    EXPECT(guard_surroundings_untouched(&p->keep), "written beside the keep mask");
    reals_destroy(&p->weights);
    reals_destroy(&p->list);
    reals_destroy(&p->probabilities);
    guard_destroy(&p->keep);
}

static void check_passes(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                         random_source *random) {
    const double temperatures[] = {1, 0.6, 25, 1e-3};
    struct reals x = make_logits(tested->real_bytes, 1 + random_cols(random), random);
    struct reals maxima = reals_create(x.bytes, MOST_COLS / SOFTATTN_TOKEN_BLOCK + 1, GUARD_AFTER);
    reals_set(&x, random_below(random, x.count), 20 * random_normal(random)); /* one is finite */
    (void)tested->block_maxima(x.count, x.block.data, maxima.block.data);
    struct softattn_token_pass pass = {.cols = x.count, .x = x.block.data, .max = largest_of(&x)};
    pass.factor = 1.4426950408889634 / temperatures[random_below(random, 4)];
    pass.maxima = chance(random, 2) ? maxima.block.data : NULL;
    pass.low = random_bound(&x, random);
    pass.high = fmax(pass.low, random_bound(&x, random));
    pass.least_weight = chance(random, 2) ? 0 : 0.01f;
    struct softattn_token_choice choice = {
        .cols = x.count, .x = x.block.data, .max = pass.max, .factor = pass.factor};
    choice.value = choice.below_value = random_bound(&x, random);
    choice.below_value = x.bytes == 4 ? (double)nextafterf((float)choice.value, -INFINITY)
                                      : nextafter(choice.value, -(double)INFINITY);
    choice.split = random_below(random, x.count + 1);
    choice.least_weight = pass.least_weight;
    choice.keep_stride = 1 + random_below(random, 2);
    const bool in_place = chance(random, 3);
    struct passed actual = run_passes(tested, &x, &pass, &choice, in_place);
    struct passed expected = run_passes(generic, &x, &pass, &choice, in_place);
    char context[120];
    snprintf(context, sizeof context, "%s f%d, %" PRId64 " columns, (%g, %g], factor %g", tested->isa,
             8 * tested->real_bytes, x.count, pass.low, pass.high, pass.factor);
    expect_equal(context, "weights", &actual.weights, &expected.weights, tolerance_none);
    expect_equal(context, "candidates", &actual.list, &expected.list, tolerance_none);
    expect_equal(context, "probabilities", &actual.probabilities, &expected.probabilities, tolerance_none);
    EXPECT(memcmp(actual.above, expected.above, sizeof actual.above) == 0, "%s: masses above", context);
    EXPECT(memcmp(actual.counts, expected.counts, sizeof actual.counts) == 0, "%s: candidates of blocks",
           context);
    EXPECT(actual.pass.total == expected.pass.total, "%s: mass of all", context);
    EXPECT(memcmp(actual.keep.data, expected.keep.data, actual.keep.bytes) == 0, "%s: keep mask", context);
    destroy_passed(&actual);
    destroy_passed(&expected);
    reals_destroy(&maxima);
    reals_destroy(&x);
}

static void passes_equal_generic(const struct softattn_kernels *tested,
                                 const struct softattn_kernels *generic, random_source *random) {
    for (int64_t i = 0; i < test_rounds() && table_is_exact(tested); i++) {
        check_passes(tested, generic, random);
    }
}

static void all_checks(const struct softattn_kernels *tested, const struct softattn_kernels *generic,
                       random_source *random) {
    maxima_are_right(tested, generic, random);
    long_rows_are_counted_exactly(tested);
    collecting_is_right(tested, generic, random);
    passes_equal_generic(tested, generic, random);
}

int main(void) { return check_tables("test_sampling_passes", all_checks); }
