/* Checking the outputs of a diagnosis, and writing them. */
#include "api/diagnosis.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "api/arguments.h"
#include "api/axis.h"
#include "api/context.h"
#include "api/status.h"
#include "api/tensor.h"
#include "engine/reals.h"
#include "platform/memory.h"

enum { SATURATED = SOFTATTN_DIAGNOSIS_SUMMARY - 1 };

/* The numbers of a row, where the caller wants them and where their mean and maximum are in the summary. */
static const struct {
    struct softattn_tensor_rule rule;
    size_t argument, number, mean, max;
} outputs_of[SATURATED] = {
#define NUMBER(name)                                                                                         \
    {                                                                                                        \
        {#name, SOFTATTN_ELEMENT_REAL, false, true}, offsetof(softattn_diagnosis, name),                     \
            offsetof(struct softattn_diagnosis_of_row, name),                                                \
            offsetof(softattn_diagnosis_summary, name##_mean),                                               \
            offsetof(softattn_diagnosis_summary, name##_max)                                                 \
    }
    NUMBER(entropy),    NUMBER(max_probability), NUMBER(effective_keys),
    NUMBER(score_mean), NUMBER(score_variance),  NUMBER(jacobian_norm),
#undef NUMBER
};

static const struct softattn_tensor_rule saturated_rule = {"saturated", SOFTATTN_ELEMENT_BYTE, false, true};

/* ---- Checks ---- */

int32_t softattn_diagnosis_read_struct(const softattn_diagnosis *diagnosis, softattn_diagnosis *known) {
    const uint64_t first_bytes = offsetof(softattn_diagnosis, summary) + sizeof diagnosis->summary;
    softattn_diagnosis_summary unused;
    const uint64_t first_summary_bytes =
        offsetof(softattn_diagnosis_summary, jacobian_norm_max) + sizeof unused.jacobian_norm_max;
    int32_t status = softattn_arguments_read("diagnosis", diagnosis, first_bytes, sizeof *known, known);
    if (status == SOFTATTN_OK && known->summary != NULL) {
        status =
            softattn_arguments_read("summary", known->summary, first_summary_bytes, sizeof unused, &unused);
    }
    return status;
}

/* The summary as bytes, for the check of overlap. */
static int32_t read_summary(const softattn_diagnosis_summary *summary, struct softattn_array *array) {
    array->name = NULL;
    if (summary == NULL) {
        return SOFTATTN_OK;
    }
    *array = (struct softattn_array){.name = "summary",
                                     .data = (char *)summary,
                                     .rank = 1,
                                     .element_bytes = 1,
                                     .is_output = true,
                                     .shape = {(int64_t)summary->struct_size},
                                     .stride = {1}};
    return softattn_array_check(array, true);
}

int32_t softattn_diagnosis_read_outputs(const softattn_diagnosis *known, struct softattn_array *arrays) {
    bool is_wanted = known->summary != NULL;
    int32_t status = SOFTATTN_OK;
    for (int32_t i = 0; i < SATURATED && status == SOFTATTN_OK; i++) {
        status = softattn_tensor_read(known, outputs_of[i].argument, &outputs_of[i].rule, true, &arrays[i]);
        is_wanted = is_wanted || arrays[i].name != NULL;
    }
    if (status == SOFTATTN_OK) {
        status = softattn_tensor_read(known, offsetof(softattn_diagnosis, saturated), &saturated_rule, true,
                                      &arrays[SATURATED]);
        is_wanted = is_wanted || arrays[SATURATED].name != NULL;
    }
    if (status == SOFTATTN_OK) {
        status = read_summary(known->summary, &arrays[SOFTATTN_DIAGNOSIS_SUMMARY]);
    }
    if (status == SOFTATTN_OK && !is_wanted) {
        return softattn_fail(SOFTATTN_ERROR_NULL, "diagnosis: every output is NULL");
    }
    return status;
}

int32_t softattn_diagnosis_fit(const softattn_diagnosis *known, const struct softattn_array *arrays,
                               const struct softattn_array *reference, int32_t axis,
                               struct softattn_diagnosis_outputs *outputs) {
    int32_t status = SOFTATTN_OK;
    *outputs = (struct softattn_diagnosis_outputs){.rows = softattn_rows_of(reference, axis)};
    outputs->real_bytes =
        reference->format == SOFTATTN_FORMAT_REAL ? reference->element_bytes : (int32_t)sizeof(float);
    outputs->summary = known->summary;
    for (int32_t i = 0; i < SOFTATTN_DIAGNOSIS_SUMMARY && status == SOFTATTN_OK; i++) {
        if (arrays[i].name == NULL) {
            continue;
        }
        if (i != SATURATED) {
            status = softattn_require_type(SOFTATTN_ELEMENT_REAL, &arrays[i], reference);
        }
        if (status == SOFTATTN_OK) {
            status = softattn_fit_row_values(&arrays[i], reference, axis, &outputs->tensors[i]);
        }
    }
    return status;
}

int32_t softattn_diagnosis_acquire(const struct softattn_diagnosis_outputs *outputs,
                                   const softattn_context *context, struct softattn_diagnosis_of_row **rows) {
    const uint64_t bytes = (uint64_t)softattn_rows_count(&outputs->rows) * sizeof **rows;
    *rows = softattn_memory_acquire(softattn_context_runtime(context).memory, bytes);
    if (*rows == NULL) {
        return softattn_fail_memory(bytes);
    }
    memset(*rows, 0, (size_t)bytes);
    return SOFTATTN_OK;
}

void softattn_diagnosis_release(const softattn_context *context, struct softattn_diagnosis_of_row *rows) {
    softattn_memory_release(softattn_context_runtime(context).memory, rows);
}

/* ---- Results ---- */

/* A row that no engine came to is neither visible nor sound. */
static bool is_there(const struct softattn_diagnosis_of_row *row) { return row->visible || row->sound; }
static bool is_counted(const struct softattn_diagnosis_of_row *row) { return row->visible && row->sound; }

static double number_of(const struct softattn_diagnosis_of_row *row, size_t offset) {
    double number;
    memcpy(&number, (const char *)row + offset, sizeof number);
    return row->sound ? number : (double)NAN;
}

static void write_row(const struct softattn_diagnosis_outputs *outputs, double saturation,
                      const struct softattn_row_place *place, const struct softattn_diagnosis_of_row *row) {
    const int32_t bytes = outputs->real_bytes;
    for (int32_t i = 0; i < SATURATED; i++) {
        char *to = softattn_row_at(&outputs->rows, &outputs->tensors[i], place, bytes);
        if (to != NULL) {
            softattn_put_real(to, 0, number_of(row, outputs_of[i].number), bytes);
        }
    }
    char *to = softattn_row_at(&outputs->rows, &outputs->tensors[SATURATED], place, 1);
    if (to != NULL) {
        *to = is_counted(row) && row->max_probability > saturation;
    }
}

/* One number of all rows into the summary: its mean, summed in the rows' order, and its maximum. */
static void summarize(const struct softattn_diagnosis_of_row *rows, int64_t count, int32_t which,
                      softattn_diagnosis_summary *summary) {
    double sum = 0, max = -(double)INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (is_counted(&rows[i])) {
            const double number = number_of(&rows[i], outputs_of[which].number);
            sum += number;
            max = number > max ? number : max;
        }
    }
    const double mean = summary->rows > 0 ? sum / (double)summary->rows : 0;
    max = summary->rows > 0 ? max : 0;
    memcpy((char *)summary + outputs_of[which].mean, &mean, sizeof mean);
    memcpy((char *)summary + outputs_of[which].max, &max, sizeof max);
}

static void write_summary(const struct softattn_diagnosis_of_row *rows, int64_t count, double saturation,
                          softattn_diagnosis_summary *to) {
    const uint64_t given_bytes = to->struct_size;
    softattn_diagnosis_summary summary = {.struct_size = given_bytes};
    for (int64_t i = 0; i < count; i++) {
        summary.rows += is_counted(&rows[i]);
        summary.empty_rows += is_there(&rows[i]) && !rows[i].visible;
        summary.nan_rows += rows[i].visible && !rows[i].sound;
        summary.saturated_rows += is_counted(&rows[i]) && rows[i].max_probability > saturation;
    }
    for (int32_t i = 0; i < SATURATED; i++) {
        summarize(rows, count, i, &summary);
    }
    memcpy(to, &summary, (size_t)(given_bytes < sizeof summary ? given_bytes : sizeof summary));
}

void softattn_diagnosis_write(const struct softattn_diagnosis_outputs *outputs, double saturation,
                              const struct softattn_diagnosis_of_row *rows) {
    const int64_t count = softattn_rows_count(&outputs->rows);
    struct softattn_row_place place = {{0}};
    for (int64_t i = 0; i < count; i++, softattn_row_step(&outputs->rows, &place)) {
        if (is_there(&rows[i])) {
            write_row(outputs, saturation, &place, &rows[i]);
        }
    }
    if (outputs->summary != NULL) {
        write_summary(rows, count, saturation, outputs->summary);
    }
}
