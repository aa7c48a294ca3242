/*
 * The textbook baseline for one type. textbook.c includes this once per type with REAL, the type; SUFFIX, its
 * short name; EXP and SQRT, the functions of libm; GEMM, the BLAS function, where there is a BLAS.
 */
#define PASTE_(a, b) a##_##b
#define PASTE(a, b)  PASTE_(a, b)
#define NAME(name)   PASTE(name, SUFFIX)

/* Softmax of x[first … last] into y; the rest of y's cols elements become 0. */
static void NAME(softmax_row)(int64_t cols, int64_t first, int64_t last, const REAL *x, REAL *y) {
    REAL max = -INFINITY;
    for (int64_t j = first; j <= last; j++) {
        max = x[j] > max ? x[j] : max;
    }
    REAL sum = 0;
    for (int64_t j = first; j <= last; j++) {
        y[j] = EXP(x[j] - max);
        sum += y[j];
    }
    for (int64_t j = first; j <= last; j++) {
        y[j] /= sum;
    }
    for (int64_t j = 0; j < first && j < cols; j++) {
        y[j] = 0;
    }
    for (int64_t j = last < first ? first : last + 1; j < cols; j++) {
        y[j] = 0;
    }
}

/* c = scale * a * b^T: a is rows x depth, b is cols x depth, c is rows x cols. */
static void NAME(multiply_transposed)(int64_t rows, int64_t cols, int64_t depth, REAL scale, const REAL *a,
                                      const REAL *b, REAL *c) {
#ifdef GEMM
    GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)cols, (blasint)depth, scale, a,
         (blasint)depth, b, (blasint)depth, 0, c, (blasint)cols);
#else
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            REAL sum = 0;
            for (int64_t d = 0; d < depth; d++) {
                sum += a[i * depth + d] * b[j * depth + d];
            }
            c[i * cols + j] = scale * sum;
        }
    }
#endif
}

/* c = a * b: a is rows x depth, b is depth x cols, c is rows x cols. */
static void NAME(multiply)(int64_t rows, int64_t cols, int64_t depth, const REAL *a, const REAL *b, REAL *c) {
#ifdef GEMM
    GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)cols, (blasint)depth, 1, a,
         (blasint)depth, b, (blasint)cols, 0, c, (blasint)cols);
#else
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < cols; j++) {
            c[i * cols + j] = 0;
        }
        for (int64_t d = 0; d < depth; d++) {
            for (int64_t j = 0; j < cols; j++) {
                c[i * cols + j] += a[i * depth + d] * b[d * cols + j];
            }
        }
    }
#endif
}

static void NAME(attention_head)(const struct bench_attention_shape *shape, const REAL *q, const REAL *k,
                                 const REAL *v, REAL *out, REAL *scores) {
    const REAL scale = 1 / SQRT((REAL)shape->dim_qk);
    NAME(multiply_transposed)(shape->seq_q, shape->seq_kv, shape->dim_qk, scale, q, k, scores);
    for (int64_t i = 0; i < shape->seq_q; i++) {
        int64_t first, last;
        bench_visible_range(shape, i, &first, &last);
        REAL *row = scores + i * shape->seq_kv;
        NAME(softmax_row)(shape->seq_kv, first, last, row, row);
    }
    NAME(multiply)(shape->seq_q, shape->dim_v, shape->seq_kv, scores, v, out);
}

/* Heads member, member + threads, … of all batches. */
static void NAME(attention_member)(void *argument, int member) {
    const struct attention_run *run = argument;
    const struct bench_attention_shape *shape = run->shape;
    const int64_t group = shape->heads_q / shape->heads_kv;
    REAL *scores = (REAL *)run->scores + member * shape->seq_q * shape->seq_kv;
    for (int64_t head = member; head < shape->batch * shape->heads_q; head += run->threads) {
        const int64_t kv_head = head / group;
        NAME(attention_head)
        (shape, (const REAL *)run->q + head * shape->seq_q * shape->dim_qk,
         (const REAL *)run->k + kv_head * shape->seq_kv * shape->dim_qk,
         (const REAL *)run->v + kv_head * shape->seq_kv * shape->dim_v,
         (REAL *)run->out + head * shape->seq_q * shape->dim_v, scores);
    }
}

static void NAME(softmax_member)(void *argument, int member) {
    const struct softmax_run *run = argument;
    for (int64_t row = member; row < run->rows; row += run->threads) {
        NAME(softmax_row)
        (run->cols, 0, run->cols - 1, (const REAL *)run->x + row * run->cols,
         (REAL *)run->y + row * run->cols);
    }
}

#undef PASTE_
#undef PASTE
#undef NAME
#undef REAL
#undef SUFFIX
#undef EXP
#undef SQRT
#undef GEMM
