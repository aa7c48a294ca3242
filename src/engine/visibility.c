/* Sequences of a batch and the interval of keys that a query may see. */
#include "engine/visibility.h"

#include <stddef.h>

#include "engine/integers.h"

static int64_t clamp_length(int64_t length, int64_t most) { return max_i64(0, min_i64(length, most)); }

static int64_t alignment_offset(const struct softattn_attention_problem *problem, int64_t queries,
                                int64_t keys) {
    switch (problem->causal != SOFTATTN_ALIGN_NONE ? problem->causal : problem->align) {
    case SOFTATTN_ALIGN_BOTTOM_RIGHT: return keys - queries;
    case SOFTATTN_ALIGN_OFFSET: return problem->causal_offset;
    case SOFTATTN_ALIGN_NONE:
    case SOFTATTN_ALIGN_TOP_LEFT: break;
    }
    return 0;
}

struct softattn_sequence softattn_sequence_at(const struct softattn_attention_problem *problem,
                                              int64_t index) {
    struct softattn_sequence sequence = {.batch = index, .queries = problem->seq_q, .keys = problem->seq_kv};
    if (problem->query_offsets != NULL) {
        sequence.batch = 0;
        sequence.query_base = problem->query_offsets[index];
        sequence.key_base = problem->key_offsets[index];
        sequence.queries = problem->query_offsets[index + 1] - sequence.query_base;
        sequence.keys = problem->key_offsets[index + 1] - sequence.key_base;
    }
    sequence.rows = sequence.queries;
    if (problem->query_lengths != NULL) {
        sequence.queries = clamp_length(problem->query_lengths[index], sequence.queries);
    }
    if (problem->key_lengths != NULL) {
        sequence.keys = clamp_length(problem->key_lengths[index], sequence.keys);
    }
    if (problem->key_starts != NULL) {
        sequence.key_start = clamp_length(problem->key_starts[index], sequence.keys);
    }
    sequence.offset = alignment_offset(problem, sequence.queries, sequence.keys);
    return sequence;
}

/* a + b, held inside the range in which keys are counted so that no sum here can overflow. */
static int64_t near_sum(int64_t a, int64_t b) {
    const int64_t far = INT64_MAX / 4;
    return max_i64(-far, min_i64(a, far)) + max_i64(-far, min_i64(b, far));
}

static inline struct softattn_interval interval_of(const struct softattn_attention_problem *problem,
                                                   const struct softattn_sequence *sequence, int64_t query) {
    struct softattn_interval interval = {sequence->key_start, sequence->keys};
    const int64_t position = near_sum(query, sequence->offset);
    if (problem->causal != SOFTATTN_ALIGN_NONE) {
        interval.high = min_i64(interval.high, near_sum(position, 1));
    }
    if (problem->window_left >= 0) {
        interval.low = max_i64(interval.low, near_sum(position, -problem->window_left));
    }
    if (problem->window_right >= 0) {
        interval.high = min_i64(interval.high, near_sum(near_sum(position, problem->window_right), 1));
    }
    if (query >= sequence->queries) {
        interval.high = 0; /* padding after the sequence */
    }
    interval.high = max_i64(interval.high, 0);
    interval.low = min_i64(interval.low, sequence->keys);
    return interval;
}

struct softattn_interval softattn_visible_keys(const struct softattn_attention_problem *problem,
                                               const struct softattn_sequence *sequence, int64_t query) {
    return interval_of(problem, sequence, query);
}

void softattn_visible_intervals(const struct softattn_attention_problem *problem,
                                const struct softattn_sequence *sequence, int64_t query, int64_t count,
                                struct softattn_interval *intervals) {
    for (int64_t i = 0; i < count; i++) {
        intervals[i] = interval_of(problem, sequence, query + i);
    }
}
