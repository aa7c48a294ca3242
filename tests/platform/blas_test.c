/*
 * Matrix products by the BLAS, where there is one, against plain loops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "platform/blas.h"
#include "random.h"

static void backend_and_work_limit_tell_whether_there_is_a_blas(void **state) {
    (void)state;
    if (softattn_blas_available()) {
        assert_string_equal(softattn_blas_backend(), "openblas");
        assert_true(softattn_blas_work_limit() >= 64 * 64 * 30); /* 30 keys for 64 queries of 64 dimensions */
    } else {
        assert_string_equal(softattn_blas_backend(), "internal");
        assert_int_equal(softattn_blas_work_limit(), 0);
    }
}

/* Small integers and alpha 0.5: every order of summation is exact, so results must be equal. */
#define ALPHA 0.5
#define GAP   3 /* elements between the rows */
#define MARK  (-12345.0)

static double at(const double *matrix, int64_t stride, int64_t row, int64_t col) {
    return matrix[row * stride + col];
}

static double expected_element(bool transpose_b, int64_t k, const double *a, int64_t lda, const double *b,
                               int64_t ldb, int64_t row, int64_t col) {
    double sum = 0;
    for (int64_t i = 0; i < k; i++) {
        sum += at(a, lda, row, i) * (transpose_b ? at(b, ldb, col, i) : at(b, ldb, i, col));
    }
    return ALPHA * sum;
}

static double *integers(random_source *random, int64_t count) {
    double *values = malloc((size_t)(count + 1) * sizeof *values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = (double)random_between(random, -8, 8);
    }
    return values;
}

static float *narrowed(const double *values, int64_t count) {
    float *narrow = malloc((size_t)(count + 1) * sizeof *narrow);
    for (int64_t i = 0; i < count; i++) {
        narrow[i] = (float)values[i];
    }
    return narrow;
}

static void check_product(random_source *random, bool transpose_b, int64_t m, int64_t n, int64_t k) {
    int64_t lda = k + GAP, ldb = (transpose_b ? k : n) + GAP, ldc = n + GAP;
    int64_t a_count = m * lda, b_count = (transpose_b ? n : k) * ldb, c_count = m * ldc;
    double *a = integers(random, a_count), *b = integers(random, b_count), *c = integers(random, c_count);
    /* What c held must not matter; the gaps must stay. */
    for (int64_t i = 0; i < c_count; i++) {
        c[i] = i % ldc < n ? (double)NAN : MARK;
    }
    float *a_f32 = narrowed(a, a_count), *b_f32 = narrowed(b, b_count), *c_f32 = narrowed(c, c_count);

    softattn_blas_gemm_f64(transpose_b, m, n, k, ALPHA, a, lda, b, ldb, 0.0, c, ldc);
    softattn_blas_gemm_f32(transpose_b, m, n, k, (float)ALPHA, a_f32, lda, b_f32, ldb, 0.0f, c_f32, ldc);
    for (int64_t i = 0; i < c_count; i++) {
        int64_t row = i / ldc, col = i % ldc;
        double expected = col < n ? expected_element(transpose_b, k, a, lda, b, ldb, row, col) : MARK;
        if (!(c[i] == expected) || !((double)c_f32[i] == expected)) {
            fail_msg("m=%ld n=%ld k=%ld transpose_b=%d row %ld col %ld: f64 %g, f32 %g, expected %g", (long)m,
                     (long)n, (long)k, transpose_b, (long)row, (long)col, c[i], (double)c_f32[i], expected);
        }
    }
    free(a), free(b), free(c);
    free(a_f32), free(b_f32), free(c_f32);
}

static void products_equal_plain_loops(void **state) {
    (void)state;
    if (!softattn_blas_available()) {
        skip();
    }
    static const int64_t fixed[][3] = {{1, 1, 1},    {1, 64, 64},   {64, 1, 64},   {64, 64, 1},
                                       {64, 64, 64}, {1, 4096, 64}, {4096, 1, 64}, {2, 1000, 128},
                                       {3, 5, 0},    {63, 65, 17}};
    random_source random;
    random_start(&random, "products_equal_plain_loops");
    for (int transpose_b = 0; transpose_b < 2; transpose_b++) {
        for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
            check_product(&random, transpose_b, fixed[i][0], fixed[i][1], fixed[i][2]);
        }
        for (int i = 0; i < 200; i++) {
            check_product(&random, transpose_b, random_between(&random, 1, 64),
                          random_between(&random, 1, 64), random_between(&random, 1, 64));
        }
    }
}

/* One product many times; the number of wrong elements. */
static void *multiply_ones(void *argument) {
    (void)argument;
    enum { SIZE = 48 };
    float ones[SIZE * SIZE], c[SIZE * SIZE];
    for (int i = 0; i < SIZE * SIZE; i++) {
        ones[i] = 1.0f;
    }
    uintptr_t wrong = 0;
    for (int round = 0; round < 100; round++) {
        softattn_blas_gemm_f32(round % 2 != 0, SIZE, SIZE, SIZE, 1.0f, ones, SIZE, ones, SIZE, 0.0f, c, SIZE);
        for (int i = 0; i < SIZE * SIZE; i++) {
            wrong += c[i] != (float)SIZE;
        }
    }
    return (void *)wrong;
}

static void many_threads_multiply_at_once(void **state) {
    (void)state;
    if (!softattn_blas_available()) {
        skip();
    }
    enum { THREADS = 80 }; /* more than a BLAS has buffers for */
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, multiply_ones, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backend_and_work_limit_tell_whether_there_is_a_blas),
        cmocka_unit_test(products_equal_plain_loops),
        cmocka_unit_test(many_threads_multiply_at_once),
    };
    return cmocka_run_group_tests_name("platform/blas", tests, NULL, NULL);
}
