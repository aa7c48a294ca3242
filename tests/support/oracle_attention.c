/*
 * The attention oracle.
 *
 * Bounds, with u the unit roundoff, per query i and key j:
 *   score      dot(q_i, k_j) in any order, q perhaps scaled before: the scale, its product and dim_qk
 *              additions give (dim_qk + 3) |scale| sum |q k|; soft-cap: division, tanh (4 ULP; its slope is
 *              at most 1) and product, 8 cap; bias and ALiBi, each perhaps times log2 e: 2|bias| + 3|alibi|,
 *              and each sum |s|. Their sum is a, in units of u.
 *   exponent   as in softmax, 3|s - m|, but m may be the largest score so far, which the later scale-down
 *              pays for.
 *   exp        2 ULP = 4 u. So e^(s - m) has the relative error d = u (a + 3|s - m| + 4).
 *   sums       seq_kv terms in any order, folded tile by tile of at least five keys: a fold costs at most
 *              five roundings more, exp included. n = seq_kv + 24 bounds both, relative to the sum of
 *              magnitudes.
 *   weights    p (d + D + n u), with D = sum of p d, the error that the denominator inherits.
 *   out        sum of p |v| (d + n u) + |out| (D + n u): numerator and denominator.
 *   lse        D + n u + u (4|log sum| + 3|m| + |lse|) + the score error of m.
 *   Probabilities below the smallest normal may be 0 wherever they appear: seq_kv times that, times the
 *   largest |v|.
 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>

/* One query of one head. */
typedef struct query_row {
    int64_t batch, head, head_kv, row; /* row counts queries of all heads and batches */
    int64_t index;
    int64_t offset; /* the query stands at position index + offset among the keys */
} query_row;

/* Scores of one query against all keys, then its weights. */
typedef struct query_scores {
    oracle_real *score; /* -infinity where masked */
    oracle_real *error; /* a of the derivation above */
    oracle_real *weight, *weight_error;
    bool *visible;
    oracle_real maximum, maximum_error, sum, denominator_error;
    bool is_nan;   /* a visible score is NaN or +infinity */
    bool is_empty; /* no visible score is above -infinity; there may be a sink */
} query_scores;

static int64_t key_end(const oracle_attention *p, int64_t batch) {
    return p->key_lengths ? p->key_lengths[batch] : p->seq_kv;
}

static int64_t query_end(const oracle_attention *p, int64_t batch) {
    return p->query_lengths ? p->query_lengths[batch] : p->seq_q;
}

static int64_t position_offset(const oracle_attention *p, int64_t batch) {
    switch (p->causal != ORACLE_CAUSAL_NONE ? p->causal : p->alignment) {
    case ORACLE_CAUSAL_BOTTOM_RIGHT: return key_end(p, batch) - query_end(p, batch);
    case ORACLE_CAUSAL_OFFSET: return p->offset;
    default: return 0;
    }
}

static bool is_visible(const oracle_attention *p, const query_row *query, int64_t key) {
    const int64_t at = query->row * p->seq_kv + key;
    const int64_t ahead = key - query->index - query->offset;
    if (query->index >= query_end(p, query->batch) || key >= key_end(p, query->batch)) {
        return false;
    }
    if (p->key_starts && key < p->key_starts[query->batch]) {
        return false;
    }
    if (p->causal != ORACLE_CAUSAL_NONE && ahead > 0) {
        return false;
    }
    if (p->has_window && ((p->window_left >= 0 && -ahead > p->window_left) ||
                          (p->window_right >= 0 && ahead > p->window_right))) {
        return false;
    }
    return !(p->keep && p->keep[at] == 0.0) && !(p->bias && p->bias[at] == -HUGE_VAL);
}

static query_row query_at(const oracle_attention *p, int64_t row) {
    const int64_t head = row / p->seq_q % p->heads_q;
    const int64_t batch = row / p->seq_q / p->heads_q;
    return (query_row){batch, head,           head / (p->heads_q / p->heads_kv),
                       row,   row % p->seq_q, position_offset(p, batch)};
}

bool oracle_attention_sees(const oracle_attention *p, int64_t batch, int64_t head, int64_t query,
                           int64_t key) {
    const query_row place = query_at(p, (batch * p->heads_q + head) * p->seq_q + query);
    return is_visible(p, &place, key);
}

