/*
 * Elements of a row as they lie in memory: reals, or in tables of floats 16-bit floats, which are floats while they are worked
 * on. format is a constant wherever loops use these, so that reals cost nothing.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ELEMENTS_H
#define SOFTATTN_KERNELS_TEMPLATE_ELEMENTS_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"
#include "kernels/template/convert.h"
#include "kernels/template/stream.h"

ALWAYS_INLINE int is_half(int32_t format) { return REAL_BYTES == 4 && format != SOFTATTN_FORMAT_REAL; }

ALWAYS_INLINE int64_t element_bytes(int32_t format) {
    return is_half(format) ? (int64_t)sizeof(uint16_t) : REAL_BYTES;
}

/* Column j of a row that is read, and of one that is written. */
ALWAYS_INLINE const void *element_at(int32_t format, const void *row, int64_t j) {
    return (const char *)row + j * element_bytes(format);
}
ALWAYS_INLINE void *element_to(int32_t format, void *row, int64_t j) {
    return (char *)row + j * element_bytes(format);
}

/* Columns before the first at which streamed stores can begin; at most cols. */
ALWAYS_INLINE int64_t element_head(int32_t format, const void *row, int64_t cols) {
    return is_half(format) ? halves_head(row, cols) : stream_head(row, cols);
}

/*
 * For a row that will be streamed: the line in which it ends, unless it ends with a whole vector. That one is stored in the
 * ordinary way, and while it waits for memory, streamed stores wait behind it.
 */
ALWAYS_INLINE void prefetch_row_end(int32_t format, const void *row, int64_t cols) {
    const void *end = element_at(format, row, cols);
    if (element_head(format, end, 1) > 0) {
        V_PREFETCH_WRITE((const char *)end - 1);
    }
}

/* Columns j … j + count - 1, into the first-level cache or the second. */
ALWAYS_INLINE void prefetch_elements(int32_t format, const void *row, int64_t j, int64_t count, int is_near) {
    prefetch_bytes(element_at(format, row, j), count * element_bytes(format), is_near);
}

/* Columns j … j + count - 1 as reals: where they lie, or in copy. count is a multiple of HALVES. */
ALWAYS_INLINE const real *as_reals(int32_t format, const void *row, int64_t j, int64_t count, real *copy) {
    if (!is_half(format)) {
        return (const real *)row + j;
    }
    for (int64_t i = 0; i < count; i += HALVES) {
        widen_block(format, (const uint16_t *)row + j + i, copy + i);
    }
    return copy;
}

/*
 * The same in split order, if rows of the format have one: within each HALVES columns those of even places first, then those of
 * odd ones. For what is done to each column by itself, and for stripes, which order_split_stripes brings into their own order.
 */
ALWAYS_INLINE int is_split(int32_t format) { return SPLITS_BF16 && format == SOFTATTN_FORMAT_BF16; }

ALWAYS_INLINE const real *as_split_reals(int32_t format, const void *row, int64_t j, int64_t count,
                                         real *copy) {
    if (!is_split(format)) {
        return as_reals(format, row, j, count, copy);
    }
    for (int64_t i = 0; i < count; i += HALVES) {
        split_bf16((const uint16_t *)row + j + i, copy + i);
    }
    return copy;
}
ALWAYS_INLINE void order_split_stripes(int32_t format, real *sums) {
    for (int i = 0; is_split(format) && i < STRIPES; i += HALVES) {
        order_split(sums + i);
    }
}

/* The same of any count; copy has room for whole HALVES. Where columns lie before these, some of them are widened along. */
NEVER_INLINE const real *few_halves_as_reals(int32_t format, const uint16_t *row, int64_t j, int64_t count,
                                             real *copy) {
    const int64_t whole = (count + HALVES - 1) / HALVES * HALVES, before = whole - count;
    if (before > j) {
        widen(format, count, row + j, copy);
        return copy;
    }
    as_reals(format, row, j - before, whole, copy);
    return copy + before;
}
ALWAYS_INLINE const real *few_as_reals(int32_t format, const void *row, int64_t j, int64_t count,
                                       real *copy) {
    return is_half(format) ? few_halves_as_reals(format, row, j, count, copy) : (const real *)row + j;
}

ALWAYS_INLINE real element_value(int32_t format, const void *row, int64_t j) {
    return is_half(format) ? half_value(format, ((const uint16_t *)row)[j]) : ((const real *)row)[j];
}

