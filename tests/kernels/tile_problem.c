/*
 * Tile problems: random contents, and the two layouts.
 */
#include "tile_problem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { TILE = SOFTATTN_KEY_TILE };

static bool chance(random_source *random, int64_t one_in) { return random_below(random, one_in) == 0; }

/* ---- Contents ---- */

static int64_t random_dim(random_source *random) {
    const int64_t usual[] = {16, 32, 64, 96, 128};
    return chance(random, 2) ? usual[random_below(random, 5)] : random_between(random, 1, 130);
}

/* Rows may overlap (stride 0), lie apart, or run backwards. */
static int64_t random_stride(random_source *random, int64_t dim) {
    switch (random_below(random, 6)) {
    case 0: return 0;
    case 1: return -dim - random_below(random, 9);
    case 2: return dim + random_below(random, 40);
    default: return dim;
    }
}

/* Rows first … last - 1 of a matrix, and the offset of its row 0 in their memory. */
static struct reals random_rows(const struct tile_problem *problem, int64_t dim, int64_t stride,
                                random_source *random) {
    const int64_t rows = problem->last - problem->first;
    const int64_t step = stride < 0 ? -stride : stride;
    struct reals array = reals_create(problem->real_bytes, (rows - 1) * step + dim, problem->side);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < dim; c++) {
            reals_set(&array, r * step + c, random_normal(random));
        }
    }
    return array;
}

static void *row_zero(const struct tile_problem *problem, const struct reals *array, int64_t stride) {
    const int64_t first_row = stride < 0 ? (problem->last - problem->first - 1) * -stride : 0;
    return reals_at(array, first_row - problem->first * stride);
}

static struct reals random_normals(const struct tile_problem *problem, int64_t count, double deviation,
                                   random_source *random) {
    struct reals array = reals_create(problem->real_bytes, count, problem->side);
    reals_fill_normal(&array, random, deviation);
    return array;
}

static void sort_ascending(struct reals *array) {
    for (int64_t i = 1; i < array->count; i++) {
        for (int64_t j = i; j > 0 && reals_get(array, j) < reals_get(array, j - 1); j--) {
            const double value = reals_get(array, j);
            reals_set(array, j, reals_get(array, j - 1));
            reals_set(array, j - 1, value);
        }
    }
}

static void make_masks(struct tile_problem *problem, random_source *random) {
    problem->low = random_normals(problem, problem->queries, 0, random);
    problem->high = random_normals(problem, problem->queries, 0, random);
    problem->addend = random_normals(problem, problem->queries * TILE, 3, random);
    problem->drop = random_normals(problem, problem->queries * TILE, 0, random);
    const bool low_matters = chance(random, 2), high_matters = chance(random, 2);
    const int64_t least_high = random_between(random, -TILE / 2, TILE);
    for (int64_t i = 0; i < problem->queries; i++) {
        const int64_t low = random_between(random, -TILE / 2, low_matters ? TILE : 0);
        const int64_t high = high_matters ? random_between(random, least_high, TILE + 8) : TILE;
        reals_set(&problem->low, i, (double)low);
        reals_set(&problem->high, i, (double)high);
    }
    problem->in_order = chance(random, 2);
    if (problem->in_order) { /* as causal masks and windows have them */
        sort_ascending(&problem->low);
        sort_ascending(&problem->high);
    }
    for (int64_t i = 0; i < problem->queries * TILE; i++) {
        if (chance(random, 5)) {
            reals_set(&problem->addend, i, -(double)INFINITY);
        }
        reals_set(&problem->drop, i, (double)random_below(random, 2));
    }
}

static void make_state_before(struct tile_problem *problem, random_source *random) {
    problem->before.out = random_normals(problem, problem->queries * problem->dim_v, 5, random);
    problem->before.max = random_normals(problem, problem->queries, 3, random);
    problem->before.sum = random_normals(problem, problem->queries, 0, random);
    for (int64_t i = 0; i < problem->queries; i++) {
        const bool saw_nothing = chance(random, 6);
        reals_set(&problem->before.sum, i, saw_nothing ? 0 : random_uniform(random, 1, 100));
        if (saw_nothing) {
            reals_set(&problem->before.max, i, -(double)INFINITY);
        }
        for (int64_t d = 0; saw_nothing && d < problem->dim_v; d++) {
            reals_set(&problem->before.out, i * problem->dim_v + d, 0);
        }
    }
}

