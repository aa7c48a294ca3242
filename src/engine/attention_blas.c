/*
 * The BLAS engine: a tile of query rows at a time, scores by matrix product, row softmax, weighted values by matrix
 * product. It is the engine that has whole rows of weights to give back; its sums take the BLAS's order.
 *
 * OpenBLAS runs products above a size limit on threads of its own, which belong to the application. So products are cut
 * to stay below it (softattn_blas_work_limit). Without a BLAS the library's own product kernel does the work.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "engine/attention.h"
#include "engine/dropout.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "engine/visibility.h"
#include "platform/blas.h"

enum { ALIGNMENT = 64, QUERY_TILE = 64, PRODUCT_KEYS = 256 };

struct run {
    const struct softattn_attention_problem *problem;
    int64_t real_bytes, blocks; /* tiles of queries per head */
    int64_t work_limit;         /* of one product; 0: the library's own kernel */
    struct softattn_dropout dropout;
    char *scratch;
    uint64_t worker_bytes;
    atomic_llong next;
};

/* One worker's scratch: reals, but for keep. */
struct scratch {
    char *q, *k;   /* copies with unit column stride, where the operand has another */
    char *v;       /* the same; also where it holds infinities or NaN */
    char *scores;  /* [QUERY_TILE][seq_kv] */
    char *row;     /* one row of scores, and what else its normalizer takes */
    char *turned;  /* [dim_qk][PRODUCT_KEYS] keys as columns, for the library's own product */
    char *out;     /* [QUERY_TILE][dim_v] */
    uint8_t *keep; /* one row */
};

/* A tile of queries of one head. */
struct tile {
    const struct run *run;
    struct scratch scratch;
    struct softattn_sequence sequence;
    int64_t sequence_index, head, first_query, queries;
    int64_t first_key, last_key; /* keys that any of the queries may see */
    bool empty[QUERY_TILE];      /* queries without a visible score above -infinity */
    bool spoiled[QUERY_TILE];    /* queries whose whole row is NaN */
};

/* A matrix with unit column stride. */
struct matrix {
    const char *data;
    int64_t stride;
};

