/*
 * What the machine says about itself, as Linux tells it in /proc and /sys.
 */
#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads the first line of a file, without its end; false when there is none. */
static int read_line(const char *path, char *line, int capacity) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    const int found = fgets(line, capacity, file) != NULL;
    fclose(file);
    if (found) {
        line[strcspn(line, "\n")] = '\0';
    }
    return found;
}

static void read_cpu_name(char *name, size_t capacity) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) {
        return;
    }
    char line[256];
    while (name[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(name, capacity, "%s", colon + 1 + strspn(colon + 1, " "));
        }
    }
    fclose(file);
}

static int usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* One line of a cache's directory, such as the "48K" of "size". */
static int read_cache_line(int index, const char *name, char *line, int capacity) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    return read_line(path, line, capacity);
}

static void read_caches(struct bench_machine *machine) {
    for (int index = 0; index < 8; index++) {
        char level[32], type[32], size[32];
        if (!read_cache_line(index, "level", level, sizeof level) ||
            !read_cache_line(index, "type", type, sizeof type) ||
            !read_cache_line(index, "size", size, sizeof size) || strcmp(type, "Instruction") == 0) {
            continue;
        }
        char *unit;
        int64_t bytes = strtoll(size, &unit, 10);
        bytes *= *unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1;
        int64_t *const slots[] = {&machine->l1_bytes, &machine->l2_bytes, &machine->l3_bytes};
        const long number = strtol(level, NULL, 10);
        if (number >= 1 && number <= 3) {
            *slots[number - 1] = bytes;
        }
    }
    /* Where nothing is told: sizes that nearly every CPU of today has at least. */
    if (machine->l1_bytes == 0) {
        machine->l1_bytes = 32 * 1024;
    }
    if (machine->l2_bytes == 0) {
        machine->l2_bytes = 256 * 1024;
    }
}

/* The policy is the word in brackets: "always [madvise] never". */
static void read_huge_page_policy(char *policy, size_t capacity) {
    char line[64];
    if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line)) {
        return;
    }
    const char *open = strchr(line, '[');
    if (open != NULL) {
        snprintf(policy, capacity, "%.*s", (int)strcspn(open + 1, "]"), open + 1);
    }
}

void bench_machine_read(struct bench_machine *machine) {
    memset(machine, 0, sizeof *machine);
    read_cpu_name(machine->cpu, sizeof machine->cpu);
    machine->cpus = usable_cpus();
    read_caches(machine);
    machine->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    read_huge_page_policy(machine->huge_pages, sizeof machine->huge_pages);
}
