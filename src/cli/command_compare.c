/* softattn compare: how far two arrays are from each other. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "array.h"
#include "commands.h"
#include "npy.h"
#include "options.h"
#include "report.h"

static const char help[] =
    "Usage: softattn compare A.npy B.npy [--tolerance T]\n"
    "\n"
    "Prints the largest absolute difference of two arrays of one shape, and their relative difference\n"
    "||A - B|| / ||B|| in the 2-norm. Equal infinities, and two NaN, differ by 0; a NaN and a number by "
    "infinity.\n"
    "The exit status is 1 when one of the two figures is above the tolerance (default 0).\n"
    "\n"
    "Examples:\n"
    "  softattn compare out.npy expected.npy --tolerance 1e-6\n"
    "  softattn compare before.npy after.npy\n";

typedef struct difference {
    double largest;
    int64_t largest_at; /* index in row-major order */
    double relative;
} difference;

static double difference_of(double a, double b) {
    if (a == b || (isnan(a) && isnan(b))) {
        return 0.0;
    }
    return isnan(a) || isnan(b) ? (double)INFINITY : fabs(a - b);
}

static difference compare(const array *a, const array *b) {
    difference d = {0.0, 0, 0.0};
    double squares = 0.0;
    double reference_squares = 0.0;
    for (int64_t i = 0; i < array_count(b); i++) {
        const double reference = array_at(b, i);
        const double step = difference_of(array_at(a, i), reference);
        if (step > d.largest) {
            d.largest = step;
            d.largest_at = i;
        }
        squares += step * step;
        reference_squares += isfinite(reference) ? reference * reference : 0.0;
    }
    d.relative = squares == 0.0 ? 0.0 : sqrt(squares / reference_squares);
    return d;
}

static bool same_shape(const array *a, const array *b) {
    bool same = a->rank == b->rank;
    for (int32_t axis = 0; same && axis < a->rank; axis++) {
        same = a->shape[axis] == b->shape[axis];
    }
    return same;
}

/* "[0, 3, 2]" */
static void print_index(const array *a, int64_t index) {
    int64_t step = array_count(a);
    putchar('[');
    for (int32_t axis = 0; axis < a->rank; axis++) {
        step /= a->shape[axis];
        printf("%s%lld", axis > 0 ? ", " : "", (long long)(index / step));
        index %= step;
    }
    putchar(']');
}

static bool compare_files(char **paths, array *a, array *b, double tolerance) {
    char shapes[2][SHAPE_TEXT_BYTES];
    difference d;
    if (!npy_read(paths[0], a) || !npy_read(paths[1], b)) {
        return false;
    }
    if (!same_shape(a, b)) {
        array_shape_text(a, shapes[0]);
        array_shape_text(b, shapes[1]);
        return report(paths[1], "shape %s, but %s has %s", shapes[1], paths[0], shapes[0]);
    }
    d = compare(a, b);
    printf("largest difference %.3g", d.largest);
    if (d.largest > 0.0) {
        printf(" at ");
        print_index(a, d.largest_at);
    }
    printf(", relative difference %.3g: ", d.relative);
    printf(d.largest <= tolerance && d.relative <= tolerance ? "within %g\n" : "above %g\n", tolerance);
    return d.largest <= tolerance && d.relative <= tolerance;
}

int command_compare(int argc, char **argv) {
    static const struct option options[] = {
        {"tolerance", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    double tolerance = 0.0;
    array a = {.data = NULL};
    array b = {.data = NULL};
    int option;
    bool ok;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            return print_help(help);
        }
        if (option != 't' || !option_number("--tolerance", optarg, &tolerance)) {
            return usage_hint(argv[0]);
        }
    }
    if (argc - optind != 2) {
        report("compare", "takes two .npy files");
        return usage_hint(argv[0]);
    }
    ok = compare_files(argv + optind, &a, &b, tolerance);
    array_free(&a);
    array_free(&b);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