/*
 * The largest of many 16-bit floats. Taken for signed integers they are ordered like floats where those are not negative, and
 * the other way round where they are: the largest float is the largest integer, but where even that is negative, the smallest.
 * A NaN is larger than infinity or smaller than -infinity, as its sign says. count is a multiple of HALVES.
 */
struct half_extremes {
    half_vec most, least;
};
ALWAYS_INLINE struct half_extremes half_extremes_of_none(int32_t format) {
    const half_vec lowest = halves_set((int16_t)(format == SOFTATTN_FORMAT_F16 ? 0xfc00 : 0xff80));
    return (struct half_extremes){lowest, lowest};
}
ALWAYS_INLINE void half_extremes_add(const void *row, int64_t j, int64_t count, struct half_extremes *e) {
    for (int64_t i = 0; i < count; i += HALVES) {
        const half_vec some = halves_load((const uint16_t *)row + j + i);
        e->most = halves_max(e->most, some);
        e->least = halves_min(e->least, some);
    }
}
ALWAYS_INLINE real half_extremes_largest(int32_t format, struct half_extremes e) {
    const int16_t most = halves_reduce_max(e.most);
    return half_value(format, (uint16_t)(most >= 0 ? most : halves_reduce_min(e.least)));
}

/*
 * Reals become columns j, j + 1, … of a row. With 16-bit floats v_put only collects them, at i = 0, LANES, … of copy, and
 * put_copy, with the same arguments otherwise, stores them all, count being a multiple of HALVES; has_nan 0, a constant:
 * there is no NaN among them. stream: they are aligned, and go around the caches.
 */
ALWAYS_INLINE void v_put(int32_t format, void *row, int64_t j, int64_t i, real *copy, vec v, int stream) {
    if (is_half(format)) {
        v_store(copy + i, v);
    } else {
        store_whole((real *)row + j + i, v, stream);
    }
}
ALWAYS_INLINE void put_copy(int32_t format, void *row, int64_t j, int64_t count, const real *copy,
                            int has_nan, int stream) {
    for (int64_t i = 0; is_half(format) && i < count; i += HALVES) {
        narrow_block(format, copy + i, (uint16_t *)row + j + i, has_nan, stream);
    }
}

/* The same of columns in split order; a NaN among them comes from arithmetic on 16-bit floats (see join_bf16). */
ALWAYS_INLINE void put_split_copy(int32_t format, void *row, int64_t j, int64_t count, const real *copy,
                                  int stream) {
    if (!is_split(format)) {
        put_copy(format, row, j, count, copy, 1, stream);
        return;
    }
    for (int64_t i = 0; i < count; i += HALVES) {
        join_bf16(copy + i, (uint16_t *)row + j + i, stream);
    }
}

/* 16-bit floats of any count, at once; copy has room for whole HALVES. */
NEVER_INLINE void put_few_halves(int32_t format, uint16_t *row, int64_t j, int64_t count, const real *copy) {
    int64_t i = 0;
    for (; i + HALVES <= count; i += HALVES) {
        narrow_block(format, copy + i, row + j + i, 1, 0);
    }
    if (i < count) {
        narrow_few(format, count - i, copy + i, row + j + i);
    }
}

/* 16-bit floats of one value, written as pairs, each in the place of a real, but for one before them that is not at such a place
 * and one that is left. */
NEVER_INLINE void fill_halves(int32_t format, uint16_t *to, int64_t count, real value, int stream) {
    uint16_t halves[REAL_BYTES / sizeof(uint16_t)];
    real pair;
    narrow(format, 1, &value, halves, 0);
    halves[1] = halves[0];
    __builtin_memcpy(&pair, halves, sizeof pair);
    if (count > 0 && (uintptr_t)to % sizeof pair != 0) {
        *to++ = halves[0];
        count--;
    }
    row_fill_far((real *)(void *)to, count / 2, pair, stream);
    if (count % 2 != 0) {
        to[count - 1] = halves[0];
    }
}

/* `count` columns of one value. */
ALWAYS_INLINE void fill_elements(int32_t format, void *row, int64_t count, real value, int stream) {
    if (is_half(format)) {
        fill_halves(format, row, count, value, stream);
    } else {
        row_fill_far(row, count, value, stream);
    }
}

#endif
