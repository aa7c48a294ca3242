/*
 * The kernel table: everything that is written once as a template and compiled once per instruction set and type.
 *
 * One const struct softattn_kernels describes one instruction set and one element type ("real": float or double).
 * Pointers to reals are void * here so that the engines need no type of their own; strides and sizes count reals.
 * Kernels check nothing: the API layer has. They allocate nothing, keep no state and touch only what is described.
 *
 * The order of arithmetic stated with each slot is the library's arithmetic contract (docs/arithmetic.md): every table
 * with fused multiply-add gives the same bits as the generic one.
 */
#ifndef SOFTATTN_KERNELS_KERNELS_H
#define SOFTATTN_KERNELS_KERNELS_H

#include <stdint.h>

#include "platform/asking.h"

/* Keys are counted in tiles, tiles in chunks, both from key 0 of a sequence: part of the arithmetic contract. */
enum {
    SOFTATTN_KEY_TILE = 128,
    SOFTATTN_KEY_CHUNK = 512,
    SOFTATTN_MAX_QUERY_BLOCK = 256, /* query_vectors * lanes() is at most this */
    SOFTATTN_MAX_DECODE_HEADS = 32, /* decode_heads_together is at most this */
    SOFTATTN_MAX_DECODE_ROWS = 16,  /* decode_rows is at most this */
    SOFTATTN_MAX_LANES = 32,        /* reals per vector: 128 bytes of floats */
    SOFTATTN_BLOCK_VECTORS = 4      /* rows that lie side by side are taken so many vectors at a time */
};

/* How the elements of rows lie in memory: as a table's own reals, or, in tables of floats, as 16-bit floats that are floats
 * while they are worked on. */
enum { SOFTATTN_FORMAT_REAL = 0, SOFTATTN_FORMAT_F16 = 1, SOFTATTN_FORMAT_BF16 = 2 };

/* ---- Row-wise softmax ---- */

enum { SOFTATTN_ROW_PROBABILITIES = 0, SOFTATTN_ROW_LOG_PROBABILITIES = 1 };

/* Reals of scratch for rows. */
#define SOFTATTN_ROW_SCRATCH(cols) ((cols) + SOFTATTN_MAX_LANES)
/* For several rows whose scores are computed beforehand: those with a bias, a keep mask, first above 0, or a
 * scale that is not above 0 and finite. */
#define SOFTATTN_SCORES_SCRATCH(cols) (4 * (cols) + SOFTATTN_MAX_LANES)

/* Reals of scratch that rows side by side take, with vectors of so many lanes: a block's scores, its results turned
 * back, the sums of stripes, of which there are at most 32, and three more for each row. */
#define SOFTATTN_COLUMNS_SCRATCH(cols, lanes) ((2 * (cols) + 32 + 3) * SOFTATTN_BLOCK_VECTORS * (lanes))
/* The same of their derivatives: three matrices of a block, the sums, and a row of ones. */
#define SOFTATTN_BACKWARD_COLUMNS_SCRATCH(cols, lanes)                                                       \
    ((3 * (cols) + 32 + 1) * SOFTATTN_BLOCK_VECTORS * (lanes))

/*
 * One row of scores, or several, and what to make of it.
 *   score_j = fma(scale, x_j, bias_j); visible when first <= j < last, keep_j != 0 and score_j > -infinity
 *   y = softmax or log-softmax over the visible scores; masked places become 0 or -infinity
 * The members that end in _step are elements from one row to the next, those that end in _stride from one column to the next;
 * softmax_row and softmax_columns alone take more than one row. 16-bit floats are for rows without bias and keep, with first 0
 * and a scale above 0 and finite, and have results; lse and max are reals.
 */
