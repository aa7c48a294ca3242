/*
 * Runs a fuzz target on every file of its corpus, FUZZ_CORPUS, as a test that needs no fuzzer. Fails when there
 * is none.
 */
#define _DEFAULT_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_BYTES = 1 << 16 };

static void replay_file(const char *path) {
    static uint8_t bytes[MOST_BYTES];
    FILE *const file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout); /* so that the file's name is there when the target aborts */
    LLVMFuzzerTestOneInput(bytes, size);
}

int main(void) {
    int files = 0;
    DIR *const directory = opendir(FUZZ_CORPUS);
    if (!directory) {
        perror(FUZZ_CORPUS);
        return EXIT_FAILURE;
    }
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char path[4096];
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", FUZZ_CORPUS, entry->d_name);
            replay_file(path);
            files++;
        }
    }
    closedir(directory);
    printf("%d files replayed\n", files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