static char *cut(char *memory, uint64_t *used, int64_t count, int64_t bytes) {
    char *piece = memory == NULL ? NULL : memory + *used;
    *used += ((uint64_t)(count * bytes) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

/* Whether rows of `cols` elements can be multiplied where they are. */
static bool in_place(const struct softattn_view *view, int64_t cols) {
    return view->col == 1 && view->row >= cols;
}

static bool is_softmax(const struct softattn_attention_problem *problem) {
    return problem->normalizer == SOFTATTN_NORMALIZE_SOFTMAX;
}

static uint64_t cut_scratch(const struct softattn_attention_problem *problem, char *memory,
                            struct scratch *scratch) {
    const int64_t bytes = problem->kernels->real_bytes;
    const int64_t dim_qk = problem->dim_qk, dim_v = problem->dim_v, keys = problem->seq_kv;
    uint64_t used = 0;
    scratch->q = cut(memory, &used, in_place(&problem->q, dim_qk) ? 0 : QUERY_TILE * dim_qk, bytes);
    scratch->k = cut(memory, &used, in_place(&problem->k, dim_qk) ? 0 : keys * dim_qk, bytes);
    scratch->v = cut(memory, &used, keys * dim_v, bytes);
    scratch->scores = cut(memory, &used, QUERY_TILE * keys, bytes);
    scratch->row = cut(memory, &used, is_softmax(problem) ? keys : SOFTATTN_NORMALIZE_SCRATCH(keys), bytes);
    scratch->turned = cut(memory, &used, PRODUCT_KEYS * dim_qk, bytes);
    scratch->out = cut(memory, &used, QUERY_TILE * dim_v, bytes);
    scratch->keep = (uint8_t *)cut(memory, &used, problem->block_map.data == NULL ? 0 : keys, 1);
    return used;
}

/* ---- Operands ---- */

static struct matrix matrix_of(const struct softattn_view *view, const char *first, int64_t rows,
                               int64_t cols, int64_t bytes, char *copy) {
    if (in_place(view, cols)) {
        return (struct matrix){first, view->row};
    }
    for (int64_t r = 0; r < rows; r++) {
        softattn_copy_reals(cols, bytes, first + r * view->row * bytes, view->col * bytes,
                            copy + r * cols * bytes, bytes);
    }
    return (struct matrix){copy, cols};
}

/* The keys or values that any query of the tile may see. */
static struct matrix visible_rows(const struct tile *tile, const struct softattn_view *view, int64_t dim,
                                  char *copy) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t head_kv = tile->head / (problem->heads_q / problem->heads_kv);
    const char *first = softattn_view_at(view, tile->sequence.batch, head_kv,
                                         tile->sequence.key_base + tile->first_key, tile->run->real_bytes);
    return matrix_of(view, first, tile->last_key - tile->first_key, dim, tile->run->real_bytes, copy);
}

static struct matrix queries_of(const struct tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const char *first =
        softattn_view_at(&problem->q, tile->sequence.batch, tile->head,
                         tile->sequence.query_base + tile->first_query, tile->run->real_bytes);
    return matrix_of(&problem->q, first, tile->queries, problem->dim_qk, tile->run->real_bytes,
                     tile->scratch.q);
}

/* ---- Products ---- */

static void gemm(const struct run *run, bool transpose_b, int64_t m, int64_t n, int64_t k, struct matrix a,
                 struct matrix b, double beta, char *c, int64_t c_stride) {
    if (run->real_bytes == 4) {
        softattn_blas_gemm_f32(transpose_b, m, n, k, 1.0f, (const float *)(const void *)a.data, a.stride,
                               (const float *)(const void *)b.data, b.stride, (float)beta, (float *)(void *)c,
                               c_stride);
    } else {
        softattn_blas_gemm_f64(transpose_b, m, n, k, 1.0, (const double *)(const void *)a.data, a.stride,
                               (const double *)(const void *)b.data, b.stride, beta, (double *)(void *)c,
                               c_stride);
    }
}

/* Whether strides fit a BLAS's int, and one step of the product its work limit. */
static bool blas_takes(const struct run *run, int64_t least_work, int64_t a, int64_t b, int64_t c) {
    return run->work_limit >= least_work && a <= INT32_MAX && b <= INT32_MAX && c <= INT32_MAX;
}

/* scores = Q K^T over the visible keys. */
static void multiply_scores(const struct tile *tile) {
    const struct run *run = tile->run;
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_qk, stride = problem->seq_kv, keys = tile->last_key - tile->first_key;
    const int64_t work = max_i64(1, tile->queries * dim);
    const struct matrix q = queries_of(tile);
    const struct matrix k = visible_rows(tile, &problem->k, dim, tile->scratch.k);
    const bool blas = blas_takes(run, work, q.stride, k.stride, stride);
    const int64_t step = blas ? min_i64(PRODUCT_KEYS, run->work_limit / work) : PRODUCT_KEYS;
    for (int64_t j = 0; j < keys; j += step) {
        const int64_t part = min_i64(step, keys - j);
        const struct matrix b = {k.data + j * k.stride * run->real_bytes, k.stride};
        char *scores = tile->scratch.scores + j * run->real_bytes;
        if (blas) {
            gemm(run, true, tile->queries, part, dim, q, b, 0, scores, stride);
        } else {
            problem->kernels->transpose(part, dim, 1, b.data, b.stride, tile->scratch.turned, PRODUCT_KEYS);
            problem->kernels->multiply(tile->queries, part, dim, q.data, q.stride, 1, tile->scratch.turned,
                                       PRODUCT_KEYS, scores, stride);
        }
    }
}

/* out = weights V over the visible keys. */
static void multiply_values(const struct tile *tile, struct matrix v) {
    const struct run *run = tile->run;
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_v, stride = problem->seq_kv, keys = tile->last_key - tile->first_key;
    const int64_t work = max_i64(1, tile->queries * dim);
    const struct matrix weights = {tile->scratch.scores, stride};
    if (!blas_takes(run, work, weights.stride, v.stride, dim)) {
        problem->kernels->multiply(tile->queries, dim, keys, weights.data, stride, 1, v.data, v.stride,
                                   tile->scratch.out, dim);
        return;
    }
    const int64_t step = min_i64(keys, run->work_limit / work);
    for (int64_t j = 0; j < keys; j += step) {
        const struct matrix a = {weights.data + j * run->real_bytes, stride};
        const struct matrix b = {v.data + j * v.stride * run->real_bytes, v.stride};
        gemm(run, false, tile->queries, dim, min_i64(step, keys - j), a, b, j == 0 ? 0 : 1, tile->scratch.out,
             dim);
    }
}

/* ---- Masks and weights ---- */

static bool map_keeps(const struct tile *tile, int64_t query, int64_t key) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_view *map = &problem->block_map;
    return map->data == NULL ||
           softattn_view_at(map, tile->sequence.batch, tile->head, query / problem->block_q,
                            1)[key / problem->block_k * map->col] != 0;
}

