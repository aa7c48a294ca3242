/*
 * CPU features from simulated registers, usable CPUs from simulated cgroups, cache sizes from a simulated sysfs; and
 * that this machine's own answers are sane.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/cpu.h"

/* ---- Instruction sets ---- */

#define EDX_SSE2    (1u << 26)
#define ECX_FMA     (1u << 12)
#define ECX_OSXSAVE (1u << 27)
#define ECX_AVX     (1u << 28)
#define ECX_F16C    (1u << 29)
#define ECX_FULL    (ECX_FMA | ECX_OSXSAVE | ECX_AVX | ECX_F16C)
#define EBX_AVX2    (1u << 5)
#define EBX_F       (1u << 16)
#define EBX_DQ      (1u << 17)
#define EBX_BW      (1u << 30)
#define EBX_VL      (1u << 31)
#define EBX_FULL    (EBX_AVX2 | EBX_F | EBX_DQ | EBX_BW | EBX_VL)

#define SSE2   SOFTATTN_CPU_SSE2
#define F16C   SOFTATTN_CPU_F16C
#define AVX2   SOFTATTN_CPU_AVX2
#define AVX512 SOFTATTN_CPU_AVX512

static void x86_features_need_cpu_and_operating_system(void **state) {
    (void)state;
    static const struct {
        const char *machine;
        struct softattn_x86_registers registers;
        uint32_t features;
    } machines[] = {
        {"everything", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0xE7}, SSE2 | F16C | AVX2 | AVX512},
        {"everything, AMX state too",
         {0x20, ECX_FULL, EDX_SSE2, EBX_FULL, 0x602E7},
         SSE2 | F16C | AVX2 | AVX512},
        {"no cpuid leaf 1", {0, ECX_FULL, EDX_SSE2, EBX_FULL, 0xE7}, 0},
        {"no SSE2", {1, 0, 0, 0, 0}, 0},
        {"only SSE2", {1, 0, EDX_SSE2, 0, 0}, SSE2},
        {"AVX without OSXSAVE", {7, ECX_FULL & ~ECX_OSXSAVE, EDX_SSE2, EBX_FULL, 0xE7}, SSE2},
        {"OSXSAVE without AVX", {7, ECX_FULL & ~ECX_AVX, EDX_SSE2, EBX_FULL, 0xE7}, SSE2},
        {"xmm state only", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0x03}, SSE2},
        {"ymm bit without xmm bit", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0x05}, SSE2},
        {"no zmm state", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0x07}, SSE2 | F16C | AVX2},
        {"no mask state", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0xC7}, SSE2 | F16C | AVX2},
        {"no upper zmm0-15 state", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0xA7}, SSE2 | F16C | AVX2},
        {"no zmm16-31 state", {7, ECX_FULL, EDX_SSE2, EBX_FULL, 0x67}, SSE2 | F16C | AVX2},
        {"AVX2 without FMA", {7, ECX_FULL & ~ECX_FMA, EDX_SSE2, EBX_FULL, 0xE7}, SSE2 | F16C},
        {"FMA without AVX2", {7, ECX_FULL, EDX_SSE2, EBX_FULL & ~EBX_AVX2, 0xE7}, SSE2 | F16C},
        {"no F16C", {7, ECX_FULL & ~ECX_F16C, EDX_SSE2, EBX_AVX2, 0x07}, SSE2 | AVX2},
        {"leaf 7 beyond the last", {6, ECX_FULL, EDX_SSE2, EBX_FULL, 0xE7}, SSE2 | F16C},
        {"AVX-512 without F", {7, ECX_FULL, EDX_SSE2, EBX_FULL & ~EBX_F, 0xE7}, SSE2 | F16C | AVX2},
        {"AVX-512 without DQ", {7, ECX_FULL, EDX_SSE2, EBX_FULL & ~EBX_DQ, 0xE7}, SSE2 | F16C | AVX2},
        {"AVX-512 without BW", {7, ECX_FULL, EDX_SSE2, EBX_FULL & ~EBX_BW, 0xE7}, SSE2 | F16C | AVX2},
        {"AVX-512 without VL", {7, ECX_FULL, EDX_SSE2, EBX_FULL & ~EBX_VL, 0xE7}, SSE2 | F16C | AVX2},
    };
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        uint32_t features = softattn_cpu_features_from_x86(&machines[i].registers);
        if (features != machines[i].features) {
            fail_msg("%s: features %#x, expected %#x", machines[i].machine, features, machines[i].features);
        }
    }
}

