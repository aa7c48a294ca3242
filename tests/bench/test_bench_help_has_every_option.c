/*
 * The help prints every mode and every option of the table, each option once and with its own words, and the
 * table is in the order of its ids, by which options are found.
 */
#include "expect.h"
#include "help.h"
#include "option_table.h"

#include <stdio.h>
#include <string.h>

static char help[65536];

static void read_help(void) {
    FILE *file = tmpfile();
    if (!EXPECT(file != NULL, "no temporary file")) {
        return;
    }
    bench_help_print(file);
    rewind(file);
    help[fread(help, 1, sizeof help - 1, file)] = '\0';
    fclose(file);
}

/* How often text stands in the help. */
static int count_of(const char *text) {
    int count = 0;
    for (const char *at = help; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        count++;
    }
    return count;
}

static void every_option_is_printed_once(void) {
    for (int i = 0; i < BENCH_OPTION_COUNT; i++) {
        const struct bench_option *option = &bench_option_table[i];
        char line[64], words[64];
        snprintf(line, sizeof line, "\n  --%s ", option->name);
        snprintf(words, sizeof words, "%.*s", (int)strcspn(option->help, "\n"), option->help);
        EXPECT(count_of(line) == 1, "--%s stands %d times", option->name, count_of(line));
        EXPECT(count_of(words) >= 1, "--%s: %s", option->name, words);
    }
}

static void every_mode_is_printed(void) {
    for (int mode = 0; mode < bench_mode_names.count; mode++) {
        char line[64];
        snprintf(line, sizeof line, "\n  %s ", bench_mode_names.items[mode]);
        EXPECT(count_of(line) == 1, "%s stands %d times", bench_mode_names.items[mode], count_of(line));
        EXPECT(count_of(bench_mode_help[mode]) == 1, "%s", bench_mode_help[mode]);
    }
}

static void the_table_is_in_the_order_of_ids(void) {
    for (int i = 0; i < BENCH_OPTION_COUNT; i++) {
        EXPECT((int)bench_option_table[i].id == BENCH_OPTION_FIRST + i, "--%s", bench_option_table[i].name);
    }
}

int main(void) {
    read_help();
    every_option_is_printed_once();
    every_mode_is_printed();
    the_table_is_in_the_order_of_ids();
    return expect_summary();
}
