/* softattn stability: softmax by its formula, and as the library computes it. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "report.h"
#include "softattn/softattn.h"

static const char help[] =
    "Usage: softattn stability\n"
    "\n"
    "Softmax of the float32 scores 10000, 200, 1, twice: by the formula exp(s) / sum(exp(s)), which "
    "overflows,\n"
    "and by the library, which subtracts the largest score first: exp(s - max) / sum(exp(s - max)).\n"
    "\n"
    "Example:\n"
    "  softattn stability\n";

enum { COUNT = 3 };

static void print_row(const char *name, const float *values) {
    printf("%-28s", name);
    for (int i = 0; i < COUNT; i++) {
        if (isnan(values[i])) {
            printf(" %10s", "NaN"); /* printf would add the sign bit, which means nothing here */
        } else {
            printf(" %10.6g", (double)values[i]);
        }
    }
    putchar('\n');
}

static void print_formula(const float *scores) {
    float exponentials[COUNT];
    float probabilities[COUNT];
    float sum = 0.0f;
    for (int i = 0; i < COUNT; i++) {
        exponentials[i] = expf(scores[i]);
        sum += exponentials[i];
    }
    for (int i = 0; i < COUNT; i++) {
        probabilities[i] = exponentials[i] / sum;
    }
    print_row("exp(score)", exponentials);
    print_row("exp(score) / sum", probabilities);
}

static bool log_softmax(float *scores, float *out) {
    int64_t shape[1] = {COUNT};
    softattn_tensor x = {.data = scores,
                         .device = {SOFTATTN_DEVICE_CPU, 0},
                         .ndim = 1,
                         .dtype = {SOFTATTN_TYPE_FLOAT, 32, 1},
                         .shape = shape};
    softattn_tensor y = x;
    softattn_softmax *softmax = NULL;
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &x, .y = &y};
    bool ok;
    y.data = out;
    ok = report_status(softattn_softmax_create(NULL, &softmax)) &&
         report_status(softattn_softmax_set_output(softmax, SOFTATTN_OUTPUT_LOG_PROBABILITIES)) &&
         report_status(softattn_softmax_run(softmax, &args));
    softattn_softmax_destroy(softmax);
    return ok;
}

static bool print_stability(void) {
    float scores[COUNT] = {10000.0f, 200.0f, 1.0f};
    float probabilities[COUNT];
    float logarithms[COUNT];
    if (!report_status(softattn_softmax_f32(NULL, 1, COUNT, scores, COUNT, probabilities, COUNT)) ||
        !log_softmax(scores, logarithms)) {
        return false;
    }
    print_row("score", scores);
    puts("without max subtraction");
    print_formula(scores);
    puts("by the library");
    print_row("softmax", probabilities);
    print_row("log-softmax", logarithms);
    return true;
}

int command_stability(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const int option = getopt_long(argc, argv, "h", options, NULL);
    if (option == 'h') {
        return print_help(help);
    }
    if (option != -1) {
        return usage_hint(argv[0]);
    }
    if (optind != argc) {
        report("stability", "takes no arguments");
        return usage_hint(argv[0]);
    }
    return print_stability() ? EXIT_SUCCESS : EXIT_FAILURE;
}
