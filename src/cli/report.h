/* Messages of the program: every error is one line on standard error that starts with "softattn: ". */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define EXIT_USAGE                                                                                           \
    2 /* exit status of a wrong command line; EXIT_FAILURE is a wrong file, or a check that failed */

/* Prints "softattn: subject: message". Returns false, so that a failing function can return it. */
bool report(const char *subject, const char *format, ...);

/* Where status is an error, prints "softattn: " and the library's words about its last failure, which name
 * the argument. Returns status == SOFTATTN_OK. */
bool report_status(int32_t status);

/* Prints the line that follows a usage error, and returns EXIT_USAGE. program_and_command: argv[0] of the
 * command. */
int usage_hint(const char *program_and_command);

/* Prints a command's help on standard output and returns EXIT_SUCCESS. */
int print_help(const char *help);

#endif
