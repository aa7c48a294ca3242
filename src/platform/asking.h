/* How CPUs are best asked for memory that will be needed (prefetching): a kind that the CPU decides and kernels go by. */
#ifndef SOFTATTN_PLATFORM_ASKING_H
#define SOFTATTN_PLATFORM_ASKING_H

enum softattn_asking {
    /* What is asked for into the second-level cache comes into the first, too: a little ahead, into the first (Zen 3). */
    SOFTATTN_ASKING_ALIKE = 0,
    /* It does not, and the first has few places for misses: early, into the second, and again near the use (Zen 4). */
    SOFTATTN_ASKING_TWICE = 1,
    /* The first-level cache has places for as many misses as memory serves at a time: into it, once (Zen 5). */
    SOFTATTN_ASKING_ONCE = 2
};

#endif
