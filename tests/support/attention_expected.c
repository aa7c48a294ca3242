/*
 * What should come out of attention problems: each sequence by itself through the oracle, which knows neither
 * packing nor blocks.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One sequence of a case as a problem of the oracle, with the contiguous copies that it points to. */
typedef struct sequence_problem {
    attention_sequence sequence;
    oracle_attention oracle;
    double *q, *k, *v, *bias, *keep, *slopes, *sinks;
    int64_t query_length, key_length, key_start;
    dropout_mask dropout;
} sequence_problem;

/* ---- From a case to its sequences ---------------------------------------------------------------------- */

static double *allocate(int64_t count) {
    double *const values = malloc((size_t)(count > 0 ? count : 1) * sizeof *values);
    if (!values) {
        abort();
    }
    return values;
}

/* [heads][rows][cols] from (batch, ·, row, col) on of an array that broadcasts to shape[4]. */
static double *cut(const test_array *array, const int64_t *shape, int64_t batch, int64_t row, int64_t rows,
                   int64_t col, int64_t cols) {
    double *const all = array_read(array, 4, shape);
    double *const part = allocate(shape[1] * rows * cols);
    for (int64_t i = 0; i < shape[1] * rows; i++) {
        const int64_t head = i / rows;
        const double *const from =
            all + ((batch * shape[1] + head) * shape[2] + row + i % rows) * shape[3] + col;
        for (int64_t j = 0; j < cols; j++) {
            part[i * cols + j] = from[j];
        }
    }
    free(all);
    return part;
}

