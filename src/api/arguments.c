/* The struct_size rule of the public header. */
#include "api/arguments.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/status.h"
#include "softattn/softattn.h"

/* No version's struct is larger. A size that was never set is mostly larger, and must not lead the search for
 * non-zero bytes out of the caller's memory. */
enum { MAX_STRUCT_SIZE = 4096 };

int32_t softattn_arguments_read(const char *name, const void *arguments, uint64_t first_bytes,
                                uint64_t known_bytes, void *copy) {
    const unsigned char *bytes = arguments;
    uint64_t given_bytes;

    if (arguments == NULL) {
        return softattn_fail_null(name);
    }
    memcpy(&given_bytes, arguments, sizeof given_bytes);
    if (given_bytes < first_bytes || given_bytes > MAX_STRUCT_SIZE) {
        return softattn_fail(SOFTATTN_ERROR_STRUCT_SIZE,
                             "%s: struct_size %" PRIu64 " is outside %" PRIu64 " ... %d", name, given_bytes,
                             first_bytes, MAX_STRUCT_SIZE);
    }
    for (uint64_t i = known_bytes; i < given_bytes; i++) {
        if (bytes[i] != 0) {
            return softattn_fail(SOFTATTN_ERROR_STRUCT_SIZE,
                                 "%s: struct_size %" PRIu64 ", and byte %" PRIu64
                                 " is set, but this version knows %" PRIu64 " bytes",
                                 name, given_bytes, i, known_bytes);
        }
    }
    memset(copy, 0, (size_t)known_bytes);
    memcpy(copy, arguments, (size_t)(given_bytes < known_bytes ? given_bytes : known_bytes));
    return SOFTATTN_OK;
}
