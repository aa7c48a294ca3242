/*
 * Rows one after another, from scores to weights times a factor that their sum decides: while the weights of a row are
 * computed, the maximum of a later one is found and the one before gets its factor. The caller's loop:
 *
 *     row_run_start(kind, &run);
 *     while (run.left > 0) {
 *         sum = row_run_weights(kind, &run, <what run.max is subtracted as>);
 *         row_run_hand_over(kind, &run, <factor>) or, where the caller fills run.y itself, row_run_skip(kind, &run);
 *     }
 *     row_run_finish(kind, &run);
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_ROW_RUN_H
#define SOFTATTN_KERNELS_TEMPLATE_ROW_RUN_H

#include "kernels/kernels.h"
#include "kernels/template/row_weights.h"
#include "kernels/template/seam.h"

enum {
    QUICK_ROW_BYTES = 4096, /* rows that are over before the maximum of the next is reduced */
    /* How far before its use a row is asked for, with SOFTATTN_ASKING_TWICE: into the second-level cache, and then into the
     * first one of perhaps 32 KiB. */
    LEAD_BYTES = 16384,
    NEAR_LEAD_BYTES = 2048,
    /* Into the first alone, with the others. */
    LONE_LEAD_BYTES = 8192,
    /* With TWICE longer rows, of which a second-level cache of perhaps 1 MiB does not hold three, are asked for into the first
     * alone as well: twice takes 1.1 to 1.2 of the time. Shorter ones asked for once take 1.1 to 1.3 (Zen 4). */
    LONG_ROW_BYTES = 393216,
    LONG_LEAD_BYTES = 3072 /* 8 KiB takes 1.03 to 1.1 of the time, 1 KiB 1.05 */
};

struct row_run {
    int64_t cols, left;          /* left: rows, the one at work included */
    const void *x;               /* the row at work */
    void *y;                     /* its results; may be x; NULL, with a step of 0: not wanted */
    int64_t x_step, y_step;      /* from one row to the next */
    int64_t last;                /* of rows that are general: columns of the row at work, at most cols, */
    int64_t last_step;           /* and how many more the next has, not less than 0; or, where not NULL, */
    const int64_t *lasts;        /* those of the row at work and of the rows after it */
    real scale;                  /* of rows that are general, above 0 */
    enum softattn_asking asking; /* of the CPU */
    int has_seams;               /* row_run_has_seams */
    int looks_far;               /* a maximum is found two rows on, not one: row_is_quick */
    real exponent_factor;
    real *scratch; /* cols reals, where rows share weights; the others' are in y. As row_run_scratch has it */
    const void *prefetch; /* the row after these; NULL: none */
    const void *source;   /* asked for instead of rows to come that are made of it; NULL: none */
    int64_t later, soon;  /* from the row at work to what is asked for early and late */
    real max, max_after;  /* of the row at work and, where two are known, of the next */
    struct row_done done; /* the row before */
    /* between it and the row at work; apart, as what a call gets the address of is kept in memory */
    struct seam *seam;
};

/* Where a run's weights are in scratch of SOFTATTN_ROW_SCRATCH: as much as a vector may be read before them. */
ALWAYS_INLINE real *row_run_scratch(void *scratch) {
    return scratch ? (real *)scratch + SOFTATTN_MAX_LANES : 0;
}

/* What the largest score of a row is subtracted as: a row without visible scores has -infinity for it. */
ALWAYS_INLINE real row_base(real max) { return max == -REAL_INFINITY ? 0 : max; }

ALWAYS_INLINE int row_is_quick(int64_t cols) { return cols * REAL_BYTES <= QUICK_ROW_BYTES; }

/* How many rows on from the one at work a maximum is found. */
ALWAYS_INLINE int64_t row_run_lookahead(const struct row_run *run) { return run->looks_far ? 2 : 1; }

ALWAYS_INLINE const void *row_run_x(struct row_kind kind, const struct row_run *run, int64_t rows_on) {
    return element_at(kind.format, run->x, rows_on * run->x_step);
}

ALWAYS_INLINE int64_t row_run_cols(struct row_kind kind, const struct row_run *run, int64_t rows_on) {
    return !kind.is_general ? run->cols
           : run->lasts     ? run->lasts[rows_on]
                            : run->last + rows_on * run->last_step;
}

/* The largest score, from the largest x. */
ALWAYS_INLINE real row_run_scaled(struct row_kind kind, const struct row_run *run, real max) {
    return kind.is_general ? run->scale * max + 0 : max;
}

/* By itself, of a row of which it was not found along with the weights of another. */
ALWAYS_INLINE real row_run_lone_max(struct row_kind kind, const struct row_run *run, int64_t rows_on) {
    const void *x = row_run_x(kind, run, rows_on);
    return row_run_scaled(kind, run, row_max_from(kind.format, x, 0, row_run_cols(kind, run, rows_on)) + 0);
}

/* `lead` elements on in rows of so many columns, gaps between them not counted. */
NEVER_INLINE int64_t row_run_ahead(int64_t lead, int64_t cols, int64_t step) {
    return cols > 0 ? lead / cols * step + lead % cols : 0;
}

