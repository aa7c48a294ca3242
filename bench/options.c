/*
 * The command line.
 */
#include "options.h"

#include "complain.h"
#include "engines.h"
#include "grid.h"
#include "help.h"
#include "option_values.h"

#include <softattn/softattn.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Arrays above this are taken for typing errors. */
static const double max_elements = 1e13;

static void set_defaults(struct bench_options *options) {
    memset(options, 0, sizeof *options);
    options->problem.rows = 1024;
    options->problem.cols = 1024;
    options->problem.scale = 1;
    options->problem.sampling = (struct bench_sampling){.temperature = 1, .top_p = 1};
    struct bench_attention_shape *shape = &options->problem.attention;
    shape->batch = 1;
    shape->heads_q = 8;
    shape->seq_q = 1024;
    shape->dim_qk = 64;
    shape->causal = SOFTATTN_CAUSAL_NONE;
    shape->window_left = BENCH_WINDOW_UNLIMITED;
    shape->window_right = BENCH_WINDOW_UNLIMITED;
    options->engines_count = 1;
    options->isas[0] = "auto";
    options->isas_count = 1;
    options->threads[0] = 1;
    options->threads_count = 1;
    options->min_seconds = 0.3;
}

static enum bench_operation operation_of(enum bench_mode mode) {
    switch (mode) {
    case BENCH_MODE_SOFTMAX: return BENCH_SOFTMAX;
    case BENCH_MODE_SOFTMAX_BACKWARD: return BENCH_SOFTMAX_BACKWARD;
    case BENCH_MODE_CROSS_ENTROPY: return BENCH_CROSS_ENTROPY;
    case BENCH_MODE_SAMPLING: return BENCH_SAMPLING;
    case BENCH_MODE_DIAGNOSE: return BENCH_DIAGNOSE;
    case BENCH_MODE_LINEAR_ATTENTION: return BENCH_LINEAR_ATTENTION;
    default: return BENCH_ATTENTION; /* of ceilings and grid it means nothing */
    }
}

/* The sizes of the arrays. */
static int check_sizes(const struct bench_problem *problem) {
    const struct bench_attention_shape *shape = &problem->attention;
    const double heads = (double)shape->batch * (double)shape->heads_q;
    const double seq = (double)(shape->seq_q > shape->seq_kv ? shape->seq_q : shape->seq_kv);
    const double dim = (double)(shape->dim_qk > shape->dim_v ? shape->dim_qk : shape->dim_v);
    if (shape->heads_q % shape->heads_kv != 0) {
        return bench_complain("--heads is %" PRId64 "; it must be a multiple of --kv-heads, %" PRId64,
                              shape->heads_q, shape->heads_kv);
    }
    if ((double)problem->rows * (double)problem->cols > max_elements || heads * seq * dim > max_elements) {
        return bench_complain("the sizes make an array of more than %.0e elements", max_elements);
    }
    const double pairs = (double)shape->heads_q * (double)shape->seq_q * (double)shape->seq_kv;
    if (problem->extras.bias != BENCH_BIAS_NONE && pairs > max_elements) {
        return bench_complain("the sizes make a bias of more than %.0e elements", max_elements);
    }
    if (shape->keep_mask != BENCH_KEEP_MASK_NONE && pairs > max_elements) {
        return bench_complain("the sizes make a keep mask of more than %.0e elements", max_elements);
    }
    return 0;
}

static int check_engines(const struct bench_options *options) {
    char refusal[BENCH_REFUSAL_SIZE];
    for (int i = 0; i < options->engines_count; i++) {
        if (!bench_engine_solves(options->engines[i], &options->problem, refusal)) {
            return bench_complain("%s", refusal);
        }
    }
    return 0;
}

/* Whether the grid has a problem for the family and the engines. */
static int check_selection(const struct bench_options *options) {
    const char *items[BENCH_GRID_MAX_FAMILIES];
    const struct bench_names names = bench_grid_families(items);
    char families[512], refusal[BENCH_REFUSAL_SIZE];
    int selected = 0;
    for (int i = 0; i < bench_grid_count(); i++) {
        const struct bench_grid_case item = bench_grid_case(i);
        const int is_selected = bench_grid_selects(i, options->quick, options->family);
        selected += is_selected;
        for (int e = 0; is_selected && e < options->engines_count; e++) {
            if (bench_engine_solves(options->engines[e], &item.problem, refusal)) {
                return 0;
            }
        }
    }
    if (selected > 0) {
        return bench_complain("nothing of --family %s is left: %s", options->family, refusal);
    }
    bench_names_list(&names, BENCH_ALL_NAMES, "and", families, sizeof families);
    return bench_complain("--family is %s, which is in no family's name; there are %s", options->family,
                          families);
}

