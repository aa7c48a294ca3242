/*
 * NumPy .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * Read and written: format 1.0 and 2.0, little-endian float32 and float64, C order. Elements are copied as
 * they lie in the file, so the machine must be little-endian, as all that the library has kernels for are.
 */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include <stdbool.h>

#include "array.h"

/* Reads a file of any content safely. On failure prints one line that names path, returns false and leaves
 * *out without data. The caller frees *out with array_free. */
bool npy_read(const char *path, array *out);

/* Writes format 1.0. On failure prints one line that names path, returns false and removes what was
 * written. */
bool npy_write(const char *path, const array *a);

#endif
