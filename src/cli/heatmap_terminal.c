/* Attention weights in the terminal, see heatmap_terminal.h. Columns that do not fit follow in further
 * tables. */
#include "heatmap_terminal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "colormap.h"

#define LEAST_COLUMNS   4  /* of a cell: "100" and a gap */
#define LEAST_PERCENT   5  /* that is written as a number */
#define DEFAULT_COLUMNS 80 /* of a terminal */
#define BLACK           16
#define WHITE           231

typedef struct band {
    int64_t first, end; /* keys whose columns stand side by side */
} band;

static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_COLUMNS;
}

bool heatmap_terminal_color(void) {
    const char *terminal = getenv("TERM");
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org */
    return isatty(STDOUT_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0 &&
           (no_color == NULL || no_color[0] == '\0');
}

/* Columns of a cell, the gap to the next one included. */
static int cell_columns(const token *key) {
    return key->columns + 1 > LEAST_COLUMNS ? key->columns + 1 : LEAST_COLUMNS;
}

static int label_columns(const token *tokens, int64_t count) {
    int columns = 0;
    for (int64_t i = 0; i < count; i++) {
        columns = tokens[i].columns > columns ? tokens[i].columns : columns;
    }
    return columns;
}

static int64_t band_end(const token *tokens, int64_t count, int64_t first, int columns) {
    int64_t end = first;
    while (end < count && (end == first || columns >= cell_columns(&tokens[end]))) {
        columns -= cell_columns(&tokens[end]);
        end++;
    }
    return end;
}

/* Weight in percent, centred in columns; empty where it is small. */
static void write_percent(char *cell, int columns, double weight) {
    char number[8];
    int length;
    if (isnan(weight) || weight * 100.0 < LEAST_PERCENT) {
        return;
    }
    length = snprintf(number, sizeof number, "%ld", lround(fmin(weight, 1.0) * 100.0));
    memcpy(cell + (columns - length) / 2, number, (size_t)length);
}

static void print_color_cell(double weight, int columns) {
    char cell[TOKEN_COLUMNS + LEAST_COLUMNS + 1];
    uint8_t rgb[3];
    colormap(weight, rgb);
    memset(cell, ' ', (size_t)columns);
    cell[columns] = '\0';
    write_percent(cell, columns, weight);
    printf("\033[48;5;%dm\033[38;5;%dm%s\033[0m", colormap_terminal(rgb), weight > 0.5 ? BLACK : WHITE, cell);
}

static void print_shaded_cell(double weight, int columns) {
    static const char shades[] = " .:-=+*#@";
    char cell[TOKEN_COLUMNS + LEAST_COLUMNS + 1];
    const double last = sizeof shades - 2;
    const char shade = isnan(weight) ? '?' : shades[lround(fmin(fmax(weight, 0.0), 1.0) * last)];
    memset(cell, shade, (size_t)columns - 1);
    memcpy(cell + columns - 1, " ", 2);
    write_percent(cell, columns - 1, weight);
    fputs(cell, stdout);
}

static void print_padding(int columns) { printf("%*s", columns, ""); }

static void print_key_names(const token *tokens, band keys, int label) {
    print_padding(label + 1);
    for (int64_t key = keys.first; key < keys.end; key++) {
        fputs(tokens[key].text, stdout);
        print_padding(cell_columns(&tokens[key]) - tokens[key].columns);
    }
    putchar('\n');
}

void heatmap_terminal_print(const array *weights, const token *tokens, bool color) {
    const int64_t count = weights->shape[0];
    const int label = label_columns(tokens, count);
    band keys = {0, 0};
    while (keys.end < count) {
        keys.first = keys.end;
        keys.end = band_end(tokens, count, keys.first, terminal_columns() - label - 1);
        print_key_names(tokens, keys, label);
        for (int64_t query = 0; query < count; query++) {
            print_padding(label - tokens[query].columns);
            printf("%s ", tokens[query].text);
            for (int64_t key = keys.first; key < keys.end; key++) {
                (color ? print_color_cell : print_shaded_cell)(array_at(weights, query * count + key),
                                                               cell_columns(&tokens[key]));
            }
            putchar('\n');
        }
    }
}
