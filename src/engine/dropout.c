/* Philox4x32-10 and the dropout mask made of it. */
#include "engine/dropout.h"

/* Multipliers and key increments (Weyl constants) of Philox4x32, from the paper named in dropout.h. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0       0x9E3779B9u
#define WEYL_1       0xBB67AE85u

static void philox(uint32_t counter[4], uint32_t key_0, uint32_t key_1) {
    for (int round = 0; round < 10; round++) {
        const uint64_t product_0 = (uint64_t)MULTIPLIER_0 * counter[0];
        const uint64_t product_1 = (uint64_t)MULTIPLIER_1 * counter[2];
        const uint32_t next_0 = (uint32_t)(product_1 >> 32) ^ counter[1] ^ key_0;
        const uint32_t next_2 = (uint32_t)(product_0 >> 32) ^ counter[3] ^ key_1;
        counter[0] = next_0;
        counter[1] = (uint32_t)product_1;
        counter[2] = next_2;
        counter[3] = (uint32_t)product_0;
        key_0 += WEYL_0;
        key_1 += WEYL_1;
    }
}

struct softattn_dropout softattn_dropout_make(double probability, uint64_t seed, uint64_t offset) {
    const double scaled = probability * 4294967296.0; /* exact */
    const uint64_t whole = (uint64_t)scaled;
    return (struct softattn_dropout){seed, offset, whole + ((double)whole < scaled)};
}

void softattn_dropout_keep(const struct softattn_dropout *dropout, int64_t head_index, int64_t query,
                           int64_t first_key, int64_t keys, uint8_t *keep) {
    uint32_t words[4] = {0, 0, 0, 0};
    for (int64_t i = 0; i < keys; i++) {
        const int64_t key = first_key + i;
        if (i == 0 || key % 4 == 0) {
            words[0] = (uint32_t)(key / 4);
            words[1] = (uint32_t)query;
            words[2] = (uint32_t)head_index + (uint32_t)(dropout->offset >> 32);
            words[3] = (uint32_t)dropout->offset;
            philox(words, (uint32_t)dropout->seed, (uint32_t)(dropout->seed >> 32));
        }
        keep[i] = words[key % 4] >= dropout->threshold;
    }
}
