/* Scores of the BLAS engine to weights, row by row: masks, soft-cap, bias, ALiBi, softmax or another normalizer, sink, dropout. */
#include <math.h>
#include <stddef.h>

#include "engine/blas_tile.h"
#include "engine/dropout.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "engine/visibility.h"

/* ---- Masks ---- */

static bool map_keeps(const struct softattn_blas_tile *tile, int64_t query, int64_t key) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_view *map = &problem->block_map;
    return map->data == NULL ||
           softattn_view_at(map, tile->sequence.batch, tile->head, query / problem->block_q,
                            1)[key / problem->block_k * map->col] != 0;
}

/* Where the masks and the bias of a query start for the tile's first key. */
static const char *mask_row(const struct softattn_blas_tile *tile, const struct softattn_view *view,
                            int64_t query, int64_t bytes) {
    return view->data == NULL ? NULL
                              : softattn_view_at(view, tile->sequence.batch, tile->head,
                                                 tile->sequence.query_base + query, bytes) +
                                    (tile->sequence.key_base + tile->first_key) * view->col * bytes;
}

bool softattn_blas_is_visible(const struct softattn_blas_tile *tile, int64_t query, int64_t key,
                              struct softattn_interval interval) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t j = key - tile->first_key, bytes = tile->run->real_bytes;
    const char *keep = mask_row(tile, &problem->keep, query, 1);
    const char *bias = mask_row(tile, &problem->bias, query, bytes);
    return key >= interval.low && key < interval.high && (keep == NULL || keep[j * problem->keep.col] != 0) &&
           (bias == NULL || softattn_get_real(bias, j * problem->bias.col, bytes) != -(double)INFINITY) &&
           map_keeps(tile, query, key);
}

/* Scale, soft-cap and ALiBi, where there is more than a scale to do before the bias. */
static void shape_scores(const struct softattn_blas_tile *tile, int64_t query, char *scores) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    double slope = 0;
    if (problem->alibi.data != NULL) {
        slope = softattn_get_real(
            problem->alibi.data,
            tile->sequence_index * problem->alibi.batch + tile->head * problem->alibi.head, bytes);
    }
    for (int64_t key = tile->first_key; key < tile->last_key; key++) {
        double s = problem->scale * softattn_get_real(scores, key - tile->first_key, bytes);
        if (problem->softcap > 0) {
            s = problem->softcap * tanh(s / problem->softcap);
        }
        s -= slope * fabs((double)(query + tile->sequence.offset - key));
        softattn_put_real(scores, key - tile->first_key, s, bytes);
    }
}

/* The keep mask of a query with the block map worked in; NULL: all kept. */
static const uint8_t *keep_row(const struct softattn_blas_tile *tile, int64_t query, int64_t *stride) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const char *keep = mask_row(tile, &problem->keep, query, 1);
    *stride = problem->keep.col;
    if (problem->block_map.data == NULL) {
        return (const uint8_t *)keep;
    }
    for (int64_t key = tile->first_key; key < tile->last_key; key++) {
        const int64_t j = key - tile->first_key;
        tile->scratch.keep[j] = (keep == NULL || keep[j * *stride] != 0) && map_keeps(tile, query, key);
    }
    *stride = 1;
    return tile->scratch.keep;
}

static double query_sink(const struct softattn_blas_tile *tile) {
    const struct softattn_view *sink = &tile->run->problem->sink;
    return sink->data == NULL ? -(double)INFINITY
                              : softattn_get_real(sink->data, tile->head * sink->head, tile->run->real_bytes);
}

/* ln(exp(a) + exp(b)) */
static double add_logs(double a, double b) {
    const double high = a > b ? a : b, low = a > b ? b : a;
    return low == -(double)INFINITY ? high : high + log1p(exp(low - high));
}

/* The log-sum-exp with the sink, which spoils the row as a score of its value would. Padding has no sink. */
static double join_sink(const struct softattn_blas_tile *tile, int64_t query, double lse) {
    const double joined = query >= tile->sequence.queries ? lse : add_logs(lse, query_sink(tile));
    return joined == (double)INFINITY ? (double)NAN : joined;
}

static void scale_weights(const struct softattn_blas_tile *tile, char *weights, double factor) {
    const int64_t bytes = tile->run->real_bytes;
    for (int64_t j = 0; j < tile->last_key - tile->first_key && factor != 1; j++) {
        softattn_put_real(weights, j, softattn_get_real(weights, j, bytes) * factor, bytes);
    }
}

/* As the row kernels give it. */
static double masked_weight(int32_t normalizer) {
    return normalizer == SOFTATTN_NORMALIZE_NONE || normalizer == SOFTATTN_NORMALIZE_RELU ? -0.0 : 0.0;
}

static void store_weights(const struct softattn_blas_tile *tile, int64_t query, const char *weights) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    const bool spoiled = tile->spoiled[query - tile->first_query]; /* masked places too */
    const double masked = masked_weight(problem->normalizer);
    char *row = softattn_view_at(&problem->weights, tile->sequence.batch, tile->head,
                                 tile->sequence.query_base + query, bytes);
    for (int64_t i = 0; i < problem->seq_kv; i++) {
        const int64_t key = i - tile->sequence.key_base;
        const bool inside = key >= tile->first_key && key < tile->last_key;
        const double weight = inside ? softattn_get_real(weights, key - tile->first_key, bytes) : masked;
        softattn_put_real(row, i * problem->weights.col, spoiled ? (double)NAN : weight, bytes);
    }
}