struct softattn_row {
    int64_t rows;
    int64_t x_step, y_step;
    /* of softmax_columns: both not 1, and the steps 1, or both 1, of reals; of the others they are 1 */
    int64_t x_stride, y_stride;
    int64_t cols;
    int32_t format; /* SOFTATTN_FORMAT_*, of x and y */
    const void *x;
    void *y;          /* NULL: only the statistics; may be x */
    const void *bias; /* NULL: none */
    int64_t bias_stride, bias_step;
    const uint8_t *keep; /* NULL: all */
    int64_t keep_stride, keep_step;
    int64_t first;     /* visible columns of the first row: first … last - 1, 0 <= first, last <= cols; */
    int64_t last;      /* none when last <= first */
    int64_t last_step; /* how much larger each row's last is than that of the row before; not negative */
    const int64_t *lasts; /* [rows], of rows with lasts of their own; NULL: they follow from these two */
    double scale;
    int32_t output;              /* SOFTATTN_ROW_* */
    int32_t plus_one;            /* 1: one more score, 0, that takes part in the sum and has no place in y */
    int32_t empty_is_zero;       /* a row without visible scores: 0 gives NaN, 1 gives 0 (log: -infinity) */
    int32_t stream;              /* 1: y is not read soon and lies out of cache: store around the caches */
    enum softattn_asking asking; /* of the CPU */
    /* the row of x after these, brought to the first-level cache meanwhile; NULL: none */
    const void *prefetch;
    void *scratch;   /* SOFTATTN_ROW_SCRATCH, or SOFTATTN_SCORES_SCRATCH, or SOFTATTN_COLUMNS_SCRATCH */
    void *lse, *max; /* one real per row; NULL: not wanted */
    int64_t lse_step, max_step;
};

/* ---- Other normalizers ---- */

/*
 * What turns the scores s of a row into weights y; n is the number of scores above -infinity, all others get 0.
 *   NONE          s
 *   RELU          max(s, 0) / n
 *   RELU_SQUARED  max(s, 0)^2
 *   SIGMOID       1 / (1 + exp2(-(s + b) * log2(e))), for s + b < 0 as exp2(...) / (1 + exp2(...))
 *   SPARSEMAX     d = max(z - t, 0) with z = s - max, and
 *   ENTMAX        d^2 with z = (s - max) * 0.5; the threshold t makes the weights' sum 1: from -1 on,
 *                 t += (sum - 1) / (sum of 1 where d > 0, or of d + d) for as long as it rises, sums as in softmax but over
 *                 the z that are not below -1 alone, one after another
 * NONE and RELU give 0 that is visible as +0 and 0 that is masked as -0, so that y tells one from the other.
 * Softmax itself and SOFTMAX_PLUS_ONE are softmax_row's.
 */
enum {
    SOFTATTN_NORMALIZE_SOFTMAX = 0,
    SOFTATTN_NORMALIZE_NONE = 1,
    SOFTATTN_NORMALIZE_RELU = 2,
    SOFTATTN_NORMALIZE_RELU_SQUARED = 3,
    SOFTATTN_NORMALIZE_SIGMOID = 4,
    SOFTATTN_NORMALIZE_SOFTMAX_PLUS_ONE = 5,
    SOFTATTN_NORMALIZE_SPARSEMAX = 6,
    SOFTATTN_NORMALIZE_ENTMAX = 7
};

/* What softmax_row and softmax_backward compute: exponentials over their sum, with a score more than the row has or without. */
static inline int32_t softattn_normalize_is_softmax(int32_t normalizer) {
    return normalizer == SOFTATTN_NORMALIZE_SOFTMAX || normalizer == SOFTATTN_NORMALIZE_SOFTMAX_PLUS_ONE;
}

/* Whether the weight of a score, and the derivative, depend on nothing else in the row. */
static inline int32_t softattn_normalize_is_alone(int32_t normalizer) {
    return normalizer == SOFTATTN_NORMALIZE_NONE || normalizer == SOFTATTN_NORMALIZE_RELU_SQUARED ||
           normalizer == SOFTATTN_NORMALIZE_SIGMOID;
}

/* Reals of scratch that a row takes. */
#define SOFTATTN_NORMALIZE_SCRATCH(cols) (2 * (cols) + SOFTATTN_MAX_LANES)

/* ---- Gradients of row-wise softmax ---- */

/*
 * For each row, the product of its Jacobian J = dy/dx, or of the transpose, with a vector v. Columns where y is masked (0, for
 * log-probabilities -infinity) are no part of it: v has no effect there, whatever it holds, and out is 0.
 *   probabilities, either         out_j = (scale * y_j) * (v_j - sum of y_k * v_k)
 *   log-probabilities, J^T v      out_j = scale * fma(-p_j, sum of v_k, v_j)
 *   log-probabilities, J v        out_j = scale * (v_j - sum of p_k * v_k)
 * with p = exp2(min(y, 0) * log2(e)). Sums as in softmax, products added by fma.
 */
