/*
 * The modes and the options that there are.
 */
#ifndef SOFTATTN_BENCH_OPTION_TABLE_H
#define SOFTATTN_BENCH_OPTION_TABLE_H

#include "names.h"

enum bench_mode {
    BENCH_MODE_CEILINGS,
    BENCH_MODE_SOFTMAX,
    BENCH_MODE_SOFTMAX_BACKWARD,
    BENCH_MODE_CROSS_ENTROPY,
    BENCH_MODE_SAMPLING,
    BENCH_MODE_DIAGNOSE,
    BENCH_MODE_ATTENTION,
    BENCH_MODE_LINEAR_ATTENTION,
    BENCH_MODE_GRID,
    BENCH_MODES
};

extern const struct bench_names bench_mode_names;
extern const char *const bench_mode_help[BENCH_MODES];

/* Options of the same modes stand together. */
enum bench_option_group {
    BENCH_GROUP_MATRICES,
    BENCH_GROUP_WRITERS,
    BENCH_GROUP_SOFTMAXES,
    BENCH_GROUP_SAMPLING,
    BENCH_GROUP_CAUSAL,
    BENCH_GROUP_ATTENTIONS,
    BENCH_GROUP_ATTENTION,
    BENCH_GROUP_NORMALIZERS,
    BENCH_GROUP_PROBLEMS,
    BENCH_GROUP_GRID,
    BENCH_GROUP_RUNS,
    BENCH_GROUP_ALL,
    BENCH_GROUPS
};

/* How the help names the modes of each group. */
extern const char *const bench_group_titles[BENCH_GROUPS];

/* In the order of the table; from a value above every character, as getopt_long wants. */
enum bench_option_id {
    BENCH_OPTION_FIRST = 256,
    BENCH_OPTION_ROWS = BENCH_OPTION_FIRST,
    BENCH_OPTION_COLS,
    BENCH_OPTION_IN_PLACE,
    BENCH_OPTION_SCALE,
    BENCH_OPTION_LOG,
    BENCH_OPTION_SIDE_BY_SIDE,
    BENCH_OPTION_TEMPERATURE,
    BENCH_OPTION_TOP_K,
    BENCH_OPTION_TOP_P,
    BENCH_OPTION_MIN_P,
    BENCH_OPTION_CAUSAL,
    BENCH_OPTION_BATCH,
    BENCH_OPTION_HEADS,
    BENCH_OPTION_KV_HEADS,
    BENCH_OPTION_SEQ_Q,
    BENCH_OPTION_SEQ_KV,
    BENCH_OPTION_DIM,
    BENCH_OPTION_DIM_V,
    BENCH_OPTION_WINDOW,
    BENCH_OPTION_KEEP_MASK,
    BENCH_OPTION_BIAS,
    BENCH_OPTION_SOFTCAP,
    BENCH_OPTION_ALIBI,
    BENCH_OPTION_DROPOUT,
    BENCH_OPTION_LAYOUT,
    BENCH_OPTION_NORMALIZER,
    BENCH_OPTION_TYPE,
    BENCH_OPTION_CALLS,
    BENCH_OPTION_QUICK,
    BENCH_OPTION_FAMILY,
    BENCH_OPTION_ENGINE,
    BENCH_OPTION_ISA,
    BENCH_OPTION_THREADS,
    BENCH_OPTION_MIN_TIME,
    BENCH_OPTION_JSON,
    BENCH_OPTION_CSV,
    BENCH_OPTION_HELP,
    BENCH_OPTION_VERSION,
    BENCH_OPTION_END
};

enum { BENCH_OPTION_COUNT = BENCH_OPTION_END - BENCH_OPTION_FIRST };

struct bench_option {
    enum bench_option_id id;
    enum bench_option_group group;
    const char *name, *value; /* value is NULL for flags */
    const char *help;         /* its lines, without the last one's end */
};

extern const struct bench_option bench_option_table[BENCH_OPTION_COUNT];

int bench_option_is_of(const struct bench_option *option, enum bench_mode mode);

#endif
