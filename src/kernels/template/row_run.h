/*
 * Rows one after another, from scores to weights times a factor that their sum decides: while the weights of a row are
 * computed, the maximum of a later one is found and the one before gets its factor. The caller's loop:
 *
 *     row_run_start(&run);
 *     while (run.left > 0) {
 *         sum = row_run_weights(&run, <what run.max is subtracted as>);
 *         row_run_hand_over(&run, <factor>) or, where the caller fills run.y itself, row_run_skip(&run);
 *     }
 *     row_run_finish(&run);
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_RUN_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_RUN_H

#include "kernels/kernels.h"
#include "kernels/template/row_weights.h"

enum {
    QUICK_ROW_BYTES = 4096, /* rows that are over before the maximum of the next is reduced */
    LEAD_BYTES = 8192 /* how far before its use a row is asked for: more does not stay in a 32 KiB cache */
};

struct row_run {
    int64_t cols, left;     /* left: rows, the one at work included */
    const real *x;          /* the row at work */
    real *y;                /* its results; may be x; NULL, with a step of 0: not wanted */
    int64_t x_step, y_step; /* from one row to the next */
    real exponent_factor;
    real *scratch;        /* streamed rows leave their weights here, cols reals; the others in y */
    const real *prefetch; /* the row after these; NULL: none */
    int64_t later;        /* from the row at work to what is asked for */
    real max, max_after;  /* of the row at work and, where two are known, of the next */
    struct row_done done; /* the row before */
};

/* What the largest score of a row is subtracted as: a row without visible scores has -infinity for it. */
ALWAYS_INLINE real row_base(real max) { return max == -REAL_INFINITY ? 0 : max; }

/* A maximum of -0 and +0 is +0, whatever their order. */
ALWAYS_INLINE real row_signless_max(const real *s, int64_t cols) { return row_max(s, cols) + 0; }

/* How many rows on from the one at work a maximum is found. */
ALWAYS_INLINE int64_t row_run_lookahead(const struct row_run *run) {
    return run->cols * REAL_BYTES <= QUICK_ROW_BYTES ? 2 : 1;
}

ALWAYS_INLINE void row_run_start(struct row_run *run) {
    const int64_t lead = LEAD_BYTES / REAL_BYTES;
    /* that much on from the row whose maximum is found, gaps between rows not counted */
    run->later = (row_run_lookahead(run) + lead / run->cols) * run->x_step + lead % run->cols;
    run->max = row_signless_max(run->x, run->cols);
    run->max_after = 0;
    if (row_run_lookahead(run) == 2 && run->left > 1) {
        run->max_after = row_signless_max(run->x + run->x_step, run->cols);
    }
}

/* Where results are not streamed, the special column is put over its product when all are there. */
ALWAYS_INLINE void row_run_put_special(struct row_run *run, int has_special, int stream) {
    if (has_special && !stream && run->done.cols > 0) {
        run->done.y[run->done.special_column] = run->done.special_value;
    }
}

/* The sum of the weights of the row at work, which are kept. has_special and stream, here and below, are constants where they
 * are used. */
ALWAYS_INLINE real row_run_weights(struct row_run *run, real base, int has_special, int stream) {
    const int64_t lookahead = row_run_lookahead(run);
    const int is_looking = run->left > lookahead;
    real sums[STRIPES], next_max = 0;
    if (stream) {
        prefetch_row_end(run->y + run->cols);
    }
    row_weights(run->x, run->cols, base, run->exponent_factor, stream ? run->scratch : run->y, sums,
                (struct row_company){.next = is_looking ? run->x + lookahead * run->x_step : 0,
                                     .next_max = &next_max,
                                     .done = run->done,
                                     .has_special = has_special && stream,
                                     .stream = stream,
                                     .later = is_looking ? run->x + run->later : run->prefetch,
                                     .later_is_near = 1});
    row_run_put_special(run, has_special, stream);
    run->max = lookahead == 2 ? run->max_after : next_max;
    run->max_after = next_max;
    run->done.cols = 0;
    return stripe_sum(sums);
}

ALWAYS_INLINE void row_run_skip(struct row_run *run) {
    run->left--;
    run->x += run->x_step;
    run->y += run->y_step;
}

/* The weights get their factor along with the next row. */
ALWAYS_INLINE void row_run_hand_over(struct row_run *run, real factor, int has_special, int stream) {
    const int64_t head = stream ? stream_head(run->y, run->cols) : 0;
    run->done.factor = factor;
    run->done.weights = stream ? run->scratch : run->y;
    run->done.y = run->y;
    if (head > 0) {
        row_done_few(&run->done, 0, head, has_special, 0);
    }
    run->done.weights += head;
    run->done.y += head;
    run->done.cols = run->cols - head;
    run->done.special_column -= head;
    row_run_skip(run);
}

ALWAYS_INLINE void row_run_finish(struct row_run *run, int has_special, int stream) {
    if (run->done.cols > 0) {
        row_done_few(&run->done, 0, run->done.cols, has_special && stream, stream);
        row_run_put_special(run, has_special, stream);
    }
    if (stream) {
        V_FENCE();
    }
}

#endif
