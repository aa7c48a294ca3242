/* Rows that go through the caches only once: where aligned stores can begin, and asking for rows that come
 * next. */
#ifndef SOFTATTN_KERNELS_TEMPLATE_STREAM_H
#define SOFTATTN_KERNELS_TEMPLATE_STREAM_H

enum { LINE_BYTES = 64, LINE = LINE_BYTES / REAL_BYTES };

/* Whether what rows share is streamed, too: not where that is no other than storing, or code is to be small. */
enum { STREAMS_ACROSS_ROWS = V_STREAMS && !IS_SMALL };

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

/* Fills columns, around the caches whole lines only: the one that they begin in, others may store to. */
NEVER_INLINE void row_fill_far(real *y, int64_t cols, real value, int stream) {
    const int64_t to_line = (int64_t)((0 - (uintptr_t)y / REAL_BYTES) % (uintptr_t)LINE);
    int64_t j = stream && to_line < cols ? to_line : cols;
    row_fill(y, j, value);
    for (; j + LANES <= cols; j += LANES) {
        v_stream(y + j, v_set(value));
    }
    row_fill(y + j, cols - j, value);
}

/* A copy around the caches, but for what no aligned vector holds. */
NEVER_INLINE void stream_copy(const real *from, int64_t count, real *to) {
    int64_t j = stream_head(to, count);
    if (j > 0) { /* an empty store would still touch the line, and stall those that go around the caches */
        v_store_part(to, v_load_part(from, j, 0), j);
    }
    for (; j + LANES <= count; j += LANES) {
        v_stream(to + j, v_load(from + j));
    }
    if (j < count) {
        v_store_part(to + j, v_load_part(from + j, count - j, 0), count - j);
    }
}

/* The lines of `bytes` bytes at p, into the first-level cache or the second. */
ALWAYS_INLINE void prefetch_bytes(const void *p, int64_t bytes, int is_near) {
    for (int64_t i = 0; i < bytes; i += LINE_BYTES) {
        if (is_near) {
            V_PREFETCH((const char *)p + i);
        } else {
            V_PREFETCH_FAR((const char *)p + i);
        }
    }
}

/* The same of cols columns, into the second-level cache, where a call does not show. */
NEVER_INLINE void prefetch_row(const real *row, int64_t cols) {
    FORGET(row); /* gcc leaves out calls of functions that do nothing but ask */
    prefetch_bytes(row, cols * REAL_BYTES, 0);
}

#endif
