/* Argument structs of callers that were compiled with an older or newer header. */
#ifndef SOFTATTN_API_ARGUMENTS_H
#define SOFTATTN_API_ARGUMENTS_H

#include <stdint.h>

/*
 * Copies the caller's struct, which starts with its size, to known_bytes at copy; fields that the caller does
 * not know become zero. first_bytes: the struct's size in the first release that had it; known_bytes: its
 * size today.
 */
int32_t softattn_arguments_read(const char *name, const void *arguments, uint64_t first_bytes,
                                uint64_t known_bytes, void *copy);

#endif