struct softattn_row_backward {
    int64_t rows, cols;
    int32_t format; /* SOFTATTN_FORMAT_*, of y, v and out; reals for J v of log-probabilities */
    const void *y, *v;
    void *out;                        /* may be v, with the same step */
    int64_t y_step, v_step, out_step; /* elements from one row to the next */
    int64_t y_stride, v_stride,
        out_stride; /* from one column to the next: of softmax_backward_columns, as in struct softattn_row; of the others they are 1 */
    double scale;
    int32_t output;     /* SOFTATTN_ROW_*: what y is */
    int32_t transposed; /* 1: J^T v, the backward pass; 0: J v, the forward derivative */
    int32_t prefetch;   /* 1: rows are out of cache: elements are asked for well ahead of the loads */
    enum softattn_asking asking; /* of the CPU */
    int32_t stream;              /* 1: store around the caches */
    void *scratch;               /* of softmax_backward_columns: SOFTATTN_BACKWARD_COLUMNS_SCRATCH */
};

/*
 * Cross-entropy of each row and its gradient by x.
 *   p, sum     p_j = exp2((x_j - e) * (scale * log2(e))) with e the x of the largest scale * x, and their sum as in
 *              softmax; lse = scale * e + ln(sum)
 *   a_j        weights_j * fma(probabilities_j, 1 - smoothing, smoothing / cols), probabilities 0 where not
 *              given; with a target class also a share of its own, weights_target * (1 - smoothing)
 *   A, D       sums of a_j and, by fma, of a_j * (e - x_j), as in softmax, terms with a_j = 0 left out; the
 *              share's come last
 *   loss       fma(A, ln(sum), scale * D); with z_loss fma(z_loss * lse, lse, loss)
 *   gradient   fma(p_j, r, -(a_j * f)), the share last by one more fma, with f = scale * factor and
 *              r = f * (A + 2 * z_loss * lse) / sum
 * A row without logits above -infinity gives NaN; an ignored row gives loss and gradient 0 and its x is read for
 * lse only. 16-bit floats are for target classes alone, with a positive scale and no smoothing.
 */
struct softattn_row_cross_entropy {
    int64_t rows, cols;
    int32_t format; /* SOFTATTN_FORMAT_*, of x and gradient */
    const void *x;
    const void *probabilities;                         /* NULL: targets count */
    void *gradient;                                    /* NULL: not wanted; may be x, with the same step */
    int64_t x_step, probabilities_step, gradient_step; /* elements from one row to the next */
    const int64_t *targets; /* [rows] classes, negative: the row is ignored; NULL with probabilities */
    const void *weights;    /* [cols], of the classes; NULL: 1 */
    double scale, smoothing, z_loss;
    double factor;               /* of the gradient */
    void *loss, *lse;            /* one real per row; NULL: not wanted */
    int64_t loss_step, lse_step; /* reals from one row's to the next */
    int32_t prefetch; /* 1: rows are out of cache: each is asked for while the one before is worked on */
    enum softattn_asking asking; /* of the CPU */
    int32_t stream; /* 1: store the gradient around the caches; not with the gradient in place of x */
    void *scratch;  /* with stream or 16-bit floats: SOFTATTN_ROW_SCRATCH */
};

/* ---- Diagnosis ---- */

/*
 * What softmax makes of a row's scores: see docs/semantics.md for the formulas. Reals, summed as in softmax. With a sink,
 * one more score, that takes part in everything but the scores' mean and variance.
 */
struct softattn_diagnosis_of_row {
    double entropy, max_probability, effective_keys, score_mean, score_variance, jacobian_norm;
    int32_t visible; /* 0: there is no score above -infinity, and the numbers mean nothing */
    int32_t sound;   /* 0: one is NaN or +infinity, and the numbers mean nothing */
};

/* ---- Attention tiles ---- */

/* Keys first … last - 1 of a tile and the vectors of queries, from `vector` on, that are computed for them. */
struct softattn_tile_part {
    int64_t first, last;
    int64_t vector, vectors;
    /* 1: every lane of these vectors sees all of these keys; 0: low and high of the tile say which */
    int32_t clear;
};

