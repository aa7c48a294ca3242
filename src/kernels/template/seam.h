/*
 * Rows that are stored around the caches and follow each other without a gap: where one ends within a vector, the next has the
 * rest of it. Each would store its part in the ordinary way, and while that waits for memory, the streamed stores wait behind
 * it. So what the first has is kept until the second has the rest, and the vector is streamed like the others.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_SEAM_H
#define SOFTATTN_KERNELS_TEMPLATE_SEAM_H

#include "kernels/kernels.h"
#include "kernels/template/columns.h"

struct seam {
    real *to;                                       /* the vector; NULL: there is none */
    VECTOR_ALIGNED real values[SOFTATTN_MAX_LANES]; /* its first lanes are those of the row before */
};

/* Where the row of so many columns at y, of which the first `head` lie before a whole vector, ends within one; NULL: it does not. */
ALWAYS_INLINE real *seam_after(real *y, int64_t head, int64_t cols) {
    const int64_t end = head + (cols - head) / LANES * LANES;
    return end < cols ? y + end : 0;
}

/* Which lanes are not those of the row that begins at y. */
ALWAYS_INLINE mask seam_before(const struct seam *seam, const real *y) {
    return v_less(lane_numbers(), v_set((real)(y - seam->to)));
}

/* The others are those of `rest`. What was kept is read as it was stored, whole: loads of parts would wait for stores that wait
 * behind streamed ones. */
ALWAYS_INLINE void seam_close(const struct seam *seam, mask before, vec rest) {
    v_stream(seam->to, v_select(before, v_load(seam->values), rest));
}

/* Where there is no rest. */
NEVER_INLINE void seam_give_up(struct seam *seam, const real *y) {
    if (seam->to) {
        v_store_part(seam->to, v_load(seam->values), y - seam->to);
        seam->to = 0;
    }
}

/* The last columns of a row, less than a vector: to y or, where they are kept, to the values of a seam. */
ALWAYS_INLINE void store_end(real *y, vec v, int64_t cols, real *kept) {
    if (kept) {
        v_store(kept, v);
    } else {
        v_store_part(y, v, cols);
    }
}

#endif
