/* The words of a sequence, one per line of a text file, made safe to print in a terminal. */
#ifndef CLI_TOKENS_H
#define CLI_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_COLUMNS 16 /* longer ones are cut */

typedef struct token {
    char text[TOKEN_COLUMNS * 6 + 1]; /* no multibyte encoding in use takes more than 6 bytes a column */
    int columns;                      /* that text takes in a terminal */
} token;

/* Reads exactly count lines; characters that are invalid or would steer the terminal become '?'. Prints one
 * line and returns NULL on failure; otherwise the caller frees the result. */
token *tokens_read(const char *path, int64_t count);

#endif
