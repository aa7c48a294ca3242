/* .npy files, see npy.h. The header of one is the text of a Python dictionary with three keys, parsed here
 * by hand. */
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output_file.h"
#include "report.h"

#define MAGIC            "\x93NUMPY"
#define MAGIC_BYTES      6
#define HEADER_LIMIT     65535 /* what format 1.0 can say; no float array needs format 2.0's 4 GB */
#define HEADER_ALIGNMENT 64
#define FIRST_READ_BYTES (INT64_C(1) << 20)

typedef struct header {
    char type[24];
    bool fortran_order;
    array view; /* rank and shape; bits follow from type */
} header;

typedef struct cursor {
    const char *at;
    const char *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n')) {
        c->at++;
    }
}

static bool accept(cursor *c, const char *word) {
    const size_t length = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) {
        return false;
    }
    c->at += length;
    return true;
}

/* A quoted string of printable ASCII without escapes. */
static bool parse_string(cursor *c, char *out, size_t capacity) {
    const char *quote = accept(c, "'") ? "'" : accept(c, "\"") ? "\"" : NULL;
    size_t length = 0;
    if (quote == NULL) {
        return false;
    }
    for (; c->at < c->end && *c->at != *quote; c->at++) {
        if (*c->at < ' ' || *c->at > '~' || *c->at == '\\' || length + 1 == capacity) {
            return false;
        }
        out[length++] = *c->at;
    }
    out[length] = '\0';
    return accept(c, quote);
}

static const char *parse_size(cursor *c, int64_t *size) {
    int64_t value = 0;
    skip_space(c);
    if (c->at == c->end || *c->at < '0' || *c->at > '9') {
        return "its header has a shape that is no tuple of sizes";
    }
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        const int64_t digit = *c->at - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return "its header has a size of more than 63 bits";
        }
        value = value * 10 + digit;
    }
    *size = value;
    return NULL;
}

/* "()", "(3,)", "(3, 4)", "(3, 4,)" */
static const char *parse_shape(cursor *c, array *view) {
    const char *problem = NULL;
    bool comma = true;
    view->rank = 0;
    if (!accept(c, "(")) {
        return "its header has a shape that is no tuple of sizes";
    }
    while (problem == NULL && !accept(c, ")")) {
        if (!comma) {
            return "its header has a shape that is no tuple of sizes";
        }
        if (view->rank == SOFTATTN_MAX_RANK) {
            return "more than 8 dimensions";
        }
        problem = parse_size(c, &view->shape[view->rank]);
        view->rank++;
        comma = accept(c, ",");
    }
    if (problem == NULL && view->rank == 1 && !comma) {
        return "its header has a shape that is no tuple of sizes"; /* to Python, (3) is a number */
    }
    return problem;
}

static const char *parse_type(cursor *c, header *h) {
    if (accept(c, "[")) {
        return "its elements are structures; only float32 and float64 are read";
    }
    return parse_string(c, h->type, sizeof h->type) ? NULL : "its header has no readable 'descr'";
}

static const char *parse_order(cursor *c, header *h) {
    h->fortran_order = accept(c, "True");
    return h->fortran_order || accept(c, "False") ? NULL : "its header has a 'fortran_order' that is no bool";
}

/* Returns NULL, or what is wrong with the header. */
static const char *parse_header(cursor *c, header *h) {
    enum { TYPE = 1, ORDER = 2, SHAPE = 4, ALL = 7 };
    unsigned seen = 0;
    const char *problem = accept(c, "{") ? NULL : "its header is no dictionary";
    while (problem == NULL && !accept(c, "}")) {
        char key[16];
        unsigned field;
        if (!parse_string(c, key, sizeof key) || !accept(c, ":")) {
            return "its header is no dictionary";
        }
        if (strcmp(key, "descr") == 0) {
            field = TYPE;
            problem = parse_type(c, h);
        } else if (strcmp(key, "fortran_order") == 0) {
            field = ORDER;
            problem = parse_order(c, h);
        } else if (strcmp(key, "shape") == 0) {
            field = SHAPE;
            problem = parse_shape(c, &h->view);
        } else {
            return "its header has an unknown key";
        }
        if (problem == NULL && (seen & field) != 0) {
            return "its header says the same key twice";
        }
        seen |= field;
        if (problem == NULL && !accept(c, ",")) {
            problem = accept(c, "}") ? NULL : "its header is no dictionary";
            break;
        }
    }
    skip_space(c);
    if (problem == NULL && seen != ALL) {
        return "its header lacks one of 'descr', 'fortran_order' and 'shape'";
    }
    return problem == NULL && c->at != c->end ? "its header goes on after the dictionary" : problem;
}

static bool read_exactly(FILE *file, const char *path, const char *what, void *out, size_t bytes) {
    if (fread(out, 1, bytes, file) == bytes) {
        return true;
    }
    return ferror(file) ? report(path, "%s", strerror(errno)) : report(path, "ends inside the %s", what);
}

/* Reads up to the first element. The length of the header text goes to *bytes; its memory is the caller's to
 * free. */
