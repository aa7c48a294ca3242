/* The outputs of a diagnosis, for rows of softmax and of attention. */
#ifndef SOFTATTN_API_DIAGNOSIS_H
#define SOFTATTN_API_DIAGNOSIS_H

#include <stdint.h>

#include "api/array.h"
#include "engine/rows.h"
#include "softattn/softattn.h"

#define SOFTATTN_DEFAULT_SATURATION 0.99

/* Tensors in the order of the struct, then the summary as a row of bytes. */
enum { SOFTATTN_DIAGNOSIS_SUMMARY = 7, SOFTATTN_DIAGNOSIS_ARRAYS };

struct softattn_diagnosis_outputs {
    struct softattn_rows rows;
    struct softattn_row_operand tensors[SOFTATTN_DIAGNOSIS_SUMMARY];
    int32_t real_bytes;
    softattn_diagnosis_summary *summary; /* NULL: not wanted */
};

/* The stages of the checks, each of which may fail: the structs, each output by itself, how they fit to the scores, whose
 * rows are those of reference along axis. */
int32_t softattn_diagnosis_read_struct(const softattn_diagnosis *diagnosis, softattn_diagnosis *known);
int32_t softattn_diagnosis_read_outputs(const softattn_diagnosis *known, struct softattn_array *arrays);
int32_t softattn_diagnosis_fit(const softattn_diagnosis *known, const struct softattn_array *arrays,
                               const struct softattn_array *reference, int32_t axis,
                               struct softattn_diagnosis_outputs *outputs);

/* Memory for a diagnosis per row of the outputs; fails when that is short. */
int32_t softattn_diagnosis_acquire(const struct softattn_diagnosis_outputs *outputs,
                                   const softattn_context *context, struct softattn_diagnosis_of_row **rows);

void softattn_diagnosis_release(const softattn_context *context, struct softattn_diagnosis_of_row *rows);

/* Writes the outputs of those rows that an engine came to. */
void softattn_diagnosis_write(const struct softattn_diagnosis_outputs *outputs, double saturation,
                              const struct softattn_diagnosis_of_row *rows);

#endif
