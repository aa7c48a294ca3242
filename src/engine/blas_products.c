/*
 * Products of a tile of the BLAS engine.
 *
 * OpenBLAS runs products above a size limit on threads of its own, which belong to the application. So products are cut
 * to stay below it (softattn_blas_work_limit). Without a BLAS the library's own product kernel does the work.
 */
#include "engine/blas_tile.h"
#include "engine/integers.h"
#include "engine/reals.h"
#include "platform/blas.h"

/* ---- Operands ---- */

bool softattn_blas_reads_in_place(const struct softattn_view *view, int64_t cols) {
    return view->col == 1 && view->row >= cols;
}

static struct softattn_blas_matrix matrix_of(const struct softattn_view *view, const char *first,
                                             int64_t rows, int64_t cols, int64_t bytes, char *copy) {
    if (softattn_blas_reads_in_place(view, cols)) {
        return (struct softattn_blas_matrix){first, view->row};
    }
    for (int64_t r = 0; r < rows; r++) {
        softattn_copy_reals(cols, bytes, first + r * view->row * bytes, view->col * bytes,
                            copy + r * cols * bytes, bytes);
    }
    return (struct softattn_blas_matrix){copy, cols};
}

struct softattn_blas_matrix softattn_blas_visible_rows(const struct softattn_blas_tile *tile,
                                                       const struct softattn_view *view, int64_t dim,
                                                       char *copy) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const int64_t head_kv = tile->head / (problem->heads_q / problem->heads_kv);
    const char *first = softattn_view_at(view, tile->sequence.batch, head_kv,
                                         tile->sequence.key_base + tile->first_key, tile->run->real_bytes);
    return matrix_of(view, first, tile->last_key - tile->first_key, dim, tile->run->real_bytes, copy);
}

static struct softattn_blas_matrix queries_of(const struct softattn_blas_tile *tile) {
    const struct softattn_attention_problem *problem = tile->run->problem;
    const char *first =
        softattn_view_at(&problem->q, tile->sequence.batch, tile->head,
                         tile->sequence.query_base + tile->first_query, tile->run->real_bytes);
    return matrix_of(&problem->q, first, tile->queries, problem->dim_qk, tile->run->real_bytes,
                     tile->scratch.q);
}

/* ---- Products ---- */

static void gemm(const struct softattn_blas_run *run, bool transpose_b, int64_t m, int64_t n, int64_t k,
                 struct softattn_blas_matrix a, struct softattn_blas_matrix b, double beta, char *c,
                 int64_t c_stride) {
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
static bool blas_takes(const struct softattn_blas_run *run, int64_t least_work, int64_t a, int64_t b,
                       int64_t c) {
    return run->work_limit >= least_work && a <= INT32_MAX && b <= INT32_MAX && c <= INT32_MAX;
}

void softattn_blas_multiply_scores(const struct softattn_blas_tile *tile) {
    const struct softattn_blas_run *run = tile->run;
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_qk, stride = problem->seq_kv, keys = tile->last_key - tile->first_key;
    const int64_t work = max_i64(1, tile->queries * dim);
    const struct softattn_blas_matrix q = queries_of(tile);
    const struct softattn_blas_matrix k = softattn_blas_visible_rows(tile, &problem->k, dim, tile->scratch.k);
    const bool blas = blas_takes(run, work, q.stride, k.stride, stride);
    const int64_t step = blas ? min_i64(SOFTATTN_BLAS_KEYS, run->work_limit / work) : SOFTATTN_BLAS_KEYS;
    for (int64_t j = 0; j < keys; j += step) {
        const int64_t part = min_i64(step, keys - j);
        const struct softattn_blas_matrix b = {k.data + j * k.stride * run->real_bytes, k.stride};
        char *scores = tile->scratch.scores + j * run->real_bytes;
        if (blas) {
            gemm(run, true, tile->queries, part, dim, q, b, 0, scores, stride);
        } else {
            problem->kernels->transpose(part, dim, 1, b.data, b.stride, tile->scratch.turned,
                                        SOFTATTN_BLAS_KEYS);
            problem->kernels->multiply(tile->queries, part, dim, q.data, q.stride, 1, tile->scratch.turned,
                                       SOFTATTN_BLAS_KEYS, scores, stride);
        }
    }
}

void softattn_blas_multiply_values(const struct softattn_blas_tile *tile, struct softattn_blas_matrix v) {
    const struct softattn_blas_run *run = tile->run;
    const struct softattn_attention_problem *problem = run->problem;
    const int64_t dim = problem->dim_v, stride = problem->seq_kv, keys = tile->last_key - tile->first_key;
    const int64_t work = max_i64(1, tile->queries * dim);
    const struct softattn_blas_matrix weights = {tile->scratch.scores, stride};
    if (!blas_takes(run, work, weights.stride, v.stride, dim)) {
        problem->kernels->multiply(tile->queries, dim, keys, weights.data, stride, 1, v.data, v.stride,
                                   tile->scratch.out, dim);
        return;
    }
    const int64_t step = min_i64(keys, run->work_limit / work);
    for (int64_t j = 0; j < keys; j += step) {
        const struct softattn_blas_matrix a = {weights.data + j * run->real_bytes, stride};
        const struct softattn_blas_matrix b = {v.data + j * v.stride * run->real_bytes, v.stride};
        gemm(run, false, tile->queries, dim, min_i64(step, keys - j), a, b, j == 0 ? 0 : 1, tile->scratch.out,
             dim);
    }
}
