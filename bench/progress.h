/*
 * One line on the terminal that says what is being measured. Nothing where standard error is no terminal.
 */
#ifndef SOFTATTN_BENCH_PROGRESS_H
#define SOFTATTN_BENCH_PROGRESS_H

void bench_progress_show(int done, int all, const char *name);
void bench_progress_clear(void);

#endif
