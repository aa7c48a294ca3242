/* The flat functions' row-major matrices as checked arrays. */
#include "api/matrix.h"

#include <inttypes.h>

#include "api/status.h"
#include "softattn/softattn.h"

int32_t softattn_check_matrix_sizes(const char *rows_name, int64_t rows, const char *cols_name,
                                    int64_t cols) {
    if (rows < 0 || cols < 0) {
        return softattn_fail(SOFTATTN_ERROR_ARGUMENT, "%s: is %" PRId64, rows < 0 ? rows_name : cols_name,
                             rows < 0 ? rows : cols);
    }
    return SOFTATTN_OK;
}

int32_t softattn_matrix(const char *name, void *data, int32_t element_bytes, bool is_output, int64_t rows,
                        int64_t cols, int64_t row_stride, struct softattn_array *matrix) {
    *matrix = (struct softattn_array){.name = name,
                                      .data = data,
                                      .rank = 2,
                                      .element_bytes = element_bytes,
                                      .is_output = is_output,
                                      .shape = {rows, cols},
                                      .stride = {row_stride, 1}};
    return softattn_array_check(matrix, true);
}
