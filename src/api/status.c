/* Status names, and the detail text of each thread's last failed call. */
#include "api/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "softattn/softattn.h"

/* Long enough for two shapes of rank 8. Longer texts are cut. */
static _Thread_local char detail[512];

int32_t softattn_fail(int32_t status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(detail, sizeof detail, format, values);
    va_end(values);
    return status;
}

int32_t softattn_fail_null(const char *argument) {
    return softattn_fail(SOFTATTN_ERROR_NULL, "%s: is NULL", argument);
}

int32_t softattn_fail_memory(uint64_t bytes) {
    return softattn_fail(SOFTATTN_ERROR_MEMORY, "context: its allocator gave no %" PRIu64 " bytes", bytes);
}

int32_t softattn_fail_scratch(void) {
    return softattn_fail(SOFTATTN_ERROR_MEMORY, "context: its allocator gave no scratch memory");
}

int64_t softattn_last_error(char *buffer, int64_t capacity) {
    const int64_t length = (int64_t)strlen(detail);
    if (buffer != NULL && capacity > 0) {
        const int64_t copied = length < capacity ? length : capacity - 1;
        memcpy(buffer, detail, (size_t)copied);
        buffer[copied] = '\0';
    }
    return length;
}

#define NAME(status)                                                                                         \
    case status: return #status

const char *softattn_status_string(int32_t status) {
    switch (status) {
        NAME(SOFTATTN_OK);
        NAME(SOFTATTN_ERROR_NULL);
        NAME(SOFTATTN_ERROR_ARGUMENT);
        NAME(SOFTATTN_ERROR_SHAPE);
        NAME(SOFTATTN_ERROR_TYPE);
        NAME(SOFTATTN_ERROR_STRIDE);
        NAME(SOFTATTN_ERROR_OVERLAP);
        NAME(SOFTATTN_ERROR_OVERFLOW);
        NAME(SOFTATTN_ERROR_STRUCT_SIZE);
        NAME(SOFTATTN_ERROR_MEMORY);
        NAME(SOFTATTN_ERROR_THREAD);
        NAME(SOFTATTN_ERROR_UNSUPPORTED);
    default: return "unknown status";
    }
}
