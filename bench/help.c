/*
 * The help: every mode and every option of the table.
 */
#include "help.h"

#include "grid.h"
#include "option_table.h"

#include <string.h>

enum { OPTION_WIDTH = 20, LINE_WIDTH = 96 };

/* The lines of text, all but the first under that one's beginning. */
static void print_lines(FILE *file, const char *text) {
    for (;;) {
        const int length = (int)strcspn(text, "\n");
        fprintf(file, "%.*s\n", length, text);
        if (text[length] == '\0') {
            return;
        }
        text += length + 1;
        fprintf(file, "  %*s ", OPTION_WIDTH, "");
    }
}

static void print_group(FILE *file, enum bench_option_group group) {
    fprintf(file, "\n%s:\n", bench_group_titles[group]);
    for (int i = 0; i < BENCH_OPTION_COUNT; i++) {
        const struct bench_option *option = &bench_option_table[i];
        if (option->group != group) {
            continue;
        }
        char name[32];
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->value != NULL ? " " : "",
                 option->value != NULL ? option->value : "");
        fprintf(file, "  %-*s ", OPTION_WIDTH, name);
        print_lines(file, option->help);
    }
}

static void print_families(FILE *file) {
    const char *items[BENCH_GRID_MAX_FAMILIES];
    const struct bench_names families = bench_grid_families(items);
    int column = fprintf(file, "  families:");
    for (int i = 0; i < families.count; i++) {
        if (column + 1 + (int)strlen(items[i]) > LINE_WIDTH) {
            column = fprintf(file, "\n           ") - 1;
        }
        column += fprintf(file, " %s", items[i]);
    }
    fputc('\n', file);
}

void bench_help_print(FILE *file) {
    fputs("usage: softattn-bench MODE [options]\n"
          "\n"
          "Measures libsoftattn, and in the same run what the machine could do at best.\n",
          file);
    for (int mode = 0; mode < BENCH_MODES; mode++) {
        fprintf(file, "  %-17s %s\n", bench_mode_names.items[mode], bench_mode_help[mode]);
    }
    for (int group = 0; group < BENCH_GROUPS; group++) {
        print_group(file, (enum bench_option_group)group);
        if (group == BENCH_GROUP_GRID) {
            print_families(file);
        }
    }
    fputs("\n"
          "LIST is one value or several with commas between; every combination is measured.\n"
          "\n"
          "columns of the table:\n"
          "  median       time of solving the problem once, the middle of those measured\n"
          "  spread       distance of the quartiles of these times over their median\n"
          "  rate         of both attentions the floating-point operations, of matrices the bytes, per\n"
          "               second; what the definition takes counts, and nothing that masks hide\n"
          "  per element  time of one element of the matrix, and the floating-point operations that\n"
          "               the machine's multiply-adds could do meanwhile\n"
          "  share        time that the ceiling takes for the same work over the median: where it says\n"
          "               80 % of copy, 12 GB/s, a copy of as many bytes ran at 12 GB/s and took 80 %\n"
          "               of the problem's time. Ceilings are multiply-add, read, copy, add (two arrays\n"
          "               read, their sum written), and copy and add with stores around the caches,\n"
          "               nontemporal; the one that takes longest binds\n"
          "  (doubtful)   times or ceilings varied by more than 5 %, or other processes took as much\n"
          "\n"
          "examples:\n"
          "  softattn-bench softmax --rows 4096 --cols 4096 --threads 1,2\n"
          "  softattn-bench sampling --rows 32 --cols 128256 --top-k 64\n"
          "  softattn-bench attention --heads 32 --kv-heads 8 --seq-q 1 --seq-kv 4096 --dim 128\n"
          "  softattn-bench attention --seq-q 2048 --causal top-left --engine fused,blas,textbook --json\n"
          "  softattn-bench attention --seq-q 8192 --causal top-left --window 255,0\n"
          "  softattn-bench attention --dropout 0.1 --keep-mask causal\n"
          "  softattn-bench linear-attention --seq-q 2048 --causal top-left\n"
          "  softattn-bench grid --isa avx512,avx2 --csv\n"
          "\n"
          "exit status: 0 done, 1 a measurement failed, 2 the command line is wrong\n",
          file);
}
