/*
 * Whether two strided arrays share a byte.
 *
 * A byte of array a lies at a.low + sum of step_i * x_i with 0 <= x_i <= count_i, where the steps are the
 * strides' magnitudes in bytes, and 1 for the bytes of an element; a byte of b likewise. With b's places
 * counted from its far end, equality of two addresses becomes
 *     sum over the dimensions of both of step_i * x_i = b.high - 1 - a.low,
 * a bounded sum of positive terms. It is searched from the largest step down: what the smaller steps can reach
 * leaves few values for each x_i.
 */
#include "api/overlap.h"

#include <stddef.h>

#include "api/status.h"

/* Search steps before giving up. Real layouts need one or two per dimension. */
enum { MAX_STEPS = 1000 };

struct term {
    uint64_t step, count;
};

/* Both arrays' dimensions, and the bytes of the elements. */
enum { MAX_TERMS = 2 * SOFTATTN_MAX_RANK + 1 };

struct sum {
    struct term term[MAX_TERMS];   /* by falling step */
    uint64_t reach[MAX_TERMS + 1]; /* largest sum of the terms from this one on */
    int32_t terms;
    int32_t steps_left;
};

/* Terms of one step are one term. */
static void add_term(struct sum *sum, uint64_t step, uint64_t count) {
    int32_t place = sum->terms;
    while (place > 0 && sum->term[place - 1].step < step) {
        place--;
    }
    if (place > 0 && sum->term[place - 1].step == step) {
        sum->term[place - 1].count += count;
        return;
    }
    for (int32_t i = sum->terms; i > place; i--) {
        sum->term[i] = sum->term[i - 1];
    }
    sum->term[place] = (struct term){step, count};
    sum->terms++;
}

static void add_array(struct sum *sum, const struct softattn_array *array) {
    for (int32_t i = 0; i < array->rank; i++) {
        if (array->stride[i] != 0) {
            const int64_t step = array->stride[i] * array->element_bytes;
            add_term(sum, (uint64_t)(step < 0 ? -step : step), (uint64_t)array->shape[i] - 1);
        }
    }
    add_term(sum, 1, (uint64_t)array->element_bytes - 1);
}

/* Whether the terms from number `from` on can make target; true also when the steps run out. */
static bool reaches(struct sum *sum, int32_t from, uint64_t target) {
    if (from == sum->terms) {
        return target == 0;
    }
    const struct term term = sum->term[from];
    const uint64_t rest = sum->reach[from + 1];
    const uint64_t least = target <= rest ? 0 : (target - rest - 1) / term.step + 1;
    const uint64_t most = target / term.step < term.count ? target / term.step : term.count;
    for (uint64_t x = least; x <= most; x++) {
        if (sum->steps_left-- == 0 || reaches(sum, from + 1, target - x * term.step)) {
            return true;
        }
    }
    return false;
}

bool softattn_arrays_overlap(const struct softattn_array *a, const struct softattn_array *b) {
    if (a->high <= b->low || b->high <= a->low || a->elements == 0 || b->elements == 0) {
        return false;
    }
    struct sum sum;
    sum.terms = 0;
    sum.steps_left = MAX_STEPS;
    add_array(&sum, a);
    add_array(&sum, b);
    sum.reach[sum.terms] = 0;
    for (int32_t i = sum.terms - 1; i >= 0; i--) {
        sum.reach[i] = sum.reach[i + 1] + sum.term[i].step * sum.term[i].count;
    }
    return reaches(&sum, 0, b->high - 1 - a->low);
}

int32_t softattn_check_overlap(const struct softattn_array *arrays, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (arrays[i].name == NULL || !arrays[i].is_output) {
            continue;
        }
        for (int64_t j = 0; j < count; j++) {
            const bool seen = arrays[j].name == NULL || j == i || (arrays[j].is_output && j < i);
            if (!seen && softattn_arrays_overlap(&arrays[i], &arrays[j])) {
                return softattn_fail(SOFTATTN_ERROR_OVERLAP, "%s: shares memory with %s", arrays[i].name,
                                     arrays[j].name);
            }
        }
    }
    return SOFTATTN_OK;
}
