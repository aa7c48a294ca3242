/* Values of command-line options, see options.h. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

const option_choice option_causal_choices[] = {
    {"none", SOFTATTN_CAUSAL_NONE},
    {"top-left", SOFTATTN_CAUSAL_TOP_LEFT},
    {"bottom-right", SOFTATTN_CAUSAL_BOTTOM_RIGHT},
    {NULL, 0},
};

const option_choice option_normalizer_choices[] = {
    {"softmax", SOFTATTN_NORMALIZER_SOFTMAX},
    {"none", SOFTATTN_NORMALIZER_NONE},
    {"relu", SOFTATTN_NORMALIZER_RELU},
    {"relu-squared", SOFTATTN_NORMALIZER_RELU_SQUARED},
    {"sigmoid", SOFTATTN_NORMALIZER_SIGMOID},
    {"softmax-plus-one", SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE},
    {"sparsemax", SOFTATTN_NORMALIZER_SPARSEMAX},
    {"entmax", SOFTATTN_NORMALIZER_ENTMAX},
    {NULL, 0},
};

bool option_number(const char *option, const char *text, double *out) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return report(option, "'%s' is no finite number", text);
    }
    *out = value;
    return true;
}

bool option_integer(const char *option, const char *text, int64_t least, int64_t most, int64_t *out) {
    char *end;
    long long value;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < least || value > most) {
        return report(option, "'%s' is no whole number from %" PRId64 " to %" PRId64, text, least, most);
    }
    *out = value;
    return true;
}

bool option_choose(const char *option, const char *text, const option_choice *choices, int32_t *out) {
    for (const option_choice *choice = choices; choice->name != NULL; choice++) {
        if (strcmp(text, choice->name) == 0) {
            *out = choice->value;
            return true;
        }
    }
    char names[256] = "";
    for (const option_choice *choice = choices; choice->name != NULL; choice++) {
        const size_t used = strlen(names);
        const char *joint = used == 0 ? "" : choice[1].name != NULL ? ", " : " or ";
        snprintf(names + used, sizeof names - used, "%s%s", joint, choice->name);
    }
    return report(option, "'%s' is not %s", text, names);
}

bool normalizer_options_agree(const normalizer_options *options) {
    return !options->has_sigmoid_bias || options->kind == SOFTATTN_NORMALIZER_SIGMOID ||
           report("--sigmoid-bias", "is for --normalizer sigmoid, not %s",
                  option_normalizer_choices[options->kind].name);
}

softattn_context *context_from_options(const context_options *options) {
    softattn_context *context = NULL;
    if (!report_status(softattn_context_create(&context))) {
        return NULL;
    }
    if ((options->isa != NULL && !report_status(softattn_context_set_isa(context, options->isa))) ||
        (options->threads >= 0 &&
         !report_status(softattn_context_set_threads(context, (int32_t)options->threads)))) {
        softattn_context_destroy(context);
        return NULL;
    }
    return context;
}
