/*
 * Philox4x32-10 and the dropout mask.
 */
#include "philox.h"

/* One round: two 32 x 32 -> 64 bit products; low halves move on, high halves are mixed with the other words. */
static philox_block mix(philox_block in, uint32_t key_low, uint32_t key_high) {
    const uint64_t even = (uint64_t)in.word[0] * UINT32_C(0xD2511F53);
    const uint64_t odd = (uint64_t)in.word[2] * UINT32_C(0xCD9E8D57);
    const philox_block out = {{(uint32_t)(odd >> 32) ^ in.word[1] ^ key_low, (uint32_t)odd,
                               (uint32_t)(even >> 32) ^ in.word[3] ^ key_high, (uint32_t)even}};
    return out;
}

philox_block philox4x32_10(philox_block counter, uint32_t key_low, uint32_t key_high) {
    /* round r runs under key + r times the golden ratio and sqrt(3) - 1, in units of 2^-32 */
    for (uint32_t r = 0; r < 10; r++) {
        counter = mix(counter, key_low + r * UINT32_C(0x9E3779B9), key_high + r * UINT32_C(0xBB67AE85));
    }
    return counter;
}

uint32_t dropout_mask_word(const dropout_mask *mask, int64_t head, int64_t query, int64_t key) {
    const philox_block counter = {{(uint32_t)(key / 4), (uint32_t)query,
                                   (uint32_t)((uint64_t)head + (mask->offset >> 32)),
                                   (uint32_t)mask->offset}};
    return philox4x32_10(counter, (uint32_t)mask->seed, (uint32_t)(mask->seed >> 32)).word[key % 4];
}

bool dropout_mask_keeps(const dropout_mask *mask, int64_t head, int64_t query, int64_t key) {
    return !((double)dropout_mask_word(mask, head, query, key) * 0x1p-32 < mask->probability);
}
