/*
 * The values of options.
 */
#include "option_values.h"

#include "complain.h"

#include <softattn/softattn.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Sizes above this are taken for typing errors. */
static const int64_t max_size = INT64_C(1) << 30;

/* ---- Numbers and names ------------------------------------------------------------------------------- */

static int read_integer(const char *name, const char *text, int64_t least, int64_t most, int64_t *value) {
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most) {
        return bench_complain("--%s is %s; it must be a number from %" PRId64 " to %" PRId64, name, text,
                              least, most);
    }
    *value = number;
    return 0;
}

static int read_real(const char *name, const char *text, double most, double *value) {
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0 && number <= most)) {
        return bench_complain("--%s is %s; it must be a number from 0 to %g", name, text, most);
    }
    *value = number;
    return 0;
}

static int read_name(const char *name, const char *text, const struct bench_names *names) {
    char list[256];
    const int value = bench_names_find(names, text);
    if (value >= 0) {
        return value;
    }
    bench_names_list(names, BENCH_ALL_NAMES, "or", list, sizeof list);
    return bench_complain("--%s is %s; it must be %s", name, text, list);
}

static int read_window(const char *text, struct bench_attention_shape *shape) {
    char left[32];
    const size_t length = strcspn(text, ",");
    if (text[length] != ',' || length >= sizeof left) {
        return bench_complain("--window is %s; it must be LEFT,RIGHT, such as 255,0", text);
    }
    memcpy(left, text, length);
    left[length] = '\0';
    if (read_integer("window", left, BENCH_WINDOW_UNLIMITED, max_size, &shape->window_left) != 0) {
        return -1;
    }
    return read_integer("window", text + length + 1, BENCH_WINDOW_UNLIMITED, max_size, &shape->window_right);
}

/* ---- Lists ------------------------------------------------------------------------------------------- */

/* One item of a list goes into options at the given place. */
typedef int (*item_function)(struct bench_options *options, int place, const char *text);

static int read_engine_item(struct bench_options *options, int place, const char *text) {
    const int engine = read_name("engine", text, &bench_engine_names);
    if (engine < 0) {
        return -1;
    }
    options->engines[place] = (enum bench_engine)engine;
    return 0;
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
    return bench_complain(
        "--isa is %s, which this library and CPU do not have; ceilings lists those that are there", text);
}

static int read_threads_item(struct bench_options *options, int place, const char *text) {
    int64_t threads = 0;
    if (read_integer("threads", text, 0, 1024, &threads) != 0) {
        return -1;
    }
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
        if (*count == BENCH_MAX_CHOICES) {
            return bench_complain("--%s has more than %d values", name, BENCH_MAX_CHOICES);
        }
        if (length == 0 || length >= sizeof item) {
            return bench_complain("--%s is %s; it must be values with commas between", name, text);
        }
        memcpy(item, start, length);
        item[length] = '\0';
        if (read_item(options, *count, item) != 0) {
            return -1;
        }
        (*count)++;
        start += length;
        if (*start == '\0') {
            return 0;
        }
    }
}

/* ---- Options by kind --------------------------------------------------------------------------------- */

/* Where an option that is a size goes; NULL for the other options. */
static int64_t *size_of(struct bench_problem *problem, enum bench_option_id id) {
    struct bench_attention_shape *shape = &problem->attention;
    switch (id) {
    case BENCH_OPTION_ROWS: return &problem->rows;
    case BENCH_OPTION_COLS: return &problem->cols;
    case BENCH_OPTION_BATCH: return &shape->batch;
    case BENCH_OPTION_HEADS: return &shape->heads_q;
    case BENCH_OPTION_KV_HEADS: return &shape->heads_kv;
    case BENCH_OPTION_SEQ_Q: return &shape->seq_q;
    case BENCH_OPTION_SEQ_KV: return &shape->seq_kv;
    case BENCH_OPTION_DIM: return &shape->dim_qk;
    case BENCH_OPTION_DIM_V: return &shape->dim_v;
    default: return NULL;
    }
}

