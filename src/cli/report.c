/* Messages of the program, see report.h. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "softattn/softattn.h"

bool report(const char *subject, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "softattn: %s: ", subject);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

bool report_status(int32_t status) {
    char detail[512] = "";
    if (status == SOFTATTN_OK) {
        return true;
    }
    softattn_last_error(detail, (int64_t)sizeof detail);
    fprintf(stderr, "softattn: %s\n", detail[0] != '\0' ? detail : softattn_status_string(status));
    return false;
}

int usage_hint(const char *program_and_command) {
    fprintf(stderr, "Try '%s --help'.\n", program_and_command);
    return EXIT_USAGE;
}

int print_help(const char *help) {
    fputs(help, stdout);
    return EXIT_SUCCESS;
}