ALWAYS_INLINE int row_run_may_ask_twice(struct row_kind kind, const struct row_run *run) {
    return ASKING(run->asking) == SOFTATTN_ASKING_TWICE && row_may_ask_twice(kind);
}

/* Whether results are one stretch of memory, all of them made in the same way; and what logarithms are made of is one, too. */
ALWAYS_INLINE int row_run_has_seams(struct row_kind kind, const struct row_run *run) {
    const int is_whole = !kind.is_general || (run->last == run->cols && run->last_step == 0 && !run->lasts);
    return row_may_have_seams(kind) && is_whole && run->y_step == run->cols && run->cols >= LANES &&
           (!is_row_of_logs(kind) || run->x_step == run->cols);
}

/* kind, here and below, is the run's, and a constant. */
ALWAYS_INLINE void row_run_start(struct row_kind kind, struct row_run *run) {
    const int64_t next = row_run_lookahead(run) * run->x_step, bytes = element_bytes(kind.format);
    const int may_ask_twice = row_run_may_ask_twice(kind, run);
    const int asks_twice = may_ask_twice && run->cols * REAL_BYTES <= LONG_ROW_BYTES;
    const int64_t lead = asks_twice ? NEAR_LEAD_BYTES : may_ask_twice ? LONG_LEAD_BYTES : LONE_LEAD_BYTES;
    run->soon = next + row_run_ahead(lead / bytes, run->cols, run->x_step);
    run->later = asks_twice ? next + row_run_ahead(LEAD_BYTES / bytes, run->cols, run->x_step) : run->soon;
    run->max = row_run_lone_max(kind, run, 0);
    run->max_after = 0;
    run->seam->to = 0;
    run->has_seams = row_run_has_seams(kind, run);
    if (row_run_lookahead(run) == 2 && run->left > 1) {
        run->max_after = row_run_lone_max(kind, run, 1);
    }
}

/* Where results are not streamed, the special column is put over its product when all are there. */
ALWAYS_INLINE void row_run_put_special(struct row_kind kind, struct row_run *run) {
    if (!kind.has_special || kind.stream || run->done.cols == 0) {
        return;
    }
    if (is_half(kind.format)) {
        const VECTOR_ALIGNED real value[HALVES] = {run->done.special_value};
        put_few_halves(kind.format, run->done.y, run->done.special_column, 1, value);
    } else {
        ((real *)run->done.y)[run->done.special_column] = run->done.special_value;
    }
}

/* As the loops that make the results have it. */
ALWAYS_INLINE struct row_kind row_run_done_kind(struct row_kind kind) {
    kind.has_special = kind.has_special && kind.stream;
    return kind;
}

ALWAYS_INLINE real *row_run_kept_weights(struct row_kind kind, const struct row_run *run) {
    return is_row_of_logs(kind) ? 0 : row_shares_weights(kind) ? run->scratch : run->y;
}

/* row_weights of 16-bit floats: a loop for each format. */
ALWAYS_INLINE void row_weights_by_format(const struct row_run *run, int64_t cols, real base, real *to,
                                         real *sums, struct row_company company) {
    const int is_f16 = company.kind.format == SOFTATTN_FORMAT_F16;
    company.kind.format = SOFTATTN_FORMAT_F16;
    if (is_f16) {
        row_weights(run->x, cols, base, run->exponent_factor, to, sums, company);
        return;
    }
    company.kind.format = SOFTATTN_FORMAT_BF16;
    row_weights(run->x, cols, base, run->exponent_factor, to, sums, company);
}

/* One function for whatever is made of rows that are not general, and one for those that are. */
NEVER_INLINE void row_weights_of_halves(const struct row_run *run, real base, real *sums,
                                        const struct row_company *given) {
    struct row_company company = *given;
    company.kind.is_general = 0;
    row_weights_by_format(run, run->cols, base, run->scratch, sums, company);
}
NEVER_INLINE void row_weights_of_general_halves(const struct row_run *run, int64_t cols, real base, real *to,
                                                real *sums, const struct row_company *given) {
    struct row_company company = *given;
    company.kind.is_general = 1;
    company.kind.has_special = 0;
    row_weights_by_format(run, cols, base, to, sums, company);
}

/* What is asked for, `ahead` elements on from the row at work if there are rows to come; NULL: nothing. */
ALWAYS_INLINE const void *row_run_asked(struct row_kind kind, const struct row_run *run, int is_looking,
                                        int64_t ahead) {
    return kind.is_general && run->source ? run->source
           : is_looking                   ? element_at(kind.format, run->x, ahead)
                                          : run->prefetch;
}

