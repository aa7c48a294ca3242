/*
 * Values that have names.
 */
#include "names.h"

#include <stdio.h>
#include <string.h>

int bench_names_find(const struct bench_names *names, const char *text) {
    for (int i = 0; i < names->count; i++) {
        if (strcmp(text, names->items[i]) == 0) {
            return i;
        }
    }
    return -1;
}

void bench_names_list(const struct bench_names *names, unsigned some, const char *joint, char *text,
                      size_t capacity) {
    int left = 0;
    for (int i = 0; i < names->count; i++) {
        left += (some >> i & 1) != 0;
    }
    text[0] = '\0';
    for (int i = 0; i < names->count; i++) {
        if ((some >> i & 1) == 0) {
            continue;
        }
        const size_t used = strlen(text);
        snprintf(text + used, capacity - used, "%s%s", names->items[i], left > 2 ? ", " : "");
        if (--left == 1) {
            const size_t end = strlen(text);
            snprintf(text + end, capacity - end, " %s ", joint);
        }
    }
}
