/*
 * The JSON writer: the whole text of a small document, with every kind of value.
 */
#include "expect.h"
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char expected[] = "{\n"
                               "  \"quote \\\" and \\\\\": \"line\\u000a\\u0001 \303\274\",\n"
                               "  \"empty\": [],\n"
                               "  \"numbers\": [\n"
                               "    -9223372036854775808,\n"
                               "    1.5,\n"
                               "    1e-300,\n"
                               "    null,\n"
                               "    null\n"
                               "  ],\n"
                               "  \"inner\": {\n"
                               "    \"nothing\": null\n"
                               "  }\n"
                               "}\n";

static void write_document(FILE *file) {
    struct bench_json json = {.file = file};
    bench_json_begin_object(&json, NULL);
    bench_json_text(&json, "quote \" and \\", "line\n\001 \303\274");
    bench_json_begin_array(&json, "empty");
    bench_json_end_array(&json);
    bench_json_begin_array(&json, "numbers");
    bench_json_integer(&json, NULL, INT64_MIN);
    bench_json_real(&json, NULL, 1.5);
    bench_json_real(&json, NULL, 1e-300);
    bench_json_real(&json, NULL, (double)NAN);
    bench_json_real(&json, NULL, -(double)INFINITY);
    bench_json_end_array(&json);
    bench_json_begin_object(&json, "inner");
    bench_json_null(&json, "nothing");
    bench_json_end_object(&json);
    bench_json_end_object(&json);
}

int main(void) {
    char text[512] = "";
    FILE *file = tmpfile();
    if (EXPECT(file != NULL, "a temporary file")) {
        write_document(file);
        rewind(file);
        const size_t length = fread(text, 1, sizeof text - 1, file);
        text[length] = '\0';
        fclose(file);
        EXPECT(strcmp(text, expected) == 0, "wrote:\n%s", text);
    }
    return expect_summary();
}
