/*
 * Counting expectations.
 */
#include "expect.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int met, failed;

bool expect_that(bool holds, const char *condition, int line, const char *format, ...) {
    if (holds) {
        met++;
        return true;
    }
    failed++;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "line %d: expected %s: ", line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

int expect_summary(void) {
    printf("%d expectations met, %d failed\n", met, failed);
    return failed == 0 && met > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
