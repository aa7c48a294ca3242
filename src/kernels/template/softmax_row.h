/*
 * Softmax of one row (struct softattn_row).
 *
 * Order of arithmetic: m = max of the visible scores; p_j = exp2((s_j - m) * log2(e)), 0 where masked; STRIPES partial
 * sums, stripe i adding p_j for j = i mod STRIPES ascending from 0; then a halving tree, stripe i plus stripe i + w/2.
 * y_j = p_j * (1 / sum), or (s_j - m) - ln(sum).
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_ROW_H
#define SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_ROW_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"

/* Scores of a row that is not plain, into scratch; -infinity where masked. */
static const real *row_scores(const struct softattn_row *row) {
    const real *x = row->x;
    const real *bias = row->bias;
    real *scores = row->scratch;
    const real scale = (real)row->scale;
    int64_t j = 0;
    for (; j < row->first; j++) {
        scores[j] = -REAL_INFINITY;
    }
    if (!bias) {
        for (; j + LANES <= row->last; j += LANES) {
            v_store(scores + j, v_mul(v_set(scale), v_load(x + j)));
        }
        if (j < row->last) {
            const int64_t rest = row->last - j;
            v_store_part(scores + j, v_mul(v_set(scale), v_load_part(x + j, rest, 0)), rest);
            j = row->last;
        }
    } else {
        for (; row->bias_stride == 1 && j + LANES <= row->last; j += LANES) {
            const vec b = v_load(bias + j);
            const vec s = v_fma(v_set(scale), v_load(x + j), b);
            v_store(scores + j, v_select(v_equal(b, v_set(-REAL_INFINITY)), b, s));
        }
        for (; j < row->last; j++) {
            const real b = bias[j * row->bias_stride];
            scores[j] = b == -REAL_INFINITY ? b : real_fma(scale, x[j], b);
        }
    }
    for (; j < row->cols; j++) {
        scores[j] = -REAL_INFINITY;
    }
    if (row->keep) {
        for (j = row->first; j < row->last; j++) {
            scores[j] = row->keep[j * row->keep_stride] ? scores[j] : -REAL_INFINITY;
        }
    }
    return scores;
}

static real row_max(const real *s, int64_t cols) {
    vec max_0 = v_set(-REAL_INFINITY), max_1 = max_0, max_2 = max_0, max_3 = max_0;
    int64_t j = 0;
    for (; j + 4 * LANES <= cols; j += 4 * LANES) {
        max_0 = v_max(v_load(s + j), max_0);
        max_1 = v_max(v_load(s + j + LANES), max_1);
        max_2 = v_max(v_load(s + j + 2 * LANES), max_2);
        max_3 = v_max(v_load(s + j + 3 * LANES), max_3);
    }
    for (; j + LANES <= cols; j += LANES) {
        max_0 = v_max(v_load(s + j), max_0);
    }
    if (j < cols) {
        max_1 = v_max(v_load_part(s + j, cols - j, -REAL_INFINITY), max_1);
    }
    return v_reduce_max(v_max(v_max(max_0, max_1), v_max(max_2, max_3)));
}

ALWAYS_INLINE vec row_weight(vec s, vec max) { return v_exp2(v_mul(v_sub(s, max), v_set(LOG2_E))); }

#define STRIPE_VECTORS (STRIPES / LANES)

/* p into `to` (NULL: not wanted) and the stripes' sums into sums; s may be `to`. The sums stay in memory because scalable
 * vectors cannot be array elements; it costs nothing measurable. */
