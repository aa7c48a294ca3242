/*
 * The command line.
 */
#include "options.h"

#include <softattn/softattn.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What there is ----------------------------------------------------------------------------------- */

static const char *const mode_names[] = {"ceilings", "softmax",  "softmax-backward", "cross-entropy",
                                         "sampling", "diagnose", "attention",        "grid"};

enum {
    MODES = sizeof mode_names / sizeof mode_names[0],
    IN_CEILINGS = 1 << BENCH_MODE_CEILINGS,
    IN_SAMPLING = 1 << BENCH_MODE_SAMPLING,
    IN_WRITERS = 1 << BENCH_MODE_SOFTMAX | 1 << BENCH_MODE_SOFTMAX_BACKWARD | 1 << BENCH_MODE_CROSS_ENTROPY,
    IN_MATRICES = IN_WRITERS | IN_SAMPLING | 1 << BENCH_MODE_DIAGNOSE,
    IN_ATTENTION = 1 << BENCH_MODE_ATTENTION,
    IN_NORMALIZERS = 1 << BENCH_MODE_SOFTMAX | 1 << BENCH_MODE_SOFTMAX_BACKWARD | IN_ATTENTION,
    IN_GRID = 1 << BENCH_MODE_GRID,
    IN_PROBLEMS = IN_MATRICES | IN_ATTENTION,
    IN_RUNS = IN_PROBLEMS | IN_GRID,
    IN_ALL = IN_RUNS | IN_CEILINGS
};

/* Sizes and arrays above these are taken for typing errors. */
static const int64_t max_size = INT64_C(1) << 30;
static const double max_elements = 1e13;

/* In the order of the entries below; from a value above every character, as getopt_long wants. */
enum option_id {
    OPTION_FIRST = 256,
    OPTION_ROWS = OPTION_FIRST,
    OPTION_COLS,
    OPTION_IN_PLACE,
    OPTION_TEMPERATURE,
    OPTION_TOP_K,
    OPTION_TOP_P,
    OPTION_BATCH,
    OPTION_HEADS,
    OPTION_KV_HEADS,
    OPTION_SEQ_Q,
    OPTION_SEQ_KV,
    OPTION_DIM,
    OPTION_DIM_V,
    OPTION_CAUSAL,
    OPTION_WINDOW,
    OPTION_BIAS,
    OPTION_NORMALIZER,
    OPTION_TYPE,
    OPTION_QUICK,
    OPTION_FAMILY,
    OPTION_ENGINE,
    OPTION_ISA,
    OPTION_THREADS,
    OPTION_MIN_TIME,
    OPTION_CALLS,
    OPTION_JSON,
    OPTION_CSV,
    OPTION_HELP,
    OPTION_VERSION
};

struct option_entry {
    enum option_id id;
    int modes;
    const char *name, *value, *help; /* value is NULL for flags */
};