/* The score of a visible key, and in *error what its rounding may come to in units of u. */
static oracle_real compute_score(const oracle_attention *p, const query_row *query, int64_t key,
                                 oracle_real *error) {
    const double *const q = p->q + query->row * p->dim_qk;
    const double *const k =
        p->k + ((query->batch * p->heads_kv + query->head_kv) * p->seq_kv + key) * p->dim_qk;
    oracle_real dot = 0, magnitude = 0;
    for (int64_t d = 0; d < p->dim_qk; d++) {
        dot += (oracle_real)q[d] * (oracle_real)k[d];
        magnitude += fabsl((oracle_real)q[d] * (oracle_real)k[d]);
    }
    oracle_real score = (oracle_real)p->scale * dot;
    /* an infinite product has no rounding, and with a soft-cap makes a finite score */
    *error = isinf(score) ? 0 : (oracle_real)(p->dim_qk + 3) * fabsl((oracle_real)p->scale) * magnitude;
    if (p->softcap > 0) {
        score = (oracle_real)p->softcap * tanhl(score / (oracle_real)p->softcap);
        *error += 8 * (oracle_real)p->softcap;
    }
    if (p->bias) {
        const oracle_real bias = (oracle_real)p->bias[query->row * p->seq_kv + key];
        score += bias;
        *error += 2 * fabsl(bias) + fabsl(score);
    }
    if (p->alibi_slopes) {
        const oracle_real distance = fabsl((oracle_real)(query->index + query->offset - key));
        const oracle_real alibi =
            (oracle_real)p->alibi_slopes[query->batch * p->heads_q + query->head] * distance;
        score -= alibi;
        *error += 3 * fabsl(alibi) + fabsl(score);
    }
    return score;
}

static void compute_scores(const oracle_attention *p, const query_row *query, query_scores *s) {
    const bool has_sink = p->sinks && query->index < query_end(p, query->batch);
    s->maximum = has_sink ? (oracle_real)p->sinks[query->head] : -HUGE_VALL;
    s->maximum_error = has_sink ? 2 * fabsl(s->maximum) : 0;
    s->is_nan = isnan(s->maximum) || s->maximum == HUGE_VALL;
    s->is_empty = true;
    for (int64_t key = 0; key < p->seq_kv; key++) {
        s->score[key] = -HUGE_VALL;
        s->error[key] = 0;
        s->visible[key] = is_visible(p, query, key);
        if (!s->visible[key]) {
            continue;
        }
        oracle_real error;
        const oracle_real score = compute_score(p, query, key, &error);
        if (isnan(score) || score == HUGE_VALL) {
            s->is_nan = true;
        } else if (score > -HUGE_VALL) {
            s->score[key] = score;
            s->error[key] = error;
            s->is_empty = false;
            if (score > s->maximum) {
                s->maximum = score;
                s->maximum_error = error;
            }
        }
    }
}

static void compute_weights(const oracle_attention *p, const query_row *query, query_scores *s) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real n = (oracle_real)(p->seq_kv + 24);
    oracle_real weighted_error = 0;
    s->sum = p->sinks ? expl((oracle_real)p->sinks[query->head] - s->maximum) : 0;
    for (int64_t key = 0; key < p->seq_kv; key++) {
        const oracle_real distance = s->score[key] - s->maximum;
        s->weight[key] = expl(distance);
        s->weight_error[key] = s->weight[key] > 0 ? u * (s->error[key] + 3 * fabsl(distance) + 4 + n) : 0;
        s->sum += s->weight[key];
        weighted_error += s->weight[key] * s->weight_error[key];
    }
    s->denominator_error = weighted_error / s->sum + n * u;
    for (int64_t key = 0; key < p->seq_kv; key++) {
        s->weight[key] /= s->sum;
    }
}

