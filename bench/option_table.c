/*
 * The modes and the options that there are.
 */
#include "option_table.h"

static const char *const mode_names[] = {
    [BENCH_MODE_CEILINGS] = "ceilings",
    [BENCH_MODE_SOFTMAX] = "softmax",
    [BENCH_MODE_SOFTMAX_BACKWARD] = "softmax-backward",
    [BENCH_MODE_CROSS_ENTROPY] = "cross-entropy",
    [BENCH_MODE_SAMPLING] = "sampling",
    [BENCH_MODE_DIAGNOSE] = "diagnose",
    [BENCH_MODE_ATTENTION] = "attention",
    [BENCH_MODE_LINEAR_ATTENTION] = "linear-attention",
    [BENCH_MODE_GRID] = "grid",
};

const struct bench_names bench_mode_names = BENCH_NAMES(mode_names);

const char *const bench_mode_help[BENCH_MODES] = {
    [BENCH_MODE_CEILINGS] = "multiply-adds per second, and memory bandwidth at every level",
    [BENCH_MODE_SOFTMAX] = "row-wise softmax of one matrix",
    [BENCH_MODE_SOFTMAX_BACKWARD] = "its gradient",
    [BENCH_MODE_CROSS_ENTROPY] = "losses and gradient of one matrix of logits",
    [BENCH_MODE_SAMPLING] = "a token from each row of logits such as a language model's",
    [BENCH_MODE_DIAGNOSE] = "entropy, saturation and gradient norm of each row",
    [BENCH_MODE_ATTENTION] = "attention of one shape",
    [BENCH_MODE_LINEAR_ATTENTION] = "attention in time linear in the sequence, with features elu + 1",
    [BENCH_MODE_GRID] = "many problems of every kind",
};

const char *const bench_group_titles[BENCH_GROUPS] = {
    [BENCH_GROUP_MATRICES] = "softmax, softmax-backward, cross-entropy, sampling and diagnose",
    [BENCH_GROUP_WRITERS] = "softmax, softmax-backward and cross-entropy",
    [BENCH_GROUP_SOFTMAXES] = "softmax and softmax-backward",
    [BENCH_GROUP_SAMPLING] = "sampling",
    [BENCH_GROUP_CAUSAL] = "softmax, attention and linear-attention",
    [BENCH_GROUP_ATTENTIONS] = "attention and linear-attention",
    [BENCH_GROUP_ATTENTION] = "attention",
    [BENCH_GROUP_NORMALIZERS] = "softmax, softmax-backward and attention",
    [BENCH_GROUP_PROBLEMS] = "every mode but ceilings and grid",
    [BENCH_GROUP_GRID] = "grid",
    [BENCH_GROUP_RUNS] = "every mode but ceilings",
    [BENCH_GROUP_ALL] = "every mode",
};

enum {
    IN_ATTENTION = 1 << BENCH_MODE_ATTENTION,
    IN_ATTENTIONS = IN_ATTENTION | 1 << BENCH_MODE_LINEAR_ATTENTION,
    IN_SOFTMAXES = 1 << BENCH_MODE_SOFTMAX | 1 << BENCH_MODE_SOFTMAX_BACKWARD,
    IN_WRITERS = IN_SOFTMAXES | 1 << BENCH_MODE_CROSS_ENTROPY,
    IN_MATRICES = IN_WRITERS | 1 << BENCH_MODE_SAMPLING | 1 << BENCH_MODE_DIAGNOSE,
    IN_PROBLEMS = IN_MATRICES | IN_ATTENTIONS,
    IN_RUNS = IN_PROBLEMS | 1 << BENCH_MODE_GRID
};

static const int group_modes[BENCH_GROUPS] = {
    [BENCH_GROUP_MATRICES] = IN_MATRICES,
    [BENCH_GROUP_WRITERS] = IN_WRITERS,
    [BENCH_GROUP_SOFTMAXES] = IN_SOFTMAXES,
    [BENCH_GROUP_SAMPLING] = 1 << BENCH_MODE_SAMPLING,
    [BENCH_GROUP_CAUSAL] = IN_ATTENTIONS | 1 << BENCH_MODE_SOFTMAX,
    [BENCH_GROUP_ATTENTIONS] = IN_ATTENTIONS,
    [BENCH_GROUP_ATTENTION] = IN_ATTENTION,
    [BENCH_GROUP_NORMALIZERS] = IN_SOFTMAXES | IN_ATTENTION,
    [BENCH_GROUP_PROBLEMS] = IN_PROBLEMS,
    [BENCH_GROUP_GRID] = 1 << BENCH_MODE_GRID,
    [BENCH_GROUP_RUNS] = IN_RUNS,
    [BENCH_GROUP_ALL] = IN_RUNS | 1 << BENCH_MODE_CEILINGS,
};

int bench_option_is_of(const struct bench_option *option, enum bench_mode mode) {
    return (group_modes[option->group] & 1 << mode) != 0;
}

