/*
 * The one product of this library: a register tile of C = A * B, each element one fma chain over the common dimension
 * in ascending order from 0. A is read as scalars at any row and column stride, B as vectors along its rows.
 *
 * DEFINE_PRODUCT(name, rows, vectors, LOAD, END) defines
 *   name(a, a_row, a_col, b, b_stride, steps, c, c_stride, extra, part)
 * for a rows x (vectors * LANES) tile. LOAD(r, v) reads vector v of a row of B; END(r, v) says what becomes of the
 * accumulator acc_r_v of row r, vector v, and may use c, c_stride, extra. With LOAD_PART and END_*_PART the one vector
 * has only `part` elements. Accumulators are named variables, not arrays, because scalable vectors cannot be array elements.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_PRODUCT_H
#define SOFTATTN_KERNELS_TEMPLATE_PRODUCT_H

#define COLUMNS_1(X, r) X(r, 0)
#define COLUMNS_2(X, r) COLUMNS_1(X, r) X(r, 1)
#define COLUMNS_3(X, r) COLUMNS_2(X, r) X(r, 2)
#define COLUMNS_4(X, r) COLUMNS_3(X, r) X(r, 3)

#define ROWS_1(C, X) C(X, 0)
#define ROWS_2(C, X) ROWS_1(C, X) C(X, 1)
#define ROWS_4(C, X) ROWS_2(C, X) C(X, 2) C(X, 3)
#define ROWS_8(C, X) ROWS_4(C, X) C(X, 4) C(X, 5) C(X, 6) C(X, 7)

#define ACCUMULATOR(r, v) vec acc_##r##_##v = v_zero();
#define LOAD_WHOLE(r, v) const vec b_##v = v_load(b + (v)*LANES);
#define LOAD_PART(r, v) const vec b_##v = v_load_part(b, part, 0);
#define MULTIPLY_CELL(r, v) acc_##r##_##v = v_fma(a_##r, b_##v, acc_##r##_##v);
#define LOAD_A(r, v) const vec a_##r = v_set(a_now[(r)*a_row]);
#define MULTIPLY_ROW_1(X, r) LOAD_A(r, 0) COLUMNS_1(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_2(X, r) LOAD_A(r, 0) COLUMNS_2(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_3(X, r) LOAD_A(r, 0) COLUMNS_3(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_4(X, r) LOAD_A(r, 0) COLUMNS_4(MULTIPLY_CELL, r)

#define DEFINE_PRODUCT(name, rows, vectors, LOAD, END) DEFINE_PRODUCT_(name, rows, vectors, LOAD, END)
#define DEFINE_PRODUCT_(name, rows, vectors, LOAD, END)                                                            \
    ALWAYS_INLINE void name(const real *a, int64_t a_row, int64_t a_col, const real *b, int64_t b_stride,          \
                            int64_t steps, real *c, int64_t c_stride, real *extra, int64_t part) {                 \
        ROWS_##rows(COLUMNS_##vectors, ACCUMULATOR)                                                                \
        const real *a_now = a;                                                                                     \
        for (int64_t step = 0; step < steps; step++) {                                                             \
            COLUMNS_##vectors(LOAD, 0)                                                                             \
            ROWS_##rows(MULTIPLY_ROW_##vectors, ~)                                                                 \
            a_now += a_col;                                                                                        \
            b += b_stride;                                                                                         \
        }                                                                                                          \
        (void)extra, (void)part;                                                                                   \
        ROWS_##rows(COLUMNS_##vectors, END)                                                                        \
    }

/* What becomes of an accumulator. */
#define END_STORE(r, v) v_store(c + (r)*c_stride + (v)*LANES, acc_##r##_##v);
#define END_STORE_AND_MAX(r, v)                                                                                    \
    END_STORE(r, v)                                                                                                \
    v_store(extra + (v)*LANES, v_max(acc_##r##_##v, v_load(extra + (v)*LANES)));
#define END_FOLD_LANES(r, v)                                                                                       \
    v_store(c + (r)*c_stride + (v)*LANES,                                                                          \
            v_fma(v_load(c + (r)*c_stride + (v)*LANES), v_load(extra + (v)*LANES), acc_##r##_##v));
#define END_FOLD_ROWS(r, v)                                                                                        \
    v_store(c + (r)*c_stride + (v)*LANES, v_fma(v_load(c + (r)*c_stride + (v)*LANES), v_set(extra[r]), acc_##r##_##v));

#define END_STORE_PART(r, v) v_store_part(c + (r)*c_stride, acc_##r##_##v, part);
#define END_FOLD_ROWS_PART(r, v)                                                                                   \
    v_store_part(c + (r)*c_stride, v_fma(v_load_part(c + (r)*c_stride, part, 0), v_set(extra[r]), acc_##r##_##v), part);

#endif
