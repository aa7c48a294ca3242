/*
 * Walking the rows of strided arrays. Workers take groups of neighbouring rows from a shared counter; rows
 * whose elements are neighbouring reals in memory are visited as they are, others are copied into scratch before
 * the visit and put back after it: gathered a cache line's worth of rows at a time, or converted from 16-bit
 * floats as many as stay in the nearest cache.
 */
#ifndef SOFTATTN_ENGINE_ROWS_H
#define SOFTATTN_ENGINE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/runtime.h"
#include "kernels/kernels.h"

enum {
    SOFTATTN_ROW_RANK = 7,    /* dimensions besides the axis */
    SOFTATTN_ROW_MATRICES = 3 /* operands with elements along the axis that one walk can have */
};

/* An array seen row by row; strides count elements. data NULL: operand not given. */
struct softattn_row_operand {
    char *data;
    int64_t stride[SOFTATTN_ROW_RANK]; /* per row dimension, 0 where it broadcasts */
    int64_t axis_stride;               /* along the axis; unused for one value per row */
    int32_t format; /* of a matrix: SOFTATTN_FORMAT_*; 16-bit floats are visited as floats */
};

/* The rows of a problem, outermost dimension first. */
struct softattn_rows {
    int32_t rank; /* 0 … SOFTATTN_ROW_RANK */
    int64_t shape[SOFTATTN_ROW_RANK];
    int64_t cols; /* size of the axis; may be 0 */
};

/* Where a row stands in each row dimension. */
struct softattn_row_place {
    int64_t index[SOFTATTN_ROW_RANK];
};

int64_t softattn_rows_count(const struct softattn_rows *rows);

struct softattn_row_place softattn_row_place(const struct softattn_rows *rows, int64_t row);

/* From a row's place to that of the row after it. */
static inline void softattn_row_step(const struct softattn_rows *rows, struct softattn_row_place *place) {
    int32_t d = rows->rank - 1;
    while (d > 0 && place->index[d] + 1 == rows->shape[d]) {
        place->index[d--] = 0;
    }
    if (d >= 0) {
        place->index[d]++;
    }
}

/* The place's row of an operand, or its one value there; NULL where the operand is not given. */
static inline char *softattn_row_at(const struct softattn_rows *rows,
                                    const struct softattn_row_operand *operand,
                                    const struct softattn_row_place *place, int64_t element_bytes) {
    int64_t offset = 0;
    if (operand->data == NULL) {
        return NULL;
    }
    for (int32_t d = 0; d < rows->rank; d++) {
        offset += place->index[d] * operand->stride[d];
    }
    return operand->data + offset * element_bytes;
}

/* An operand's stride along the last row dimension, in which neighbouring rows lie. */
static inline int64_t softattn_row_inner_stride(const struct softattn_rows *rows,
                                                const struct softattn_row_operand *operand) {
    return rows->rank > 0 ? operand->stride[rows->rank - 1] : 0;
}

/* Bytes of a matrix's element in memory, where reals have real_bytes. */
static inline int64_t softattn_row_element_bytes(const struct softattn_row_operand *operand,
                                                 int64_t real_bytes) {
    return operand->format == SOFTATTN_FORMAT_REAL ? real_bytes : (int64_t)sizeof(uint16_t);
}

/* Whether the operand's rows need no gathering. */
bool softattn_row_is_contiguous(const struct softattn_rows *rows, const struct softattn_row_operand *operand);

/*
 * Whether a kernel that takes 16-bit floats as they lie is the faster one, for which `shortest` is measured: shorter rows, and
 * up to four times that length those that end within a cache line, had better be converted many together.
 */
bool softattn_rows_suit_halves(const struct softattn_rows *rows, int64_t shortest);

/*
 * Whether the kernels by columns take rows with these matrices, of one format, and are the faster ones: neighbours that lie side by
 * side in all of them, where they lie; and contiguous ones of less than short_bytes as reals, which they turn into lanes, 16-bit floats
 * in the copies that those become. Matrices not given may be among them, but not as the first.
 */
bool softattn_rows_suit_columns(const struct softattn_rows *rows, const struct softattn_kernels *kernels,
                                const struct softattn_row_operand *const *matrices, int32_t count,
                                int64_t short_bytes);

/* Whether this many bytes are more than the caches keep, so that stores had better go around them. */
bool softattn_rows_exceed_cache(double bytes);

/* Whether rows of such elements may be stored so, by how they end; may_have_seams: the kernel makes one vector of the end of a row and
 * the beginning of the next (template/seam.h) if `to` has no gap between them. */
bool softattn_rows_suit_streaming(const struct softattn_rows *rows, const struct softattn_row_operand *to,
                                  const struct softattn_kernels *kernels, bool may_have_seams);

/* One row during a walk, or several neighbours along the last row dimension where the walk asks for runs. */
struct softattn_row_visit {
    int64_t row;
    int64_t count;                       /* rows */
    int64_t step[SOFTATTN_ROW_MATRICES]; /* elements from one of them to the next */
    /* from one column to the next: 1, but where the walk takes columns */
    int64_t stride[SOFTATTN_ROW_MATRICES];
    struct softattn_row_place place;
    char *data[SOFTATTN_ROW_MATRICES]; /* the row of each matrix; NULL: not given */
    /* where the row visited next lies, for prefetching; NULL: not known */
    const char *next[SOFTATTN_ROW_MATRICES];
    char *scratch; /* the worker's own */
};

struct softattn_row_matrix {
    struct softattn_row_operand operand;
    bool is_read, is_written;
    /* where this row and that of the written matrix are copies, they may be the same */
    bool may_be_overwritten;
};

struct softattn_row_walk {
    const struct softattn_kernels *kernels; /* of the matrices' type */
    struct softattn_rows rows;
    struct softattn_row_matrix matrix[SOFTATTN_ROW_MATRICES];
    int64_t scratch_reals; /* that a visit needs */
    bool in_runs;          /* visits take as many rows as lie evenly spaced, not one */
    bool takes_halves;     /* rows of 16-bit floats that need no gathering are visited as they are */
    bool takes_columns; /* rows whose columns are no neighbours are visited as they are, copies by blocks */
    bool stream;        /* 16-bit rows are stored around the caches; the visits see to the others */
    void (*visit)(void *user, const struct softattn_row_visit *visit);
    void *user;
};

/* False when scratch memory could not be had; nothing was visited then. */
bool softattn_rows_walk(const struct softattn_row_walk *walk, const struct softattn_runtime *runtime);

#endif
