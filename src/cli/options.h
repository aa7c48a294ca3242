/* Values of command-line options, and the options that several commands share. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "softattn/softattn.h"

/* Each reports a wrong value under the option's name and returns false. */
bool option_number(const char *option, const char *text, double *out); /* finite */
bool option_integer(const char *option, const char *text, int64_t least, int64_t most, int64_t *out);

typedef struct option_choice {
    const char *name;
    int32_t value;
} option_choice;

/* choices ends with a NULL name. */
bool option_choose(const char *option, const char *text, const option_choice *choices, int32_t *out);

/* none, top-left, bottom-right */
extern const option_choice option_causal_choices[];

/* softmax and what may take its place, in the order of their values */
extern const option_choice option_normalizer_choices[];

/* What --normalizer and --sigmoid-bias say. */
typedef struct normalizer_options {
    int32_t kind; /* SOFTATTN_NORMALIZER_* */
    bool has_sigmoid_bias;
    double sigmoid_bias;
} normalizer_options;

/* Whether the two go together; where not, that is reported. */
bool normalizer_options_agree(const normalizer_options *options);

/* What --threads and --isa say. */
typedef struct context_options {
    const char *isa; /* NULL: the library's choice */
    int64_t threads; /* -1: the library's choice */
} context_options;

/* Prints one line and returns NULL where the library refuses. Freed with softattn_context_destroy. */
softattn_context *context_from_options(const context_options *options);

#endif
