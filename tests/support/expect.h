/*
 * Expectations of tests that run where cmocka may be missing, on cross-built machines above all. A failed
 * expectation is printed and counted; the test goes on.
 */
#ifndef TEST_SUPPORT_EXPECT_H
#define TEST_SUPPORT_EXPECT_H

#include <stdbool.h>

#if defined(__GNUC__)
#define EXPECT_PRINTF __attribute__((format(printf, 4, 5)))
#else
#define EXPECT_PRINTF
#endif

/* EXPECT(condition, "printf format that describes the case", …) */
#define EXPECT(condition, ...) expect_that((condition), #condition, __LINE__, __VA_ARGS__)

/* Returns holds. */
bool expect_that(bool holds, const char *condition, int line, const char *format, ...) EXPECT_PRINTF;

/* Prints how many expectations were met; the program's exit status. Fails as well when there were none. */
int expect_summary(void);

#endif