/* The keep mask of the sequence with the block mask worked in; NULL: neither is given. */
static double *cut_keep(const attention_case *c, const attention_sequence *s) {
    const attention_options *const o = &c->options;
    const int64_t shape[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    double *keep =
        o->has_keep ? cut(&c->keep, shape, s->batch, s->first_query, s->rows, s->first_key, s->keys) : NULL;
    if (o->block_k == 0) {
        return keep;
    }
    const int64_t blocks[4] = {o->batch, o->heads_q, (o->seq_q + o->block_q - 1) / o->block_q,
                               (o->seq_kv + o->block_k - 1) / o->block_k};
    double *const map = array_read(&c->block_mask, 4, blocks);
    double *const both = allocate(o->heads_q * s->rows * s->keys);
    for (int64_t i = 0; i < o->heads_q * s->rows * s->keys; i++) {
        const int64_t head = i / s->keys / s->rows;
        const int64_t row = (s->batch * o->heads_q + head) * blocks[2] + i / s->keys % s->rows / o->block_q;
        both[i] = map[row * blocks[3] + i % s->keys / o->block_k] != 0.0 && (!keep || keep[i] != 0.0);
    }
    free(map);
    free(keep);
    return both;
}

static bool keeps(void *user, int64_t batch, int64_t head, int64_t query, int64_t key) {
    const sequence_problem *const p = user;
    (void)batch; /* of the oracle's problem: 0 */
    return dropout_mask_keeps(&p->dropout, p->sequence.index * p->oracle.heads_q + head, query, key);
}

static void copy_operands(const attention_case *c, sequence_problem *p) {
    const attention_options *const o = &c->options;
    const attention_sequence *const s = &p->sequence;
    const int64_t scores[4] = {o->batch, o->heads_q, o->seq_q, o->seq_kv};
    const int64_t slopes[2] = {attention_case_sequences(c), o->heads_q};
    p->q = cut(&c->q, c->q.shape, s->batch, s->first_query, s->rows, 0, o->dim_qk);
    p->k = cut(&c->k, c->k.shape, s->batch, s->first_key, s->keys, 0, o->dim_qk);
    p->v = cut(&c->v, c->v.shape, s->batch, s->first_key, s->keys, 0, o->dim_v);
    p->keep = cut_keep(c, s);
    if (o->has_bias) {
        p->bias = cut(&c->bias, scores, s->batch, s->first_query, s->rows, s->first_key, s->keys);
    }
    if (o->has_alibi) {
        p->slopes = array_read(&c->alibi, 2, slopes);
    }
    if (o->has_sink) {
        p->sinks = array_read(&c->sink, 1, &slopes[1]);
    }
}

/* Lengths are those of the tensors, which may reach beyond a packed sequence. */
static int64_t read_length(const test_array *list, const attention_sequence *s, int64_t most) {
    const int64_t length = (int64_t)array_get(list, s->index);
    return length < most ? length : most;
}

static void copy_lengths(const attention_case *c, sequence_problem *p) {
    const attention_sequence *const s = &p->sequence;
    if (c->options.has_query_lengths) {
        p->query_length = read_length(&c->query_lengths, s, s->rows);
        p->oracle.query_lengths = &p->query_length;
    }
    if (c->options.has_key_lengths) {
        p->key_length = read_length(&c->key_lengths, s, s->keys);
        p->oracle.key_lengths = &p->key_length;
    }
    if (c->options.has_key_starts) {
        p->key_start = read_length(&c->key_starts, s, s->keys);
        p->oracle.key_starts = &p->key_start;
    }
}

static sequence_problem *create_problem(const attention_case *c, int64_t index) {
    const attention_options *const o = &c->options;
    sequence_problem *const p = calloc(1, sizeof *p);
    if (!p) {
        abort();
    }
    p->sequence = attention_case_sequence(c, index);
    copy_operands(c, p);
    p->oracle = (oracle_attention){
        .batch = 1,
        .heads_q = o->heads_q,
        .heads_kv = o->heads_kv,
        .seq_q = p->sequence.rows,
        .seq_kv = p->sequence.keys,
        .dim_qk = o->dim_qk,
        .dim_v = o->dim_v,
        .q = p->q,
        .k = p->k,
        .v = p->v,
        .scale = o->has_scale ? o->scale : 1.0 / sqrt((double)o->dim_qk),
        .softcap = o->softcap,
        .bias = p->bias,
        .keep = p->keep,
        .alibi_slopes = p->slopes ? p->slopes + index * o->heads_q : NULL,
        .sinks = p->sinks,
        .causal = (oracle_causal)o->causal,
        .alignment = (oracle_causal)o->alignment,
        .offset = o->offset,
        .has_window = o->has_window,
        .window_left = o->window_left,
        .window_right = o->window_right,
        .dropout_keep = o->dropout > 0 ? keeps : NULL,
        .dropout_user = p,
        .dropout_probability = o->dropout,
        .precision = o->type == ARRAY_F32 ? oracle_f32 : oracle_f64,
    };
    p->dropout = (dropout_mask){o->dropout, o->dropout_seed, o->dropout_offset};
    copy_lengths(c, p);
    return p;
}

static void destroy_problem(sequence_problem *p) {
    double *const copies[] = {p->q, p->k, p->v, p->bias, p->keep, p->slopes, p->sinks};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        free(copies[i]);
    }
    free(p);
}

/* ---- From sequences back to the case ------------------------------------------------------------------- */

/* Rows of a sequence's result, [heads][rows][cols], to the whole's, at column `col` of rows of `width`. The
 * other columns belong to no key of the sequence. */
static void put_rows(const attention_case *c, const attention_sequence *s, const oracle_result *from,
                     int64_t cols, int64_t col, int64_t width, const oracle_result *lse, oracle_result *to) {
    for (int64_t i = 0; i < c->options.heads_q * s->rows; i++) {
        const int64_t head = s->batch * c->options.heads_q + i / s->rows;
        const int64_t row = head * c->options.seq_q + s->first_query + i % s->rows;
        const oracle_real hidden = isnan(lse->value[i]) ? (oracle_real)NAN : 0;
        for (int64_t j = 0; j < width; j++) {
            const bool inside = j >= col && j < col + cols;
            to->value[row * width + j] = inside ? from->value[i * cols + j - col] : hidden;
            to->bound[row * width + j] = inside ? from->bound[i * cols + j - col] : 0;
        }
    }
}

