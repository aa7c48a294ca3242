/* Defaults from the environment: SOFTATTN_ISA and SOFTATTN_NUM_THREADS. */
#define _GNU_SOURCE /* secure_getenv: the environment of a set-uid program belongs to whoever started it */

#include "api/environment.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "platform/cpu.h"

/* Usable instruction sets are listed best first, so a usable one caps the choice by being it. An instruction
 * set that this CPU lacks is above everything that it has and caps nothing. */
static const struct softattn_isa *choose_isa(void) {
    const char *name = secure_getenv("SOFTATTN_ISA");
    const struct softattn_isa *named = name == NULL ? NULL : softattn_isa_find(name);
    return named == NULL ? softattn_isa_at(0) : named;
}

const struct softattn_isa *softattn_default_isa(void) {
    static _Atomic(const struct softattn_isa *) chosen;
    const struct softattn_isa *isa = atomic_load_explicit(&chosen, memory_order_acquire);
    if (isa == NULL) {
        const struct softattn_isa *choice = choose_isa();
        /* The first thread to come here decides for all. */
        isa = atomic_compare_exchange_strong(&chosen, &isa, choice) ? choice : isa;
    }
    return isa;
}

/* A whole decimal number 0 … SOFTATTN_MAX_THREADS; -1 for anything else. */
static int32_t parse_threads(const char *text) {
    int32_t value = 0;
    const char *digit = text;
    for (; *digit >= '0' && *digit <= '9' && value <= SOFTATTN_MAX_THREADS; digit++) {
        value = value * 10 + (*digit - '0');
    }
    return digit == text || *digit != '\0' || value > SOFTATTN_MAX_THREADS ? -1 : value;
}

int32_t softattn_process_threads(void) {
    const int32_t cpus = softattn_cpu_count();
    return cpus < SOFTATTN_MAX_THREADS ? cpus : SOFTATTN_MAX_THREADS;
}

static int32_t choose_threads(void) {
    const char *text = secure_getenv("SOFTATTN_NUM_THREADS");
    const int32_t threads = text == NULL ? 1 : parse_threads(text);
    if (threads == 0) {
        return softattn_process_threads();
    }
    return threads < 0 ? 1 : threads;
}

int32_t softattn_default_threads(void) {
    static _Atomic int32_t chosen; /* 0: not yet */
    int32_t threads = atomic_load(&chosen);
    if (threads == 0) {
        const int32_t choice = choose_threads();
        threads = atomic_compare_exchange_strong(&chosen, &threads, choice) ? choice : threads;
    }
    return threads;
}
