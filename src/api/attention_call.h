/* The stages from the caller's arguments to a checked attention problem. */
#ifndef SOFTATTN_API_ATTENTION_CALL_H
#define SOFTATTN_API_ATTENTION_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/attention.h"
#include "api/attention_operands.h"
#include "engine/attention.h"
#include "softattn/softattn.h"

/* The arguments of one call, in the forms that they take on the way to an engine. */
struct softattn_attention_call {
    softattn_attention_args args;
    struct softattn_array arrays[SOFTATTN_OPERANDS];
    struct softattn_attention_problem problem;
};

/* The struct; the arrays are then read by softattn_attention_read_*operands. */
int32_t softattn_attention_read_args(const softattn_attention_args *args,
                                     struct softattn_attention_call *call);

/* How the arrays fit together and to the options, and the lists' contents where with_memory. */
int32_t softattn_attention_fit_call(const softattn_attention *attention, bool with_memory,
                                    struct softattn_attention_call *call);

#endif
