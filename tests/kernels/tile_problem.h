/*
 * Some queries against one tile of keys, to be computed by either of the two kernels that can: attention_tile with the
 * queries in the lanes, in blocks as wide as the table likes, or decode_tile with the queries as rows. Results are kept
 * by query, so that any two computations can be compared.
 */
#ifndef KERNELS_TILE_PROBLEM_H
#define KERNELS_TILE_PROBLEM_H

#include "kernels/kernels.h"
#include "random.h"
#include "reals.h"

#include <stdbool.h>
#include <stdint.h>

/* out [queries][dim_v]; max and sum [queries]. */
struct tile_results {
    struct reals out, max, sum;
};

struct tile_problem {
    int32_t real_bytes;
    int64_t queries, first, last, dim_qk, dim_v, k_stride, v_stride;
    int32_t from_memory;         /* 0 … 2: how k and v are asked for, as if they were in memory, */
    enum softattn_asking asking; /* and of a CPU of this kind */
    bool fresh, masked;
    bool in_order; /* of the queries' intervals of keys neither end before the one before does */
    double softcap;
    bool has_addend, has_slope, has_drop;
    struct reals q;         /* [queries][dim_qk] */
    struct reals k, v;      /* keys first … last - 1 alone, so that reading any other key is seen */
    struct reals low, high; /* [queries] */
    struct reals slope, position;
    struct reals addend, drop;  /* [queries][SOFTATTN_KEY_TILE] */
    struct tile_results before; /* what earlier tiles left, unless fresh */
    guard_side side;
};

/* with_specials: some problems hold NaN, infinities and the like. */
struct tile_problem tile_problem_random(int32_t real_bytes, int64_t queries, bool with_specials,
                                        random_source *random);
void tile_problem_destroy(struct tile_problem *problem);
void tile_problem_text(const struct tile_problem *problem, char *text, size_t size);

struct tile_results tile_run_lanes(const struct softattn_kernels *kernels,
                                   const struct tile_problem *problem);
struct tile_results tile_run_rows(const struct softattn_kernels *kernels, const struct tile_problem *problem);
/* By decode_heads: 1 … SOFTATTN_MAX_DECODE_HEADS problems. */
void tile_run_heads(const struct softattn_kernels *kernels, const struct tile_problem *problems,
                    int64_t count, struct tile_results *results);
void tile_results_destroy(struct tile_results *results);

/* What fused multiply-adds change in each of the results, at most. */
struct tile_tolerances {
    struct tolerance out, max, sum;
};
struct tile_tolerances tile_tolerances_without_fma(const struct tile_problem *problem);

#endif
