/* A row of columns in vectors, the last of them cut short, and its sums in stripes. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_COLUMNS_H
#define SOFTATTN_KERNELS_TEMPLATE_COLUMNS_H

/* The vector at p, or where less than that is left of the row, what is left and fill. */
ALWAYS_INLINE vec load_columns(const real *p, int64_t left, real fill) {
    return left >= LANES ? v_load(p) : v_load_part(p, left, fill);
}

ALWAYS_INLINE void store_columns(real *p, vec v, int64_t left) {
    if (left >= LANES) {
        v_store(p, v);
    } else {
        v_store_part(p, v, left);
    }
}

NEVER_INLINE void row_fill(real *y, int64_t cols, real value) {
    int64_t j = 0;
    for (; j + LANES <= cols; j += LANES) {
        v_store(y + j, v_set(value));
    }
    v_store_part(y + j, v_set(value), cols - j);
}

/* 0, 1, 2 … */
ALWAYS_INLINE vec lane_numbers(void) {
    VECTOR_ALIGNED real numbers[SOFTATTN_MAX_LANES];
    for (int i = 0; i < LANES; i++) {
        numbers[i] = (real)i;
    }
    return v_load(numbers);
}

/* Scores, masked beyond the row. */
ALWAYS_INLINE vec load_scores(const real *p, int64_t left) { return load_columns(p, left, -REAL_INFINITY); }

ALWAYS_INLINE mask is_masked(vec s) { return v_equal(s, v_set(-REAL_INFINITY)); }

ALWAYS_INLINE void stripes_start(real *sums) {
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(sums + i, v_zero());
    }
}

ALWAYS_INLINE void stripes_copy(const real *from, real *to) {
    for (int i = 0; i < STRIPES; i += LANES) {
        v_store(to + i, v_load(from + i));
    }
}

/* The vector at column j joins its stripes. */
ALWAYS_INLINE void stripe_add(real *sums, int64_t j, vec value) {
    real *sum = sums + j % STRIPES;
    v_store(sum, v_add(v_load(sum), value));
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

#endif
