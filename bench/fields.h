/*
 * A result or a ceiling as named fields, the same for JSON and CSV. Every record of a kind has the same
 * fields in the same order; what does not apply is missing.
 */
#ifndef SOFTATTN_BENCH_FIELDS_H
#define SOFTATTN_BENCH_FIELDS_H

#include "result.h"

#include <stdint.h>

enum bench_field_kind { BENCH_FIELD_MISSING, BENCH_FIELD_TEXT, BENCH_FIELD_INTEGER, BENCH_FIELD_REAL };

struct bench_field {
    const char *name;
    enum bench_field_kind kind;
    const char *text;
    int64_t integer;
    double real;
};

enum { BENCH_MAX_FIELDS = 64 };

struct bench_fields {
    struct bench_field items[BENCH_MAX_FIELDS];
    int count;
};

/* One line of the ceilings: multiply-adds of an instruction set and type, or traffic at a level of memory. */
struct bench_ceiling_record {
    const char *name; /* "multiply-add", or the name of the traffic */
    const char *isa;  /* of multiply-adds, else NULL */
    enum bench_type type;
    const char *level; /* of traffic, else NULL */
    double footprint;  /* of traffic, bytes */
    int threads;
    struct bench_ceiling ceiling;
};

/* The texts in the fields are those of the record. */
void bench_result_fields(const struct bench_result *result, struct bench_fields *fields);
void bench_ceiling_fields(const struct bench_ceiling_record *record, struct bench_fields *fields);

#endif
