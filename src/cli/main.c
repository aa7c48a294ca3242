/* softattn: softmax and attention on .npy files, by libsoftattn's public interface alone. Finds the command
 * to run. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "report.h"
#include "softattn/softattn.h"

static const struct {
    const char *name;
    char *full_name; /* argv[0] of the command, which getopt_long puts before its messages */
    int (*run)(int argc, char **argv);
} commands[] = {
    {"attend", (char[]){"softattn attend"}, command_attend},
    {"softmax", (char[]){"softattn softmax"}, command_softmax},
    {"compare", (char[]){"softattn compare"}, command_compare},
    {"info", (char[]){"softattn info"}, command_info},
    {"stability", (char[]){"softattn stability"}, command_stability},
    {"scale-study", (char[]){"softattn scale-study"}, command_scale_study},
};

static const char help[] =
    "Usage: softattn COMMAND [ARGUMENT...]\n"
    "\n"
    "Softmax and attention, softmax(scale * Q K^T) V, on arrays in .npy files.\n"
    "\n"
    "Commands:\n"
    "  attend        attention of q.npy, k.npy and v.npy; heatmaps of its weights\n"
    "  softmax       softmax along one axis of an array\n"
    "  compare       largest and relative difference of two arrays\n"
    "  info          version, instruction sets, BLAS and threads of the library\n"
    "  stability     why softmax subtracts the row's largest score\n"
    "  scale-study   why attention divides its scores by sqrt(d)\n"
    "\n"
    "'softattn COMMAND --help' tells about a command; --version prints the version.\n"
    "\n"
    "Examples:\n"
    "  softattn attend q.npy k.npy v.npy -o out.npy --causal bottom-right\n"
    "  softattn softmax scores.npy -o p.npy\n"
    "\n"
    "Files hold float32 or float64, little-endian, in C order.\n"
    "Exit status: 0 done, 1 a wrong file or a failed comparison, 2 a wrong command line.\n";

static int run_command(int argc, char **argv) {
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            argv[1] = commands[i].full_name;
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return print_help(help);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("softattn %s\n", softattn_version_string());
        return EXIT_SUCCESS;
    }
    report(argv[1], "unknown %s", argv[1][0] == '-' ? "option" : "command");
    return usage_hint("softattn");
}

int main(int argc, char **argv) {
    int status;
    setlocale(LC_CTYPE,
              ""); /* tokens are printed in the terminal's encoding; numbers keep the decimal point */
    if (argc < 2) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    status = run_command(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report("standard output", "%s", strerror(errno));
        return EXIT_FAILURE;
    }
    return status;
}
