/*
 * Who else used the machine while something was measured.
 */
#include "noise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds(struct timeval time) { return (double)time.tv_sec + 1e-6 * (double)time.tv_usec; }

/* The first line of /proc/stat: "cpu" and ticks of user, nice, system, idle, iowait, irq, softirq, steal, …;
 * see proc(5). The guest times that follow are contained in user and nice. */
static void read_cpu_times(struct bench_cpu_times *times) {
    memset(times, 0, sizeof *times);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        times->own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    }

    FILE *file = fopen("/proc/stat", "r");
    if (file == NULL) {
        return;
    }
    double user, nice, system, idle, iowait, irq, softirq, steal;
    const int found = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle,
                             &iowait, &irq, &softirq, &steal);
    fclose(file);
    if (found != 8) {
        return;
    }
    const double tick = 1 / (double)sysconf(_SC_CLK_TCK);
    times->busy = tick * (user + nice + system + irq + softirq);
    times->stolen = tick * steal;
    times->all = times->busy + times->stolen + tick * (idle + iowait);
}

static double load_average(void) {
    double load;
    return getloadavg(&load, 1) == 1 ? load : 0;
}

void bench_noise_begin(struct bench_noise *noise, struct bench_cpu_times *times) {
    memset(noise, 0, sizeof *noise);
    noise->load_before = load_average();
    read_cpu_times(times);
}

void bench_noise_end(struct bench_noise *noise, const struct bench_cpu_times *begin) {
    struct bench_cpu_times end;
    read_cpu_times(&end);
    noise->load_after = load_average();
    const double all = end.all - begin->all;
    if (all <= 0) {
        return;
    }
    const double others = end.busy - begin->busy - (end.own - begin->own);
    noise->stolen_share = (end.stolen - begin->stolen) / all;
    noise->others_share = others > 0 ? others / all : 0;
}

int bench_noise_warnings(const struct bench_noise *noise, int cpus, const char *warnings[3]) {
    int count = 0;
    if (noise->stolen_share > 0.01) {
        warnings[count++] = "the host of this virtual machine took more than 1 % of the CPUs' time";
    }
    if (noise->others_share > 0.02) {
        warnings[count++] = "other processes used more than 2 % of the CPUs' time";
    }
    if (noise->load_before > cpus) {
        warnings[count++] = "the load average at the start was above the number of CPUs";
    }
    return count;
}
