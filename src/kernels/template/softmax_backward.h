/*
 * Products of a row's Jacobian dy/dx with vectors (struct softattn_row_backward), and the Jacobian itself row
 * by row. The order of arithmetic is stated in kernels.h.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_BACKWARD_H
#define SOFTATTN_KERNELS_TEMPLATE_SOFTMAX_BACKWARD_H

#include "kernels/kernels.h"
#include "kernels/template/elements.h"
#include "kernels/template/exp2.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/stream.h"

/* The three products. Always a constant where it is used, so that each gets loops of its own. */
enum jacobian_product { OF_PROBABILITIES, OF_LOG_TRANSPOSED, OF_LOG };

/* What y holds where the column is masked. */
ALWAYS_INLINE real masked_value(enum jacobian_product product) {
    return product == OF_PROBABILITIES ? 0 : -REAL_INFINITY;
}

/* The base 2 logarithm of e^y; rounding may have left some y above 0, where exp2 is not defined. */
ALWAYS_INLINE vec probability_exponent(vec log_y) {
    const vec clamped = v_unless(v_less(v_zero(), log_y), log_y);
    return v_mul(clamped, v_set(LOG2_E));
}

ALWAYS_INLINE vec probability(vec log_y) { return v_exp2(probability_exponent(log_y)); }

/* sum and what the columns of y and v (0 where masked) add to it. */
ALWAYS_INLINE vec product_sum(enum jacobian_product product, vec y, vec v, vec sum) {
    switch (product) {
    case OF_PROBABILITIES: return v_fma(y, v, sum);
    case OF_LOG_TRANSPOSED: return v_add(v, sum);
    default: return v_fma(probability(y), v, sum);
    }
}

/* With the probabilities of log-probabilities. */
ALWAYS_INLINE vec log_transposed_value(vec p, vec v, vec scale, vec sum) {
    return v_mul(scale, v_fma(v_sub(v_zero(), p), sum, v));
}

ALWAYS_INLINE vec product_value(enum jacobian_product product, vec y, vec v, vec scale, vec sum) {
    switch (product) {
    case OF_PROBABILITIES: return v_mul(v_mul(scale, y), v_sub(v, sum));
    case OF_LOG_TRANSPOSED: return log_transposed_value(probability(y), v, scale, sum);
    default: return v_mul(scale, v_sub(v, sum));
    }
}

ALWAYS_INLINE vec visible_values(enum jacobian_product product, vec y, vec v) {
    return v_unless_equal(y, v_set(masked_value(product)), v);
}

/* A row whose sum is known, and the one after it. */
struct backward_row {
    const void *y, *v;
    void *out;
    const void *next_y, *next_v; /* its sum is made meanwhile; NULL: there is none */
    int64_t cols;
    real scale;
    int prefetch, asks_early, stream;
    int64_t lead;  /* of prefetch: backward_lead */
    int has_seams; /* backward_has_seams */
    struct seam seam;
};

/* What a row's loops are made for: a constant wherever they are used, but for which 16-bit floats. */
struct backward_kind {
    enum jacobian_product product;
    int32_t format;
};

/* What STRIPES columns of a row from j on add to its sums. */
ALWAYS_INLINE void backward_add(struct backward_kind kind, const void *y, const void *v, int64_t j,
                                real *sums) {
    VECTOR_ALIGNED real y_copy[STRIPES], v_copy[STRIPES];
    const real *ys = as_split_reals(kind.format, y, j, STRIPES, y_copy);
    const real *vs = as_split_reals(kind.format, v, j, STRIPES, v_copy);
    for (int i = 0; i < STRIPES; i += LANES) {
        const vec y_i = v_load(ys + i);
        const vec v_i = visible_values(kind.product, y_i, v_load(vs + i));
        v_store(sums + i, product_sum(kind.product, y_i, v_i, v_load(sums + i)));
    }
}

/* The columns from j on, fewer than a turn, which begin with the first stripe; rarely much beside the others, so not once for
 * each kind. */
NEVER_INLINE void backward_add_last(struct backward_kind kind, const void *y, const void *v, int64_t j,
                                    int64_t cols, real *sums) {
    VECTOR_ALIGNED real y_copy[MOST_COPIED], v_copy[MOST_COPIED];
    const int64_t count = cols - j;
    const real *ys = few_as_reals(kind.format, y, j, count, y_copy);
    const real *vs = few_as_reals(kind.format, v, j, count, v_copy);
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t n = count - i < LANES ? count - i : LANES;
        real *sum = sums + i % STRIPES;
        const vec y_i = v_load_part(ys + i, n, masked_value(kind.product));
        const vec v_i = visible_values(kind.product, y_i, v_load_part(vs + i, n, 0));
        v_store(sum, product_sum(kind.product, y_i, v_i, v_load(sum)));
    }
}

