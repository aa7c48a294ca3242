/* The words of a sequence, see tokens.h. */
#include "tokens.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "report.h"

#define LINE_BYTES 512

static void append(token *t, const char *text, size_t bytes, int columns) {
    const size_t used = strlen(t->text);
    if (used + bytes < sizeof t->text) {
        memcpy(t->text + used, text, bytes);
        t->text[used + bytes] = '\0';
        t->columns += columns;
    }
}

/* Appends the character at the start of text to t. Returns its bytes in text. */
static size_t append_character(token *t, const char *text, size_t bytes) {
    mbstate_t state = {0};
    wchar_t character = 0;
    const size_t length = mbrtowc(&character, text, bytes, &state);
    const bool valid = length > 0 && length <= bytes; /* errors are (size_t)-1 and (size_t)-2 */
    const int columns = valid && iswprint((wint_t)character) ? wcwidth(character) : -1;
    if (columns >= 0) {
        append(t, text, length, columns);
    } else {
        append(t, "?", 1, 1);
    }
    return valid ? length : 1;
}

static void fill_token(token *t, const char *line, size_t bytes) {
    size_t at = 0;
    *t = (token){.columns = 0};
    while (at < bytes && t->columns < TOKEN_COLUMNS) {
        at += append_character(t, line + at, bytes - at);
    }
}

/* Reads the next line without its end; false at the end of the file, or with *problem set. */
static bool read_line(FILE *file, char line[LINE_BYTES], size_t *bytes, const char **problem) {
    memset(line, 0, LINE_BYTES);
    if (fgets(line, LINE_BYTES, file) == NULL) {
        *problem = ferror(file) ? strerror(errno) : NULL;
        return false;
    }
    *bytes = strcspn(line, "\n");
    if (line[*bytes] != '\n' && !feof(file)) {
        *problem = "a line is longer than 510 bytes or holds a NUL";
        return false;
    }
    if (*bytes > 0 && line[*bytes - 1] == '\r') {
        --*bytes;
    }
    return true;
}

static bool read_lines(FILE *file, const char *path, token *tokens, int64_t count) {
    char line[LINE_BYTES];
    const char *problem = NULL;
    size_t bytes = 0;
    int64_t lines = 0;
    while (lines <= count && read_line(file, line, &bytes, &problem)) {
        if (lines < count) {
            fill_token(&tokens[lines], line, bytes);
        }
        lines++;
    }
    if (problem != NULL) {
        return report(path, "%s", problem);
    }
    return lines == count || report(path, "%s lines than the %" PRId64 " tokens of the sequence",
                                    lines < count ? "fewer" : "more", count);
}

token *tokens_read(const char *path, int64_t count) {
    token *tokens;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        report(path, "%s", strerror(errno));
        return NULL;
    }
    tokens = calloc(count > 0 ? (size_t)count : 1, sizeof *tokens);
    if (tokens == NULL) {
        report(path, "no memory for %" PRId64 " tokens", count);
    } else if (!read_lines(file, path, tokens, count)) {
        free(tokens);
        tokens = NULL;
    }
    fclose(file);
    return tokens;
}