/* Rows that will be wanted soon, read or written: a hint, whatever the addresses. At least one row of at least one column. */
struct softattn_ask {
    const void *rows;
    int64_t stride, columns, count;
};

enum {
    SOFTATTN_MAX_TILE_VECTORS = 4,
    SOFTATTN_MAX_TILE_PARTS = 2 * SOFTATTN_MAX_TILE_VECTORS + 1,
    /* queries, keys and values of another head; queries, results, keys and values of this one */
    SOFTATTN_MAX_ASKS = 7
};

/*
 * A block of queries against one tile of keys, queries in the vector lanes.
 * Arrays marked [n][block] have `block` reals per row, block = vectors * lanes; each lane is one query.
 *
 * The parts, one or more, say what is computed: their keys ascend without overlap, and the keys of all parts that hold a
 * vector follow each other without a gap, the first a multiple of 8.
 */
struct softattn_tile {
    int64_t vectors; /* 1 … query_vectors: width of the block in vectors */
    int64_t parts;
    struct softattn_tile_part part[SOFTATTN_MAX_TILE_PARTS];
    int64_t dim_qk, dim_v;
    const void *q; /* [dim_qk][block], scaled by scale * log2(e) */
    const void *k; /* key 0 of the tile */
    int64_t k_stride;
    const void *v;
    int64_t v_stride;
    void *scores;           /* [SOFTATTN_KEY_TILE][block] scratch */
    void *out;              /* [dim_v][block], running weighted sum of the chunk */
    void *max, *sum;        /* [block], running max (base 2) and sum of the chunk */
    int32_t fresh;          /* 1: first tile of the chunk: out, max and sum hold nothing yet */
    const void *low, *high; /* [block] a lane sees keys low <= j < high of this tile, as reals; NULL: all
                                        parts are clear */
    double softcap;         /* soft-cap in base-2 units (cap * log2(e)); 0: none */
    const void *addend;     /* [SOFTATTN_KEY_TILE][block], added to the scores; -infinity masks; NULL: none */
    const void *slope;      /* [block] ALiBi slope * log2(e); NULL: none */
    const void *position;   /* [block] i + offset - (key 0 of the tile), with slope */
    const void *drop;       /* [SOFTATTN_KEY_TILE][block], 1 keeps and 0 drops a weight; NULL: none */
    int64_t asks;
    struct softattn_ask ask[SOFTATTN_MAX_ASKS]; /* for, in this order, while scores become weights */
    int32_t asks_far;                           /* 1: into the second-level cache, else into the first */
};

/*
 * A few query rows against one tile of keys, keys and then value dimensions in the lanes: the same arithmetic for each
 * (query, key, dimension) as struct softattn_tile, laid out for decoding. [rows][n] arrays have the stride named.
 */
struct softattn_decode_tile {
    int64_t rows;
    int64_t first, last;
    int64_t dim_qk, dim_v;
    const void *q; /* [rows][dim_qk], scaled by scale * log2(e) */
    const void *k;
    int64_t k_stride;
    const void *v;
    int64_t v_stride;
    int64_t prefetch_keys; /* keys that follow the tile and are worth prefetching, 0 … SOFTATTN_KEY_TILE */
    enum softattn_asking asking; /* of the CPU */
    int32_t from_memory;         /* how much of k and v: 0 little; 1 some; 2 nearly all */
    /* of 1 and 2, where kernels may ask for v ahead, too: next_keys keys (0 … SOFTATTN_KEY_TILE) of what comes after the tile, k_stride apart */
    const void *next_k;
    int64_t next_keys;
    void *keys;      /* [dim_qk][lanes] scratch: a vector of keys transposed */
    void *scores;    /* [rows][SOFTATTN_KEY_TILE] scratch */
    void *out;       /* [rows][dim_v] */
    void *max, *sum; /* [rows] */
    int32_t fresh;
    int32_t masked;
    const void *low, *high; /* [rows] */
    double softcap;
    const void *addend;   /* [rows][SOFTATTN_KEY_TILE] */
    const void *slope;    /* [rows] */
    const void *position; /* [rows] */
    const void *drop;     /* [rows][SOFTATTN_KEY_TILE] */
};