static char *read_header_text(FILE *file, const char *path, size_t *bytes) {
    unsigned char start[MAGIC_BYTES + 2];
    unsigned char length[4] = {0};
    char *text;
    if (fread(start, 1, sizeof start, file) != sizeof start && ferror(file)) {
        report(path, "%s", strerror(errno));
        return NULL;
    }
    if (feof(file) || memcmp(start, MAGIC, MAGIC_BYTES) != 0) {
        report(path, "not a .npy file");
        return NULL;
    }
    if ((start[6] != 1 && start[6] != 2) || start[7] != 0) {
        report(path, ".npy format %d.%d; only 1.0 and 2.0 are read", start[6], start[7]);
        return NULL;
    }
    if (!read_exactly(file, path, "header", length, start[6] == 1 ? 2 : 4)) {
        return NULL;
    }
    *bytes =
        (size_t)length[0] + ((size_t)length[1] << 8) + ((size_t)length[2] << 16) + ((size_t)length[3] << 24);
    if (*bytes > HEADER_LIMIT) {
        report(path, "says that its header has %zu bytes; at most %d are read", *bytes, HEADER_LIMIT);
        return NULL;
    }
    text = malloc(*bytes + 1);
    if (text == NULL) {
        report(path, "no memory for its header of %zu bytes", *bytes);
        return NULL;
    }
    if (!read_exactly(file, path, "header", text, *bytes)) {
        free(text);
        return NULL;
    }
    return text;
}

static bool read_header(FILE *file, const char *path, header *h) {
    size_t bytes = 0;
    char *text = read_header_text(file, path, &bytes);
    const char *problem;
    if (text == NULL) {
        return false;
    }
    problem = parse_header(&(cursor){.at = text, .end = text + bytes}, h);
    free(text);
    return problem == NULL || report(path, "%s", problem);
}

/* Turns the header into bits and shape, where it is of a kind that is read. */
static bool check_header(const char *path, const header *h, array *out) {
    char shape[SHAPE_TEXT_BYTES];
    *out = h->view;
    if (strcmp(h->type, "<f4") == 0) {
        out->bits = 32;
    } else if (strcmp(h->type, "<f8") == 0) {
        out->bits = 64;
    } else if (h->type[0] == '>') {
        return report(path, "type '%s' is big-endian; only '<f4' and '<f8' are read", h->type);
    } else {
        return report(path, "type '%s'; only '<f4' (float32) and '<f8' (float64) are read", h->type);
    }
    if (h->fortran_order) {
        return report(path, "Fortran order; save it in C order, numpy.ascontiguousarray does that");
    }
    if (array_bytes(out) < 0) {
        array_shape_text(out, shape);
        return report(path, "shape %s is larger than any memory", shape);
    }
    return true;
}

/* Memory grows with what has been read, so a header that promises more than the file holds costs nothing. */
static bool read_data(FILE *file, const char *path, array *out) {
    const int64_t bytes = array_bytes(out);
    int64_t capacity = bytes < FIRST_READ_BYTES ? bytes : FIRST_READ_BYTES;
    int64_t filled = 0;
    for (;;) {
        void *data = realloc(out->data, capacity > 0 ? (size_t)capacity : 1);
        if (data == NULL) {
            return report(path, "no memory for %" PRId64 " bytes", capacity);
        }
        out->data = data;
        filled += (int64_t)fread((char *)data + filled, 1, (size_t)(capacity - filled), file);
        if (filled < capacity) {
            return ferror(file)
                       ? report(path, "%s", strerror(errno))
                       : report(path, "ends after %" PRId64 " of %" PRId64 " data bytes", filled, bytes);
        }
        if (filled == bytes) {
            break;
        }
        capacity = capacity > bytes / 2 ? bytes : 2 * capacity;
    }
    return fgetc(file) == EOF || report(path, "goes on after its %" PRId64 " data bytes", bytes);
}

bool npy_read(const char *path, array *out) {
    FILE *file = fopen(path, "rb");
    header h = {.type = ""};
    bool ok;
    *out = (array){.data = NULL};
    if (file == NULL) {
        return report(path, "%s", strerror(errno));
    }
    ok = read_header(file, path, &h) && check_header(path, &h, out) && read_data(file, path, out);
    fclose(file);
    if (!ok) {
        array_free(out);
    }
    return ok;
}

bool npy_write(const char *path, const array *a) {
    const size_t bytes = (size_t)array_bytes(a);
    char shape[SHAPE_TEXT_BYTES];
    char text[320];
    int length;
    int padding;
    FILE *file = output_open(path);
    if (file == NULL) {
        return false;
    }
    array_shape_text(a, shape);
    length = snprintf(text, sizeof text, "{'descr': '<f%d', 'fortran_order': False, 'shape': %s, }",
                      (int)(a->bits / 8), shape);
    padding = HEADER_ALIGNMENT - (MAGIC_BYTES + 4 + length + 1) % HEADER_ALIGNMENT;
    fwrite(MAGIC "\x01", 1, MAGIC_BYTES + 2, file); /* the literal's own NUL is the minor version */
    fputc((length + padding + 1) & 0xff, file);
    fputc((length + padding + 1) >> 8, file);
    fprintf(file, "%s%*s\n", text, padding, "");
    fwrite(a->data, 1, bytes, file);
    return output_close(file, path);
}
