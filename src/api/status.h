/* How the API layer reports an error: a status to return and a sentence kept for softattn_last_error. */
#ifndef SOFTATTN_API_STATUS_H
#define SOFTATTN_API_STATUS_H

#include <stdint.h>

#if defined(__GNUC__)
#define SOFTATTN_PRINTF_LIKE __attribute__((format(printf, 2, 3)))
#else
#define SOFTATTN_PRINTF_LIKE
#endif

/* Keeps the formatted sentence as this thread's detail text and returns status. Sentences start with the
 * argument's name: "k: heads_kv 3 does not divide heads_q 8". */
int32_t softattn_fail(int32_t status, const char *format, ...) SOFTATTN_PRINTF_LIKE;

/* The errors that most functions have. */
int32_t softattn_fail_null(const char *argument);
int32_t softattn_fail_memory(uint64_t bytes);
int32_t softattn_fail_scratch(void);

#endif