static const struct option_entry entries[] = {
    {OPTION_ROWS, IN_MATRICES, "rows", "N", "rows of the matrix (1024)"},
    {OPTION_COLS, IN_MATRICES, "cols", "N", "columns of the matrix, classes or tokens (1024)"},
    {OPTION_IN_PLACE, IN_WRITERS, "in-place", NULL, "write the result over the scores or gradient read"},
    {OPTION_TEMPERATURE, IN_SAMPLING, "temperature", "T", "temperature; 0 for argmax (1)"},
    {OPTION_TOP_K, IN_SAMPLING, "top-k", "K", "keep the K largest logits; 0 for all (0)"},
    {OPTION_TOP_P, IN_SAMPLING, "top-p", "P",
     "keep the largest logits up to this probability; 1 for all (1)"},
    {OPTION_BATCH, IN_ATTENTION, "batch", "N", "sequences (1)"},
    {OPTION_HEADS, IN_ATTENTION, "heads", "N", "query heads (8)"},
    {OPTION_KV_HEADS, IN_ATTENTION, "kv-heads", "N", "key/value heads (as --heads)"},
    {OPTION_SEQ_Q, IN_ATTENTION, "seq-q", "N", "queries (1024)"},
    {OPTION_SEQ_KV, IN_ATTENTION, "seq-kv", "N", "keys (as --seq-q)"},
    {OPTION_DIM, IN_ATTENTION, "dim", "N", "head size of queries and keys (64)"},
    {OPTION_DIM_V, IN_ATTENTION, "dim-v", "N", "head size of values (as --dim)"},
    {OPTION_CAUSAL, IN_ATTENTION, "causal", "MASK", "none, top-left or bottom-right (none)"},
    {OPTION_WINDOW, IN_ATTENTION, "window", "LEFT,RIGHT",
     "keys seen before and after the query's own; -1 for all (-1,-1)"},
    {OPTION_BIAS, IN_ATTENTION, "bias", "BIAS",
     "added to the scores: keys (a row for all queries), matrix (for all heads), heads, none (none)"},
    {OPTION_NORMALIZER, IN_NORMALIZERS, "normalizer", "NAME",
     "softmax, none, relu, relu-squared, sigmoid, softmax-plus-one, sparsemax, entmax (softmax)"},
    {OPTION_TYPE, IN_PROBLEMS, "type", "TYPE", "f32, f64; of softmax and gradients also f16, bf16 (f32)"},
    {OPTION_QUICK, IN_GRID, "quick", NULL, "only the smallest problem of each family"},
    {OPTION_FAMILY, IN_GRID, "family", "TEXT", "only families with this in their names, such as decode"},
    {OPTION_ENGINE, IN_RUNS, "engine", "LIST",
     "auto, fused, blas, textbook (auto); softmax: auto, textbook; the others: auto"},
    {OPTION_ISA, IN_RUNS, "isa", "LIST", "auto, or instruction sets by name (auto)"},
    {OPTION_THREADS, IN_ALL, "threads", "LIST", "numbers of threads; 0 for all CPUs (1)"},
    {OPTION_MIN_TIME, IN_ALL, "min-time", "SECONDS", "time of each measurement (0.3); 0 for a trial run"},
    {OPTION_CALLS, IN_PROBLEMS, "calls", "N",
     "solve the problem N times, measure and print nothing: for tools that count instructions"},
    {OPTION_JSON, IN_ALL, "json", NULL, "print JSON"},
    {OPTION_CSV, IN_ALL, "csv", NULL, "print CSV"},
    {OPTION_HELP, IN_ALL, "help", NULL, "print this help"},
    {OPTION_VERSION, IN_ALL, "version", NULL, "print the library's version"},
};

enum { ENTRIES = sizeof entries / sizeof entries[0] };

static void print_options(const char *title, int modes) {
    printf("\n%s:\n", title);
    for (int i = 0; i < ENTRIES; i++) {
        const struct option_entry *entry = &entries[i];
        if (entry->modes != modes)
            continue;
        char name[32];
        snprintf(name, sizeof name, "--%s%s%s", entry->name, entry->value != NULL ? " " : "",
                 entry->value != NULL ? entry->value : "");
        printf("  %-20s %s\n", name, entry->help);
    }
}

