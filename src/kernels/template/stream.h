/* Rows that go through the caches only once: where aligned stores can begin, and asking for rows that come
 * next. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_STREAM_H
#define SOFTATTN_KERNELS_TEMPLATE_STREAM_H

/* Columns of y before the first that is aligned to the vector, which v_stream wants; at most cols. */
ALWAYS_INLINE int64_t stream_head(const real *y, int64_t cols) {
    const int64_t head = (int64_t)((0 - (uintptr_t)y / REAL_BYTES) % (uintptr_t)LANES);
    return head < cols ? head : cols;
}

ALWAYS_INLINE void store_whole(real *p, vec v, int stream) {
    if (stream) {
        v_stream(p, v);
    } else {
        v_store(p, v);
    }
}

/*
 * For a row that will be streamed: the line in which it ends, unless it ends with a whole vector. That one is stored in the
 * ordinary way, and while it waits for memory, streamed stores wait behind it.
 */
ALWAYS_INLINE void prefetch_row_end(const real *end) {
    if (stream_head(end, LANES) > 0) {
        V_PREFETCH_WRITE(end - 1);
    }
}

enum { LINE = 64 / REAL_BYTES };

/* The line at p, into the first-level cache or the second. */
ALWAYS_INLINE void prefetch_line(const real *p, int is_near) {
    if (is_near) {
        V_PREFETCH(p);
    } else {
        V_PREFETCH_FAR(p);
    }
}

/* The 128 bytes of STRIPES columns. */
ALWAYS_INLINE void prefetch_stripes(const real *p, int is_near) {
    prefetch_line(p, is_near);
    prefetch_line(p + LINE, is_near);
}

/* cols columns, into the second-level cache. */
ALWAYS_INLINE void prefetch_row(const real *row, int64_t cols) {
    for (int64_t j = 0; j < cols; j += LINE) {
        V_PREFETCH_FAR(row + j);
    }
}

#endif
