/*
 * The one product of this library: a register tile of C = A * B, each element one fma chain over the common dimension
 * in ascending order. A is read as scalars at any row and column stride, B as vectors along its rows.
 *
 * DEFINE_PRODUCT(name, rows, vectors, STEPS, START, LOAD, END) defines
 *   name(a, a_row, a_col, b, b_stride, steps, c, c_stride, extra, span)
 * for a rows x (vectors * LANES) tile. STEPS is ONCE or TWICE; START(r, v) sets the accumulator acc_r_v of row r, vector v
 * to what its chain begins with, unless START_NEW says 0; LOAD(r, v) reads vector v of a row of B; END(r, v) says what
 * becomes of the accumulator, END_OPEN and END_CLOSE do something before and after that once per vector. All may use
 * c, c_stride, extra. With the names that end in _PART the one vector has only `span` elements. Accumulators are named
 * variables, not arrays, because scalable vectors cannot be array elements.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_PRODUCT_H
#define SOFTATTN_KERNELS_TEMPLATE_PRODUCT_H

#define COLUMNS_1(X, r) X(r, 0)
#define COLUMNS_2(X, r) COLUMNS_1(X, r) X(r, 1)
#define COLUMNS_3(X, r) COLUMNS_2(X, r) X(r, 2)
#define COLUMNS_4(X, r) COLUMNS_3(X, r) X(r, 3)
#define COLUMNS_8(X, r) COLUMNS_4(X, r) X(r, 4) X(r, 5) X(r, 6) X(r, 7)

#define ROWS_1(C, X) C(X, 0)
#define ROWS_2(C, X) ROWS_1(C, X) C(X, 1)
#define ROWS_4(C, X) ROWS_2(C, X) C(X, 2) C(X, 3)
#define ROWS_8(C, X) ROWS_4(C, X) C(X, 4) C(X, 5) C(X, 6) C(X, 7)

#define C_OF(r, v) (c + (r)*c_stride + (v)*LANES)

/* What a chain begins with. */
#define DECLARE(r, v)              vec acc_##r##_##v;
#define START_ZERO_NEW             1
#define START_ZERO(r, v)           acc_##r##_##v = v_zero();
#define START_TIMES_LANES_NEW      !extra
#define START_TIMES_LANES(r, v)    acc_##r##_##v = v_mul(v_load(C_OF(r, v)), v_load(extra + (v)*LANES));
#define START_TIMES_ROW_NEW        !extra
#define START_TIMES_ROW(r, v)      acc_##r##_##v = v_mul(v_load(C_OF(r, v)), v_set(extra[r]));
#define START_TIMES_ROW_PART_NEW   !extra
#define START_TIMES_ROW_PART(r, v) acc_##r##_##v = v_mul(v_load_part(C_OF(r, v), span, 0), v_set(extra[r]));

#define LOAD_WHOLE(r, v) const vec b_##v = v_load(b + (v)*LANES);
/* Rows of B that come from memory, once: the lines that lie `span` elements further on are asked for meanwhile; as a rule, so many
 * rows. */
#define LOAD_ROWS_AHEAD 16
#define LOAD_AHEAD(r, v)                                                                                     \
    LOAD_WHOLE(r, v)                                                                                         \
    if ((v)*LANES % LINE == 0) {                                                                             \
        V_PREFETCH(b + span + (v)*LANES);                                                                    \
    }
#define LOAD_PART(r, v)      const vec b_##v = v_load_part(b, span, 0);
#define MULTIPLY_CELL(r, v)  acc_##r##_##v = v_fma(a_##r, b_##v, acc_##r##_##v);
#define LOAD_A(r, v)         const vec a_##r = v_set(a_now[(r)*a_row]);
#define MULTIPLY_ROW_1(X, r) LOAD_A(r, 0) COLUMNS_1(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_2(X, r) LOAD_A(r, 0) COLUMNS_2(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_3(X, r) LOAD_A(r, 0) COLUMNS_3(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_4(X, r) LOAD_A(r, 0) COLUMNS_4(MULTIPLY_CELL, r)
#define MULTIPLY_ROW_8(X, r) LOAD_A(r, 0) COLUMNS_8(MULTIPLY_CELL, r)

/* Steps per turn of the loop: two leave fewer instructions beside the multiply-adds, 2 to 4 % of the time. */
#define ONCE
#if defined(__clang__)
#define TWICE _Pragma("clang loop unroll_count(2)")
#else
#define TWICE _Pragma("GCC unroll 2")
#endif

#define DEFINE_PRODUCT(name, rows, vectors, STEPS, START, LOAD, END)                                         \
    DEFINE_PRODUCT_(name, rows, vectors, STEPS, START, LOAD, END)
#define DEFINE_PRODUCT_(name, rows, vectors, STEPS, START, LOAD, END)                                        \
    ALWAYS_INLINE void name(const real *a, int64_t a_row, int64_t a_col, const real *b, int64_t b_stride,    \
                            int64_t steps, real *c, int64_t c_stride, real *extra, int64_t span) {           \
        ROWS_##rows(COLUMNS_##vectors, DECLARE);                                                             \
        if (START##_NEW) {                                                                                   \
            ROWS_##rows(COLUMNS_##vectors, START_ZERO);                                                      \
        } else {                                                                                             \
            ROWS_##rows(COLUMNS_##vectors, START);                                                           \
        }                                                                                                    \
        const real *a_now = a;                                                                               \
        STEPS for (int64_t step = 0; step < steps; step++) {                                                 \
            COLUMNS_##vectors(LOAD, 0);                                                                      \
            ROWS_##rows(MULTIPLY_ROW_##vectors, ~);                                                          \
            a_now += a_col;                                                                                  \
            b += b_stride;                                                                                   \
        }                                                                                                    \
        (void)extra, (void)span;                                                                             \
        COLUMNS_##vectors(END##_OPEN, 0);                                                                    \
        ROWS_##rows(COLUMNS_##vectors, END);                                                                 \
        COLUMNS_##vectors(END##_CLOSE, 0);                                                                   \
    }

/* What becomes of an accumulator. */
#define END_STORE_OPEN(r, v)
#define END_STORE(r, v) v_store(C_OF(r, v), acc_##r##_##v);
#define END_STORE_CLOSE(r, v)

#define END_STORE_PART_OPEN(r, v)
#define END_STORE_PART(r, v) v_store_part(C_OF(r, v), acc_##r##_##v, span);
#define END_STORE_PART_CLOSE(r, v)

#define END_STORE_AND_MAX_OPEN(r, v) vec max_##v = v_load(extra + (v)*LANES);
#define END_STORE_AND_MAX(r, v)                                                                              \
    END_STORE(r, v)                                                                                          \
    max_##v = v_max(acc_##r##_##v, max_##v);
#define END_STORE_AND_MAX_CLOSE(r, v) v_store(extra + (v)*LANES, max_##v);

#endif
