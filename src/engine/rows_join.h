/* Row dimensions that could as well be one. */
#ifndef SOFTATTN_ENGINE_ROWS_JOIN_H
#define SOFTATTN_ENGINE_ROWS_JOIN_H

#include <stdint.h>

#include "engine/rows.h"

/*
 * Leaves out row dimensions of size 1 and joins those whose rows lie as evenly in every operand as those of one dimension
 * would, so that more rows are neighbours, which kernels take together. The rows keep their order and number. The last `kept`
 * dimensions stay as they are, for callers to whom a row's index there means something. Operands not given may be among them.
 */
void softattn_rows_join(struct softattn_rows *rows, int32_t kept,
                        struct softattn_row_operand *const *operands, int32_t count);

#endif
