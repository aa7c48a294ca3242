/*
 * A thread's floating-point control settings: rounding mode, flushing of subnormals, exception masks. Status flags are
 * left out.
 */
#ifndef SOFTATTN_PLATFORM_FP_CONTROL_H
#define SOFTATTN_PLATFORM_FP_CONTROL_H

#include <stdint.h>

#if defined(__SSE__)

#include <xmmintrin.h>

#define SOFTATTN_MXCSR_STATUS 0x3Fu

static inline uint64_t softattn_fp_control_get(void) { return _mm_getcsr() & ~SOFTATTN_MXCSR_STATUS; }

static inline void softattn_fp_control_set(uint64_t control) {
    _mm_setcsr((uint32_t)control | (_mm_getcsr() & SOFTATTN_MXCSR_STATUS));
}

#elif defined(__aarch64__)

/* FPCR holds control only; status is in FPSR. */
static inline uint64_t softattn_fp_control_get(void) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}

static inline void softattn_fp_control_set(uint64_t control) {
    __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory");
}

#else

#include <fenv.h>

/* Elsewhere C's own view of the environment must do: the rounding mode. */
static inline uint64_t softattn_fp_control_get(void) { return (uint64_t)fegetround(); }

static inline void softattn_fp_control_set(uint64_t control) { (void)fesetround((int)control); }

#endif

#endif
