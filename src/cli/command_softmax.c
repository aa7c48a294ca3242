/* softattn softmax: softmax along one axis of an array in a .npy file. */
#include <getopt.h>
#include <stdlib.h>

#include "array.h"
#include "commands.h"
#include "npy.h"
#include "options.h"
#include "report.h"

static const char help[] =
    "Usage: softattn softmax SCORES.npy -o OUT.npy [OPTION...]\n"
    "\n"
    "Writes softmax(scale * scores) along one axis; float32 or float64, as the scores are.\n"
    "\n"
    "  -o, --output FILE      where the result goes\n"
    "  --axis N               axis of the softmax; negative counts from the end (default -1, the last)\n"
    "  --scale S              scores are multiplied by S (default 1)\n"
    "  --temperature T        scores are divided by T > 0; the later of the two counts\n"
    "  --causal ALIGNMENT     none, top-left (column j <= row i) or bottom-right (j <= i + columns - rows)\n"
    "  --normalizer NAME      softmax (default), none, relu, relu-squared, sigmoid, softmax-plus-one,\n"
    "                         sparsemax or entmax\n"
    "  --sigmoid-bias B       added to the scores of --normalizer sigmoid (default 0)\n"
    "  --log                  log-probabilities instead of probabilities; only with --normalizer softmax or\n"
    "                         softmax-plus-one\n"
    "  --threads N            threads, 0 for all usable CPUs (default: SOFTATTN_NUM_THREADS, else 1)\n"
    "  --isa NAME             instruction set, see softattn info\n"
    "\n"
    "Examples:\n"
    "  softattn softmax scores.npy -o p.npy\n"
    "  softattn softmax logits.npy -o p.npy --temperature 0.7 --log\n"
    "  softattn softmax scores.npy -o p.npy --axis 0\n"
    "  softattn softmax scores.npy -o p.npy --normalizer sparsemax\n";

typedef struct softmax_options {
    const char *output;
    int64_t axis;
    double scale;
    double temperature;
    bool has_temperature; /* it was named later than scale */
    int32_t causal;
    normalizer_options normalizer;
    bool log;
    context_options context;
} softmax_options;

enum { AXIS = 256, SCALE, TEMPERATURE, CAUSAL, NORMALIZER, SIGMOID_BIAS, LOG, THREADS, ISA };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"axis", required_argument, NULL, AXIS},
    {"scale", required_argument, NULL, SCALE},
    {"temperature", required_argument, NULL, TEMPERATURE},
    {"causal", required_argument, NULL, CAUSAL},
    {"normalizer", required_argument, NULL, NORMALIZER},
    {"sigmoid-bias", required_argument, NULL, SIGMOID_BIAS},
    {"log", no_argument, NULL, LOG},
    {"threads", required_argument, NULL, THREADS},
    {"isa", required_argument, NULL, ISA},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Takes in one option; false: it is wrong, and that has been said. */
static bool take_option(int option, softmax_options *o) {
    switch (option) {
    case 'o': o->output = optarg; return true;
    case AXIS: return option_integer("--axis", optarg, -SOFTATTN_MAX_RANK, SOFTATTN_MAX_RANK - 1, &o->axis);
    case SCALE: o->has_temperature = false; return option_number("--scale", optarg, &o->scale);
    case TEMPERATURE:
        o->has_temperature = true;
        return option_number("--temperature", optarg, &o->temperature);
    case CAUSAL: return option_choose("--causal", optarg, option_causal_choices, &o->causal);
    case NORMALIZER:
        return option_choose("--normalizer", optarg, option_normalizer_choices, &o->normalizer.kind);
    case SIGMOID_BIAS:
        o->normalizer.has_sigmoid_bias = true;
        return option_number("--sigmoid-bias", optarg, &o->normalizer.sigmoid_bias);
    case LOG: o->log = true; return true;
    case THREADS: return option_integer("--threads", optarg, 0, 1024, &o->context.threads);
    case ISA: o->context.isa = optarg; return true;
    default: return false;
    }
}

static bool configure(softattn_softmax *softmax, const softmax_options *o) {
    return report_status(softattn_softmax_set_axis(softmax, (int32_t)o->axis)) &&
           (o->has_temperature ? report_status(softattn_softmax_set_temperature(softmax, o->temperature))
                               : report_status(softattn_softmax_set_scale(softmax, o->scale))) &&
           report_status(softattn_softmax_set_causal(softmax, o->causal, 0)) &&
           report_status(softattn_softmax_set_normalizer(softmax, o->normalizer.kind)) &&
           report_status(softattn_softmax_set_sigmoid_bias(softmax, o->normalizer.sigmoid_bias)) &&
           report_status(softattn_softmax_set_output(softmax, o->log ? SOFTATTN_OUTPUT_LOG_PROBABILITIES
                                                                     : SOFTATTN_OUTPUT_PROBABILITIES));
}

/* scores become the result, in place. */
static bool apply(const softmax_options *o, array *scores) {
    softattn_context *context = context_from_options(&o->context);
    softattn_softmax *softmax = NULL;
    softattn_tensor tensor = array_tensor(scores);
    const softattn_softmax_args args = {.struct_size = sizeof args, .x = &tensor, .y = &tensor};
    const bool ok = context != NULL && report_status(softattn_softmax_create(context, &softmax)) &&
                    configure(softmax, o) && report_status(softattn_softmax_run(softmax, &args));
    softattn_softmax_destroy(softmax);
    softattn_context_destroy(context);
    return ok;
}

int command_softmax(int argc, char **argv) {
    softmax_options o = {.axis = -1, .scale = 1.0, .context.threads = -1};
    array scores;
    int option;
    bool ok;
    while ((option = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            return print_help(help);
        }
        if (!take_option(option, &o)) {
            return usage_hint(argv[0]);
        }
    }
    if (argc - optind != 1 || o.output == NULL) {
        report("softmax", "takes one .npy file and -o FILE");
        return usage_hint(argv[0]);
    }
    if (!normalizer_options_agree(&o.normalizer)) {
        return usage_hint(argv[0]);
    }
    if (!npy_read(argv[optind], &scores)) {
        return EXIT_FAILURE;
    }
    ok = apply(&o, &scores) && npy_write(o.output, &scores);
    array_free(&scores);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