/*
 * Decisions of dropout from the words of Philox4x32-10 (engine/dropout.h), four for each counter:
 *   counter i = counter + i * (step[0], step[1], 0, 0), each word modulo 2^32
 *   to[i * counter_stride + w * word_stride] = word w of counter i >= threshold ? 1 : 0,  i < counters, w < 4
 */
struct softattn_keep_weights {
    int64_t counters;
    uint32_t counter[4];
    uint32_t step[2]; /* 0 or 1 */
    uint32_t key[2];
    int64_t threshold; /* 0 … 2^32 */
    void *to;
    int64_t counter_stride, word_stride;
};

/* ---- Tokens ---- */

enum { SOFTATTN_TOKEN_BLOCK = 512 }; /* columns per block of a row of logits */

/*
 * Rows of logits below hold neither NaN nor +infinity; columns that are -infinity are no tokens. Weights are
 *   w_j = exp2((x_j - max) * factor)
 * and masses are weights in units of 2^-36, rounded to nearest, ties to even: integers, whose sums know no order.
 */
struct softattn_token_range {
    int64_t cols;
    const void *x;
    const void *maxima; /* of the blocks; NULL: not known */
    double low, high;   /* tokens with low < x <= high */
};

/* A pass over a row. Blocks are those of the row, as for maxima. */
struct softattn_token_pass {
    int64_t cols;
    const void *x;
    const void *maxima;  /* as above */
    const void *next;    /* as many columns, asked for meanwhile; NULL: none */
    double max;          /* at least every x; finite */
    double factor;       /* log2(e) / temperature */
    double low, high;    /* low <= high */
    double least_weight; /* 0: none */
    int64_t *above;      /* out, per block: mass of the tokens with x > high and w >= least_weight */
    int64_t total;       /* out: mass of all tokens */
    /* out: the x with low < x <= high, in order; room for cols + 64. May be x; NULL only where low == high */
    void *candidate_values;
    int64_t *block_candidates; /* out: how many of them each block has; NULL: not wanted */
    int64_t candidates;        /* out: their number */
};

/* The tokens that filters have kept: x > value, or x == value in a column before split; and w >= least_weight. */
struct softattn_token_choice {
    int64_t cols;
    const void *x;
    double max, factor;        /* as above */
    double value, below_value; /* below_value: the next real below value */
    int64_t split;
    double least_weight;
    /* out: w / sum of the kept w, summed as in softmax; 0 for the others; NULL: not wanted */
    void *probabilities;
    uint8_t *keep; /* out: 1 for kept tokens, else 0; NULL: not wanted */
    int64_t keep_stride;
};

struct softattn_kernels {
    const char *isa;
    int32_t real_bytes;    /* 4 or 8 */
    int32_t query_vectors; /* most vectors per query block */
    /* blocks of two are faster where a query sees fewer keys than this many times the lanes */
    int32_t two_vector_keys;
    int32_t decode_rows;           /* up to this many rows the decode layout is the faster one */
    int32_t decode_tile_rows;      /* rows that decode_tile takes at once; what is left takes longer */
    int32_t decode_heads_together; /* tiles for decode_heads, at most; 1: decode_tile alone is used */
    /* 1: with stream, what rows without gaps share is stored around the caches, too: vectors in which one ends and the next begins,
     * and blocks of short rows */
    int32_t streams_across_rows;

    /* Reals per vector, at most SOFTATTN_MAX_LANES. A function, because scalable vectors learn it at run time. */
    int32_t (*lanes)(void);

    /* Softmax of rows; see struct softattn_row. */
    void (*softmax_row)(const struct softattn_row *row);

    /* The same of rows that lie side by side, or are short, and are such as 16-bit floats may be, with last = cols; y may be NULL. With
     * stream, short rows are asked for, too. */
    void (*softmax_columns)(const struct softattn_row *row);

    /*
     * Weights of a row by another normalizer; row->output, stream, plus_one, lse and max are not used, y is given, and scratch
     * holds SOFTATTN_NORMALIZE_SCRATCH(cols) reals. Returns whether the row has a score that is not -infinity.
     */
    int32_t (*normalize_row)(int32_t normalizer, double sigmoid_bias, const struct softattn_row *row);

