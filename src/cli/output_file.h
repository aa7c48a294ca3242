/* Files that the program writes: complete, or reported and removed. */
#ifndef CLI_OUTPUT_FILE_H
#define CLI_OUTPUT_FILE_H

#include <stdbool.h>
#include <stdio.h>

/* Opens path for writing; prints one line and returns NULL where that fails. */
FILE *output_open(const char *path);

/* Closes the file. If any write to it failed, prints one line, removes the file and returns false. */
bool output_close(FILE *file, const char *path);

#endif
