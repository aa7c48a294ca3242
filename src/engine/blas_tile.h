/*
 * What the files of the BLAS engine share: attention_blas.c walks the tiles, blas_products.c multiplies, blas_weights.c makes weights
 * of scores, blas_values.c results of values.
 */
#ifndef SOFTATTN_ENGINE_BLAS_TILE_H
#define SOFTATTN_ENGINE_BLAS_TILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/attention.h"
#include "engine/dropout.h"
#include "engine/visibility.h"

enum { SOFTATTN_BLAS_QUERIES = 64, SOFTATTN_BLAS_KEYS = 256 }; /* of a tile; of a product */

struct softattn_blas_run {
    const struct softattn_attention_problem *problem;
    int64_t real_bytes, blocks; /* tiles of queries per head */
    int64_t work_limit;         /* of one product; 0: the library's own kernel */
    struct softattn_dropout dropout;
    char *scratch;
    uint64_t worker_bytes;
    atomic_llong next;
};

/* One worker's scratch: reals, but for keep. */
struct softattn_blas_scratch {
    char *q, *k;   /* copies with unit column stride, where the operand has another */
    char *v;       /* the same; also where it holds infinities or NaN */
    char *scores;  /* [SOFTATTN_BLAS_QUERIES][seq_kv] */
    char *row;     /* one row of scores, and what else its normalizer takes */
    char *turned;  /* [dim_qk][SOFTATTN_BLAS_KEYS] keys as columns, for the library's own product */
    char *out;     /* [SOFTATTN_BLAS_QUERIES][dim_v] */
    uint8_t *keep; /* one row */
};

/* A tile of queries of one head. */
struct softattn_blas_tile {
    const struct softattn_blas_run *run;
    struct softattn_blas_scratch scratch;
    struct softattn_sequence sequence;
    int64_t sequence_index, head, first_query, queries;
    int64_t first_key, last_key;         /* keys that any of the queries may see */
    bool empty[SOFTATTN_BLAS_QUERIES];   /* queries without a visible score above -infinity */
    bool spoiled[SOFTATTN_BLAS_QUERIES]; /* queries whose whole row is NaN */
};

/* A matrix with unit column stride. */
struct softattn_blas_matrix {
    const char *data;
    int64_t stride;
};

/* Whether rows of `cols` elements can be multiplied where they are. */
bool softattn_blas_reads_in_place(const struct softattn_view *view, int64_t cols);

/* The keys or values, of `dim` columns, that any query of the tile may see; copy: memory for them, where they cannot stay. */
struct softattn_blas_matrix softattn_blas_visible_rows(const struct softattn_blas_tile *tile,
                                                       const struct softattn_view *view, int64_t dim,
                                                       char *copy);

/* scores = Q K^T over the visible keys. */
void softattn_blas_multiply_scores(const struct softattn_blas_tile *tile);

/* out = weights V over the visible keys, of which there is one at least. */
void softattn_blas_multiply_values(const struct softattn_blas_tile *tile, struct softattn_blas_matrix v);

/* Scores to weights, by the problem's normalizer; the log-sum-exp and the weights go out where they are wanted. */
void softattn_blas_weigh(struct softattn_blas_tile *tile);

/* Scores to diagnoses. */
void softattn_blas_diagnose(const struct softattn_blas_tile *tile);

/* Whether the masks show the key to the query. interval: softattn_visible_keys of the query. */
bool softattn_blas_is_visible(const struct softattn_blas_tile *tile, int64_t query, int64_t key,
                              struct softattn_interval interval);

/* The weights' sums of values, to the output. */
void softattn_blas_sum_values(const struct softattn_blas_tile *tile);

#endif
