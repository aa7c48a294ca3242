/* The contents of the lists that say where sequences lie. */
#ifndef SOFTATTN_API_ATTENTION_SEQUENCES_H
#define SOFTATTN_API_ATTENTION_SEQUENCES_H

#include <stdint.h>

#include "engine/attention.h"

/* Fails unless lengths and starts lie within their axes, and offsets ascend within theirs. */
int32_t softattn_attention_check_sequences(const struct softattn_attention_problem *problem);

#endif