static void store_weights_and_lse(const oracle_attention *p, int64_t row, const query_scores *s,
                                  oracle_attention_results *results) {
    const oracle_real u = (oracle_real)p->precision.unit_roundoff;
    const oracle_real smallest = (oracle_real)p->precision.smallest_normal;
    for (int64_t key = 0; key < p->seq_kv; key++) {
        const int64_t at = row * p->seq_kv + key;
        results->weights.value[at] = s->weight[key];
        if (s->score[key] > -HUGE_VALL) {
            results->weights.bound[at] =
                s->weight[key] * (s->weight_error[key] + s->denominator_error) + smallest;
        }
    }
    const oracle_real log_sum = logl(s->sum);
    const oracle_real lse = s->maximum + log_sum;
    results->lse.value[row] = lse;
    results->lse.bound[row] = s->denominator_error + u * (s->maximum_error + 4 * fabsl(log_sum) +
                                                          3 * fabsl(s->maximum) + fabsl(lse));
}

/* Weight of a key as the sum over values sees it. */
static oracle_real dropped_out_weight(const oracle_attention *p, const query_row *query, int64_t key,
                                      oracle_real weight) {
    if (!p->dropout_keep) {
        return weight;
    }
    const bool kept = p->dropout_keep(p->dropout_user, query->batch, query->head, query->index, key);
    return kept ? weight / (1 - (oracle_real)p->dropout_probability) : 0;
}

static void store_output(const oracle_attention *p, const query_row *query, const query_scores *s,
                         oracle_attention_results *results) {
    const oracle_real smallest = (oracle_real)p->precision.smallest_normal;
    const double *const v = p->v + (query->batch * p->heads_kv + query->head_kv) * p->seq_kv * p->dim_v;
    for (int64_t d = 0; d < p->dim_v; d++) {
        oracle_real out = 0, bound = 0, largest = 0;
        for (int64_t key = 0; key < p->seq_kv; key++) {
            if (!s->visible[key]) {
                continue;
            }
            const oracle_real weight = dropped_out_weight(p, query, key, s->weight[key]);
            const oracle_real value = (oracle_real)v[key * p->dim_v + d];
            out += weight * value;
            bound += weight * fabsl(value) * s->weight_error[key];
            largest = fmaxl(largest, fabsl(value));
        }
        const int64_t at = query->row * p->dim_v + d;
        results->out.value[at] = out;
        results->out.bound[at] =
            bound + fabsl(out) * s->denominator_error + smallest * ((oracle_real)p->seq_kv * largest + 1);
    }
}

static void fill(oracle_result *result, int64_t row, int64_t width, oracle_real value) {
    for (int64_t i = 0; i < width; i++) {
        result->value[row * width + i] = value;
    }
}

static void compute_query(const oracle_attention *p, const query_row *query, query_scores *s,
                          oracle_attention_results *results) {
    compute_scores(p, query, s);
    if (s->is_nan) {
        fill(&results->out, query->row, p->dim_v, (oracle_real)NAN);
        fill(&results->weights, query->row, p->seq_kv, (oracle_real)NAN);
        fill(&results->lse, query->row, 1, (oracle_real)NAN);
    } else if (s->maximum == -HUGE_VALL) {
        fill(&results->lse, query->row, 1, -HUGE_VALL);
    } else {
        compute_weights(p, query, s);
        store_weights_and_lse(p, query->row, s, results);
        if (!s->is_empty) {
            store_output(p, query, s, results);
        }
    }
}

oracle_attention_results oracle_attention_compute(const oracle_attention *p) {
    const int64_t rows = p->batch * p->heads_q * p->seq_q;
    oracle_attention_results results = {oracle_result_create(rows * p->dim_v), oracle_result_create(rows),
                                        oracle_result_create(rows * p->seq_kv)};
    oracle_result scores = oracle_result_create(p->seq_kv);
    oracle_result weights = oracle_result_create(p->seq_kv);
    query_scores scratch = {.score = scores.value,
                            .error = scores.bound,
                            .weight = weights.value,
                            .weight_error = weights.bound,
                            .visible =
                                calloc(p->seq_kv > 0 ? (size_t)p->seq_kv : 1, sizeof *scratch.visible)};
    if (!scratch.visible) {
        abort();
    }
    for (int64_t row = 0; row < rows; row++) {
        const query_row query = query_at(p, row);
        compute_query(p, &query, &scratch, &results);
    }
    free(scratch.visible);
    oracle_result_destroy(&weights);
    oracle_result_destroy(&scores);
    return results;
}

void oracle_attention_results_destroy(oracle_attention_results *results) {
    oracle_result_destroy(&results->out);
    oracle_result_destroy(&results->lse);
    oracle_result_destroy(&results->weights);
}
