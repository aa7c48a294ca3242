/*
 * What is wrong with a command line.
 */
#ifndef SOFTATTN_BENCH_COMPLAIN_H
#define SOFTATTN_BENCH_COMPLAIN_H

/* Prints the program's name and the message on one line of standard error. Returns -1. */
int bench_complain(const char *format, ...);

#endif
