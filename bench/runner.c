/*
 * How a failure is told.
 */
#include "runner.h"

#include "timer.h"

#include <stdio.h>

double bench_runner_calls(void *argument, int64_t calls) {
    struct bench_runner *runner = argument;
    const double start = bench_now();
    for (int64_t call = 0; call < calls; call++) {
        runner->status = runner->solve(runner->state);
        if (runner->status != SOFTATTN_OK) {
            return -1;
        }
    }
    return bench_now() - start;
}

int bench_fail_from_library(struct bench_failure *failure, int32_t status) {
    char detail[256] = "";
    softattn_last_error(detail, sizeof detail);
    snprintf(failure->text, sizeof failure->text, "%s: %s", softattn_status_string(status), detail);
    failure->unsupported = status == SOFTATTN_ERROR_UNSUPPORTED;
    return -1;
}

int bench_fail_from_memory(struct bench_failure *failure) {
    snprintf(failure->text, sizeof failure->text, "there is not enough memory for the arrays");
    failure->unsupported = 0;
    return -1;
}
