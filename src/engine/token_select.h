/*
 * Which tokens of a row of logits top-p keeps: the smallest number of them, largest logits first and lower columns first
 * among equal ones, whose masses reach a goal.
 *
 * Nothing is sorted. A sample of the row tells between which logits the last kept token should lie; a pass over the row
 * sums the exact mass above and puts those in between on a list; the same is then done to the list, which shrinks to a
 * few. The sample decides how fast that is, and never the result.
 */
#ifndef SOFTATTN_ENGINE_TOKEN_SELECT_H
#define SOFTATTN_ENGINE_TOKEN_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Mass of a weight of 1. */
#define SOFTATTN_WHOLE_MASS (INT64_C(1) << 36)

/* More columns could overflow a sum of masses. */
#define SOFTATTN_MAX_TOKENS (INT64_C(1) << 26)

/* A row of logits without NaN and +infinity, of which one at least is above -infinity. */
struct softattn_logits {
    const struct softattn_kernels *kernels;
    int64_t cols, blocks;
    const char *x;
    const char *maxima; /* of the blocks */
    const char *next;   /* the row after it, for asking; NULL: not known */
    double max;
};

/* Tokens with low < x <= high of a row. The row's tokens above high have the masses `above`, block by block. */
struct softattn_bracket {
    double low, high;
    int64_t *above;  /* [blocks] */
    char *list;      /* the logits between, in the row's order; room for cols + SOFTATTN_LIST_MARGIN */
    int64_t *counts; /* [blocks] of the list */
    int64_t count;   /* of all */
};

enum { SOFTATTN_LIST_MARGIN = 64, SOFTATTN_TOKEN_SAMPLE = 1024 };

/* Kept are the tokens with x > value and, in the order of columns, the first `ties` of those with x == value. */
struct softattn_token_limit {
    double value;
    int64_t ties;
};

/* Scratch of a selection. */
struct softattn_select_scratch {
    int64_t *above;         /* [blocks] */
    char *work[2];          /* [cols + SOFTATTN_LIST_MARGIN] each */
    char *sample, *weights; /* [softattn_token_sample_size(cols)] each */
};

int64_t softattn_token_blocks(int64_t cols);
int64_t softattn_token_sample_size(int64_t cols);

/* Mass of a weight, as kernels compute it. */
int64_t softattn_mass(double weight);

/* The mass that is meant by a fraction of a mass: rounded up, at least one unit. */
int64_t softattn_fraction_of(double fraction, int64_t mass);

/* The next real below. */
double softattn_next_below(double value, int32_t real_bytes);

/* A logit that k tokens are probably above, and not many more. */
double softattn_bound_of_largest(const struct softattn_logits *row, int64_t k,
                                 const struct softattn_select_scratch *scratch);

/* A pass over the row that fills the bracket with the masses above high and the tokens with low < x <= high. Returns the
 * sum of those masses; *total is the mass of all. */
int64_t softattn_pass_row(const struct softattn_logits *row, double factor, double low, double high,
                          double least_weight, struct softattn_bracket *bracket, int64_t *total);

/* Keeps tokens of the row until they have the fraction of the mass of all. The bracket is filled, and holds the limit unless
 * *holds comes back false. */
struct softattn_token_limit softattn_select_from_row(const struct softattn_logits *row, double factor,
                                                     double fraction, struct softattn_bracket *bracket,
                                                     bool *holds,
                                                     const struct softattn_select_scratch *scratch);

/* Keeps tokens of the bracket's list, whose mass is at least the goal. */
struct softattn_token_limit softattn_select_from_list(const struct softattn_logits *row, double factor,
                                                      int64_t goal, const struct softattn_bracket *bracket,
                                                      const struct softattn_select_scratch *scratch);

/* Mass of those of `count` tokens at x that are above low and weigh at least least_weight. */
int64_t softattn_list_mass(const struct softattn_logits *row, double factor, const char *x, int64_t count,
                           double low, double least_weight, const struct softattn_select_scratch *scratch);

/* Mass of one token. */
int64_t softattn_token_mass(const struct softattn_logits *row, double factor, double x);

int64_t softattn_sum_masses(const int64_t *masses, int64_t count);

#endif
