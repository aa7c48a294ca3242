/*
 * What the two oracles share: precisions and results.
 */
#include "oracle.h"

#include <float.h>
#include <stdlib.h>

const oracle_precision oracle_f32 = {FLT_EPSILON / 2, (double)FLT_MIN};
const oracle_precision oracle_f64 = {DBL_EPSILON / 2, DBL_MIN};

static oracle_real *allocate_reals(int64_t count) {
    oracle_real *const reals = calloc(count > 0 ? (size_t)count : 1, sizeof *reals);
    if (!reals) {
        abort();
    }
    return reals;
}

oracle_result oracle_result_create(int64_t count) {
    const oracle_result result = {allocate_reals(count), allocate_reals(count), count};
    return result;
}

void oracle_result_destroy(oracle_result *result) {
    free(result->value);
    free(result->bound);
    *result = (oracle_result){0};
}
