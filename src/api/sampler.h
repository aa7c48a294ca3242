/* The sampler handle. */
#ifndef SOFTATTN_API_SAMPLER_H
#define SOFTATTN_API_SAMPLER_H

#include <stdint.h>

#include "api/handle.h"
#include "softattn/softattn.h"

struct softattn_sampler {
    struct softattn_handle handle;
    double temperature;
    int64_t top_k;
    double top_p;
    double min_p;
};

#endif