static void print_help(void) {
    fputs("usage: softattn-bench MODE [options]\n"
          "\n"
          "Measures libsoftattn, and in the same run what the machine could do at best.\n"
          "  ceilings          multiply-adds per second, and memory bandwidth at every level\n"
          "  softmax           row-wise softmax of one matrix\n"
          "  softmax-backward  its gradient\n"
          "  cross-entropy     losses and gradient of one matrix of logits\n"
          "  sampling          a token from each row of logits such as a language model's\n"
          "  diagnose          entropy, saturation and gradient norm of each row\n"
          "  attention         attention of one shape\n"
          "  grid              many problems of every kind\n",
          stdout);
    print_options("softmax, softmax-backward, cross-entropy, sampling and diagnose", IN_MATRICES);
    print_options("softmax, softmax-backward and cross-entropy", IN_WRITERS);
    print_options("sampling", IN_SAMPLING);
    print_options("attention", IN_ATTENTION);
    print_options("all of these", IN_PROBLEMS);
    print_options("grid", IN_GRID);
    print_options("all of these and grid", IN_RUNS);
    print_options("all", IN_ALL);
    fputs("\n"
          "LIST is one value or several with commas between; every combination is measured.\n"
          "\n"
          "examples:\n"
          "  softattn-bench softmax --rows 4096 --cols 4096 --threads 1,2\n"
          "  softattn-bench sampling --rows 32 --cols 128256 --top-k 64\n"
          "  softattn-bench attention --heads 32 --kv-heads 8 --seq-q 1 --seq-kv 4096 --dim 128\n"
          "  softattn-bench attention --seq-q 2048 --causal top-left --engine fused,blas,textbook --json\n"
          "  softattn-bench attention --seq-q 8192 --causal top-left --window 255,0\n"
          "  softattn-bench grid --isa avx512,avx2 --csv\n"
          "\n"
          "exit status: 0 done, 1 a measurement failed, 2 the command line is wrong\n",
          stdout);
}

/* ---- Values ------------------------------------------------------------------------------------------ */

static int complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("softattn-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return -1;
}

static int read_integer(const char *name, const char *text, int64_t least, int64_t most, int64_t *value) {
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        return complain("--%s is %s; it must be a number from %" PRId64 " to %" PRId64, name, text, least,
                        most);
    *value = number;
    return 0;
}

static int read_real(const char *name, const char *text, double most, double *value) {
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0 && number <= most))
        return complain("--%s is %s; it must be a number from 0 to %g", name, text, most);
    *value = number;
    return 0;
}

/* The place of text in names, or -1. */
static int find(const char *text, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    return -1;
}

static int read_causal(const char *text, int32_t *causal) {
    static const int32_t values[] = {SOFTATTN_CAUSAL_NONE, SOFTATTN_CAUSAL_TOP_LEFT,
                                     SOFTATTN_CAUSAL_BOTTOM_RIGHT};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, bench_causal_name(values[i])) == 0) {
            *causal = values[i];
            return 0;
        }
    }
    return complain("--causal is %s; it must be none, top-left or bottom-right", text);
}

static int read_window(const char *text, struct bench_attention_shape *shape) {
    char left[32];
    const size_t length = strcspn(text, ",");
    if (text[length] != ',' || length >= sizeof left)
        return complain("--window is %s; it must be LEFT,RIGHT, such as 255,0", text);
    memcpy(left, text, length);
    left[length] = '\0';
    if (read_integer("window", left, BENCH_WINDOW_UNLIMITED, max_size, &shape->window_left) != 0)
        return -1;
    return read_integer("window", text + length + 1, BENCH_WINDOW_UNLIMITED, max_size, &shape->window_right);
}

static int read_normalizer(const char *text, int32_t *normalizer) {
    *normalizer = bench_normalizer_find(text);
    return *normalizer >= 0 ? 0 : complain("--normalizer is %s, which is none", text);
}

static int read_bias(const char *text, enum bench_bias *bias) {
    for (int i = 0; i < BENCH_BIASES; i++) {
        if (strcmp(text, bench_bias_name((enum bench_bias)i)) == 0) {
            *bias = (enum bench_bias)i;
            return 0;
        }
    }
    return complain("--bias is %s; it must be none, keys, matrix or heads", text);
}

static int read_type(const char *text, enum bench_type *type) {
    for (int i = 0; i < BENCH_TYPES; i++) {
        if (strcmp(text, bench_type_name((enum bench_type)i)) == 0) {
            *type = (enum bench_type)i;
            return 0;
        }
    }
    return complain("--type is %s; it must be f32, f64, f16 or bf16", text);
}

