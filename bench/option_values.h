/*
 * The values of options.
 */
#ifndef SOFTATTN_BENCH_OPTION_VALUES_H
#define SOFTATTN_BENCH_OPTION_VALUES_H

#include "option_table.h"
#include "options.h"

/* Puts the value, NULL for flags, to its place in options; -1 after a complaint. */
int bench_option_set(struct bench_options *options, const struct bench_option *option, const char *value);

#endif