    /*
     * The derivatives' product with v, of which output, transposed, prefetch and stream are not used:
     *   out = (f * g) * (v - mean), 0 where g is 0
     *   g     NONE 1, RELU and SPARSEMAX 1 where y > 0, RELU_SQUARED 2 * sqrt(y), SIGMOID y * (1 - y), ENTMAX sqrt(y);
     *         0 where y is masked
     *   mean  SPARSEMAX and ENTMAX (sum of g * v, by fma) / (sum of g); else 0
     *   f     scale, with RELU scale / n
     */
    void (*normalize_backward)(int32_t normalizer, const struct softattn_row_backward *row);

    /* Diagnosis of one row, of which y, output, empty_is_zero, lse and max are not used; sink: -infinity for none. */
    void (*diagnose_row)(const struct softattn_row *row, double sink, struct softattn_diagnosis_of_row *out);

    /* Products with the Jacobian, and cross-entropy: see the structs. */
    void (*softmax_backward)(const struct softattn_row_backward *row);
    /* Of rows that lie side by side, or are short; prefetch is not used, and with stream short rows are asked for. */
    void (*softmax_backward_columns)(const struct softattn_row_backward *row);
    void (*cross_entropy)(const struct softattn_row_cross_entropy *row);

    /*
     * Row i of the Jacobian of a row's y (SOFTATTN_ROW_*): to_j = dy_i / dx_j, 0 where y_i or y_j is masked.
     *   probabilities      (scale * y_i) * -y_j, and (scale * y_i) * (1 - y_i) for j = i
     *   log-probabilities  scale * -p_j, and scale * (1 - p_i)
     */
    void (*jacobian_row)(int64_t cols, int64_t i, const void *y, int32_t output, double scale, void *to);

    /*
     * 16-bit floats to floats and back (format: SOFTATTN_FORMAT_F16 or _BF16); only in tables of floats, else NULL.
     * Widening is exact. Narrowing rounds to nearest even and keeps subnormals; too large becomes infinity. A NaN keeps
     * its sign and the payload bits that fit; it becomes quiet, but for bf16 widened. stream: 1 stores around the caches.
     */
    void (*widen)(int32_t format, int64_t count, const uint16_t *from, void *to);
    void (*narrow)(int32_t format, int64_t count, const void *from, uint16_t *to, int32_t stream);
    /* Orders streamed stores of narrow before what follows. */
    void (*finish_narrowing)(void);

    /* Lowest column of the largest of a row; -1 where one is NaN or none is above -infinity. */
    int64_t (*argmax)(int64_t cols, const void *x);

    /* Maximum of each block of SOFTATTN_TOKEN_BLOCK columns, NaN where one of them is; returns that of all. */
    double (*block_maxima)(int64_t cols, const void *x, void *maxima);

    /* The k-th largest of a row without NaN, 1 <= k <= cols; columns that are equal count each. */
    double (*kth_largest)(int64_t cols, const void *x, int64_t k);

    /* w_j of each column; and see the structs. token_collect writes the logits of a range, in order, into values (room for
     * cols + 64; may be x) and how many each block has into block_counts (NULL: not wanted), and returns their number. */
    void (*token_weights)(int64_t cols, const void *x, double max, double factor, void *weights);
    int64_t (*token_collect)(const struct softattn_token_range *range, void *values, int64_t *block_counts);
    void (*token_choice)(const struct softattn_token_choice *choice);
    void (*token_pass)(struct softattn_token_pass *pass);

    /*
     * to[c * to_stride + r] = factor * from[r * from_stride + c], for r < rows, c < cols; factor 1 copies exactly.
     */
    void (*transpose)(int64_t rows, int64_t cols, double factor, const void *from, int64_t from_stride,
                      void *to, int64_t to_stride);

    /* Whether every element of a rows x cols matrix is neither infinite nor NaN. */
    int32_t (*all_finite)(int64_t rows, int64_t cols, const void *matrix, int64_t stride);