struct tile_problem tile_problem_random(int32_t real_bytes, int64_t queries, bool with_specials,
                                        random_source *random) {
    struct tile_problem problem = {.real_bytes = real_bytes, .queries = queries};
    const bool whole = chance(random, 3);
    problem.side = chance(random, 2) ? GUARD_AFTER : GUARD_BEFORE;
    problem.first = whole ? 0 : 8 * random_below(random, TILE / 8);
    problem.last = whole ? TILE : random_between(random, problem.first + 1, TILE);
    problem.dim_qk = random_dim(random);
    problem.dim_v = random_dim(random);
    problem.k_stride = random_stride(random, problem.dim_qk);
    problem.v_stride = random_stride(random, problem.dim_v);
    problem.from_memory = (int32_t)random_below(random, 3);
    problem.asking = (enum softattn_asking)random_below(random, 3);
    problem.fresh = chance(random, 2);
    problem.masked = chance(random, 2);
    problem.has_addend = chance(random, 3);
    problem.has_slope = chance(random, 4);
    problem.has_drop = chance(random, 4);
    problem.softcap = chance(random, 4) ? random_uniform(random, 1, 50) : 0;
    problem.q = random_normals(&problem, queries * problem.dim_qk, chance(random, 2) ? 0.2 : 2, random);
    problem.k = random_rows(&problem, problem.dim_qk, problem.k_stride, random);
    problem.v = random_rows(&problem, problem.dim_v, problem.v_stride, random);
    problem.slope = random_normals(&problem, queries, 0.5, random);
    problem.position = random_normals(&problem, queries, 0, random);
    for (int64_t i = 0; i < queries; i++) {
        reals_set(&problem.position, i, (double)random_between(random, -100, 1000));
    }
    make_masks(&problem, random);
    make_state_before(&problem, random);
    if (with_specials && chance(random, 3)) {
        reals_sprinkle_specials(&problem.v, random, random_between(random, 20, 5000));
    }
    if (with_specials && chance(random, 6)) {
        reals_sprinkle_specials(&problem.k, random, random_between(random, 20, 5000));
    }
    if (with_specials && chance(random, 6)) {
        reals_sprinkle_specials(&problem.q, random, random_between(random, 20, 5000));
    }
    if (with_specials && chance(random, 6)) {
        reals_sprinkle_specials(&problem.addend, random, random_between(random, 20, 5000));
    }
    return problem;
}

void tile_problem_destroy(struct tile_problem *problem) {
    struct reals *arrays[] = {&problem->q,        &problem->k,      &problem->v,
                              &problem->low,      &problem->high,   &problem->slope,
                              &problem->position, &problem->addend, &problem->drop};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        reals_destroy(arrays[i]);
    }
    tile_results_destroy(&problem->before);
}

void tile_problem_text(const struct tile_problem *problem, char *text, size_t size) {
    snprintf(text, size,
             "f%d, %" PRId64 " queries, keys %" PRId64 " ... %" PRId64 ", dims %" PRId64 " and %" PRId64
             ", strides %" PRId64 " and %" PRId64
             ", from memory %d, fresh %d, masked %d, in order %d, softcap %g, addend %d, slope %d, drop "
             "%d",
             8 * problem->real_bytes, problem->queries, problem->first, problem->last, problem->dim_qk,
             problem->dim_v, problem->k_stride, problem->v_stride, problem->from_memory, problem->fresh,
             problem->masked, problem->in_order, problem->softcap, problem->has_addend, problem->has_slope,
             problem->has_drop);
}

/* ---- Results ---- */

static struct tile_results results_create(const struct tile_problem *problem) {
    return (struct tile_results){
        reals_create(problem->real_bytes, problem->queries * problem->dim_v, problem->side),
        reals_create(problem->real_bytes, problem->queries, problem->side),
        reals_create(problem->real_bytes, problem->queries, problem->side)};
}

static struct tile_results results_before(const struct tile_problem *problem) {
    if (problem->fresh) {
        return results_create(problem);
    }
    return (struct tile_results){reals_copy(&problem->before.out, problem->side),
                                 reals_copy(&problem->before.max, problem->side),
                                 reals_copy(&problem->before.sum, problem->side)};
}

void tile_results_destroy(struct tile_results *results) {
    reals_destroy(&results->out);
    reals_destroy(&results->max);
    reals_destroy(&results->sum);
}

/* ---- Queries in the lanes ---- */

/* from[query * query_stride + i * step] for queries begin … begin + block - 1 as to[i][lane]; lanes without a query hold
 * the last one. Elements 0 … from - 1 of i are left out of the memory. */
