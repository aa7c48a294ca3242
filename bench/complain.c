/*
 * What is wrong with a command line.
 */
#include "complain.h"

#include <stdarg.h>
#include <stdio.h>

int bench_complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("softattn-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return -1;
}
