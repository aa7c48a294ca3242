/*
 * Who else used the machine while something was measured.
 */
#ifndef SOFTATTN_BENCH_NOISE_H
#define SOFTATTN_BENCH_NOISE_H

/* Seconds of CPU time since the machine or this process started, over all CPUs; zeros where the system does
 * not tell. */
struct bench_cpu_times {
    double all;    /* idle included */
    double busy;   /* of every process */
    double stolen; /* taken by the host of a virtual machine */
    double own;    /* of this process */
};

struct bench_noise {
    double stolen_share;            /* of the CPUs' time */
    double others_share;            /* busy with other processes */
    double load_before, load_after; /* load average of the last minute */
};

void bench_noise_begin(struct bench_noise *noise, struct bench_cpu_times *times);
void bench_noise_end(struct bench_noise *noise, const struct bench_cpu_times *begin);

/* A warning for each thing that was too much, as text that stays valid; returns how many there are, at most
 * 3. */
int bench_noise_warnings(const struct bench_noise *noise, int cpus, const char *warnings[3]);

#endif
