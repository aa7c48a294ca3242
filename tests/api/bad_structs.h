/*
 * The struct_size rule, tried on any argument struct.
 */
#ifndef TEST_API_BAD_STRUCTS_H
#define TEST_API_BAD_STRUCTS_H

#include <stddef.h>
#include <stdint.h>

/* Calls the library with this copy of the struct. */
typedef int32_t (*struct_user)(void *user, void *copy);

/* Asserts that copies of `good` (size known_bytes, of which first_bytes were in the first release) are
 * accepted for every struct_size from first_bytes on as long as what this header does not know is zero, and
 * refused otherwise; and that nothing is read beyond struct_size. */
void assert_struct_size_is_obeyed(const void *good, size_t first_bytes, size_t known_bytes, struct_user run,
                                  void *user);

#endif
