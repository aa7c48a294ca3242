/*
 * Reads small text files without stdio, whose buffers would be allocated. See text_file.h.
 */
#define _GNU_SOURCE
#include "text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool softattn_read_text(const char *path, char *text, size_t capacity) {
    int saved_errno = errno;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        errno = saved_errno;
        return false;
    }
    size_t length = 0;
    ssize_t got = 1;
    while (length < capacity - 1 && got != 0) {
        got = read(file, text + length, capacity - 1 - length);
        if (got < 0 && errno != EINTR) {
            break;
        }
        if (got > 0) {
            length += (size_t)got;
        }
    }
    text[length] = '\0';
    close(file);
    errno = saved_errno;
    return got >= 0;
}