/* Nothing may be written to rows that belong to no sequence. */
static oracle_result create_unwritten(int64_t count) {
    const oracle_result result = oracle_result_create(count);
    for (int64_t i = 0; i < count; i++) {
        result.bound[i] = COMPARE_UNWRITTEN;
    }
    return result;
}

oracle_attention_results attention_case_expected(const attention_case *c) {
    const attention_options *const o = &c->options;
    const int64_t rows = o->batch * o->heads_q * o->seq_q;
    oracle_attention_results whole = {create_unwritten(rows * o->dim_v), create_unwritten(rows),
                                      create_unwritten(o->wants_weights ? rows * o->seq_kv : 0)};
    for (int64_t i = 0; i < attention_case_sequences(c); i++) {
        sequence_problem *const p = create_problem(c, i);
        oracle_attention_results part = oracle_attention_compute(&p->oracle);
        put_rows(c, &p->sequence, &part.out, o->dim_v, 0, o->dim_v, &part.lse, &whole.out);
        put_rows(c, &p->sequence, &part.lse, 1, 0, 1, &part.lse, &whole.lse);
        if (o->wants_weights) {
            put_rows(c, &p->sequence, &part.weights, p->sequence.keys, p->sequence.first_key, o->seq_kv,
                     &part.lse, &whole.weights);
        }
        oracle_attention_results_destroy(&part);
        destroy_problem(p);
    }
    return whole;
}

bool *attention_case_visible(const attention_case *c) {
    const attention_options *const o = &c->options;
    bool *const visible = calloc((size_t)(o->batch * o->heads_q * o->seq_q * o->seq_kv), sizeof *visible);
    if (!visible) {
        abort();
    }
    for (int64_t i = 0; i < attention_case_sequences(c); i++) {
        sequence_problem *const p = create_problem(c, i);
        const attention_sequence *const s = &p->sequence;
        for (int64_t j = 0; j < o->heads_q * s->rows; j++) {
            const int64_t head = j / s->rows, query = j % s->rows;
            const int64_t row = (s->batch * o->heads_q + head) * o->seq_q + s->first_query + query;
            for (int64_t key = 0; key < s->keys; key++) {
                visible[row * o->seq_kv + s->first_key + key] =
                    oracle_attention_sees(&p->oracle, 0, head, query, key);
            }
        }
        destroy_problem(p);
    }
    return visible;
}

/* ---- Comparison ---------------------------------------------------------------------------------------- */

int64_t attention_case_differences_from(attention_case *c, const softattn_context *context,
                                        const oracle_attention_results *expected) {
    if (attention_case_run(c, context) != SOFTATTN_OK) {
        fprintf(stderr, "run failed: %s\n", last_error());
        return 1;
    }
    int64_t differences = compare_with_oracle("out", &c->out, &expected->out) +
                          compare_with_oracle("lse", &c->lse, &expected->lse) +
                          !array_gaps_untouched(&c->out) + !array_gaps_untouched(&c->lse);
    if (c->options.wants_weights) {
        differences += compare_with_oracle("weights", &c->weights, &expected->weights);
        differences += !array_gaps_untouched(&c->weights);
    }
    return differences;
}

int64_t attention_case_differences(attention_case *c, const softattn_context *context) {
    oracle_attention_results expected = attention_case_expected(c);
    const int64_t differences = attention_case_differences_from(c, context, &expected);
    oracle_attention_results_destroy(&expected);
    return differences;
}

int64_t attention_case_differing_bits(const attention_case *actual, const attention_case *expected) {
    int64_t differences = compare_bits_or_unwritten("out", &actual->out, &expected->out) +
                          compare_bits_or_unwritten("lse", &actual->lse, &expected->lse);
    if (actual->options.wants_weights) {
        differences += compare_bits_or_unwritten("weights", &actual->weights, &expected->weights);
    }
    return differences;
}
