/*
 * cmocka with assertions on statuses: by name, and on errors also that the detail text names the argument.
 */
#ifndef TEST_API_ASSERT_STATUS_H
#define TEST_API_ASSERT_STATUS_H

/* cmocka.h needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contexts.h"

#include <softattn/softattn.h>

#include <string.h>

#define assert_status(call, expected)                                                                        \
    assert_string_equal(softattn_status_string(call), softattn_status_string(expected))

#define assert_ok(call) assert_status(call, SOFTATTN_OK)

#define assert_fails(call, expected, argument)                                                               \
    do {                                                                                                     \
        assert_status(call, expected);                                                                       \
        if (!strstr(last_error(), argument)) {                                                               \
            fail_msg("the detail text does not name \"%s\": %s", (const char *)(argument), last_error());    \
        }                                                                                                    \
    } while (0)

#endif