/* One item of a list goes into options at the given place. */
typedef int (*item_function)(struct bench_options *options, int place, const char *text);

static int read_engine_item(struct bench_options *options, int place, const char *text) {
    for (int engine = 0; engine < BENCH_ENGINES; engine++) {
        if (strcmp(text, bench_engine_name((enum bench_engine)engine)) == 0) {
            options->engines[place] = (enum bench_engine)engine;
            return 0;
        }
    }
    return complain("--engine names %s; there are auto, fused, blas and textbook", text);
}

static int read_isa_item(struct bench_options *options, int place, const char *text) {
    if (strcmp(text, "auto") == 0) {
        options->isas[place] = "auto";
        return 0;
    }
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        if (strcmp(text, softattn_isa_name(i)) == 0) {
            options->isas[place] = softattn_isa_name(i);
            return 0;
        }
    }
    return complain(
        "--isa names %s, which this library and CPU do not have; ceilings lists those that are there", text);
}

static int read_threads_item(struct bench_options *options, int place, const char *text) {
    int64_t threads = 0;
    if (read_integer("threads", text, 0, 1024, &threads) != 0)
        return -1;
    options->threads[place] = (int)threads;
    return 0;
}

/* Splits text at commas and reads each item; *count becomes their number. */
static int read_list(struct bench_options *options, const char *name, const char *text,
                     item_function read_item, int *count) {
    *count = 0;
    for (const char *start = text;; start++) {
        char item[32];
        const size_t length = strcspn(start, ",");
        if (*count == BENCH_MAX_CHOICES)
            return complain("--%s has more than %d values", name, BENCH_MAX_CHOICES);
        if (length == 0 || length >= sizeof item)
            return complain("--%s is %s; it must be values with commas between", name, text);
        memcpy(item, start, length);
        item[length] = '\0';
        if (read_item(options, *count, item) != 0)
            return -1;
        (*count)++;
        start += length;
        if (*start == '\0')
            return 0;
    }
}

/* ---- Reading ----------------------------------------------------------------------------------------- */

/* Where an option that is a size goes; NULL for the other options. */
static int64_t *size_of(struct bench_problem *problem, enum option_id id) {
    struct bench_attention_shape *shape = &problem->attention;
    switch (id) {
    case OPTION_ROWS: return &problem->rows;
    case OPTION_COLS: return &problem->cols;
    case OPTION_BATCH: return &shape->batch;
    case OPTION_HEADS: return &shape->heads_q;
    case OPTION_KV_HEADS: return &shape->heads_kv;
    case OPTION_SEQ_Q: return &shape->seq_q;
    case OPTION_SEQ_KV: return &shape->seq_kv;
    case OPTION_DIM: return &shape->dim_qk;
    case OPTION_DIM_V: return &shape->dim_v;
    default: return NULL;
    }
}

static int read_option(struct bench_options *options, const struct option_entry *entry, const char *value) {
    int64_t *size = size_of(&options->problem, entry->id);
    if (size != NULL)
        return read_integer(entry->name, value, 1, max_size, size);
    switch (entry->id) {
    case OPTION_IN_PLACE: options->problem.in_place = 1; return 0;
    case OPTION_TEMPERATURE:
        return read_real(entry->name, value, 1000, &options->problem.sampling.temperature);
    case OPTION_TOP_K: return read_integer(entry->name, value, 0, max_size, &options->problem.sampling.top_k);
    case OPTION_TOP_P: return read_real(entry->name, value, 1, &options->problem.sampling.top_p);
    case OPTION_CAUSAL: return read_causal(value, &options->problem.attention.causal);
    case OPTION_WINDOW: return read_window(value, &options->problem.attention);
    case OPTION_BIAS: return read_bias(value, &options->problem.attention.bias);
    case OPTION_NORMALIZER: return read_normalizer(value, &options->problem.normalizer);
    case OPTION_TYPE: return read_type(value, &options->problem.type);
    case OPTION_QUICK: options->quick = 1; return 0;
    case OPTION_FAMILY: options->family = value; return 0;
    case OPTION_ENGINE:
        return read_list(options, entry->name, value, read_engine_item, &options->engines_count);
    case OPTION_ISA: return read_list(options, entry->name, value, read_isa_item, &options->isas_count);
    case OPTION_THREADS:
        return read_list(options, entry->name, value, read_threads_item, &options->threads_count);
    case OPTION_MIN_TIME: return read_real(entry->name, value, 3600, &options->min_seconds);
    case OPTION_CALLS: return read_integer(entry->name, value, 1, max_size, &options->calls);
    case OPTION_JSON: options->format = BENCH_JSON; return 0;
    default: options->format = BENCH_CSV; return 0;
    }
}