static struct reals to_lanes(const struct tile_problem *problem, const struct reals *from, int64_t begin,
                             int64_t block, int64_t per_query, int64_t first, int64_t last) {
    struct reals to = reals_create(problem->real_bytes, (last - first) * block, problem->side);
    for (int64_t lane = 0; lane < block; lane++) {
        const int64_t query = begin + lane < problem->queries ? begin + lane : problem->queries - 1;
        for (int64_t i = first; i < last; i++) {
            reals_set(&to, (i - first) * block + lane, reals_get(from, query * per_query + i));
        }
    }
    return to;
}

static void from_lanes(const struct reals *from, struct reals *to, int64_t begin, int64_t block,
                       int64_t queries, int64_t per_query) {
    for (int64_t lane = 0; lane < block && begin + lane < queries; lane++) {
        for (int64_t i = 0; i < per_query; i++) {
            reals_set(to, (begin + lane) * per_query + i, reals_get(from, i * block + lane));
        }
    }
}

/* Keys that some, and that every one, of the queries begin … end - 1 sees, of those described. */
struct seen {
    int64_t first, last, by_all_first, by_all_last;
};

static struct seen seen_by(const struct tile_problem *problem, int64_t begin, int64_t end) {
    struct seen seen = {problem->last, problem->first, problem->first, problem->last};
    for (int64_t i = begin; i < end; i++) {
        const int64_t low = problem->masked ? (int64_t)reals_get(&problem->low, i) : problem->first;
        const int64_t high = problem->masked ? (int64_t)reals_get(&problem->high, i) : problem->last;
        seen.first = low < seen.first && low < high ? low : seen.first;
        seen.last = high > seen.last && low < high ? high : seen.last;
        seen.by_all_first = low > seen.by_all_first ? low : seen.by_all_first;
        seen.by_all_last = high < seen.by_all_last ? high : seen.by_all_last;
    }
    seen.first = seen.first < problem->first ? problem->first : seen.first / 8 * 8;
    seen.last = seen.last > problem->last ? problem->last : seen.last;
    return seen;
}

/*
 * Keys in groups of eight, each with the vectors that need it; equal neighbours make one part. Where the vectors' keys do
 * not follow each other in order, or are too many pieces, all vectors take all keys.
 */
static void make_parts(const struct tile_problem *problem, int64_t begin, int64_t lanes,
                       struct softattn_tile *tile) {
    const int64_t first = problem->first, last = problem->last;
    struct seen seen[SOFTATTN_MAX_TILE_VECTORS];
    bool in_order = true;
    for (int64_t v = 0; v < tile->vectors; v++) {
        const int64_t end = begin + (v + 1) * lanes;
        seen[v] = seen_by(problem, begin + v * lanes, end < problem->queries ? end : problem->queries);
        in_order =
            in_order && (v == 0 || (seen[v].first >= seen[v - 1].first && seen[v].last >= seen[v - 1].last));
    }
    tile->parts = 0;
    for (int64_t j = first; j < last && in_order; j += 8) {
        struct softattn_tile_part part = {j, j + 8 < last ? j + 8 : last, 0, 0, 1};
        for (int64_t v = 0; v < tile->vectors; v++) {
            if (seen[v].first <= j && j < seen[v].last) {
                part.vector = part.vectors == 0 ? v : part.vector;
                part.vectors++;
                part.clear = part.clear && seen[v].by_all_first <= j && part.last <= seen[v].by_all_last;
            }
        }
        struct softattn_tile_part *before = tile->parts > 0 ? &tile->part[tile->parts - 1] : NULL;
        if (before != NULL && before->last == j && before->vector == part.vector &&
            before->vectors == part.vectors && before->clear == part.clear) {
            before->last = part.last;
        } else if (part.vectors > 0) {
            if (tile->parts == SOFTATTN_MAX_TILE_PARTS) {
                in_order = false;
                break;
            }
            tile->part[tile->parts++] = part;
        }
    }
    if (!in_order || tile->parts == 0) {
        tile->parts = 1;
        tile->part[0] = (struct softattn_tile_part){first, last, 0, tile->vectors, !problem->masked};
    }
}

