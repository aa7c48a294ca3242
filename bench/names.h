/*
 * Values that have names on the command line and in results: value i has the name items[i].
 */
#ifndef SOFTATTN_BENCH_NAMES_H
#define SOFTATTN_BENCH_NAMES_H

#include <stddef.h>

struct bench_names {
    const char *const *items;
    int count;
};

/* An initializer from an array of names. */
#define BENCH_NAMES(array)                                                                                   \
    { array, sizeof array / sizeof array[0] }

/* The value of a name; -1 where there is none. */
int bench_names_find(const struct bench_names *names, const char *text);

/* All of them, and some: a bit for each value. */
#define BENCH_ALL_NAMES (~0u)

/* Writes the names of some values as a sentence has them: "a, b and c" where joint is "and". */
void bench_names_list(const struct bench_names *names, unsigned some, const char *joint, char *text,
                      size_t capacity);

#endif
