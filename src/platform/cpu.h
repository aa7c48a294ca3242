/*
 * What the processor and the operating system offer: instruction sets, usable CPUs, cache sizes.
 *
 * The functions that take text, registers or directories are pure or read only what they are given, so that tests can
 * describe machines that are not at hand.
 */
#ifndef SOFTATTN_PLATFORM_CPU_H
#define SOFTATTN_PLATFORM_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/asking.h"

/* ---- Instruction sets (cpu_features.c) ---- */

/* A bit stands for everything a kernel of that name is compiled with, the operating system's support included. */
enum softattn_cpu_feature {
    SOFTATTN_CPU_SSE2 = 1 << 0,
    SOFTATTN_CPU_AVX2 = 1 << 1, /* AVX, AVX2, FMA; ymm registers kept by the OS */
    SOFTATTN_CPU_AVX512 =
        1 << 2, /* the AVX2 bit, AVX-512 F, VL, DQ, BW; zmm and mask registers kept by the OS */
    SOFTATTN_CPU_F16C = 1 << 3, /* F16C; ymm registers kept by the OS */
    SOFTATTN_CPU_NEON = 1 << 4, /* AArch64 Advanced SIMD */
    SOFTATTN_CPU_SVE = 1 << 5,
    SOFTATTN_CPU_RVV = 1 << 6 /* RISC-V V 1.0 */
};

/* The features of the CPU that runs this, as a set of enum softattn_cpu_feature. */
uint32_t softattn_cpu_features(void);

/* Registers that decide the features of an x86 CPU. Leaves above max_leaf are not looked at. */
struct softattn_x86_registers {
    uint32_t max_leaf;  /* cpuid(0).eax */
    uint32_t leaf1_ecx; /* cpuid(1).ecx */
    uint32_t leaf1_edx; /* cpuid(1).edx */
    uint32_t leaf7_ebx; /* cpuid(7, 0).ebx */
    uint64_t xcr0;      /* xgetbv(0); looked at only when leaf1_ecx has OSXSAVE */
};

uint32_t softattn_cpu_features_from_x86(const struct softattn_x86_registers *registers);

/* How to ask this CPU for memory. Fast after the first call. */
enum softattn_asking softattn_cpu_asking(void);

/*
 * The same of an x86 CPU. vendor: its first four letters, cpuid(0).ebx; version: cpuid(1).eax; features: softattn_cpu_features.
 * AMD's as measured on Zen 3, Zen 4 and Zen 5; others TWICE, since their manuals say that PREFETCHT1 leaves the first-level cache
 * alone.
 */
enum softattn_asking softattn_cpu_asking_on_x86(uint32_t vendor, uint32_t version, uint32_t features);

/* hwcap: Linux's AT_HWCAP of AArch64. */
uint32_t softattn_cpu_features_from_aarch64(uint64_t hwcap);

/* ima_extensions: riscv_hwprobe's RISCV_HWPROBE_KEY_IMA_EXT_0, which decides when has_hwprobe; else AT_HWCAP does. */
uint32_t softattn_cpu_features_from_riscv(bool has_hwprobe, uint64_t ima_extensions, uint64_t hwcap);

/* ---- Usable CPUs (cpu_count.c) ---- */

/* CPUs that this process may use: its affinity mask, capped by the cgroup CPU quota rounded up; at least 1. Reads
 * files: meant for set-up, not for each run. */
int32_t softattn_cpu_count(void);

/* The tightest CPU quota, in CPUs rounded up, on the way from the process's cgroup to the root; INT32_MAX when there
 * is none. membership: a file like /proc/self/cgroup; mount: a directory like /sys/fs/cgroup (version 1 or 2). */
int32_t softattn_cpu_cgroup_limit(const char *membership, const char *mount);

/* ---- Caches (cpu_cache.c) ---- */

/* Size of the data (or unified) cache of level 1, 2 or 3; 32 KiB, 512 KiB and 8 MiB where the system does not tell.
 * Other levels: 0. Fast after the first call. */
uint64_t softattn_cpu_cache_bytes(int level);

/* The level-3 size divided by the number of CPUs that share it. Fast after the first call. */
uint64_t softattn_cpu_l3_share_bytes(void);

struct softattn_cpu_cache {
    uint64_t bytes;
    int32_t sharing; /* CPUs that share this cache, at least 1 */
};

/* Reads the cache of a level from a directory like /sys/devices/system/cpu/cpu0/cache. False where it is not told. */
bool softattn_cpu_cache_read(const char *directory, int level, struct softattn_cpu_cache *cache);

#endif