    /*
     * to[r * to_row + j * to_col] = the addend of row r, key j: -infinity where keep is 0 or bias is -infinity, else
     * bias * log2(e), kept finite where bias is. bias or keep may be NULL, strides may be anything.
     */
    void (*pack_addend)(int64_t rows, int64_t keys, const void *bias, int64_t bias_row, int64_t bias_col,
                        const uint8_t *keep, int64_t keep_row, int64_t keep_col, void *to, int64_t to_row,
                        int64_t to_col);

    /* See the struct. */
    void (*keep_weights)(const struct softattn_keep_weights *keep);

    /* One tile: scores, mask, running max and sum, weighted values. */
    void (*attention_tile)(const struct softattn_tile *tile);
    void (*decode_tile)(const struct softattn_decode_tile *tile);
    /*
     * As many times decode_tile, of 1 … SOFTATTN_MAX_DECODE_HEADS tiles: of heads whose keys lie side by side in memory, given in
     * the order of memory. That is read as it lies, a few keys of each head in turn. next_k is not looked at. NULL where
     * decode_heads_together is 1.
     */
    void (*decode_heads)(const struct softattn_decode_tile *const *tiles, int64_t count);

    /*
     * Folds a chunk's (out, max, sum) into the totals of the chunks before it:
     *   m = max(total_max, chunk_max), a = exp2(total_max - m), b = exp2(chunk_max - m)
     *   total_out = fma(total_out, a, chunk_out * b), total_sum likewise, total_max = m
     * Lane form: out is [dim][block], max and sum [block]; row form: out is [rows][dim].
     */
    void (*merge_lanes)(int64_t dim, int64_t block, void *total_out, void *total_max, void *total_sum,
                        const void *chunk_out, const void *chunk_max, const void *chunk_sum);
    void (*merge_rows)(int64_t rows, int64_t dim, void *total_out, int64_t total_stride, void *total_max,
                       void *total_sum, const void *chunk_out, int64_t chunk_stride, const void *chunk_max,
                       const void *chunk_sum);

    /*
     * Joins a sink logit if there is one, then factor[i] = keep_scale / sum (-1 for a row without a visible key) and
     * lse[i] = ln(2) * max + ln(sum), for n rows or lanes. sink: base-2 logits, or NULL. lse may be NULL.
     */
    void (*finish)(int64_t n, double keep_scale, const void *sink, const void *max, const void *sum,
                   void *factor, void *lse);

    /*
     * to[r * to_stride + c] = fma(from[c * block + r], factor[r], 0), or 0 where the factor is negative; c < dim, r < rows: the
     * lanes' outputs as rows.
     * `from` is used up.
     */
    void (*store_lanes)(int64_t rows, int64_t dim, int64_t block, void *from, const void *factor, void *to,
                        int64_t to_stride);
    /* to[r * to_stride + c] = fma(from[r * from_stride + c], factor[r], 0), or 0 where the factor is negative. */
    void (*store_rows)(int64_t rows, int64_t dim, const void *from, int64_t from_stride, const void *factor,
                       void *to, int64_t to_stride);

    /*
     * c[i * c_stride + j] = sum over p ascending of a[i * a_row + p * a_col] * b[p * b_stride + j], one fma chain from
     * 0 for each element: i < m, j < n, p < k.
     */
    void (*multiply)(int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row, int64_t a_col,
                     const void *b, int64_t b_stride, void *c, int64_t c_stride);

    /*
     * For linear attention, in place. elu_plus_one: x + 1 for x > 0, else exp2(x * log2(e)), of n values. add_rows:
     * to[r * stride + c] += from[r * stride + c]. divide_rows: each row's first cols values divided by its next one, or
     * by 1 without normalizes; a divisor of 0 gives 0; zeros become +0.
     */
    void (*elu_plus_one)(int64_t n, void *values);
    void (*add_rows)(int64_t rows, int64_t cols, int64_t stride, const void *from, void *to);
    void (*divide_rows)(int64_t rows, int64_t cols, int64_t stride, int32_t normalizes, void *values);
};

/* One row per instruction set of this build that this CPU runs. */
struct softattn_isa {
    const char *name;
    const struct softattn_kernels *f32, *f64;
};

/* The usable instruction sets, best first, and by name (NULL: not usable here). */
int32_t softattn_isas_usable(void);
const struct softattn_isa *softattn_isa_at(int32_t index);
const struct softattn_isa *softattn_isa_find(const char *name);

#endif
