/*
 * The oracle: softmax and attention straight from their formulas in docs/semantics.md, in long double with
 * plain loops over contiguous arrays. It shares nothing with the library, not even the public header.
 *
 * Beside every value it gives a bound: how far a result computed with unit roundoff u may honestly lie from
 * it. The derivations stand above the code that computes them.
 */
#ifndef TEST_SUPPORT_ORACLE_H
#define TEST_SUPPORT_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

typedef long double oracle_real;

typedef enum oracle_causal {
    ORACLE_CAUSAL_NONE,
    ORACLE_CAUSAL_TOP_LEFT,
    ORACLE_CAUSAL_BOTTOM_RIGHT,
    ORACLE_CAUSAL_OFFSET
} oracle_causal;

/* The type that the tested code computes in. */
typedef struct oracle_precision {
    double unit_roundoff;   /* half the distance from 1 to the next number */
    double smallest_normal; /* results below it may become 0 */
} oracle_precision;

extern const oracle_precision oracle_f32, oracle_f64;

/* Values with their bounds; both NULL where not wanted. */
typedef struct oracle_result {
    oracle_real *value;
    oracle_real *bound;
    int64_t count;
} oracle_result;

oracle_result oracle_result_create(int64_t count);
void oracle_result_destroy(oracle_result *result);

/* ---- Softmax of rows ----------------------------------------------------------------------------------- */

typedef enum oracle_empty_row { ORACLE_EMPTY_ROW_NAN, ORACLE_EMPTY_ROW_ZERO } oracle_empty_row;

typedef struct oracle_softmax {
    int64_t rows, cols;
    const double *x; /* [rows][cols] */
    double scale;
    const double *bias;    /* [rows][cols] or NULL */
    const double *keep;    /* [rows][cols], 0 = masked, or NULL */
    const double *lengths; /* [rows] or NULL */
    oracle_causal causal;  /* row r is query r % queries */
    int64_t queries, offset;
    bool log_probabilities;
    oracle_empty_row empty_row;
    oracle_precision precision;
} oracle_softmax;

typedef struct oracle_softmax_results {
    oracle_result y;            /* [rows][cols] */
    oracle_result lse, row_max; /* [rows] */
} oracle_softmax_results;

oracle_softmax_results oracle_softmax_compute(const oracle_softmax *problem);
void oracle_softmax_results_destroy(oracle_softmax_results *results);

/* ---- Attention ----------------------------------------------------------------------------------------- */

/* Whether dropout keeps the weight of this query and key. */
typedef bool (*oracle_dropout_keep)(void *user, int64_t batch, int64_t head, int64_t query, int64_t key);

/* A zeroed struct is attention without any extra; scale must be set. */
typedef struct oracle_attention {
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim_qk, dim_v;
    const double *q, *k, *v; /* [batch][heads][seq][dim] */
    double scale;
    double softcap;             /* 0: none */
    const double *bias, *keep;  /* [batch][heads_q][seq_q][seq_kv] or NULL; keep: 0 = masked */
    const double *alibi_slopes; /* [batch][heads_q] or NULL */
    const double *sinks;        /* [heads_q] or NULL */
    oracle_causal causal;
    oracle_causal alignment; /* where causal is NONE: how positions correspond, for the window and ALiBi */
    int64_t offset;          /* with ORACLE_CAUSAL_OFFSET of either */
    bool has_window; /* query i sees keys i + offset - left … i + offset + right; -1: no bound on that side */
    int64_t window_left, window_right;
    const int64_t *query_lengths,
        *key_lengths;                 /* [batch] or NULL: queries and keys from there on do not exist */
    const int64_t *key_starts;        /* [batch] or NULL: keys before it do not exist */
    oracle_dropout_keep dropout_keep; /* NULL: no dropout */
    void *dropout_user;
    double dropout_probability;
    oracle_precision precision;
} oracle_attention;

typedef struct oracle_attention_results {
    oracle_result out;     /* [batch][heads_q][seq_q][dim_v] */
    oracle_result lse;     /* [batch][heads_q][seq_q] */
    oracle_result weights; /* [batch][heads_q][seq_q][seq_kv], before dropout */
} oracle_attention_results;

oracle_attention_results oracle_attention_compute(const oracle_attention *problem);
void oracle_attention_results_destroy(oracle_attention_results *results);

/* Whether every mask lets this query see this key. */
bool oracle_attention_sees(const oracle_attention *problem, int64_t batch, int64_t head, int64_t query,
                           int64_t key);

/* ---- Merging of partial attention ---------------------------------------------------------------------- */

/* Results over parts of the keys; their bounds say how far what is merged may lie from their values. */
typedef struct oracle_merge {
    int64_t parts, rows, dim;
    const oracle_result *outs; /* [parts], each [rows][dim] */
    const oracle_result *lses; /* [parts], each [rows] */
    oracle_precision precision;
} oracle_merge;

typedef struct oracle_merge_results {
    oracle_result out; /* [rows][dim] */
    oracle_result lse; /* [rows] */
} oracle_merge_results;

oracle_merge_results oracle_merge_compute(const oracle_merge *problem);
void oracle_merge_results_destroy(oracle_merge_results *results);

#endif
