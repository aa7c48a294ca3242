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

struct softattn_extent softattn_extent_of_axes(const struct softattn_attention_problem *problem) {
    const double batch = (double)problem->batch;
    return (struct softattn_extent){problem->seq_q, problem->seq_kv, batch * (double)problem->seq_q,
                                    batch * (double)problem->seq_kv};
}

struct softattn_extent softattn_longest_sequence(const struct softattn_attention_problem *problem) {
    struct softattn_extent longest = softattn_extent_of_axes(problem);
    if (problem->query_offsets == NULL && problem->key_lengths == NULL) {
        return longest;
    }
    longest = (struct softattn_extent){0, 0, 0, 0};
    for (int64_t i = 0; i < problem->batch; i++) {
        const struct softattn_sequence sequence = softattn_sequence_at(problem, i);
        longest.queries = max_i64(longest.queries, sequence.rows);
        longest.keys = max_i64(longest.keys, sequence.keys);
        longest.all_queries += (double)sequence.rows;
        longest.all_keys += (double)sequence.keys;
    }
    return longest;
}

/* a + b, held inside the range in which keys are counted so that no sum here can overflow. */
static int64_t near_sum(int64_t a, int64_t b) {
    const int64_t far = INT64_MAX / 4;
    return max_i64(-far, min_i64(a, far)) + max_i64(-far, min_i64(b, far));
}

/* Keys that a query would see in a sequence without ends. The next query's begin and end one later. */
static struct softattn_interval endless_interval(const struct softattn_attention_problem *problem,
                                                 const struct softattn_sequence *sequence, int64_t query) {
    const int64_t position = near_sum(query, sequence->offset);
    struct softattn_interval interval = {near_sum(0, INT64_MIN), near_sum(0, INT64_MAX)};
    if (problem->causal != SOFTATTN_ALIGN_NONE) {
        interval.high = near_sum(position, 1);
    }
    if (problem->window_left >= 0) {
        interval.low = near_sum(position, -problem->window_left);
    }
    if (problem->window_right >= 0) {
        interval.high = min_i64(interval.high, near_sum(near_sum(position, problem->window_right), 1));
    }
    return interval;
}

void softattn_visible_intervals(const struct softattn_attention_problem *problem,
                                const struct softattn_sequence *sequence, int64_t query, int64_t count,
                                struct softattn_interval *intervals) {
    const struct softattn_interval endless = endless_interval(problem, sequence, query);
    const int64_t start = sequence->key_start, keys = sequence->keys;
    for (int64_t i = 0; i < count; i++) {
        const bool is_padding = query + i >= sequence->queries; /* after the sequence */
        intervals[i].low = min_i64(max_i64(start, endless.low + i), keys);
        intervals[i].high = is_padding ? 0 : max_i64(min_i64(keys, endless.high + i), 0);
    }
}

struct softattn_interval softattn_visible_keys(const struct softattn_attention_problem *problem,
                                               const struct softattn_sequence *sequence, int64_t query) {
    struct softattn_interval interval;
    softattn_visible_intervals(problem, sequence, query, 1, &interval);
    return interval;
}