static void run_block(const struct softattn_kernels *kernels, const struct tile_problem *problem,
                      int64_t begin, int64_t vectors, struct tile_results *results) {
    const int64_t block = vectors * kernels->lanes(), first = problem->first, last = problem->last;
    struct reals q = to_lanes(problem, &problem->q, begin, block, problem->dim_qk, 0, problem->dim_qk);
    struct reals low = to_lanes(problem, &problem->low, begin, block, 1, 0, 1);
    struct reals high = to_lanes(problem, &problem->high, begin, block, 1, 0, 1);
    struct reals slope = to_lanes(problem, &problem->slope, begin, block, 1, 0, 1);
    struct reals position = to_lanes(problem, &problem->position, begin, block, 1, 0, 1);
    struct reals addend = to_lanes(problem, &problem->addend, begin, block, TILE, first, last);
    struct reals drop = to_lanes(problem, &problem->drop, begin, block, TILE, first, last);
    struct reals scores = reals_create(problem->real_bytes, TILE * block, problem->side);
    struct reals out = reals_create(problem->real_bytes, problem->dim_v * block, problem->side);
    struct reals max = reals_create(problem->real_bytes, block, problem->side);
    struct reals sum = reals_create(problem->real_bytes, block, problem->side);
    if (!problem->fresh) {
        reals_destroy(&out);
        reals_destroy(&max);
        reals_destroy(&sum);
        out = to_lanes(problem, &results->out, begin, block, problem->dim_v, 0, problem->dim_v);
        max = to_lanes(problem, &results->max, begin, block, 1, 0, 1);
        sum = to_lanes(problem, &results->sum, begin, block, 1, 0, 1);
    }
    struct softattn_tile tile = {
        .vectors = vectors,
        .dim_qk = problem->dim_qk,
        .dim_v = problem->dim_v,
        .q = q.block.data,
        .k = row_zero(problem, &problem->k, problem->k_stride),
        .k_stride = problem->k_stride,
        .v = row_zero(problem, &problem->v, problem->v_stride),
        .v_stride = problem->v_stride,
        .scores = scores.block.data,
        .out = out.block.data,
        .max = max.block.data,
        .sum = sum.block.data,
        .fresh = problem->fresh,
        .low = problem->masked ? low.block.data : NULL,
        .high = problem->masked ? high.block.data : NULL,
        .softcap = problem->softcap,
        .addend = problem->has_addend ? reals_at(&addend, -first * block) : NULL,
        .slope = problem->has_slope ? slope.block.data : NULL,
        .position = problem->has_slope ? position.block.data : NULL,
        .drop = problem->has_drop ? reals_at(&drop, -first * block) : NULL,
        /* rows that lie in guard pages or nowhere may be asked for */
        .asks = 2,
        .ask = {{problem->k.block.data, problem->k_stride, problem->dim_qk, 300},
                {out.block.data, block, block, problem->dim_v}},
        .asks_far = problem->has_slope, /* either way */
    };
    make_parts(problem, begin, kernels->lanes(), &tile);
    kernels->attention_tile(&tile);
    from_lanes(&out, &results->out, begin, block, problem->queries, problem->dim_v);
    from_lanes(&max, &results->max, begin, block, problem->queries, 1);
    from_lanes(&sum, &results->sum, begin, block, problem->queries, 1);
    struct reals *arrays[] = {&q, &low, &high, &slope, &position, &addend, &drop, &scores, &out, &max, &sum};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        reals_destroy(arrays[i]);
    }
}

struct tile_results tile_run_lanes(const struct softattn_kernels *kernels,
                                   const struct tile_problem *problem) {
    struct tile_results results = results_before(problem);
    const int64_t lanes = kernels->lanes();
    for (int64_t begin = 0; begin < problem->queries;) {
        const int64_t needed = (problem->queries - begin + lanes - 1) / lanes;
        const int64_t vectors = needed < kernels->query_vectors ? needed : kernels->query_vectors;
        run_block(kernels, problem, begin, vectors, &results);
        begin += vectors * lanes;
    }
    return results;
}

/* ---- Queries as rows ---- */

/* [queries][TILE] without what lies before the first and after the last key described. */
static struct reals trimmed(const struct tile_problem *problem, const struct reals *from) {
    struct reals to = reals_create(
        problem->real_bytes, (problem->queries - 1) * TILE + problem->last - problem->first, problem->side);
    for (int64_t i = 0; i < to.count; i++) {
        const int64_t key = (problem->first + i) % TILE;
        if (key >= problem->first && key < problem->last) {
            reals_set(&to, i, reals_get(from, problem->first + i));
        }
    }
    return to;
}

/* The tile, and the arrays that it needs beside the problem's and the results'. */
struct row_tile {
    struct softattn_decode_tile tile;
    struct reals addend, drop, keys, scores;
};