/* The values of an option that has names for them; NULL for the other options. */
static const struct bench_names *names_of(enum bench_option_id id) {
    switch (id) {
    case BENCH_OPTION_CAUSAL: return &bench_causal_names;
    case BENCH_OPTION_KEEP_MASK: return &bench_keep_mask_names;
    case BENCH_OPTION_BIAS: return &bench_bias_names;
    case BENCH_OPTION_LAYOUT: return &bench_layout_names;
    case BENCH_OPTION_NORMALIZER: return &bench_normalizer_names;
    case BENCH_OPTION_TYPE: return &bench_type_names;
    default: return NULL;
    }
}

static int set_named(struct bench_problem *problem, enum bench_option_id id, int value) {
    if (value < 0) {
        return -1;
    }
    switch (id) {
    case BENCH_OPTION_CAUSAL: problem->attention.causal = value; return 0;
    case BENCH_OPTION_KEEP_MASK: problem->attention.keep_mask = (enum bench_keep_mask)value; return 0;
    case BENCH_OPTION_BIAS: problem->extras.bias = (enum bench_bias)value; return 0;
    case BENCH_OPTION_LAYOUT: problem->extras.layout = (enum bench_layout)value; return 0;
    case BENCH_OPTION_NORMALIZER: problem->normalizer = value; return 0;
    default: problem->type = (enum bench_type)value; return 0;
    }
}

/* Options of the run and not of the problem. */
static int set_run(struct bench_options *options, const struct bench_option *option, const char *value) {
    const char *name = option->name;
    switch (option->id) {
    case BENCH_OPTION_QUICK: options->quick = 1; return 0;
    case BENCH_OPTION_FAMILY: options->family = value; return 0;
    case BENCH_OPTION_ENGINE:
        return read_list(options, name, value, read_engine_item, &options->engines_count);
    case BENCH_OPTION_ISA: return read_list(options, name, value, read_isa_item, &options->isas_count);
    case BENCH_OPTION_THREADS:
        return read_list(options, name, value, read_threads_item, &options->threads_count);
    case BENCH_OPTION_MIN_TIME: return read_real(name, value, 3600, &options->min_seconds);
    case BENCH_OPTION_CALLS: return read_integer(name, value, 1, max_size, &options->calls);
    case BENCH_OPTION_JSON: options->format = BENCH_JSON; return 0;
    default: options->format = BENCH_CSV; return 0;
    }
}

int bench_option_set(struct bench_options *options, const struct bench_option *option, const char *value) {
    struct bench_problem *problem = &options->problem;
    const char *name = option->name;
    int64_t *size = size_of(problem, option->id);
    const struct bench_names *names = names_of(option->id);
    if (size != NULL) {
        return read_integer(name, value, 1, max_size, size);
    }
    if (names != NULL) {
        return set_named(problem, option->id, read_name(name, value, names));
    }
    switch (option->id) {
    case BENCH_OPTION_IN_PLACE: problem->in_place = 1; return 0;
    case BENCH_OPTION_SCALE: return read_real(name, value, 1e6, &problem->scale);
    case BENCH_OPTION_LOG: problem->is_log = 1; return 0;
    case BENCH_OPTION_SIDE_BY_SIDE: problem->side_by_side = 1; return 0;
    case BENCH_OPTION_TEMPERATURE: return read_real(name, value, 1000, &problem->sampling.temperature);
    case BENCH_OPTION_TOP_K: return read_integer(name, value, 0, max_size, &problem->sampling.top_k);
    case BENCH_OPTION_TOP_P: return read_real(name, value, 1, &problem->sampling.top_p);
    case BENCH_OPTION_MIN_P: return read_real(name, value, 1, &problem->sampling.min_p);
    case BENCH_OPTION_SOFTCAP: return read_real(name, value, 1e6, &problem->extras.softcap);
    case BENCH_OPTION_ALIBI: problem->extras.alibi = 1; return 0;
    case BENCH_OPTION_DROPOUT: return read_real(name, value, 1, &problem->extras.dropout);
    case BENCH_OPTION_WINDOW: return read_window(value, &problem->attention);
    default: return set_run(options, option, value);
    }
}
