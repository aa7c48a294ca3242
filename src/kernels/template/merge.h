/*
 * Joining partial results and writing the final ones: chunks into totals, sums into factors, lanes into rows.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_MERGE_H
#define SOFTATTN_KERNELS_TEMPLATE_MERGE_H

#include "kernels/kernels.h"
#include "kernels/template/exp2.h"
#include "kernels/template/log.h"
#include "kernels/template/scores.h"

/* Factors of the total and of the chunk; the new maximum and sum go to the totals. n values, a part of a vector. */
ALWAYS_INLINE void merge_statistics(int64_t n, real *total_max, real *total_sum, const real *chunk_max,
                                    const real *chunk_sum, real *a, real *b) {
    const vec old_max = v_load_part(total_max, n, 0);
    const vec new_max = v_max(v_load_part(chunk_max, n, 0), old_max);
    const vec base = safe_max(new_max);
    const vec of_total = v_exp2_apart(v_sub(old_max, base));
    const vec of_chunk = v_exp2_apart(v_sub(v_load_part(chunk_max, n, 0), base));
    const vec sum =
        v_fma(v_load_part(total_sum, n, 0), of_total, v_mul(v_load_part(chunk_sum, n, 0), of_chunk));
    v_store_part(total_max, new_max, n);
    v_store_part(total_sum, sum, n);
    v_store_part(a, of_total, n);
    v_store_part(b, of_chunk, n);
}

ALWAYS_INLINE vec merged(vec total, vec a, vec chunk, vec b) { return v_fma(total, a, v_mul(chunk, b)); }

static void merge_lanes(int64_t dim, int64_t block, void *total_out, void *total_max, void *total_sum,
                        const void *chunk_out, const void *chunk_max, const void *chunk_sum) {
    for (int64_t c = 0; c < block; c += LANES) {
        VECTOR_ALIGNED real a[SOFTATTN_MAX_LANES], b[SOFTATTN_MAX_LANES];
        merge_statistics(LANES, (real *)total_max + c, (real *)total_sum + c, (const real *)chunk_max + c,
                         (const real *)chunk_sum + c, a, b);
        for (int64_t d = 0; d < dim; d++) {
            real *total = (real *)total_out + d * block + c;
            const vec chunk = v_load((const real *)chunk_out + d * block + c);
            v_store(total, merged(v_load(total), v_load(a), chunk, v_load(b)));
        }
    }
}

static void merge_rows(int64_t rows, int64_t dim, void *total_out, int64_t total_stride, void *total_max,
                       void *total_sum, const void *chunk_out, int64_t chunk_stride, const void *chunk_max,
                       const void *chunk_sum) {
    for (int64_t r = 0; r < rows; r++) {
        real *total = (real *)total_out + r * total_stride;
        const real *chunk = (const real *)chunk_out + r * chunk_stride;
        real a, b;
        merge_statistics(1, (real *)total_max + r, (real *)total_sum + r, (const real *)chunk_max + r,
                         (const real *)chunk_sum + r, &a, &b);
        int64_t d = 0;
        for (; d + LANES <= dim; d += LANES) {
            v_store(total + d, merged(v_load(total + d), v_set(a), v_load(chunk + d), v_set(b)));
        }
        const vec rest = merged(v_load_part(total + d, dim - d, 0), v_set(a),
                                v_load_part(chunk + d, dim - d, 0), v_set(b));
        v_store_part(total + d, rest, dim - d);
    }
}

static void finish(int64_t n, double keep_scale, const void *sink, const void *max, const void *sum,
                   void *factor, void *lse) {
    for (int64_t i = 0; i < n; i += LANES) {
        const int64_t part = n - i < LANES ? n - i : LANES;
        const vec own_max = v_load_part((const real *)max + i, part, 0);
        const vec own_sum = v_load_part((const real *)sum + i, part, 0);
        vec all_max = own_max, all_sum = own_sum, of_own = v_set(1);
        if (sink) {
            const vec logit = v_load_part((const real *)sink + i, part, 0);
            all_max = v_max(logit, own_max);
            const vec base = safe_max(all_max);
            of_own = v_exp2_apart(v_sub(own_max, base));
            all_sum = v_fma(own_sum, of_own, v_exp2_apart(v_sub(logit, base)));
        }
        const mask has_nothing = v_equal(all_sum, v_zero());
        const mask is_empty =
            v_and(v_equal(own_sum, v_zero()), v_equal(all_sum, all_sum)); /* a sink of NaN shows */
        /* a division by 0 would raise a flag even if its result is not used */
        const vec inverse = v_div(v_set((real)keep_scale), v_select(has_nothing, v_set(1), all_sum));
        v_store_part((real *)factor + i, v_select(is_empty, v_set(-1), v_mul(of_own, inverse)), part);
        if (lse) {
            VECTOR_ALIGNED real maxima[SOFTATTN_MAX_LANES], sums[SOFTATTN_MAX_LANES];
            v_store(maxima, all_max);
            v_store(sums, all_sum);
            for (int64_t lane = 0; lane < part; lane++) {
                const real logarithm = real_log(sums[lane]);
                ((real *)lse)[i + lane] =
                    sums[lane] == 0 ? -REAL_INFINITY : real_fma(maxima[lane], LN_2, logarithm);
            }
        }
    }
}

/* Adding 0 makes every zero +0: whether a masked key was skipped or added as 0 then shows nowhere. A negative factor, of an
 * empty row, gives 0 whatever values its weights of 0 were multiplied with; 0 itself may be that of visible keys. */
ALWAYS_INLINE vec scaled(vec value, vec factor) {
    return v_unless(v_less(factor, v_zero()), v_fma(value, factor, v_zero()));
}

static void store_rows(int64_t rows, int64_t dim, const void *from, int64_t from_stride, const void *factor,
                       void *to, int64_t to_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const real *source = (const real *)from + r * from_stride;
        real *target = (real *)to + r * to_stride;
        const vec f = v_set(((const real *)factor)[r]);
        int64_t d = 0;
        for (; d + LANES <= dim; d += LANES) {
            v_store(target + d, scaled(v_load(source + d), f));
        }
        v_store_part(target + d, scaled(v_load_part(source + d, dim - d, 0), f), dim - d);
    }
}

#endif
