/*
 * Writes one JSON document.
 */
#include "json.h"

#include <inttypes.h>
#include <math.h>

static void write_string(FILE *file, const char *text) {
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(file, "\\%c", *c);
        } else if (*c < 0x20) {
            fprintf(file, "\\u%04x", *c);
        } else {
            fputc(*c, file);
        }
    }
    fputc('"', file);
}

static void new_line(const struct bench_json *json) {
    fputc('\n', json->file);
    for (int i = 0; i < json->depth; i++) {
        fputs("  ", json->file);
    }
}

/* What comes before every value: the comma after the last one, a new line, the key. */
static void begin_value(struct bench_json *json, const char *key) {
    if (json->has_items) {
        fputc(',', json->file);
    }
    if (json->depth > 0) {
        new_line(json);
    }
    json->has_items = 1;
    if (key != NULL) {
        write_string(json->file, key);
        fputs(": ", json->file);
    }
}

static void begin_group(struct bench_json *json, const char *key, char bracket) {
    begin_value(json, key);
    fputc(bracket, json->file);
    json->depth++;
    json->has_items = 0;
}

static void end_group(struct bench_json *json, char bracket) {
    json->depth--;
    if (json->has_items) {
        new_line(json);
    }
    json->has_items = 1;
    fputc(bracket, json->file);
    if (json->depth == 0) {
        fputc('\n', json->file);
    }
}

void bench_json_begin_object(struct bench_json *json, const char *key) { begin_group(json, key, '{'); }
void bench_json_end_object(struct bench_json *json) { end_group(json, '}'); }
void bench_json_begin_array(struct bench_json *json, const char *key) { begin_group(json, key, '['); }
void bench_json_end_array(struct bench_json *json) { end_group(json, ']'); }

void bench_json_text(struct bench_json *json, const char *key, const char *value) {
    begin_value(json, key);
    write_string(json->file, value);
}

void bench_json_integer(struct bench_json *json, const char *key, int64_t value) {
    begin_value(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void bench_json_real(struct bench_json *json, const char *key, double value) {
    begin_value(json, key);
    if (isfinite(value)) {
        fprintf(json->file, "%.6g", value);
    } else {
        fputs("null", json->file);
    }
}

void bench_json_null(struct bench_json *json, const char *key) {
    begin_value(json, key);
    fputs("null", json->file);
}
