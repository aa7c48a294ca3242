/* The dropout mask of some queries and keys. */
#include "engine/dropout.h"

#include <stdbool.h>

struct softattn_dropout softattn_dropout_make(double probability, uint64_t seed, uint64_t offset) {
    const double scaled = probability * 4294967296.0; /* exact */
    const uint64_t whole = (uint64_t)scaled;
    return (struct softattn_dropout){seed, offset, whole + ((double)whole < scaled)};
}

void softattn_dropout_keep(const struct softattn_dropout *dropout, const struct softattn_kernels *kernels,
                           const struct softattn_dropout_part *part, void *to, int64_t query_stride,
                           int64_t key_stride) {
    const int64_t groups = (part->keys + 3) / 4;
    const bool along_queries = query_stride == 1;
    const int64_t lines = along_queries ? groups : part->queries;
    struct softattn_keep_weights keep = {.threshold = (int64_t)dropout->threshold};
    keep.counters = along_queries ? part->queries : groups;
    keep.step[0] = !along_queries;
    keep.step[1] = along_queries;
    keep.key[0] = (uint32_t)dropout->seed;
    keep.key[1] = (uint32_t)(dropout->seed >> 32);
    keep.counter_stride = along_queries ? query_stride : 4 * key_stride;
    keep.word_stride = key_stride;
    keep.counter[2] = (uint32_t)part->head_index + (uint32_t)(dropout->offset >> 32);
    keep.counter[3] = (uint32_t)dropout->offset;
    for (int64_t line = 0; line < lines; line++) {
        keep.counter[0] = (uint32_t)(part->first_key / 4 + (along_queries ? line : 0));
        keep.counter[1] = (uint32_t)(part->first_query + (along_queries ? 0 : line));
        keep.to = (char *)to + line * (along_queries ? 4 * key_stride : query_stride) * kernels->real_bytes;
        kernels->keep_weights(&keep);
    }
}
