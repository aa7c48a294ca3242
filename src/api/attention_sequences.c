/* Lengths, starts and offsets of sequences: what engines would otherwise follow out of the tensors. */
#include "api/attention_sequences.h"

#include <inttypes.h>
#include <stddef.h>

#include "api/status.h"
#include "softattn/softattn.h"

/* Fails unless each element of list, where given, is at most `most` and at least 0 or, if they ascend, the one
 * before. */
static int32_t check_list(const char *name, const int32_t *list, int64_t elements, bool ascends,
                          int64_t most) {
    int32_t least = 0;
    for (int64_t i = 0; list != NULL && i < elements; i++) {
        if (list[i] < least || list[i] > most) {
            return softattn_fail(SOFTATTN_ERROR_ARGUMENT,
                                 "%s: element %" PRId64 " is %" PRId32 ", outside %" PRId32 " ... %" PRId64,
                                 name, i, list[i], least, most);
        }
        least = ascends ? list[i] : 0;
    }
    return SOFTATTN_OK;
}

int32_t softattn_attention_check_sequences(const struct softattn_attention_problem *problem) {
    const int64_t sequences = problem->batch;
    const struct {
        const char *name;
        const int32_t *list;
        int64_t elements;
        bool ascends;
        int64_t most;
    } lists[] = {
        {"query_lengths", problem->query_lengths, sequences, false, problem->seq_q},
        {"key_lengths", problem->key_lengths, sequences, false, problem->seq_kv},
        {"key_starts", problem->key_starts, sequences, false, problem->seq_kv},
        {"query_offsets", problem->query_offsets, sequences + 1, true, problem->seq_q},
        {"key_offsets", problem->key_offsets, sequences + 1, true, problem->seq_kv},
    };
    int32_t status = SOFTATTN_OK;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && status == SOFTATTN_OK; i++) {
        status = check_list(lists[i].name, lists[i].list, lists[i].elements, lists[i].ascends, lists[i].most);
    }
    return status;
}
