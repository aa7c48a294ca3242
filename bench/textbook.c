/*
 * The textbook baseline.
 */
#include "textbook.h"

#include <math.h>

#ifdef SOFTATTN_BENCH_OPENBLAS
#include <cblas.h>
#endif

struct softmax_run {
    int64_t rows, cols;
    const void *x;
    void *y;
    int threads;
};

struct attention_run {
    const struct bench_attention_shape *shape;
    const void *q, *k, *v;
    void *out, *scores;
    int threads;
};

#define REAL   float
#define SUFFIX f32
#define EXP    expf
#define SQRT   sqrtf
#ifdef SOFTATTN_BENCH_OPENBLAS
#define GEMM cblas_sgemm
#endif
#include "textbook_template.h"

#define REAL   double
#define SUFFIX f64
#define EXP    exp
#define SQRT   sqrt
#ifdef SOFTATTN_BENCH_OPENBLAS
#define GEMM cblas_dgemm
#endif
#include "textbook_template.h"

const char *bench_textbook_gemm_name(void) {
#ifdef SOFTATTN_BENCH_OPENBLAS
    return "openblas";
#else
    return "loops";
#endif
}

void bench_textbook_use_one_blas_thread(void) {
#ifdef SOFTATTN_BENCH_OPENBLAS
    openblas_set_num_threads(1);
#endif
}

void bench_textbook_softmax(struct bench_team *team, enum bench_type type, int64_t rows, int64_t cols,
                            const void *x, void *y) {
    struct softmax_run run = {rows, cols, x, y, bench_team_threads(team)};
    bench_team_run(team, type == BENCH_F32 ? softmax_member_f32 : softmax_member_f64, &run);
}

int64_t bench_textbook_score_elements(const struct bench_team *team,
                                      const struct bench_attention_shape *shape) {
    return bench_team_threads(team) * shape->seq_q * shape->seq_kv;
}

void bench_textbook_attention(struct bench_team *team, enum bench_type type,
                              const struct bench_attention_shape *shape, const void *q, const void *k,
                              const void *v, void *out, void *scores) {
    struct attention_run run = {shape, q, k, v, out, scores, bench_team_threads(team)};
    bench_team_run(team, type == BENCH_F32 ? attention_member_f32 : attention_member_f64, &run);
}
