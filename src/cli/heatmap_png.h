/* Attention weights as a picture: one square per query (row) and key (column), brighter for a larger
 * weight. */
#ifndef CLI_HEATMAP_PNG_H
#define CLI_HEATMAP_PNG_H

#include <stdbool.h>

#include "array.h"

/* Writes the [queries, keys] weights; the largest is the brightest. Prints one line and returns false on
 * failure. */
bool heatmap_png_write(const char *path, const array *weights);

#endif
