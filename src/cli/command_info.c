/* softattn info: what the linked library is and what it would use on this machine. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "options.h"
#include "report.h"

static const char help[] =
    "Usage: softattn info\n"
    "\n"
    "Prints the library's version, the instruction sets that it can use on this CPU (best first) and the "
    "one\n"
    "that it chooses, what its BLAS engine multiplies with, and how many threads it starts with.\n"
    "\n"
    "Examples:\n"
    "  softattn info\n"
    "  SOFTATTN_ISA=generic SOFTATTN_NUM_THREADS=2 softattn info\n";

static int print_info(softattn_context *context) {
    const int32_t threads = softattn_context_threads(context);
    printf("version   %s\n", softattn_version_string());
    printf("isa       %s (can run:", softattn_context_isa(context));
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        printf(" %s", softattn_isa_name(i));
    }
    printf(")\nblas      %s\n", softattn_blas_name());
    if (!report_status(softattn_context_set_threads(context, 0))) {
        return EXIT_FAILURE;
    }
    printf("threads   %d (usable CPUs: %d)\n", (int)threads, (int)softattn_context_threads(context));
    return EXIT_SUCCESS;
}

int command_info(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    softattn_context *context;
    int status;
    const int option = getopt_long(argc, argv, "h", options, NULL);
    if (option == 'h') {
        return print_help(help);
    }
    if (option != -1) {
        return usage_hint(argv[0]);
    }
    if (optind != argc) {
        report("info", "takes no arguments");
        return usage_hint(argv[0]);
    }
    context = context_from_options(&(context_options){.threads = -1});
    if (context == NULL) {
        return EXIT_FAILURE;
    }
    status = print_info(context);
    softattn_context_destroy(context);
    return status;
}
