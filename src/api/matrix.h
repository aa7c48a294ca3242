/* The flat functions' row-major matrices as checked arrays. */
#ifndef SOFTATTN_API_MATRIX_H
#define SOFTATTN_API_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

#include "api/array.h"

/* Fails where one of the two sizes, named for the message, is negative. */
int32_t softattn_check_matrix_sizes(const char *rows_name, int64_t rows, const char *cols_name, int64_t cols);

/* rows x cols elements, the first of row r at data + r * row_stride; checked by itself. */
int32_t softattn_matrix(const char *name, void *data, int32_t element_bytes, bool is_output, int64_t rows,
                        int64_t cols, int64_t row_stride, struct softattn_array *matrix);

#endif