/* The sum of the weights of the row at work, which are kept. */
ALWAYS_INLINE real row_run_weights(struct row_kind kind, struct row_run *run, real base) {
    const int64_t lookahead = row_run_lookahead(run);
    const int is_looking = run->left > lookahead;
    VECTOR_ALIGNED real sums[STRIPES];
    real next_max = 0;
    const int64_t cols = row_run_cols(kind, run, 0);
    const int64_t next_cols = is_looking ? row_run_cols(kind, run, lookahead) : 0;
    const int is_next_shorter = is_looking && next_cols < cols;
    if (kind.stream && !(row_may_have_seams(kind) && run->has_seams)) {
        prefetch_row_end(kind.format, run->y, cols);
    }
    real *const to = row_run_kept_weights(kind, run);
    const void *later = row_run_asked(kind, run, is_looking, run->later);
    const struct row_company company = {
        .kind = row_run_done_kind(kind),
        .scale = run->scale,
        .next_cols = next_cols,
        .next = is_looking && !is_next_shorter ? row_run_x(kind, run, lookahead) : 0,
        .next_max = &next_max,
        .done = run->done,
        .later = !row_run_may_ask_twice(kind, run) ? 0
                 : later                           ? later
                                                   : run->x,
        .soon = row_run_asked(kind, run, is_looking, run->soon)};
    if (is_half(kind.format) && kind.is_general) {
        row_weights_of_general_halves(run, cols, base, to, sums, &company);
    } else if (is_half(kind.format)) {
        row_weights_of_halves(run, base, sums, &company);
    } else {
        row_weights(run->x, cols, base, run->exponent_factor, to, sums, company);
    }
    row_run_put_special(kind, run);
    next_max = is_next_shorter ? row_run_lone_max(kind, run, lookahead) : row_run_scaled(kind, run, next_max);
    run->max = lookahead == 2 ? run->max_after : next_max;
    run->max_after = next_max;
    run->done.cols = 0;
    return stripe_sum(sums);
}

ALWAYS_INLINE void row_run_advance(struct row_kind kind, struct row_run *run) {
    run->left--;
    run->x = row_run_x(kind, run, 1);
    run->y = element_to(kind.format, run->y, run->y_step);
    run->last += run->last_step;
    run->lasts += run->lasts ? 1 : 0;
}

ALWAYS_INLINE void row_run_skip(struct row_kind kind, struct row_run *run) {
    if (row_may_have_seams(kind)) {
        seam_give_up(run->seam, run->y);
    }
    row_run_advance(kind, run);
}

/* The columns of the row at work that fill the vector of the seam before it. Their weights, or what logarithms are made of, are read
 * along with as much as lies before them. */
ALWAYS_INLINE void row_run_close_seam(struct row_kind kind, const struct row_run *run) {
    const struct row_done *done = &run->done;
    const int64_t lead = (const real *)run->y - run->seam->to;
    const mask before = seam_before(run->seam, run->y);
    vec from = v_select(before, v_zero(), v_load((const real *)done->from - lead));
    V_GUARD(from);
    vec rest = row_result(kind, done, run->scale, from);
    if (kind.has_special) {
        const mask is_special = v_equal(lane_numbers(), v_set((real)(lead + done->special_column)));
        rest = v_select(is_special, v_set(done->special_value), rest);
    }
    seam_close(run->seam, before, rest);
}

/* Between the row at work and its neighbours: closes the seam before it, if there is one, and begins the one after it, of which the
 * other columns come first, if it does not end with a vector. */
ALWAYS_INLINE void row_run_seams(struct row_kind kind, struct row_run *run, int64_t head) {
    if (run->seam->to) {
        row_run_close_seam(kind, run);
    }
    run->seam->to = run->left > 1 ? seam_after(run->y, head, run->cols) : 0;
    run->done.kept = run->seam->to ? run->seam->values : 0;
}

/* The weights get their factor along with the next row; 16-bit floats that may hold a NaN, at once. */
ALWAYS_INLINE void row_run_hand_over(struct row_kind kind, struct row_run *run, real factor) {
    const int is_finite = factor - factor == 0;
    const int64_t cols = row_run_cols(kind, run, 0);
    const int64_t head = is_half(kind.format) && !is_finite ? cols
                         : kind.stream                      ? element_head(kind.format, run->y, cols)
                                                            : 0;
    run->done.factor = factor;
    run->done.from = is_row_of_logs(kind) ? run->x : row_run_kept_weights(kind, run);
    run->done.y = run->y;
    const int begins_in_seam = row_may_have_seams(kind) && run->seam->to;
    if (row_may_have_seams(kind) && run->has_seams) {
        row_run_seams(kind, run, head);
    }
    if (head > 0 && !begins_in_seam) {
        struct row_kind unaligned = kind;
        unaligned.stream = 0;
        row_done_few(unaligned, &run->done, run->scale, 0, head);
    }
    run->done.from = element_at(row_done_format(kind), run->done.from, head);
    run->done.y = element_to(kind.format, run->y, head);
    run->done.cols = cols - head;
    run->done.special_column -= head;
    row_run_advance(kind, run);
}

ALWAYS_INLINE void row_run_finish(struct row_kind kind, struct row_run *run) {
    if (run->done.cols > 0) {
        row_done_few(row_run_done_kind(kind), &run->done, run->scale, 0, run->done.cols);
        row_run_put_special(kind, run);
    }
    if (kind.stream) {
        V_FENCE();
    }
}

#endif
