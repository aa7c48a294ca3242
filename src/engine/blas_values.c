/*
 * Weighted sums of values of the BLAS engine.
 *
 * Values that are infinite or NaN must not reach queries that they are masked for, where 0 times them would be NaN. They
 * become 0 in the product, and are added afterwards for the queries that see them.
 */
#include <math.h>
#include <string.h>

#include "engine/blas_tile.h"
#include "engine/reals.h"
#include "engine/visibility.h"

static bool is_finite_at(const char *matrix, int64_t index, int64_t bytes) {
    return isfinite(softattn_get_real(matrix, index, bytes));
}

static struct softattn_blas_matrix finite_values(const struct softattn_blas_tile *tile,
                                                 struct softattn_blas_matrix v) {
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
    return (struct softattn_blas_matrix){copy, dim};
}

static void add_value(const struct softattn_blas_tile *tile, int64_t key, int64_t d, double value) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t bytes = tile->run->real_bytes;
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t query = tile->first_query + i, at = i * problem->dim_v + d;
        if (!tile->empty[i] &&
            softattn_blas_is_visible(tile, query, key,
                                     softattn_visible_keys(problem, &tile->sequence, query))) {
            const double weight =
                softattn_get_real(tile->scratch.scores, i * problem->seq_kv + key - tile->first_key, bytes);
            softattn_put_real(tile->scratch.out, at,
                              softattn_get_real(tile->scratch.out, at, bytes) + weight * value, bytes);
        }
    }
}

static void add_values_that_are_not_finite(const struct softattn_blas_tile *tile) {
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
static void spoil_rows(const struct softattn_blas_tile *tile) {
    const int64_t dim = tile->run->problem->dim_v;
    for (int64_t i = 0; i < tile->queries * dim; i++) {
        if (tile->spoiled[i / dim]) {
            softattn_put_real(tile->scratch.out, i, (double)NAN, tile->run->real_bytes);
        }
    }
}

static void write_out(const struct softattn_blas_tile *tile) {
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

void softattn_blas_sum_values(const struct softattn_blas_tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t keys = tile->last_key - tile->first_key;
    const struct softattn_blas_matrix v =
        softattn_blas_visible_rows(tile, &problem->v, problem->dim_v, tile->scratch.v);
    if (keys == 0) {
        for (int64_t i = 0; i < tile->queries * problem->dim_v; i++) {
            softattn_put_real(tile->scratch.out, i, 0, tile->run->real_bytes);
        }
    } else if (problem->kernels->all_finite(keys, problem->dim_v, v.data, v.stride)) {
        softattn_blas_multiply_values(tile, v);
    } else {
        softattn_blas_multiply_values(tile, finite_values(tile, v));
        add_values_that_are_not_finite(tile);
    }
    spoil_rows(tile);
    write_out(tile);
}