static void set_defaults(struct bench_options *options) {
    memset(options, 0, sizeof *options);
    options->problem.rows = 1024;
    options->problem.cols = 1024;
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
    default: return BENCH_ATTENTION; /* of ceilings and grid it means nothing */
    }
}

/* The engines that a mode's problems have, a bit each. */
static int engines_of(enum bench_mode mode) {
    switch (mode) {
    case BENCH_MODE_SOFTMAX: return 1 << BENCH_ENGINE_AUTO | 1 << BENCH_ENGINE_TEXTBOOK;
    case BENCH_MODE_SOFTMAX_BACKWARD:
    case BENCH_MODE_CROSS_ENTROPY:
    case BENCH_MODE_SAMPLING:
    case BENCH_MODE_DIAGNOSE: return 1 << BENCH_ENGINE_AUTO;
    default: return (1 << BENCH_ENGINES) - 1;
    }
}

/* Whether a mode's problems have a type; 16-bit floats are for softmax and gradients, by the library only. */
static int check_type(const struct bench_options *options) {
    const enum bench_type type = options->problem.type;
    const int takes_halves = options->mode == BENCH_MODE_SOFTMAX ||
                             options->mode == BENCH_MODE_SOFTMAX_BACKWARD ||
                             options->mode == BENCH_MODE_CROSS_ENTROPY;
    int uses_textbook = 0;
    for (int i = 0; i < options->engines_count; i++)
        uses_textbook |= options->engines[i] == BENCH_ENGINE_TEXTBOOK;
    if (type == bench_arithmetic_type(type) || (takes_halves && !uses_textbook))
        return 0;
    return complain("--type is %s, which %s has not%s", bench_type_name(type), mode_names[options->mode],
                    takes_halves ? " by the textbook" : "");
}

/* The textbook has softmax only. */
static int check_normalizer(const struct bench_options *options) {
    for (int i = 0; i < options->engines_count; i++) {
        if (options->problem.normalizer != SOFTATTN_NORMALIZER_SOFTMAX &&
            options->engines[i] == BENCH_ENGINE_TEXTBOOK)
            return complain("--normalizer is %s, which the textbook has not",
                            bench_normalizer_name(options->problem.normalizer));
    }
    return 0;
}

/* The textbook adds no bias. */
static int check_bias(const struct bench_options *options) {
    const struct bench_attention_shape *shape = &options->problem.attention;
    if (shape->bias != BENCH_BIAS_NONE &&
        (double)shape->heads_q * (double)shape->seq_q * (double)shape->seq_kv > max_elements)
        return complain("the sizes make a bias of more than %.0e elements", max_elements);
    for (int i = 0; i < options->engines_count; i++) {
        if (options->problem.attention.bias != BENCH_BIAS_NONE &&
            options->engines[i] == BENCH_ENGINE_TEXTBOOK)
            return complain("--bias is %s, which the textbook has not",
                            bench_bias_name(options->problem.attention.bias));
    }
    return 0;
}