ALWAYS_INLINE void row_weights(const real *s, int64_t cols, real max_value, real *to, real *sums,
                               const char *prefetch) {
    const vec max = v_set(max_value);
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(sums + i, v_zero());
    }
    int64_t j = 0;
    for (; j + STRIPES <= cols; j += STRIPES) {
        if (prefetch) {
            V_PREFETCH_FAR(prefetch + j * REAL_BYTES);
            V_PREFETCH_FAR(prefetch + j * REAL_BYTES + 64);
        }
        for (int v = 0; v < STRIPE_VECTORS; v++) {
            const vec p = row_weight(v_load(s + j + v * LANES), max);
            if (to) {
                v_store(to + j + v * LANES, p);
            }
            v_store(sums + v * LANES, v_add(v_load(sums + v * LANES), p));
        }
    }
    for (int v = 0; v < STRIPE_VECTORS && j < cols; v++, j += LANES) {
        const int64_t rest = cols - j < LANES ? cols - j : LANES;
        const vec p = row_weight(v_load_part(s + j, rest, -REAL_INFINITY), max);
        if (to) {
            v_store_part(to + j, p, rest);
        }
        v_store(sums + v * LANES, v_add(v_load(sums + v * LANES), p));
    }
}

/* The halving tree over the stripes. */
ALWAYS_INLINE real stripe_sum(real *sums) {
    for (int width = STRIPES; width > LANES; width /= 2) {
        for (int i = 0; i < width / 2; i += LANES) {
            v_store(sums + i, v_add(v_load(sums + i), v_load(sums + i + width / 2)));
        }
    }
    return v_reduce_add(v_load(sums));
}

static void row_fill(real *y, int64_t cols, real value) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_set(value));
    }
    v_store_part(y + j, v_set(value), cols - j);
}

static void row_multiply(const real *p, int64_t cols, real factor, real *y, int stream) {
    int64_t j = 0;
    if (stream) {
        /* streamed stores want whole aligned vectors */
        const int64_t head = (int64_t)((0 - (uintptr_t)y / REAL_BYTES) % (uintptr_t)LANES);
        const int64_t first = head < cols ? head : cols;
        v_store_part(y, v_mul(v_load_part(p, first, 0), v_set(factor)), first);
        for (j = first; j + LANES <= cols; j += LANES) {
            v_stream(y + j, v_mul(v_load(p + j), v_set(factor)));
        }
    }
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_mul(v_load(p + j), v_set(factor)));
    }
    if (j < cols) {
        v_store_part(y + j, v_mul(v_load_part(p + j, cols - j, 0), v_set(factor)), cols - j);
    }
}

static void row_subtract(const real *s, int64_t cols, real max, real log_sum, real *y) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_sub(v_sub(v_load(s + j), v_set(max)), v_set(log_sum)));
    }
    if (j < cols) {
        v_store_part(y + j, v_sub(v_sub(v_load_part(s + j, cols - j, 0), v_set(max)), v_set(log_sum)), cols - j);
    }
}

static void row_statistics(const struct softattn_row *row, real max, real sum) {
    if (row->lse) {
        *(real *)row->lse = sum == 0 ? -REAL_INFINITY : max + real_log(sum);
    }
    if (row->max) {
        *(real *)row->max = sum == sum ? max : sum + max;
    }
}

static int row_is_plain(const struct softattn_row *row) {
    return !row->bias && !row->keep && row->scale == 1 && row->first == 0 && row->last == row->cols;
}

static void softmax_row(const struct softattn_row *row) {
    const real *s = row_is_plain(row) ? row->x : row_scores(row);
    const int log_output = row->output == SOFTATTN_ROW_LOG_PROBABILITIES;
    real sums[STRIPES];
    real *y = row->y;
    /* log-probabilities need the scores again, streamed rows keep their weights in scratch */
    real *weights = log_output ? 0 : row->stream ? (real *)row->scratch : y;
    const real max = row_max(s, row->cols) + 0; /* a maximum of -0 and +0 is +0, whatever their order */
    const real base = max == -REAL_INFINITY ? 0 : max;
    row_weights(s, row->cols, base, weights, sums, row->prefetch);
    const real sum = stripe_sum(sums);
    row_statistics(row, max, sum);
    if (!y) {
        return;
    }
    if (sum == 0) {
        const real zero = log_output ? -REAL_INFINITY : 0;
        row_fill(y, row->cols, row->empty_is_zero ? zero : (real)__builtin_nanf(""));
    } else if (log_output) {
        row_subtract(s, row->cols, base, real_log(sum), y);
    } else {
        row_multiply(weights, row->cols, 1 / sum, y, row->stream);
    }
}

#endif
