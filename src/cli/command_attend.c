/* softattn attend: attention over arrays in .npy files, and heatmaps of one head's weights. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "attention_files.h"
#include "commands.h"
#include "heatmap_png.h"
#include "heatmap_terminal.h"
#include "npy.h"
#include "options.h"
#include "report.h"
#include "tokens.h"

static const char help[] =
    "Usage: softattn attend Q.npy K.npy V.npy -o OUT.npy [OPTION...]\n"
    "\n"
    "Writes softmax(scale * Q K^T) V for every batch entry and head. Arrays are [batch, heads, seq, dim],\n"
    "[heads, seq, dim] or [seq, dim]; K and V may have fewer heads, as in grouped-query attention. Prints "
    "which\n"
    "instruction set and engine ran, the best time of as many runs as fit in 0.2 s, and its GFLOP/s.\n"
    "\n"
    "  -o, --output FILE      where the result goes\n"
    "  --causal ALIGNMENT     none, top-left (key j <= query i) or bottom-right (j <= i + keys - queries)\n"
    "  --scale S              default 1 / sqrt(dim)\n"
    "  --normalizer NAME      softmax (default), none, relu, relu-squared, sigmoid, softmax-plus-one,\n"
    "                         sparsemax or entmax\n"
    "  --sigmoid-bias B       added to the scores of --normalizer sigmoid (default 0)\n"
    "  --weights FILE         also write the attention weights, [batch, heads, queries, keys]; not with\n"
    "                         --engine fused\n"
    "  --lse FILE             also write the natural log-sum-exp of each score row; only with --normalizer\n"
    "                         softmax or softmax-plus-one\n"
    "  --heatmap FILE         also write a PNG picture of one head's weights (first batch entry)\n"
    "  --tokens FILE          print one head's weights as a table; the file has one word of the sequence per "
    "line\n"
    "  --head H               the head that these two show, counted from 0 (default 0)\n"
    "  --color WHEN           colours in the table: auto (on a terminal), always or never\n"
    "  --threads N            threads, 0 for all usable CPUs (default: SOFTATTN_NUM_THREADS, else 1)\n"
    "  --isa NAME             instruction set, see softattn info\n"
    "  --engine NAME          auto (default), fused or blas; fused has --normalizer softmax and\n"
    "                         softmax-plus-one, blas has all\n"
    "  -q, --quiet            run once and print nothing about it\n"
    "\n"
    "Examples:\n"
    "  softattn attend q.npy k.npy v.npy -o out.npy\n"
    "  softattn attend q.npy k.npy v.npy -o out.npy --causal bottom-right --threads 0\n"
    "  softattn attend q.npy k.npy v.npy -o out.npy --tokens tokens.txt --head 1 --heatmap head1.png\n";

typedef struct attend_options {
    const char *output;
    const char *weights;
    const char *lse;
    const char *heatmap;
    const char *tokens;
    int64_t head;
    int32_t color;
    bool quiet;
    attention_settings settings;
    context_options context;
} attend_options;

enum {
    CAUSAL = 256,
    SCALE,
    NORMALIZER,
    SIGMOID_BIAS,
    WEIGHTS,
    LSE,
    HEATMAP,
    TOKENS,
    HEAD,
    COLOR,
    THREADS,
    ISA,
    ENGINE
};
enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"causal", required_argument, NULL, CAUSAL},
    {"scale", required_argument, NULL, SCALE},
    {"normalizer", required_argument, NULL, NORMALIZER},
    {"sigmoid-bias", required_argument, NULL, SIGMOID_BIAS},
    {"weights", required_argument, NULL, WEIGHTS},
    {"lse", required_argument, NULL, LSE},
    {"heatmap", required_argument, NULL, HEATMAP},
    {"tokens", required_argument, NULL, TOKENS},
    {"head", required_argument, NULL, HEAD},
    {"color", required_argument, NULL, COLOR},
    {"threads", required_argument, NULL, THREADS},
    {"isa", required_argument, NULL, ISA},
    {"engine", required_argument, NULL, ENGINE},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const option_choice engine_choices[] = {
    {"auto", SOFTATTN_ENGINE_AUTO},
    {"fused", SOFTATTN_ENGINE_FUSED},
    {"blas", SOFTATTN_ENGINE_BLAS},
    {NULL, 0},
};

static const option_choice color_choices[] = {
    {"auto", COLOR_AUTO},
    {"always", COLOR_ALWAYS},
    {"never", COLOR_NEVER},
    {NULL, 0},
};

/* Takes in one option; false: it is wrong, and that has been said. */
static bool take_option(int option, attend_options *o) {
    switch (option) {
    case 'o': o->output = optarg; return true;
    case 'q': o->quiet = true; return true;
    case CAUSAL: return option_choose("--causal", optarg, option_causal_choices, &o->settings.causal);
    case SCALE: o->settings.has_scale = true; return option_number("--scale", optarg, &o->settings.scale);
    case NORMALIZER:
        return option_choose("--normalizer", optarg, option_normalizer_choices, &o->settings.normalizer.kind);
    case SIGMOID_BIAS:
        o->settings.normalizer.has_sigmoid_bias = true;
        return option_number("--sigmoid-bias", optarg, &o->settings.normalizer.sigmoid_bias);
    case WEIGHTS: o->weights = optarg; return true;
    case LSE: o->lse = optarg; return true;
    case HEATMAP: o->heatmap = optarg; return true;
    case TOKENS: o->tokens = optarg; return true;
    case HEAD: return option_integer("--head", optarg, 0, INT64_MAX, &o->head);
    case COLOR: return option_choose("--color", optarg, color_choices, &o->color);
    case THREADS: return option_integer("--threads", optarg, 0, 1024, &o->context.threads);
    case ISA: o->context.isa = optarg; return true;
    case ENGINE: return option_choose("--engine", optarg, engine_choices, &o->settings.engine);
    default: return false;
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Repeats the run for 0.2 s: a long one happens once, a short one until its best time is steady. */
static bool run_timed(attention_files *files, const softattn_attention *attention, double *best, int *runs) {
    const double start = seconds_now();
    double now = start;
    *best = HUGE_VAL;
    *runs = 0;
    while (*runs == 0 || now - start < 0.2) {
        const double before = now;
        if (!attention_files_run(files, attention)) {
            return false;
        }
        now = seconds_now();
        *best = now - before < *best ? now - before : *best;
        ++*runs;
    }
    return true;
}

static bool run(const attend_options *o, attention_files *files, const softattn_attention *attention) {
    softattn_attention_plan plan;
    double best;
    int runs;
    if (o->quiet) {
        return attention_files_run(files, attention);
    }
    if (!run_timed(files, attention, &best, &runs) || !attention_files_describe(files, attention, &plan)) {
        return false;
    }
    printf("isa %s, %s engine (%s), threads %d: %.4g ms, %.3g GFLOP/s (best of %d)\n", plan.isa,
           plan.engine == SOFTATTN_ENGINE_FUSED ? "fused" : "BLAS", plan.kernel, (int)plan.threads,
           1e3 * best, 1e-9 * attention_files_flop(files, o->settings.causal) / best, runs);
    return true;
}

static bool write_outputs(const attend_options *o, const attention_files *files) {
    return npy_write(o->output, &files->out) &&
           (o->weights == NULL || npy_write(o->weights, &files->weights)) &&
           (o->lse == NULL || npy_write(o->lse, &files->lse));
}

static bool print_table(const attend_options *o, const array *weights, int64_t heads) {
    const int64_t count = weights->shape[0];
    token *tokens;
    if (count != weights->shape[1]) {
        return report(o->tokens, "a word names a query and a key, but they are %" PRId64 " and %" PRId64,
                      count, weights->shape[1]);
    }
    tokens = tokens_read(o->tokens, count);
    if (tokens == NULL) {
        return false;
    }
    printf("head %" PRId64 " of %" PRId64
           ": how much each word (row) attends to each word (column), in percent\n",
           o->head, heads);
    heatmap_terminal_print(weights, tokens,
                           o->color == COLOR_ALWAYS || (o->color == COLOR_AUTO && heatmap_terminal_color()));
    free(tokens);
    return true;
}

/* The two views of one head. Its weights are computed alone, by whichever engine can give them. */
static bool show_head(const attend_options *o, attention_files *files, const softattn_context *context) {
    attention_settings settings = o->settings;
    softattn_attention *attention;
    array weights = {.data = NULL};
    bool ok;
    settings.engine = SOFTATTN_ENGINE_AUTO;
    attention = attention_create(context, &settings);
    ok = attention != NULL && attention_files_head_weights(files, attention, o->head, &weights) &&
         (o->tokens == NULL || print_table(o, &weights, attention_files_heads(files))) &&
         (o->heatmap == NULL || heatmap_png_write(o->heatmap, &weights));
    array_free(&weights);
    softattn_attention_destroy(attention);
    return ok;
}

static bool attend(const attend_options *o, char **paths) {
    softattn_context *context = context_from_options(&o->context);
    softattn_attention *attention = context != NULL ? attention_create(context, &o->settings) : NULL;
    attention_files files = {.q.data = NULL};
    const bool shown = o->tokens != NULL || o->heatmap != NULL;
    const bool ok = attention != NULL && attention_files_read(&files, paths[0], paths[1], paths[2]) &&
                    (!shown || attention_files_has_head(&files, o->head)) &&
                    attention_files_allocate_outputs(&files, o->lse != NULL, o->weights != NULL) &&
                    run(o, &files, attention) && write_outputs(o, &files) &&
                    (!shown || show_head(o, &files, context));
    attention_files_free(&files);
    softattn_attention_destroy(attention);
    softattn_context_destroy(context);
    return ok;
}

int command_attend(int argc, char **argv) {
    attend_options o = {.context.threads = -1};
    int option;
    while ((option = getopt_long(argc, argv, "o:qh", long_options, NULL)) != -1) {
        if (option == 'h') {
            return print_help(help);
        }
        if (!take_option(option, &o)) {
            return usage_hint(argv[0]);
        }
    }
    if (argc - optind != 3 || o.output == NULL) {
        report("attend", "takes three .npy files (query, key, value) and -o FILE");
        return usage_hint(argv[0]);
    }
    if (!normalizer_options_agree(&o.settings.normalizer)) {
        return usage_hint(argv[0]);
    }
    return attend(&o, argv + optind) ? EXIT_SUCCESS : EXIT_FAILURE;
}