static void x86_cpus_are_asked_for_memory_as_their_family_was_measured(void **state) {
    (void)state;
    const uint32_t amd = 0x68747541, hygon = 0x6f677948, intel = 0x756e6547;
    const uint32_t avx2 = SSE2 | F16C | AVX2;
    const uint32_t zen_2 = 0x00830F10, zen_3 = 0x00A00F11, zen_4 = 0x00A10F11, zen_5 = 0x00B00F21;
    assert_int_equal(softattn_cpu_asking_on_x86(amd, zen_2, avx2), SOFTATTN_ASKING_ALIKE);
    assert_int_equal(softattn_cpu_asking_on_x86(amd, zen_3, avx2), SOFTATTN_ASKING_ALIKE);
    assert_int_equal(softattn_cpu_asking_on_x86(amd, zen_4, avx2 | AVX512), SOFTATTN_ASKING_TWICE);
    assert_int_equal(softattn_cpu_asking_on_x86(amd, zen_5, avx2 | AVX512), SOFTATTN_ASKING_ONCE);
    assert_int_equal(softattn_cpu_asking_on_x86(amd, zen_5, avx2), SOFTATTN_ASKING_ONCE);
    assert_int_equal(softattn_cpu_asking_on_x86(hygon, 0x00900F01, avx2), SOFTATTN_ASKING_ALIKE);
    assert_int_equal(softattn_cpu_asking_on_x86(intel, 0x000906EA, avx2), SOFTATTN_ASKING_TWICE);
    assert_int_equal(softattn_cpu_asking_on_x86(intel, zen_5, avx2), SOFTATTN_ASKING_TWICE);
}

static void aarch64_features_follow_hwcap(void **state) {
    (void)state;
    assert_int_equal(softattn_cpu_features_from_aarch64(0), 0);
    assert_int_equal(softattn_cpu_features_from_aarch64(0x2), SOFTATTN_CPU_NEON);
    assert_int_equal(softattn_cpu_features_from_aarch64(0x400002), SOFTATTN_CPU_NEON | SOFTATTN_CPU_SVE);
    assert_int_equal(softattn_cpu_features_from_aarch64(~UINT64_C(0x400002)), 0);
}

static void riscv_features_prefer_hwprobe_to_hwcap(void **state) {
    (void)state;
    const uint64_t hwcap_v = 1 << 21, ima_v = 1 << 2;
    assert_int_equal(softattn_cpu_features_from_riscv(false, 0, 0), 0);
    assert_int_equal(softattn_cpu_features_from_riscv(false, 0, hwcap_v), SOFTATTN_CPU_RVV);
    assert_int_equal(softattn_cpu_features_from_riscv(true, ima_v, 0), SOFTATTN_CPU_RVV);
    /* A vector unit of the draft before 1.0: the bit of hwcap alone. */
    assert_int_equal(softattn_cpu_features_from_riscv(true, 0, hwcap_v), 0);
}

#if defined(__x86_64__)
static void this_cpus_features_are_those_the_compiler_finds(void **state) {
    (void)state;
    uint32_t expected = SSE2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        expected |= AVX2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
            expected |= AVX512;
        }
    }
    assert_int_equal(softattn_cpu_features() & ~(uint32_t)F16C, expected);
}
#endif

/* ---- Simulated directories ---- */

static char root[] = "/tmp/softattn-cpu-XXXXXX";

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