/* Where the masks and the bias of a query start for the tile's first key. */
static const char *mask_row(const struct tile *tile, const struct softattn_view *view, int64_t query,
                            int64_t bytes) {
    return view->data == NULL ? NULL
                              : softattn_view_at(view, tile->sequence.batch, tile->head,
                                                 tile->sequence.query_base + query, bytes) +
                                    (tile->sequence.key_base + tile->first_key) * view->col * bytes;
}

static bool visible(const struct tile *tile, int64_t query, int64_t key, struct softattn_interval interval) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t j = key - tile->first_key, bytes = tile->run->real_bytes;
    const char *keep = mask_row(tile, &problem->keep, query, 1);
    const char *bias = mask_row(tile, &problem->bias, query, bytes);
    return key >= interval.low && key < interval.high && (keep == NULL || keep[j * problem->keep.col] != 0) &&
           (bias == NULL || softattn_get_real(bias, j * problem->bias.col, bytes) != -(double)INFINITY) &&
           map_keeps(tile, query, key);
}

/* Scale, soft-cap and ALiBi, where there is more than a scale to do before the bias. */
static void shape_scores(const struct tile *tile, int64_t query, char *scores) {
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
static const uint8_t *keep_row(const struct tile *tile, int64_t query, int64_t *stride) {
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

static double query_sink(const struct tile *tile) {
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
static double join_sink(const struct tile *tile, int64_t query, double lse) {
    const double joined = query >= tile->sequence.queries ? lse : add_logs(lse, query_sink(tile));
    return joined == (double)INFINITY ? (double)NAN : joined;
}

static void scale_weights(const struct tile *tile, char *weights, double factor) {
    const int64_t bytes = tile->run->real_bytes;
    for (int64_t j = 0; j < tile->last_key - tile->first_key && factor != 1; j++) {
        softattn_put_real(weights, j, softattn_get_real(weights, j, bytes) * factor, bytes);
    }
}

/* As the row kernels give it. */
static double masked_weight(int32_t normalizer) {
    return normalizer == SOFTATTN_NORMALIZE_NONE || normalizer == SOFTATTN_NORMALIZE_RELU ? -0.0 : 0.0;
}

static void store_weights(const struct tile *tile, int64_t query, const char *weights) {
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

static void drop_weights(const struct tile *tile, int64_t query, char *weights) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    const int64_t head_index = tile->sequence_index * problem->heads_q + tile->head;
    const double factor = softattn_kept_scale(problem->dropout);
    for (int64_t first = tile->first_key / 4 * 4; first < tile->last_key; first += PRODUCT_KEYS) {
        double kept[PRODUCT_KEYS]; /* memory for reals of either type */
        const int64_t keys = min_i64(PRODUCT_KEYS, tile->last_key - first);
        const struct softattn_dropout_part part = {head_index, query, 1, first, keys};
        softattn_dropout_keep(&tile->run->dropout, problem->kernels, &part, kept, PRODUCT_KEYS, 1);
        for (int64_t key = first > tile->first_key ? first : tile->first_key; key < first + keys; key++) {
            const int64_t j = key - tile->first_key;
            const double weight = softattn_get_real(weights, j, bytes) * factor;
            const bool keep = softattn_get_real((const char *)kept, key - first, bytes) > 0;
            softattn_put_real(weights, j, keep ? weight : 0, bytes);
        }
    }
}

/* The weights go out, dropout drops some and scales the rest. */
static void give_weights(struct tile *tile, int64_t query, char *weights) {
    if (tile->run->problem->weights.data != NULL) {
        store_weights(tile, query, weights);
    }
    if (tile->run->problem->dropout > 0) {
        drop_weights(tile, query, weights);
    }
}

/* The sink takes its share of the weights; the log-sum-exp goes out. */
static void finish_row(struct tile *tile, int64_t query, char *weights, double lse) {
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
static struct softattn_row scores_of(struct tile *tile, int64_t query) {
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

static void weigh_row(struct tile *tile, int64_t query) {
    double lse_memory = 0;
    struct softattn_row row = scores_of(tile, query);
    row.lse = &lse_memory;
    tile->run->problem->kernels->softmax_row(&row);
    finish_row(tile, query, row.y, softattn_get_real((const char *)&lse_memory, 0, tile->run->real_bytes));
}

/* The same with another normalizer. Of those, what makes the weights sum to 1 makes a row with a NaN all NaN. */
static void normalize_row(struct tile *tile, int64_t query) {
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

static void diagnose_row(struct tile *tile, int64_t query) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_row row = scores_of(tile, query);
    const int64_t head = tile->sequence.batch * problem->heads_q + tile->head;
    problem->kernels->diagnose_row(
        &row, query_sink(tile),
        &problem->diagnoses[head * problem->seq_q + tile->sequence.query_base + query]);
}

static void diagnose_rows(struct tile *tile) {
    for (int64_t i = 0; i < tile->queries; i++) {
        diagnose_row(tile, tile->first_query + i);
    }
}

/* ---- Tiles ---- */

/*
 * Values that are infinite or NaN must not reach queries that they are masked for, where 0 times them would be NaN. They
 * become 0 in the product, and are added afterwards for the queries that see them.
 */
static bool is_finite_at(const char *matrix, int64_t index, int64_t bytes) {
    return isfinite(softattn_get_real(matrix, index, bytes));
}

static struct matrix finite_values(const struct tile *tile, struct matrix v) {
    const int64_t bytes = tile->run->real_bytes, dim = tile->run->problem->dim_v;
    char *copy = tile->scratch.v;
    for (int64_t j = 0; j < tile->last_key - tile->first_key; j++) {
        memmove(copy + j * dim * bytes, v.data + j * v.stride * bytes, (size_t)(dim * bytes));
        for (int64_t d = 0; d < dim; d++) {
            if (!is_finite_at(copy, j * dim + d, bytes)) {
                softattn_put_real(copy, j * dim + d, 0, bytes);
            }
        }
    }
    return (struct matrix){copy, dim};
}

static void add_value(const struct tile *tile, int64_t key, int64_t d, double value) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t query = tile->first_query + i, at = i * problem->dim_v + d;
        if (!tile->empty[i] &&
            visible(tile, query, key, softattn_visible_keys(problem, &tile->sequence, query))) {
            const double weight =
                softattn_get_real(tile->scratch.scores, i * problem->seq_kv + key - tile->first_key, bytes);
            softattn_put_real(tile->scratch.out, at,
                              softattn_get_real(tile->scratch.out, at, bytes) + weight * value, bytes);
        }
    }
}

static void add_values_that_are_not_finite(const struct tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const struct softattn_view *v = &problem->v;
    const int64_t bytes = tile->run->real_bytes;
    const int64_t head_kv = tile->head / (problem->heads_q / problem->heads_kv);
    for (int64_t key = tile->first_key; key < tile->last_key; key++) {
        const char *row =
            softattn_view_at(v, tile->sequence.batch, head_kv, tile->sequence.key_base + key, bytes);
        for (int64_t d = 0; d < problem->dim_v; d++) {
            if (!is_finite_at(row, d * v->col, bytes)) {
                add_value(tile, key, d, softattn_get_real(row, d * v->col, bytes));
            }
        }
    }
}

/* NaN that masks, dropout or an empty product would have kept from the output. */
static void spoil_rows(const struct tile *tile) {
    const int64_t dim = tile->run->problem->dim_v;
    for (int64_t i = 0; i < tile->queries * dim; i++) {
        if (tile->spoiled[i / dim]) {
            softattn_put_real(tile->scratch.out, i, (double)NAN, tile->run->real_bytes);
        }
    }
}

static void write_out(const struct tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes, dim = problem->dim_v;
    for (int64_t i = 0; i < tile->queries; i++) {
        char *to = softattn_view_at(&problem->out, tile->sequence.batch, tile->head,
                                    tile->sequence.query_base + tile->first_query + i, bytes);
        const char *from = tile->scratch.out + i * dim * bytes;
        if (problem->out.col == 1) {
            memcpy(to, from, (size_t)(dim * bytes));
        } else {
            softattn_copy_reals(dim, bytes, from, bytes, to, problem->out.col * bytes);
        }
    }
}

static void find_visible_keys(struct tile *tile) {
    tile->first_key = tile->sequence.keys;
    tile->last_key = 0;
    for (int64_t i = 0; i < tile->queries; i++) {
        const struct softattn_interval seen =
            softattn_visible_keys(tile->run->problem, &tile->sequence, tile->first_query + i);
        if (seen.low < seen.high) {
            tile->first_key = min_i64(tile->first_key, seen.low);
            tile->last_key = max_i64(tile->last_key, seen.high);
        }
    }
    tile->first_key = min_i64(tile->first_key, tile->last_key);
}

static void run_tile(struct tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    find_visible_keys(tile);
    multiply_scores(tile);
    if (problem->diagnoses != NULL) {
        diagnose_rows(tile);
        return;
    }
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t query = tile->first_query + i;
        if (is_softmax(problem)) {
            weigh_row(tile, query);
        } else {
            normalize_row(tile, query);
        }
    }
    const int64_t keys = tile->last_key - tile->first_key;
    const struct matrix v = visible_rows(tile, &problem->v, problem->dim_v, tile->scratch.v);
    if (keys == 0) {
        for (int64_t i = 0; i < tile->queries * problem->dim_v; i++) {
            softattn_put_real(tile->scratch.out, i, 0, tile->run->real_bytes);
        }
    } else if (problem->kernels->all_finite(keys, problem->dim_v, v.data, v.stride)) {
        multiply_values(tile, v);
    } else {
        multiply_values(tile, finite_values(tile, v));
        add_values_that_are_not_finite(tile);
    }
    spoil_rows(tile);
    write_out(tile);
}

static int64_t query_blocks(int64_t queries) { return (queries + QUERY_TILE - 1) / QUERY_TILE; }

static void run_tiles(struct run *run, int64_t index) {
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t tasks = problem->batch * problem->heads_q * run->blocks;
    struct tile tile = {.run = run};
    cut_scratch(problem, run->scratch + (uint64_t)index * run->worker_bytes, &tile.scratch);
    for (;;) {
        const int64_t next = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (next >= tasks) {
            return;
        }
        tile.first_query = (run->blocks - 1 - next % run->blocks) * QUERY_TILE;
        tile.head = next / run->blocks % problem->heads_q;
        tile.sequence_index = next / run->blocks / problem->heads_q;
        tile.sequence = softattn_sequence_at(problem, tile.sequence_index);
        tile.queries = min_i64(QUERY_TILE, tile.sequence.rows - tile.first_query);
        if (tile.queries > 0) {
            run_tile(&tile);
        }
    }
}

/* The C library's exp sets errno where its result underflows, and what OpenBLAS does to it is not known. */
static void worker(void *context, int64_t index) {
    const int saved_errno = errno;
    run_tiles(context, index);
    errno = saved_errno;
}

void softattn_blas_plan(const struct softattn_attention_problem *problem, int32_t threads,
                        struct softattn_attention_shape *shape) {
    struct scratch unused;
    shape->query_tile = QUERY_TILE;
    shape->key_tile = problem->seq_kv;
    shape->key_chunk = problem->seq_kv;
    shape->tasks = problem->batch * problem->heads_q * query_blocks(problem->seq_q);
    shape->scratch_bytes =
        (uint64_t)max_i64(1, min_i64(threads, shape->tasks)) * cut_scratch(problem, NULL, &unused);
    shape->kernel =
        softattn_blas_available() ? "matrix products by openblas" : "matrix products by own kernel";
}

void softattn_blas_execute(const struct softattn_attention_problem *problem,
                           const struct softattn_runtime *runtime, void *scratch) {
    struct scratch unused;
    struct run run = {.problem = problem, .scratch = scratch};
    run.real_bytes = problem->kernels->real_bytes;
    run.blocks = query_blocks(softattn_longest_sequence(problem).queries);
    run.work_limit = softattn_blas_available() ? softattn_blas_work_limit() : 0;
    run.dropout = softattn_dropout_make(problem->dropout, problem->dropout_seed, problem->dropout_offset);
    run.worker_bytes = cut_scratch(problem, NULL, &unused);
    atomic_init(&run.next, 0);
    const int64_t tasks = problem->batch * problem->heads_q * run.blocks;
    if (tasks > 0) {
        softattn_runtime_run(runtime, min_i64(runtime->threads, tasks), worker, &run);
    }
}
