/*
 * Which instruction sets the CPU and the operating system support. See cpu.h.
 */
#define _GNU_SOURCE
#include "cpu.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <stdatomic.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__riscv))
#include <errno.h>
#include <sys/auxv.h>
#include <unistd.h>
#endif

/* ---- What registers and capability words mean ---- */

/* Bits of cpuid, named as in Intel's and AMD's manuals. */
#define LEAF1_EDX_SSE2     (1u << 26)
#define LEAF1_ECX_FMA      (1u << 12)
#define LEAF1_ECX_OSXSAVE  (1u << 27)
#define LEAF1_ECX_AVX      (1u << 28)
#define LEAF1_ECX_F16C     (1u << 29)
#define LEAF7_EBX_AVX2     (1u << 5)
#define LEAF7_EBX_AVX512F  (1u << 16)
#define LEAF7_EBX_AVX512DQ (1u << 17)
#define LEAF7_EBX_AVX512BW (1u << 30)
#define LEAF7_EBX_AVX512VL (1u << 31)

/* Register state that the operating system saves: xmm and ymm; these, mask registers and all of zmm. */
#define XCR0_YMM UINT64_C(0x06)
#define XCR0_ZMM UINT64_C(0xE6)

static bool has_all(uint64_t set, uint64_t wanted) { return (set & wanted) == wanted; }

uint32_t softattn_cpu_features_from_x86(const struct softattn_x86_registers *registers) {
    if (registers->max_leaf < 1) {
        return 0;
    }
    uint32_t features = has_all(registers->leaf1_edx, LEAF1_EDX_SSE2) ? SOFTATTN_CPU_SSE2 : 0;

    uint32_t leaf1_ecx = registers->leaf1_ecx;
    if (!has_all(leaf1_ecx, LEAF1_ECX_OSXSAVE | LEAF1_ECX_AVX) || !has_all(registers->xcr0, XCR0_YMM)) {
        return features;
    }
    if (has_all(leaf1_ecx, LEAF1_ECX_F16C)) {
        features |= SOFTATTN_CPU_F16C;
    }

    uint32_t leaf7_ebx = registers->max_leaf >= 7 ? registers->leaf7_ebx : 0;
    if (!has_all(leaf1_ecx, LEAF1_ECX_FMA) || !has_all(leaf7_ebx, LEAF7_EBX_AVX2)) {
        return features;
    }
    features |= SOFTATTN_CPU_AVX2;

    if (has_all(leaf7_ebx,
                LEAF7_EBX_AVX512F | LEAF7_EBX_AVX512VL | LEAF7_EBX_AVX512DQ | LEAF7_EBX_AVX512BW) &&
        has_all(registers->xcr0, XCR0_ZMM)) {
        features |= SOFTATTN_CPU_AVX512;
    }
    return features;
}

/* "Auth" of AuthenticAMD and "Hygo" of HygonGenuine, which makes Zen 1. */
#define VENDOR_AMD   0x68747541u
#define VENDOR_HYGON 0x6f677948u

#define FAMILY_ZEN_5 0x1Au

/* Where the base family is 15, as of all of AMD's CPUs of this century, the extended family is added. */
static uint32_t family_of(uint32_t version) { return ((version >> 8) & 0xF) + ((version >> 20) & 0xFF); }

enum softattn_asking softattn_cpu_asking_on_x86(uint32_t vendor, uint32_t version, uint32_t features) {
    if (vendor != VENDOR_AMD && vendor != VENDOR_HYGON) {
        return SOFTATTN_ASKING_TWICE;
    }
    if (family_of(version) >= FAMILY_ZEN_5) {
        return SOFTATTN_ASKING_ONCE;
    }
    /* of the family of both, Zen 4 has AVX-512 and Zen 3 has not */
    return has_all(features, SOFTATTN_CPU_AVX512) ? SOFTATTN_ASKING_TWICE : SOFTATTN_ASKING_ALIKE;
}

/* Bits of Linux's AT_HWCAP (asm/hwcap.h) and of riscv_hwprobe (asm/hwprobe.h), spelled out because old headers lack
 * them and because every machine's tests check them. */
