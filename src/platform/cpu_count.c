/*
 * How many CPUs this process may use: the affinity mask and the cgroup quota. See cpu.h.
 */
#define _GNU_SOURCE
#include "cpu.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text_file.h"

#if defined(__linux__)

#include <sched.h>

/* Kernels refuse masks smaller than their own, so the size grows until it is accepted. */
static int32_t affinity_count(void) {
    int count = 0;
    int saved_errno = errno;
    for (int cpus = 1024; count == 0 && cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (set == NULL) {
            break;
        }
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        bool accepted = sched_getaffinity(0, size, set) == 0;
        if (accepted) {
            count = CPU_COUNT_S(size, set);
        }
        CPU_FREE(set);
        if (!accepted && errno != EINVAL) {
            break;
        }
    }
    errno = saved_errno;
    return count;
}

#else

static int32_t affinity_count(void) {
    int saved_errno = errno;
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    errno = saved_errno;
    return (int32_t)count;
}

#endif

/* quota / period rounded up; INT32_MAX where they set no limit. */
static int32_t quota_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) {
        return INT32_MAX;
    }
    long long cpus = quota / period + (quota % period != 0);
    return cpus < INT32_MAX ? (int32_t)cpus : INT32_MAX;
}

/* A number at the start of text; 0 for anything else, such as "max". */
static long long parse_number(const char *text) {
    int saved_errno = errno;
    long long number = strtoll(text, NULL, 10);
    errno = saved_errno;
    return number;
}

static bool read_in(const char *directory, const char *name, char *text, size_t capacity) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof path && softattn_read_text(path, text, capacity);
}

/* Limit set in one cgroup directory: version 2 has both numbers in one file, version 1 has two. */
static int32_t directory_limit(const char *directory) {
    char quota[64], period[64];
    if (read_in(directory, "cpu.max", quota, sizeof quota)) {
        const char *second = strchr(quota, ' ');
        return second != NULL ? quota_cpus(parse_number(quota), parse_number(second)) : INT32_MAX;
    }
    if (read_in(directory, "cpu.cfs_quota_us", quota, sizeof quota) &&
        read_in(directory, "cpu.cfs_period_us", period, sizeof period)) {
        return quota_cpus(parse_number(quota), parse_number(period));
    }
    return INT32_MAX;
}

/* The tightest limit from base/path up to base. Inside a container path may not exist below base; its parents do. */
static int32_t tree_limit(const char *base, const char *path) {
    char directory[PATH_MAX];
    int length = snprintf(directory, sizeof directory, "%s%s", base, path);
    if (length < 0 || (size_t)length >= sizeof directory) {
        return INT32_MAX;
    }
    int32_t tightest = INT32_MAX;
    for (;;) {
        int32_t limit = directory_limit(directory);
        if (limit < tightest) {
            tightest = limit;
        }
        char *slash = strrchr(directory, '/');
        if (slash == NULL || slash < directory + strlen(base)) {
            return tightest;
        }
        *slash = '\0';
    }
}

/* Whether a comma-separated list holds a word. */
static bool list_has(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *item = list; item != NULL; item = strchr(item, ',')) {
        item += *item == ',';
        if (strncmp(item, word, length) == 0 && (item[length] == ',' || item[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* line: hierarchy:controllers:path, as in /proc/self/cgroup; no controllers means version 2. Splits line in place. */
static int32_t line_limit(char *line, const char *mount) {
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL) {
        return INT32_MAX;
    }
    *controllers++ = '\0';
    *path++ = '\0';
    if (*controllers == '\0') {
        return tree_limit(mount, path);
    }
    if (!list_has(controllers, "cpu")) {
        return INT32_MAX;
    }
    char base[PATH_MAX];
    int length = snprintf(base, sizeof base, "%s/%s", mount, controllers);
    return length > 0 && (size_t)length < sizeof base ? tree_limit(base, path) : INT32_MAX;
}

int32_t softattn_cpu_cgroup_limit(const char *membership, const char *mount) {
    char text[4096];
    if (!softattn_read_text(membership, text, sizeof text)) {
        return INT32_MAX;
    }
    int32_t tightest = INT32_MAX;
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        int32_t limit = line_limit(line, mount);
        if (limit < tightest) {
            tightest = limit;
        }
    }
    return tightest;
}

int32_t softattn_cpu_count(void) {
    int32_t count = affinity_count();
    int32_t limit = softattn_cpu_cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit < count) {
        count = limit;
    }
    return count > 1 ? count : 1;
}