ALWAYS_INLINE vec backward_values(enum jacobian_product product, vec y, vec v, vec scale, vec sum) {
    return visible_values(product, y, product_value(product, y, v, scale, sum));
}

/* Columns j … j + count - 1, fewer than the loops take at a time, in vectors of which the last may be cut short. kept: see
 * store_end. */
NEVER_INLINE void backward_few(struct backward_kind kind, const struct backward_row *row, int64_t j,
                               int64_t count, real sum, real *kept) {
    VECTOR_ALIGNED real y_copy[MOST_COPIED], v_copy[MOST_COPIED], out_copy[MOST_COPIED];
    real *out = is_half(kind.format) ? out_copy : (real *)row->out + j;
    const real *ys = few_as_reals(kind.format, row->y, j, count, y_copy);
    const real *vs = few_as_reals(kind.format, row->v, j, count, v_copy);
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t n = count - i < LANES ? count - i : LANES;
        const vec y = v_load_part(ys + i, n, masked_value(kind.product));
        const vec v = v_load_part(vs + i, n, 0);
        const vec value = backward_values(kind.product, y, v, v_set(row->scale), v_set(sum));
        if (n == LANES) { /* a head is shorter, so that this is aligned */
            store_whole(out + i, value, row->stream && !is_half(kind.format));
        } else {
            store_end(out + i, value, n, kept);
        }
    }
    if (is_half(kind.format)) {
        put_few_halves(kind.format, row->out, j, count, out);
    }
}

/* Whether y, v and out are each one stretch of memory: vectors of the seams between results are made of vectors. */
ALWAYS_INLINE int backward_has_seams(const struct softattn_row_backward *rows) {
    return rows->stream && rows->cols >= LANES && rows->y_step == rows->cols && rows->v_step == rows->cols &&
           rows->out_step == rows->cols;
}

/* The columns that fill the vector of the seam before the row. */
NEVER_INLINE void backward_close_seam(struct backward_kind kind, const struct backward_row *row, real sum) {
    const int64_t lead = (const real *)row->out - row->seam.to;
    const mask before = seam_before(&row->seam, row->out);
    vec y = v_select(before, v_set(masked_value(kind.product)), v_load((const real *)row->y - lead));
    vec v = v_select(before, v_zero(), v_load((const real *)row->v - lead));
    V_GUARD(y);
    V_GUARD(v);
    seam_close(&row->seam, before, backward_values(kind.product, y, v, v_set(row->scale), v_set(sum)));
}

