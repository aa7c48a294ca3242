/*
 * A reader for the .npy files that the project itself carries.
 */
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *path, const char *why) {
    fprintf(stderr, "%s: %s\n", path, why);
    exit(EXIT_FAILURE);
}

/* The text after "'key':" in the header's dictionary. */
static const char *find_value(const char *path, const char *header, const char *key) {
    const char *const at = strstr(header, key);
    if (!at) {
        fail(path, "header lacks a key");
    }
    return at + strlen(key);
}

static int32_t parse_shape(const char *text, int64_t *shape) {
    int32_t rank = 0;
    text = strchr(text, '(');
    while (text && rank < SOFTATTN_MAX_RANK) {
        char *end;
        const long long size = strtoll(text + 1, &end, 10);
        if (end == text + 1) {
            break;
        }
        shape[rank++] = size;
        text = *end == ',' ? end : NULL;
    }
    return rank;
}

void npy_read(const char *path, test_array *array) {
    unsigned char prefix[10];
    char header[4096] = {0};
    int64_t shape[SOFTATTN_MAX_RANK];
    FILE *const file = fopen(path, "rb");
    if (!file) {
        fail(path, "cannot be opened");
    }
    if (fread(prefix, 1, sizeof prefix, file) != sizeof prefix || memcmp(prefix, "\x93NUMPY\x01", 7) != 0) {
        fail(path, "is not .npy version 1");
    }
    const size_t header_bytes = prefix[8] + 256u * prefix[9];
    if (header_bytes >= sizeof header || fread(header, 1, header_bytes, file) != header_bytes) {
        fail(path, "header is too long or cut");
    }
    const bool is_f32 = strncmp(find_value(path, header, "'descr': "), "'<f4'", 5) == 0;
    if (strncmp(find_value(path, header, "'fortran_order': "), "False", 5) != 0) {
        fail(path, "is not in C order");
    }
    const int32_t rank = parse_shape(find_value(path, header, "'shape': "), shape);
    array_create(array, is_f32 ? ARRAY_F32 : ARRAY_F64, rank, shape, ARRAY_COMPACT, GUARD_AFTER);
    if (fread(array->block.data, 1, array->block.bytes, file) != array->block.bytes || fgetc(file) != EOF) {
        fail(path, "data does not fill the shape");
    }
    fclose(file);
}