/* What depends on several options. */
static int complete(struct bench_options *options) {
    struct bench_problem *problem = &options->problem;
    struct bench_attention_shape *shape = &problem->attention;
    problem->operation = operation_of(options->mode);
    shape->heads_kv = shape->heads_kv != 0 ? shape->heads_kv : shape->heads_q;
    shape->seq_kv = shape->seq_kv != 0 ? shape->seq_kv : shape->seq_q;
    shape->dim_v = shape->dim_v != 0 ? shape->dim_v : shape->dim_qk;
    if (check_sizes(problem) != 0) {
        return -1;
    }
    return options->mode == BENCH_MODE_GRID ? check_selection(options) : check_engines(options);
}

/* A word that is no option: the mode. */
static int read_word(struct bench_options *options, const char *word, int *words) {
    const int mode = bench_names_find(&bench_mode_names, word);
    char modes[128];
    bench_names_list(&bench_mode_names, BENCH_ALL_NAMES, "and", modes, sizeof modes);
    if ((*words)++ > 0) {
        return bench_complain("%s is one word too many", word);
    }
    if (mode < 0) {
        return bench_complain("there is no mode %s; there are %s", word, modes);
    }
    options->mode = (enum bench_mode)mode;
    return 0;
}

/* getopt_long's table of the options that there are. */
static void fill_table(struct option table[BENCH_OPTION_COUNT + 1]) {
    for (int i = 0; i < BENCH_OPTION_COUNT; i++) {
        table[i].name = bench_option_table[i].name;
        table[i].has_arg = bench_option_table[i].value != NULL ? required_argument : no_argument;
        table[i].val = (int)bench_option_table[i].id;
    }
}

/* Whether every option given, each of those in `used`, belongs to the mode. */
static int check_mode(const struct bench_options *options, int words, const int used[BENCH_OPTION_COUNT]) {
    if (words == 0) {
        return bench_complain("the mode is missing, such as softmax or attention; --help lists all");
    }
    for (int i = 0; i < BENCH_OPTION_COUNT; i++) {
        if (used[i] && !bench_option_is_of(&bench_option_table[i], options->mode)) {
            return bench_complain("--%s is not an option of %s", bench_option_table[i].name,
                                  bench_mode_names.items[options->mode]);
        }
    }
    return 0;
}

enum bench_options_result bench_options_read(struct bench_options *options, int argc, char **argv) {
    struct option table[BENCH_OPTION_COUNT + 1] = {{NULL, 0, NULL, 0}};
    int used[BENCH_OPTION_COUNT] = {0};
    int words = 0;
    fill_table(table);
    set_defaults(options);
    /* "-" makes getopt_long give words as options with the value 1, so it need not reorder argv. */
    for (int id; (id = getopt_long(argc, argv, "-h", table, NULL)) != -1;) {
        if (id == BENCH_OPTION_HELP || id == 'h') {
            bench_help_print(stdout);
            return BENCH_OPTIONS_DONE;
        }
        if (id == BENCH_OPTION_VERSION) {
            printf("softattn-bench %s\n", softattn_version_string());
            return BENCH_OPTIONS_DONE;
        }
        const int index = id - BENCH_OPTION_FIRST;
        if (index < 0 && id != 1) {
            return BENCH_OPTIONS_WRONG; /* unknown or incomplete, as getopt_long has said */
        }
        const int result = id == 1 ? read_word(options, optarg, &words)
                                   : bench_option_set(options, &bench_option_table[index], optarg);
        if (result != 0) {
            return BENCH_OPTIONS_WRONG;
        }
        if (id != 1) {
            used[index] = 1;
        }
    }
    if (check_mode(options, words, used) != 0 || complete(options) != 0) {
        return BENCH_OPTIONS_WRONG;
    }
    return BENCH_OPTIONS_OK;
}