#define AARCH64_HWCAP_ASIMD (UINT64_C(1) << 1)
#define AARCH64_HWCAP_SVE   (UINT64_C(1) << 22)
#define RISCV_HWCAP_V       (UINT64_C(1) << ('V' - 'A'))
#define RISCV_IMA_V         (UINT64_C(1) << 2)

uint32_t softattn_cpu_features_from_aarch64(uint64_t hwcap) {
    uint32_t features = has_all(hwcap, AARCH64_HWCAP_ASIMD) ? SOFTATTN_CPU_NEON : 0;
    if (has_all(hwcap, AARCH64_HWCAP_SVE)) {
        features |= SOFTATTN_CPU_SVE;
    }
    return features;
}

uint32_t softattn_cpu_features_from_riscv(bool has_hwprobe, uint64_t ima_extensions, uint64_t hwcap) {
    bool vector = has_hwprobe ? has_all(ima_extensions, RISCV_IMA_V) : has_all(hwcap, RISCV_HWCAP_V);
    return vector ? SOFTATTN_CPU_RVV : 0;
}

/* ---- Reading them on this machine ---- */

#if defined(__x86_64__) || defined(__i386__)

/* Only legal when cpuid reports OSXSAVE. */
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t softattn_cpu_features(void) {
    struct softattn_x86_registers registers = {.max_leaf = (uint32_t)__get_cpuid_max(0, 0)};
    uint32_t eax, ebx, ecx, edx;
    if (registers.max_leaf >= 1) {
        __cpuid(1, eax, ebx, ecx, edx);
        registers.leaf1_ecx = ecx;
        registers.leaf1_edx = edx;
    }
    if (registers.max_leaf >= 7) {
        __cpuid_count(7, 0, eax, ebx, ecx, edx);
        registers.leaf7_ebx = ebx;
    }
    if (has_all(registers.leaf1_ecx, LEAF1_ECX_OSXSAVE)) {
        registers.xcr0 = read_xcr0();
    }
    return softattn_cpu_features_from_x86(&registers);
}

enum softattn_asking softattn_cpu_asking(void) {
    static _Atomic int known = -1; /* in a virtual machine each cpuid takes microseconds */
    int asking = atomic_load_explicit(&known, memory_order_relaxed);
    if (asking < 0) {
        uint32_t vendor = 0, version = 0, ebx, ecx, edx;
        if (__get_cpuid_max(0, &vendor) >= 1) {
            __cpuid(1, version, ebx, ecx, edx);
        }
        asking = (int)softattn_cpu_asking_on_x86(vendor, version, softattn_cpu_features());
        atomic_store_explicit(&known, asking, memory_order_relaxed);
    }
    return (enum softattn_asking)asking;
}

#elif defined(__aarch64__) && defined(__linux__)

uint32_t softattn_cpu_features(void) {
    int saved_errno = errno;
    uint64_t hwcap = getauxval(AT_HWCAP);
    errno = saved_errno;
    return softattn_cpu_features_from_aarch64(hwcap);
}

#elif defined(__riscv) && defined(__linux__)

struct hwprobe_pair {
    int64_t key;
    uint64_t value;
};

#define SYSCALL_RISCV_HWPROBE 258
#define HWPROBE_KEY_IMA_EXT_0 4

uint32_t softattn_cpu_features(void) {
    int saved_errno = errno;
    struct hwprobe_pair pair = {.key = HWPROBE_KEY_IMA_EXT_0};
    /* The kernel sets the key to -1 where it does not know it. */
    bool probed =
        syscall(SYSCALL_RISCV_HWPROBE, &pair, 1, 0, NULL, 0) == 0 && pair.key == HWPROBE_KEY_IMA_EXT_0;
    uint64_t hwcap = getauxval(AT_HWCAP);
    errno = saved_errno;
    return softattn_cpu_features_from_riscv(probed, pair.value, hwcap);
}

#elif defined(__aarch64__)

/* Every AArch64 system that runs hosted programs has Advanced SIMD; there is no portable way to ask about more. */
uint32_t softattn_cpu_features(void) { return SOFTATTN_CPU_NEON; }

#else

uint32_t softattn_cpu_features(void) { return 0; }

#endif

#if !defined(__x86_64__) && !defined(__i386__)

enum softattn_asking softattn_cpu_asking(void) { return SOFTATTN_ASKING_TWICE; }

#endif
