/*
 * The baseline: softmax and attention as a textbook writes them. Softmax is a loop over libm's exp; attention
 * is a matrix product (OpenBLAS where the build has it, else plain loops), that softmax on the whole score
 * matrix of a head, and a second matrix product. Heads and rows are shared out among the team.
 */
#ifndef SOFTATTN_BENCH_TEXTBOOK_H
#define SOFTATTN_BENCH_TEXTBOOK_H

#include "team.h"
#include "work.h"

#include <stdint.h>

/* "openblas" or "loops". */
const char *bench_textbook_gemm_name(void);

/* Tells OpenBLAS, where the build has it, to use the calling thread alone: the team and the library bring the
 * threads. Call it once, before any other thread exists. */
void bench_textbook_use_one_blas_thread(void);

/* y may be x. */
void bench_textbook_softmax(struct bench_team *team, enum bench_type type, int64_t rows, int64_t cols,
                            const void *x, void *y);

/* Scratch elements that bench_textbook_attention needs. */
int64_t bench_textbook_score_elements(const struct bench_team *team,
                                      const struct bench_attention_shape *shape);

/* Contiguous [batch][heads][seq][dim] arrays; scale 1 / sqrt(dim_qk). Queries that see no key get 0. */
void bench_textbook_attention(struct bench_team *team, enum bench_type type,
                              const struct bench_attention_shape *shape, const void *q, const void *k,
                              const void *v, void *out, void *scores);

#endif