static struct row_tile row_tile_create(const struct softattn_kernels *kernels,
                                       const struct tile_problem *problem,
                                       const struct tile_results *results) {
    struct row_tile made = {.addend = trimmed(problem, &problem->addend),
                            .drop = trimmed(problem, &problem->drop)};
    made.keys = reals_create(problem->real_bytes, problem->dim_qk * kernels->lanes(), problem->side);
    made.scores = reals_create(problem->real_bytes, problem->queries * TILE, problem->side);
    made.tile = (struct softattn_decode_tile){
        .rows = problem->queries,
        .first = problem->first,
        .last = problem->last,
        .dim_qk = problem->dim_qk,
        .dim_v = problem->dim_v,
        .q = problem->q.block.data,
        .k = row_zero(problem, &problem->k, problem->k_stride),
        .k_stride = problem->k_stride,
        .v = row_zero(problem, &problem->v, problem->v_stride),
        .v_stride = problem->v_stride,
        .prefetch_keys = problem->last,
        .from_memory = problem->from_memory,
        .asking = problem->asking,
        .next_k = row_zero(problem, &problem->k, problem->k_stride),
        .next_keys = problem->last,
        .keys = made.keys.block.data,
        .scores = made.scores.block.data,
        .out = results->out.block.data,
        .max = results->max.block.data,
        .sum = results->sum.block.data,
        .fresh = problem->fresh,
        .masked = problem->masked,
        .low = problem->masked ? problem->low.block.data : NULL,
        .high = problem->masked ? problem->high.block.data : NULL,
        .softcap = problem->softcap,
        .addend = problem->has_addend ? reals_at(&made.addend, -problem->first) : NULL,
        .slope = problem->has_slope ? problem->slope.block.data : NULL,
        .position = problem->has_slope ? problem->position.block.data : NULL,
        .drop = problem->has_drop ? reals_at(&made.drop, -problem->first) : NULL,
    };
    return made;
}

static void row_tile_destroy(struct row_tile *made) {
    reals_destroy(&made->addend);
    reals_destroy(&made->drop);
    reals_destroy(&made->keys);
    reals_destroy(&made->scores);
}

struct tile_results tile_run_rows(const struct softattn_kernels *kernels,
                                  const struct tile_problem *problem) {
    struct tile_results results = results_before(problem);
    struct row_tile made = row_tile_create(kernels, problem, &results);
    kernels->decode_tile(&made.tile);
    row_tile_destroy(&made);
    return results;
}

void tile_run_heads(const struct softattn_kernels *kernels, const struct tile_problem *problems,
                    int64_t count, struct tile_results *results) {
    struct row_tile made[SOFTATTN_MAX_DECODE_HEADS];
    const struct softattn_decode_tile *tiles[SOFTATTN_MAX_DECODE_HEADS] = {NULL};
    for (int64_t h = 0; h < count; h++) {
        results[h] = results_before(&problems[h]);
        made[h] = row_tile_create(kernels, &problems[h], &results[h]);
        tiles[h] = &made[h].tile;
    }
    kernels->decode_heads(tiles, count);
    for (int64_t h = 0; h < count; h++) {
        row_tile_destroy(&made[h]);
    }
}

/* ---- Without fma ---- */

static double largest_finite(const struct reals *array) {
    double largest = 0;
    for (int64_t i = 0; i < array->count; i++) {
        const double magnitude = fabs(reals_get(array, i));
        largest = isfinite(magnitude) ? fmax(largest, magnitude) : largest;
    }
    return largest;
}

/*
 * u is the unit roundoff. A chain of dim_qk products rounded twice each moves a score by (2 dim_qk) u times the sum of
 * the products' magnitudes; soft-cap (slope at most 1), addend and slope add some u of their own magnitudes. Weights
 * 2^(s - max), the sum and the factor of what was summed before then move by 2 ln(2) times that, relatively, and by some
 * u for the polynomial and each of the up to 128 additions. The outputs are at most all weights times the largest value.
 */
struct tile_tolerances tile_tolerances_without_fma(const struct tile_problem *problem) {
    const double roundoff = unit_roundoff(problem->real_bytes);
    const double dim = (double)problem->dim_qk;
    const double products = dim * largest_finite(&problem->q) * largest_finite(&problem->k);
    const double others =
        (problem->has_addend ? largest_finite(&problem->addend) : 0) + problem->softcap +
        (problem->has_slope ? largest_finite(&problem->slope) * (largest_finite(&problem->position) + TILE)
                            : 0);
    const double score = roundoff * (2 * dim * products + 16 * (products + others));
    const double weight = 2 * score + roundoff * 512;
    const double weights = TILE + (problem->fresh ? 0 : largest_finite(&problem->before.sum));
    const double value = largest_finite(&problem->v);
    const double before = problem->fresh ? 0 : largest_finite(&problem->before.out);
    return (struct tile_tolerances){
        .out = {weight * (weights * value + before), 0}, .max = {score, 0}, .sum = {weight * weights, 0}};
}