#define LOG_EXPONENT(i) vec p_##i = probability_exponent(v_load(ys + i * LANES));
#define LOG_VALUE(i)                                                                                         \
    const vec v_##i = log_transposed_value(p_##i, v_load(vs + i * LANES), scale, sum);                       \
    const vec visible_##i = visible_values(OF_LOG_TRANSPOSED, v_load(ys + i * LANES), v_##i);                \
    v_put(format, to, j, i *LANES, copy, visible_##i, stream);

/* Four vectors of OF_LOG_TRANSPOSED, for v_exp2_four. */
ALWAYS_INLINE void backward_log_four(int32_t format, const real *ys, const real *vs, vec scale, vec sum,
                                     void *to, int64_t j, real *copy, int stream) {
    EXP2_EACH(LOG_EXPONENT)
    v_exp2_four(&p_0, &p_1, &p_2, &p_3, EXP2_ANY);
    EXP2_EACH(LOG_VALUE)
}

/* Columns that the loop takes at a time: whole stripes, and whole fours for v_exp2_four. */
ALWAYS_INLINE int64_t backward_columns(enum jacobian_product product) {
    return product == OF_LOG_TRANSPOSED ? TURN_VECTORS * LANES : STRIPES;
}

/* The results of so many columns from j on. */
ALWAYS_INLINE void backward_turn(struct backward_kind kind, const struct backward_row *row, int64_t j,
                                 vec scale, vec sum) {
    VECTOR_ALIGNED real y_copy[MOST_COPIED], v_copy[MOST_COPIED], copy[MOST_COPIED];
    const int64_t columns = backward_columns(kind.product);
    const real *ys = as_split_reals(kind.format, row->y, j, columns, y_copy);
    const real *vs = as_split_reals(kind.format, row->v, j, columns, v_copy);
    if (kind.product == OF_LOG_TRANSPOSED) {
        for (int64_t i = 0; i < columns; i += 4 * LANES) {
            backward_log_four(kind.format, ys + i, vs + i, scale, sum, row->out, j + i, copy + i,
                              row->stream);
        }
    } else {
        for (int64_t i = 0; i < columns; i += LANES) {
            const vec value = backward_values(kind.product, v_load(ys + i), v_load(vs + i), scale, sum);
            v_put(kind.format, row->out, j, i, copy, value, row->stream);
        }
    }
    put_split_copy(kind.format, row->out, j, columns, copy, row->stream);
}

/* As LEAD_BYTES and NEAR_LEAD_BYTES, of two rows; or the one distance at which they are asked for. */
enum {
    BACKWARD_LEAD_BYTES = LEAD_BYTES / 2,
    BACKWARD_NEAR_LEAD_BYTES = NEAR_LEAD_BYTES / 2,
    BACKWARD_ALIKE_LEAD_BYTES = 2048,
    BACKWARD_ONCE_LEAD_BYTES = 3072,
    BACKWARD_HALVES_ONCE_LEAD_BYTES = 6144
};

/* How many bytes before its use a row is asked for, into the first-level cache; and, of `asks_early`, into the second. */
ALWAYS_INLINE int64_t backward_lead(struct backward_kind kind, enum softattn_asking asking) {
    switch (ASKING(asking)) {
    case SOFTATTN_ASKING_TWICE: return BACKWARD_NEAR_LEAD_BYTES;
    case SOFTATTN_ASKING_ONCE:
        return is_half(kind.format) ? BACKWARD_HALVES_ONCE_LEAD_BYTES : BACKWARD_ONCE_LEAD_BYTES;
    default: return BACKWARD_ALIKE_LEAD_BYTES;
    }
}

/* Asks for what comes after so many bytes, `bytes` of them, of the next row. */
ALWAYS_INLINE void backward_ask(const struct backward_row *row, int64_t after, int64_t bytes) {
    const char *y = (const char *)row->next_y + after, *v = (const char *)row->next_v + after;
    const char *soon_y = y + row->lead, *soon_v = v + row->lead;
    FORGET(soon_y); /* one address for all lines */
    FORGET(soon_v);
    prefetch_bytes(soon_y, bytes, 1);
    prefetch_bytes(soon_v, bytes, 1);
    if (row->asks_early) {
        prefetch_bytes(y + BACKWARD_LEAD_BYTES, bytes, 0);
        prefetch_bytes(v + BACKWARD_LEAD_BYTES, bytes, 0);
    }
}

/*
 * The results of a row from its column `head` on, and the next row's sums, as far as whole turns go, in one loop, in which
 * reading the one and storing the other overlap. Either row may be missing.
 */
ALWAYS_INLINE void backward_loop(struct backward_kind kind, const struct backward_row *row, int64_t head,
                                 real sum, real *next_sums) {
    VECTOR_ALIGNED real sums[STRIPES];
    const vec scales = v_set(row->scale), row_sum = v_set(sum);
    const int64_t columns = backward_columns(kind.product), bytes = columns * element_bytes(kind.format);
    const int64_t last = row->y ? row->cols - head - columns : -1;
    stripes_start(sums);
    for (int64_t j = 0; j + columns <= row->cols; j += columns) {
        if (row->next_y) {
            if (row->prefetch) {
                backward_ask(row, j * element_bytes(kind.format), bytes);
            }
            for (int64_t i = 0; i < columns; i += STRIPES) {
                backward_add(kind, row->next_y, row->next_v, j + i, sums);
            }
        }
        if (j <= last) {
            backward_turn(kind, row, head + j, scales, row_sum);
        }
    }
    stripes_copy(sums, next_sums);
}

/* Returns the sum of the next row, if there is one. */
ALWAYS_INLINE real backward_row(struct backward_kind kind, struct backward_row *row, real sum) {
    VECTOR_ALIGNED real sums[STRIPES];
    const int64_t columns = backward_columns(kind.product), whole = row->cols / columns * columns;
    const int stream = row->y && row->stream;
    const int64_t head = stream ? element_head(kind.format, row->out, row->cols) : 0;
    const int64_t done = head + (row->cols - head) / columns * columns;
    const int has_seams = STREAMS_ACROSS_ROWS && !is_half(kind.format) && stream && row->has_seams;
    real *const after = has_seams && row->next_y ? seam_after(row->out, head, row->cols) : 0;
    if (stream && !has_seams) {
        prefetch_row_end(kind.format, row->out, row->cols);
    }
    if (has_seams && row->seam.to) {
        backward_close_seam(kind, row, sum);
    } else if (head > 0) {
        backward_few(kind, row, 0, head, sum, 0);
    }
    backward_loop(kind, row, head, sum, sums);
    if (row->y && done < row->cols) {
        backward_few(kind, row, done, row->cols - done, sum, after ? row->seam.values : 0);
    }
    row->seam.to = after;
    order_split_stripes(kind.format, sums);
    if (row->next_y && whole < row->cols) {
        backward_add_last(kind, row->next_y, row->next_v, whole, row->cols, sums);
    }
    return stripe_sum(sums);
}

/* The first turn has no row yet, the last no next one. */
SPEED_INLINE void backward_rows(struct backward_kind kind, const struct softattn_row_backward *rows) {
    struct backward_row row = {.next_y = rows->y,
                               .next_v = rows->v,
                               .cols = rows->cols,
                               .scale = (real)rows->scale,
                               .prefetch = rows->prefetch,
                               .asks_early = ASKING(rows->asking) == SOFTATTN_ASKING_TWICE,
                               .lead = backward_lead(kind, rows->asking),
                               .stream = rows->stream,
                               .has_seams = backward_has_seams(rows)};
    real sum = 0;
    for (int64_t r = 0; r <= rows->rows; r++) {
        const int has_more = r + 1 < rows->rows;
        sum = backward_row(kind, &row, sum);
        row.out = row.y ? element_to(kind.format, row.out, rows->out_step) : rows->out;
        row.y = row.next_y;
        row.v = row.next_v;
        row.next_y = has_more ? element_at(kind.format, row.y, rows->y_step) : 0;
        row.next_v = has_more ? element_at(kind.format, row.v, rows->v_step) : 0;
    }
}

/* A function of its own leaves the registers of the loops over reals to them. */
NEVER_INLINE void backward_of_halves(const struct softattn_row_backward *rows) {
    const int is_f16 = rows->format == SOFTATTN_FORMAT_F16;
    if (rows->output == SOFTATTN_ROW_PROBABILITIES && is_f16) {
        backward_rows((struct backward_kind){OF_PROBABILITIES, SOFTATTN_FORMAT_F16}, rows);
    } else if (rows->output == SOFTATTN_ROW_PROBABILITIES) {
        backward_rows((struct backward_kind){OF_PROBABILITIES, SOFTATTN_FORMAT_BF16}, rows);
    } else if (is_f16) {
        backward_rows((struct backward_kind){OF_LOG_TRANSPOSED, SOFTATTN_FORMAT_F16}, rows);
    } else {
        backward_rows((struct backward_kind){OF_LOG_TRANSPOSED, SOFTATTN_FORMAT_BF16}, rows);
    }
}

/* Where it begins no line, f64 from memory takes 1.1 of the time (Zen 3, gcc 12). */
BEGINS_A_LINE static void softmax_backward(const struct softattn_row_backward *rows) {
    if (is_half(rows->format)) {
        backward_of_halves(rows);
    } else if (rows->output == SOFTATTN_ROW_PROBABILITIES) {
        backward_rows((struct backward_kind){OF_PROBABILITIES, SOFTATTN_FORMAT_REAL}, rows);
    } else if (rows->transposed) {
        backward_rows((struct backward_kind){OF_LOG_TRANSPOSED, SOFTATTN_FORMAT_REAL}, rows);
    } else {
        backward_rows((struct backward_kind){OF_LOG, SOFTATTN_FORMAT_REAL}, rows);
    }
    if (rows->stream) {
        V_FENCE();
    }
}

/* ---- The Jacobian ---- */

/* LANES columns of row i, of which one may be i itself; factor is scale or scale * y_i. Adding 0 makes
 * +0 of a masked column's product. */
ALWAYS_INLINE vec jacobian_values(enum jacobian_product product, vec y, vec factor) {
    const vec p = product == OF_PROBABILITIES ? y : probability(y);
    return v_fma(v_sub(v_zero(), factor), p, v_zero());
}

ALWAYS_INLINE void jacobian_of(enum jacobian_product product, int64_t cols, int64_t i, const real *y,
                               real scale, real *to) {
    const int has_factor = product == OF_PROBABILITIES;
    const real factor = has_factor ? scale * y[i] : scale;
    real p[1];
    int64_t j = 0;
    if (y[i] == masked_value(product)) {
        row_fill(to, cols, 0);
        return;
    }
    for (; j + LANES <= cols; j += LANES) {
        v_store(to + j, jacobian_values(product, v_load(y + j), v_set(factor)));
    }
    const vec rest = v_load_part(y + j, cols - j, masked_value(product));
    v_store_part(to + j, jacobian_values(product, rest, v_set(factor)), cols - j);
    v_store_part(p, has_factor ? v_set(y[i]) : probability(v_set(y[i])), 1);
    to[i] = real_fma(factor, 1 - p[0], 0);
}

static void jacobian_row(int64_t cols, int64_t i, const void *y, int32_t output, double scale, void *to) {
    if (output == SOFTATTN_ROW_PROBABILITIES) {
        jacobian_of(OF_PROBABILITIES, cols, i, y, (real)scale, to);
    } else {
        jacobian_of(OF_LOG, cols, i, y, (real)scale, to);
    }
}

#endif