const struct bench_option bench_option_table[BENCH_OPTION_COUNT] = {
    {BENCH_OPTION_ROWS, BENCH_GROUP_MATRICES, "rows", "N", "rows of the matrix (1024)"},
    {BENCH_OPTION_COLS, BENCH_GROUP_MATRICES, "cols", "N", "columns of the matrix, classes or tokens (1024)"},
    {BENCH_OPTION_IN_PLACE, BENCH_GROUP_WRITERS, "in-place", NULL,
     "write the result over the scores or gradient read"},
    {BENCH_OPTION_SCALE, BENCH_GROUP_SOFTMAXES, "scale", "S", "scores are multiplied by this (1)"},
    {BENCH_OPTION_LOG, BENCH_GROUP_SOFTMAXES, "log", NULL, "logarithms of the probabilities"},
    {BENCH_OPTION_SIDE_BY_SIDE, BENCH_GROUP_SOFTMAXES, "side-by-side", NULL,
     "rows lie side by side in memory, as along the first axis"},
    {BENCH_OPTION_TEMPERATURE, BENCH_GROUP_SAMPLING, "temperature", "T", "temperature; 0 for argmax (1)"},
    {BENCH_OPTION_TOP_K, BENCH_GROUP_SAMPLING, "top-k", "K", "keep the K largest logits; 0 for all (0)"},
    {BENCH_OPTION_TOP_P, BENCH_GROUP_SAMPLING, "top-p", "P",
     "keep the largest logits up to this probability; 1 for all (1)"},
    {BENCH_OPTION_MIN_P, BENCH_GROUP_SAMPLING, "min-p", "P",
     "keep tokens with at least P times the largest probability; 0 for all (0)"},
    {BENCH_OPTION_CAUSAL, BENCH_GROUP_CAUSAL, "causal", "MASK", "none, top-left or bottom-right (none)"},
    {BENCH_OPTION_BATCH, BENCH_GROUP_ATTENTIONS, "batch", "N", "sequences (1)"},
    {BENCH_OPTION_HEADS, BENCH_GROUP_ATTENTIONS, "heads", "N", "query heads (8)"},
    {BENCH_OPTION_KV_HEADS, BENCH_GROUP_ATTENTIONS, "kv-heads", "N", "key/value heads (as --heads)"},
    {BENCH_OPTION_SEQ_Q, BENCH_GROUP_ATTENTIONS, "seq-q", "N", "queries (1024)"},
    {BENCH_OPTION_SEQ_KV, BENCH_GROUP_ATTENTIONS, "seq-kv", "N", "keys (as --seq-q)"},
    {BENCH_OPTION_DIM, BENCH_GROUP_ATTENTIONS, "dim", "N", "head size of queries and keys (64)"},
    {BENCH_OPTION_DIM_V, BENCH_GROUP_ATTENTIONS, "dim-v", "N", "head size of values (as --dim)"},
    {BENCH_OPTION_WINDOW, BENCH_GROUP_ATTENTION, "window", "LEFT,RIGHT",
     "keys seen before and after the query's own; -1 for all (-1,-1)"},
    {BENCH_OPTION_KEEP_MASK, BENCH_GROUP_ATTENTION, "keep-mask", "MASK",
     "a mask of bytes: none, or causal, which shows query i the keys 0 to i (none)"},
    {BENCH_OPTION_BIAS, BENCH_GROUP_ATTENTION, "bias", "BIAS",
     "added to the scores: keys (a row for all queries), matrix (for all heads), heads\n"
     "(a matrix for each) or none (none)"},
    {BENCH_OPTION_SOFTCAP, BENCH_GROUP_ATTENTION, "softcap", "C",
     "scores become C tanh(score / C); 0 for none (0)"},
    {BENCH_OPTION_ALIBI, BENCH_GROUP_ATTENTION, "alibi", NULL,
     "subtract each head's slope times the distance of query and key"},
    {BENCH_OPTION_DROPOUT, BENCH_GROUP_ATTENTION, "dropout", "P",
     "drop each weight with this probability (0)"},
    {BENCH_OPTION_LAYOUT, BENCH_GROUP_ATTENTION, "layout", "LAYOUT",
     "order of batch, heads, sequence and dimension in memory: bhsd or bshd (bhsd)"},
    {BENCH_OPTION_NORMALIZER, BENCH_GROUP_NORMALIZERS, "normalizer", "NAME",
     "softmax, none, relu, relu-squared, sigmoid, softmax-plus-one, sparsemax or entmax\n"
     "(softmax)"},
    {BENCH_OPTION_TYPE, BENCH_GROUP_PROBLEMS, "type", "TYPE",
     "f32 or f64; softmax, softmax-backward and cross-entropy also f16 or bf16 (f32)"},
    {BENCH_OPTION_CALLS, BENCH_GROUP_PROBLEMS, "calls", "N",
     "solve the problem N times without a clock and print nothing, for tools that count\n"
     "instructions; of --engine, --isa and --threads the first value counts"},
    {BENCH_OPTION_QUICK, BENCH_GROUP_GRID, "quick", NULL, "only the smallest problem of each family"},
    {BENCH_OPTION_FAMILY, BENCH_GROUP_GRID, "family", "TEXT", "only families with this in their names (all)"},
    {BENCH_OPTION_ENGINE, BENCH_GROUP_RUNS, "engine", "LIST",
     "attention: auto, fused, blas, textbook; softmax: auto, textbook; other modes: auto;\n"
     "grid: all of them, each on the problems that it has (auto)"},
    {BENCH_OPTION_ISA, BENCH_GROUP_RUNS, "isa", "LIST", "auto, or instruction sets by name (auto)"},
    {BENCH_OPTION_THREADS, BENCH_GROUP_ALL, "threads", "LIST", "numbers of threads; 0 for all CPUs (1)"},
    {BENCH_OPTION_MIN_TIME, BENCH_GROUP_ALL, "min-time", "SECONDS",
     "time of each measurement (0.3); 0 for a trial run"},
    {BENCH_OPTION_JSON, BENCH_GROUP_ALL, "json", NULL, "print JSON"},
    {BENCH_OPTION_CSV, BENCH_GROUP_ALL, "csv", NULL, "print CSV"},
    {BENCH_OPTION_HELP, BENCH_GROUP_ALL, "help", NULL, "print this help"},
    {BENCH_OPTION_VERSION, BENCH_GROUP_ALL, "version", NULL, "print the library's version"},
};
