/*
 * One line on the terminal that says what is being measured.
 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

/* "\r" returns to the line's start, "\033[K" clears it from there (ECMA-48 EL). */
void bench_progress_show(int done, int all, const char *name) {
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K[%d/%d] %s", done + 1, all, name);
        fflush(stderr);
    }
}

void bench_progress_clear(void) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
