/* The defaults that the environment can change. Each variable is read once, at first use. */
#ifndef SOFTATTN_API_ENVIRONMENT_H
#define SOFTATTN_API_ENVIRONMENT_H

#include <stdint.h>

#include "kernels/kernels.h"

enum { SOFTATTN_MAX_THREADS = 1024 };

/* The best usable instruction set, or SOFTATTN_ISA where that names a usable one. One load after the first
 * call. */
const struct softattn_isa *softattn_default_isa(void);

/* SOFTATTN_NUM_THREADS: 1 … SOFTATTN_MAX_THREADS, or 0 for the CPUs of this process. 1 where unset or
 * anything else. */
int32_t softattn_default_threads(void);

/* The CPUs that this process may use, at most SOFTATTN_MAX_THREADS. */
int32_t softattn_process_threads(void);

#endif
