/*
 * Every way in which one tensor among good ones can be wrong, tried on one field of an argument struct.
 */
#ifndef TEST_API_BAD_TENSORS_H
#define TEST_API_BAD_TENSORS_H

#include <softattn/softattn.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct tensor_field {
    const char *name;
    const softattn_tensor **field; /* in the struct that run reads */
    bool is_output, is_required, broadcasts;
    bool decides_sizes; /* others are blamed for not agreeing with it */
} tensor_field;

/* Calls the library with the struct; whether no output was touched since it was made. */
typedef struct tensor_user {
    int32_t (*run)(void *user);
    bool (*outputs_untouched)(void *user);
    void *user;
} tensor_user;

/* Asserts that each bad form of the field's tensor gives its exact status, names the field and changes no
 * output. The field is as before afterwards. */
void assert_bad_tensors_are_refused(const tensor_field *field, const tensor_user *caller);

#endif
