/*
 * Writes one JSON document, in order, with commas, indentation and escapes.
 */
#ifndef SOFTATTN_BENCH_JSON_H
#define SOFTATTN_BENCH_JSON_H

#include <stdint.h>
#include <stdio.h>

struct bench_json {
    FILE *file;
    int depth;
    int has_items; /* whether the innermost object or array has one already */
};

/* key is the member's name inside an object, and NULL inside an array or for the document itself. Text is
 * taken to be UTF-8. Numbers that JSON cannot hold, infinities and NaN, become null. */
void bench_json_begin_object(struct bench_json *json, const char *key);
void bench_json_end_object(struct bench_json *json);
void bench_json_begin_array(struct bench_json *json, const char *key);
void bench_json_end_array(struct bench_json *json);
void bench_json_text(struct bench_json *json, const char *key, const char *value);
void bench_json_integer(struct bench_json *json, const char *key, int64_t value);
void bench_json_real(struct bench_json *json, const char *key, double value);
void bench_json_null(struct bench_json *json, const char *key);

#endif
