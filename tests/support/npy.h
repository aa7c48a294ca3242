/*
 * Reads the .npy files of docs/examples: version 1.0, little-endian f32 or f64, C order.
 */
#ifndef TEST_SUPPORT_NPY_H
#define TEST_SUPPORT_NPY_H

#include "arrays.h"

/* Creates a compact array with the file's contents; ends the program with a message when it cannot. */
void npy_read(const char *path, test_array *array);

#endif