static void drop_weights(const struct softattn_blas_tile *tile, int64_t query, char *weights) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    const int64_t head_index = tile->sequence_index * problem->heads_q + tile->head;
    const double factor = softattn_kept_scale(problem->dropout);
    for (int64_t first = tile->first_key / 4 * 4; first < tile->last_key; first += SOFTATTN_BLAS_KEYS) {
        double kept[SOFTATTN_BLAS_KEYS]; /* memory for reals of either type */
        const int64_t keys = min_i64(SOFTATTN_BLAS_KEYS, tile->last_key - first);
        const struct softattn_dropout_part part = {head_index, query, 1, first, keys};
        softattn_dropout_keep(&tile->run->dropout, problem->kernels, &part, kept, SOFTATTN_BLAS_KEYS, 1);
        for (int64_t key = first > tile->first_key ? first : tile->first_key; key < first + keys; key++) {
            const int64_t j = key - tile->first_key;
            const double weight = softattn_get_real(weights, j, bytes) * factor;
            const bool keep = softattn_get_real((const char *)kept, key - first, bytes) > 0;
            softattn_put_real(weights, j, keep ? weight : 0, bytes);
        }
    }
}

/* The weights go out, dropout drops some and scales the rest. */
static void give_weights(struct softattn_blas_tile *tile, int64_t query, char *weights) {
    if (tile->run->problem->weights.data != NULL) {
        store_weights(tile, query, weights);
    }
    if (tile->run->problem->dropout > 0) {
        drop_weights(tile, query, weights);
    }
}

/* The sink takes its share of the weights; the log-sum-exp goes out. */
static void finish_row(struct softattn_blas_tile *tile, int64_t query, char *weights, double lse) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    const double full_lse = join_sink(tile, query, lse);
    tile->empty[query - tile->first_query] = lse == -(double)INFINITY;
    tile->spoiled[query - tile->first_query] = full_lse != full_lse;
    scale_weights(tile, weights, lse == -(double)INFINITY ? 1 : exp(lse - full_lse));
    if (problem->lse.data != NULL) {
        softattn_put_real(softattn_view_at(&problem->lse, tile->sequence.batch, tile->head,
                                           tile->sequence.query_base + query, bytes),
                          0, full_lse, bytes);
    }
    give_weights(tile, query, weights);
}

/* The row's scores with what masks them, shaped but not yet scaled. */
static struct softattn_row scores_of(const struct softattn_blas_tile *tile, int64_t query) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    char *scores = tile->scratch.scores + (query - tile->first_query) * problem->seq_kv * bytes;
    const struct softattn_interval interval = softattn_visible_keys(problem, &tile->sequence, query);
    const bool shaped = problem->softcap > 0 || problem->alibi.data != NULL;
    struct softattn_row row = {.rows = 1, .x = scores, .y = scores, .empty_is_zero = 1};
    row.cols = tile->last_key - tile->first_key;
    if (shaped) {
        shape_scores(tile, query, scores);
    }
    row.scale = shaped ? 1 : problem->scale;
    row.first = min_i64(max_i64(interval.low - tile->first_key, 0), row.cols);
    row.last = max_i64(min_i64(interval.high - tile->first_key, row.cols), row.first);
    row.bias = mask_row(tile, &problem->bias, query, bytes);
    row.bias_stride = problem->bias.col;
    row.keep = keep_row(tile, query, &row.keep_stride);
    row.scratch = tile->scratch.row;
    return row;
}

static void weigh_row(struct softattn_blas_tile *tile, int64_t query) {
    double lse_memory = 0;
    struct softattn_row row = scores_of(tile, query);
    row.lse = &lse_memory;
    tile->run->problem->kernels->softmax_row(&row);
    finish_row(tile, query, row.y, softattn_get_real((const char *)&lse_memory, 0, tile->run->real_bytes));
}

/* The same with another normalizer. Of those, what makes the weights sum to 1 makes a row with a NaN all NaN. */
static void normalize_row(struct softattn_blas_tile *tile, int64_t query) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_row row = scores_of(tile, query);
    const int32_t is_visible =
        problem->kernels->normalize_row(problem->normalizer, problem->sigmoid_bias, &row);
    const bool sums_to_one = problem->normalizer == SOFTATTN_NORMALIZE_SPARSEMAX ||
                             problem->normalizer == SOFTATTN_NORMALIZE_ENTMAX;
    tile->empty[query - tile->first_query] = !is_visible;
    tile->spoiled[query - tile->first_query] =
        sums_to_one && is_visible && isnan(softattn_get_real(row.y, 0, tile->run->real_bytes));
    give_weights(tile, query, row.y);
}

static void diagnose_row(const struct softattn_blas_tile *tile, int64_t query) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_row row = scores_of(tile, query);
    const int64_t head = tile->sequence.batch * problem->heads_q + tile->head;
    problem->kernels->diagnose_row(
        &row, query_sink(tile),
        &problem->diagnoses[head * problem->seq_q + tile->sequence.query_base + query]);
}

void softattn_blas_diagnose(const struct softattn_blas_tile *tile) {
    for (int64_t i = 0; i < tile->queries; i++) {
        diagnose_row(tile, tile->first_query + i);
    }
}

void softattn_blas_weigh(struct softattn_blas_tile *tile) {
    const bool is_softmax = tile->run->problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX;
    for (int64_t i = 0; i < tile->queries; i++) {
        if (is_softmax) {
            weigh_row(tile, tile->first_query + i);
        } else {
            normalize_row(tile, tile->first_query + i);
        }
    }
}
