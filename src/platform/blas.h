/*
 * The only place that knows a BLAS: matrix products by OpenBLAS where the library was built with it.
 */
#ifndef SOFTATTN_PLATFORM_BLAS_H
#define SOFTATTN_PLATFORM_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the products below may be called at all. */
bool softattn_blas_available(void);

/* "openblas", or "internal" where the library was built without one. */
const char *softattn_blas_backend(void);

/* The largest m * n * k that one product may have; constant enough to be asked once per run. See blas.c for why. */
int64_t softattn_blas_work_limit(void);

/*
 * c = beta * c + alpha * a * b, or a * b^T with transpose_b; row-major, c is m x n, the sum runs over k. With beta 0
 * what c held before has no effect. Leading dimensions count elements. Sizes and leading dimensions must fit int and m * n * k the work
 * limit. Without a BLAS these do nothing. Safe from any threads at once.
 */
void softattn_blas_gemm_f32(bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                            int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void softattn_blas_gemm_f64(bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                            int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

#endif