static int make_root(void **state) {
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state) {
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes root/path, with the directories on the way. */
static void write_file(const char *path, const char *text) {
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = full + sizeof root; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *below_root(const char *path) {
    static char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    return full;
}

/* ---- Usable CPUs ---- */

static int32_t cgroup_limit(const char *membership) {
    write_file("membership", membership);
    return softattn_cpu_cgroup_limit(below_root("membership"), root);
}

static void no_cgroup_means_no_limit(void **state) {
    (void)state;
    assert_int_equal(softattn_cpu_cgroup_limit(below_root("missing"), root), INT32_MAX);
    assert_int_equal(cgroup_limit(""), INT32_MAX);
    assert_int_equal(cgroup_limit("nonsense\n::\n0::/nowhere\n"), INT32_MAX);
}

static void quota_is_rounded_up_to_whole_cpus(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t cpus;
    } quotas[] = {{"100000 100000\n", 1},
                  {"150000 100000\n", 2},
                  {"1000 100000\n", 1},
                  {"400000 100000\n", 4},
                  {"max 100000\n", INT32_MAX},
                  {"0 100000\n", INT32_MAX},
                  {"100000 0\n", INT32_MAX},
                  {"100000", INT32_MAX},
                  {"", INT32_MAX},
                  {"9223372036854775807 1\n", INT32_MAX}};
    for (size_t i = 0; i < sizeof quotas / sizeof quotas[0]; i++) {
        write_file("cpu.max", quotas[i].text);
        int32_t cpus = cgroup_limit("0::/\n");
        if (cpus != quotas[i].cpus) {
            fail_msg("cpu.max \"%s\": %d CPUs, expected %d", quotas[i].text, cpus, quotas[i].cpus);
        }
    }
}

static void tightest_ancestor_decides(void **state) {
    (void)state;
    write_file("a/b/cpu.max", "800000 100000\n");
    write_file("a/cpu.max", "300000 100000\n");
    write_file("cpu.max", "max 100000\n");
    assert_int_equal(cgroup_limit("0::/a/b\n"), 3);
    assert_int_equal(cgroup_limit("0::/a/b/not/mounted/here\n"), 3);
    assert_int_equal(cgroup_limit("0::/\n"), INT32_MAX);
}

static void version_1_quota_counts_for_the_cpu_controller_only(void **state) {
    (void)state;
    write_file("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
    write_file("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    write_file("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    write_file("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    write_file("cpuset/job/cpu.cfs_quota_us", "100000\n");
    write_file("cpuset/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cgroup_limit("4:cpu,cpuacct:/job\n3:cpuset:/job\n"), 3);
    assert_int_equal(cgroup_limit("4:cpu,cpuacct:/\n3:cpuset:/job\n"), INT32_MAX);
}

static void usable_cpus_follow_the_affinity_mask_and_keep_errno(void **state) {
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int32_t count = softattn_cpu_count();
    assert_in_range(count, 1, CPU_COUNT(&all));

    size_t first = 0;
    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    errno = 77;
    int32_t pinned = softattn_cpu_count();
    int errno_after = errno;
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(pinned, 1);
    assert_int_equal(errno_after, 77);
}

/* ---- Caches ---- */

static void write_cache(int index, const char *level, const char *type, const char *size,
                        const char *sharing) {
    const char *names[] = {"level", "type", "size", "shared_cpu_list"},
               *texts[] = {level, type, size, sharing};
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "cache/index%d/%s", index, names[i]);
        if (texts[i] != NULL) {
            write_file(path, texts[i]);
        }
    }
}

static void expect_cache(int level, uint64_t bytes, int32_t sharing) {
    struct softattn_cpu_cache cache;
    assert_true(softattn_cpu_cache_read(below_root("cache"), level, &cache));
    assert_int_equal(cache.bytes, bytes);
    assert_int_equal(cache.sharing, sharing);
}

static void cache_sizes_and_sharing_come_from_sysfs(void **state) {
    (void)state;
    write_cache(0, "1\n", "Instruction\n", "64K\n", "0\n");
    write_cache(1, "1\n", "Data\n", "48K\n", "0\n");
    write_cache(2, "2\n", "Unified\n", "2048K\n", "0-1\n");
    write_cache(3, "3\n", "Unified\n", "36M\n", "0-3,8-11,20\n");
    expect_cache(1, 48 << 10, 1);
    expect_cache(2, 2048 << 10, 2);
    expect_cache(3, 36 << 20, 9);
}

static void broken_sysfs_entries_are_no_cache(void **state) {
    (void)state;
    struct softattn_cpu_cache cache;
    assert_false(softattn_cpu_cache_read(below_root("missing"), 1, &cache));
    write_cache(0, "1\n", "Data\n", "unknown\n", "0\n");
    write_cache(1, "2\n", "Unified\n", NULL, "0\n");
    write_cache(2, "3\n", "Unified\n", "8M\n", "5-2\n");
    assert_false(softattn_cpu_cache_read(below_root("cache"), 1, &cache));
    assert_false(softattn_cpu_cache_read(below_root("cache"), 2, &cache));
    expect_cache(3, 8 << 20, 1);
}

static void this_machines_caches_grow_with_their_level(void **state) {
    (void)state;
    uint64_t l1 = softattn_cpu_cache_bytes(1), l2 = softattn_cpu_cache_bytes(2),
             l3 = softattn_cpu_cache_bytes(3);
    assert_in_range(l1, 4096, l2);
    assert_in_range(softattn_cpu_l3_share_bytes(), 1, l3);
    assert_int_equal(softattn_cpu_cache_bytes(1), l1);
    assert_int_equal(softattn_cpu_cache_bytes(0), 0);
    assert_int_equal(softattn_cpu_cache_bytes(4), 0);
}

#define in_root(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x86_features_need_cpu_and_operating_system),
        cmocka_unit_test(x86_cpus_are_asked_for_memory_as_their_family_was_measured),
        cmocka_unit_test(aarch64_features_follow_hwcap),
        cmocka_unit_test(riscv_features_prefer_hwprobe_to_hwcap),
#if defined(__x86_64__)
        cmocka_unit_test(this_cpus_features_are_those_the_compiler_finds),
#endif
        in_root(no_cgroup_means_no_limit),
        in_root(quota_is_rounded_up_to_whole_cpus),
        in_root(tightest_ancestor_decides),
        in_root(version_1_quota_counts_for_the_cpu_controller_only),
        cmocka_unit_test(usable_cpus_follow_the_affinity_mask_and_keep_errno),
        in_root(cache_sizes_and_sharing_come_from_sysfs),
        in_root(broken_sysfs_entries_are_no_cache),
        cmocka_unit_test(this_machines_caches_grow_with_their_level),
    };
    return cmocka_run_group_tests_name("platform/cpu", tests, NULL, NULL);
}
