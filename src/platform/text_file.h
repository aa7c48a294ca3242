/*
 * Reads the small text files in which Linux describes the machine.
 */
#ifndef SOFTATTN_PLATFORM_TEXT_FILE_H
#define SOFTATTN_PLATFORM_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the start of a file, at most capacity - 1 bytes, as a string. False where it cannot be read. Keeps errno. */
bool softattn_read_text(const char *path, char *text, size_t capacity);

#endif
