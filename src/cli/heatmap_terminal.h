/* Attention weights between the words of a sentence as a table in the terminal. */
#ifndef CLI_HEATMAP_TERMINAL_H
#define CLI_HEATMAP_TERMINAL_H

#include <stdbool.h>

#include "array.h"
#include "tokens.h"

/* Prints a row per query and a column per key of the [count, count] weights: coloured cells, or ones shaded
 * with characters, that hold the weight in percent where it is large enough to matter. */
void heatmap_terminal_print(const array *weights, const token *tokens, bool color);

/* Whether standard output is a terminal that shows 256 colours and the user wants them. */
bool heatmap_terminal_color(void);

#endif
