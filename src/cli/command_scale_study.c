/* softattn scale-study: what the divisor of the scores does to the softmax over them. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "array.h"
#include "commands.h"
#include "options.h"
#include "random_normal.h"
#include "report.h"

static const char help[] = "Usage: softattn scale-study [OPTION...]\n"
                           "\n"
                           "Draws random normal queries and keys, scores them, and shows what dividing the "
                           "scores by 1, sqrt(d) and d\n"
                           "does to the softmax. The scores of normal vectors have standard deviation "
                           "sqrt(d): undivided, one key takes\n"
                           "nearly all the weight; divided by d, all keys get the same.\n"
                           "\n"
                           "  --dim N        dimension d of the vectors (default 512)\n"
                           "  --keys N       keys, the length of a row (default 64)\n"
                           "  --queries N    queries, the number of rows (default 1000)\n"
                           "  --seed N       seed of the random numbers (default 1)\n"
                           "\n"
                           "Examples:\n"
                           "  softattn scale-study\n"
                           "  softattn scale-study --dim 64 --seed 7\n";

typedef struct study {
    int64_t dim, keys, queries, seed;
    array q, k;
    array scores;        /* [queries, keys], undivided */
    array probabilities; /* the same */
} study;

typedef struct figures {
    double score_deviation;
    double largest; /* mean over the rows of the largest probability */
    double entropy; /* mean over the rows, nats */
} figures;

static bool allocate_matrix(array *a, int64_t rows, int64_t columns) {
    *a = (array){.bits = 64, .rank = 2, .shape = {rows, columns}};
    return array_allocate(a, "scale-study");
}

static bool allocate(study *s) {
    return allocate_matrix(&s->q, s->queries, s->dim) && allocate_matrix(&s->k, s->keys, s->dim) &&
           allocate_matrix(&s->scores, s->queries, s->keys) &&
           allocate_matrix(&s->probabilities, s->queries, s->keys);
}

static void release(study *s) {
    array_free(&s->q);
    array_free(&s->k);
    array_free(&s->scores);
    array_free(&s->probabilities);
}

static void compute_scores(study *s) {
    const double *q = s->q.data;
    const double *k = s->k.data;
    double *scores = s->scores.data;
    for (int64_t query = 0; query < s->queries; query++) {
        for (int64_t key = 0; key < s->keys; key++) {
            double sum = 0.0;
            for (int64_t i = 0; i < s->dim; i++) {
                sum += q[query * s->dim + i] * k[key * s->dim + i];
            }
            scores[query * s->keys + key] = sum;
        }
    }
}

static double deviation(const double *values, int64_t count) {
    double mean = 0.0;
    double squares = 0.0;
    for (int64_t i = 0; i < count; i++) {
        mean += values[i] / (double)count;
    }
    for (int64_t i = 0; i < count; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    return sqrt(squares / (double)count);
}

static double entropy(const double *probabilities, int64_t count) {
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum -= probabilities[i] > 0.0 ? probabilities[i] * log(probabilities[i]) : 0.0; /* 0 log 0 is 0 */
    }
    return sum;
}

static double largest_of(const double *values, int64_t count) {
    double largest = values[0];
    for (int64_t i = 1; i < count; i++) {
        largest = values[i] > largest ? values[i] : largest;
    }
    return largest;
}

static figures measure(const study *s, double scale) {
    const double *probabilities = s->probabilities.data;
    figures f = {scale * deviation(s->scores.data, s->queries * s->keys), 0.0, 0.0};
    for (int64_t query = 0; query < s->queries; query++) {
        f.largest += largest_of(probabilities + query * s->keys, s->keys) / (double)s->queries;
        f.entropy += entropy(probabilities + query * s->keys, s->keys) / (double)s->queries;
    }
    return f;
}

static bool apply_softmax(study *s, softattn_softmax *softmax, double scale) {
    const softattn_tensor scores = array_tensor(&s->scores);
    const softattn_tensor probabilities = array_tensor(&s->probabilities);
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &scores, .y = &probabilities};
    return report_status(softattn_softmax_set_scale(softmax, scale)) &&
           report_status(softattn_softmax_run(softmax, &args));
}

static bool print_study(study *s) {
    const struct {
        const char *name;
        double divisor;
    } rows[] = {{"1", 1.0}, {"sqrt(d)", sqrt((double)s->dim)}, {"d", (double)s->dim}};
    softattn_softmax *softmax = NULL;
    bool ok = report_status(softattn_softmax_create(NULL, &softmax));
    printf("scores q.k / divisor of random normal q and k, d = %" PRId64 "; softmax over %" PRId64
           " keys; %" PRId64 " queries; seed %" PRId64 "\n",
           s->dim, s->keys, s->queries, s->seed);
    printf("%-10s %16s %26s %24s\n", "divisor", "score deviation", "mean largest probability",
           "mean entropy (nats)");
    for (size_t i = 0; ok && i < sizeof rows / sizeof rows[0]; i++) {
        ok = apply_softmax(s, softmax, 1.0 / rows[i].divisor);
        if (ok) {
            const figures f = measure(s, 1.0 / rows[i].divisor);
            printf("%-10s %16.4f %26.4f %24.4f\n", rows[i].name, f.score_deviation, f.largest, f.entropy);
        }
    }
    if (ok) {
        printf("%-10s %16s %26.4f %24.4f\n", "(uniform)", "", 1.0 / (double)s->keys, log((double)s->keys));
    }
    softattn_softmax_destroy(softmax);
    return ok;
}

static bool take_option(int option, study *s) {
    const int64_t most = 1000000;
    switch (option) {
    case 'd': return option_integer("--dim", optarg, 1, most, &s->dim);
    case 'k': return option_integer("--keys", optarg, 1, most, &s->keys);
    case 'n': return option_integer("--queries", optarg, 1, most, &s->queries);
    case 's': return option_integer("--seed", optarg, 0, INT64_MAX, &s->seed);
    default: return false;
    }
}

int command_scale_study(int argc, char **argv) {
    static const struct option options[] = {
        {"dim", required_argument, NULL, 'd'},     {"keys", required_argument, NULL, 'k'},
        {"queries", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    study s = {.dim = 512, .keys = 64, .queries = 1000, .seed = 1};
    int option;
    bool ok;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            return print_help(help);
        }
        if (!take_option(option, &s)) {
            return usage_hint(argv[0]);
        }
    }
    if (optind != argc) {
        report("scale-study", "takes no arguments");
        return usage_hint(argv[0]);
    }
    ok = allocate(&s);
    if (ok) {
        random_normal state = random_normal_seed((uint64_t)s.seed);
        random_normal_fill(&state, s.q.data, s.queries * s.dim);
        random_normal_fill(&state, s.k.data, s.keys * s.dim);
        compute_scores(&s);
        ok = print_study(&s);
    }
    release(&s);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
