/*
 * The hint to the CPU that a loop waits for another thread.
 */
#ifndef SOFTATTN_PLATFORM_SPIN_H
#define SOFTATTN_PLATFORM_SPIN_H

static inline void softattn_spin_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile(
        "isb" ::
            : "memory"); /* yield is a no-op on most cores; isb waits about as long as x86's pause */
#elif defined(__riscv)
    __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::
                         : "memory"); /* pause, a hint that older cores ignore */
#endif
}

#endif