/* What depends on several options. */
static int complete(struct bench_options *options) {
    struct bench_problem *problem = &options->problem;
    struct bench_attention_shape *shape = &problem->attention;
    problem->operation = operation_of(options->mode);
    shape->heads_kv = shape->heads_kv != 0 ? shape->heads_kv : shape->heads_q;
    shape->seq_kv = shape->seq_kv != 0 ? shape->seq_kv : shape->seq_q;
    shape->dim_v = shape->dim_v != 0 ? shape->dim_v : shape->dim_qk;
    if (shape->heads_q % shape->heads_kv != 0)
        return complain("--heads is %" PRId64 "; it must be a multiple of --kv-heads, %" PRId64,
                        shape->heads_q, shape->heads_kv);
    const double heads = (double)shape->batch * (double)shape->heads_q;
    const double seq = (double)(shape->seq_q > shape->seq_kv ? shape->seq_q : shape->seq_kv);
    const double dim = (double)(shape->dim_qk > shape->dim_v ? shape->dim_qk : shape->dim_v);
    if ((double)problem->rows * (double)problem->cols > max_elements || heads * seq * dim > max_elements)
        return complain("the sizes make an array of more than %.0e elements", max_elements);
    for (int i = 0; i < options->engines_count; i++) {
        if ((engines_of(options->mode) & 1 << options->engines[i]) == 0)
            return complain("--engine names %s, which is none of %s", bench_engine_name(options->engines[i]),
                            mode_names[options->mode]);
    }
    return check_bias(options) != 0 || check_normalizer(options) != 0 ? -1 : check_type(options);
}

/* A word that is no option: the mode. */
static int read_word(struct bench_options *options, const char *word, int *words) {
    const int mode = find(word, mode_names, MODES);
    if ((*words)++ > 0)
        return complain("%s is one word too many", word);
    if (mode < 0)
        return complain("there is no %s; --help lists what there is", word);
    options->mode = (enum bench_mode)mode;
    return 0;
}

/* getopt_long's table of the options that there are. */
static void fill_table(struct option table[ENTRIES + 1]) {
    for (int i = 0; i < ENTRIES; i++) {
        table[i].name = entries[i].name;
        table[i].has_arg = entries[i].value != NULL ? required_argument : no_argument;
        table[i].val = (int)entries[i].id;
    }
}

/* Whether every option given, each of those in `used`, belongs to the mode. */
static int check_mode(const struct bench_options *options, int words, const int used[ENTRIES]) {
    if (words == 0)
        return complain("which mode? --help lists them");
    for (int i = 0; i < ENTRIES; i++) {
        if (used[i] && (entries[i].modes & 1 << options->mode) == 0)
            return complain("--%s is not an option of %s", entries[i].name, mode_names[options->mode]);
    }
    return 0;
}

enum bench_options_result bench_options_read(struct bench_options *options, int argc, char **argv) {
    struct option table[ENTRIES + 1] = {{NULL, 0, NULL, 0}};
    int used[ENTRIES] = {0};
    int words = 0;
    fill_table(table);
    set_defaults(options);
    /* "-" makes getopt_long give words as options with the value 1, so it need not reorder argv. */
    for (int id; (id = getopt_long(argc, argv, "-h", table, NULL)) != -1;) {
        if (id == OPTION_HELP || id == 'h') {
            print_help();
            return BENCH_OPTIONS_DONE;
        }
        if (id == OPTION_VERSION) {
            printf("softattn-bench %s\n", softattn_version_string());
            return BENCH_OPTIONS_DONE;
        }
        const int index = id - OPTION_FIRST;
        if (index < 0 && id != 1)
            return BENCH_OPTIONS_WRONG; /* unknown or incomplete, as getopt_long has said */
        const int result =
            id == 1 ? read_word(options, optarg, &words) : read_option(options, &entries[index], optarg);
        if (result != 0)
            return BENCH_OPTIONS_WRONG;
        if (id != 1)
            used[index] = 1;
    }
    if (check_mode(options, words, used) != 0 || complete(options) != 0)
        return BENCH_OPTIONS_WRONG;
    return BENCH_OPTIONS_OK;
}
