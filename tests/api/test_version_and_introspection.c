/*
 * What the library tells about itself: version, constants, statuses, detail text, instruction sets, BLAS.
 */
#include "assert_status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void the_version_is_the_headers(void **state) {
    char text[64];
    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", SOFTATTN_VERSION_MAJOR, SOFTATTN_VERSION_MINOR,
             SOFTATTN_VERSION_PATCH);
    assert_string_equal(softattn_version_string(), text);
    assert_int_equal(softattn_version(),
                     SOFTATTN_VERSION_MAJOR * 10000 + SOFTATTN_VERSION_MINOR * 100 + SOFTATTN_VERSION_PATCH);
}

/* Reads "#define SOFTATTN_NAME value" where the value is a number, perhaps in parentheses. */
static bool parse_constant(const char *line, char *name, long *value) {
    char text[64], *end;
    if (sscanf(line, "#define %63[A-Z0-9_] %63s", name, text) != 2 || strncmp(name, "SOFTATTN_", 9) != 0) {
        return false;
    }
    const char *const digits = text[0] == '(' ? text + 1 : text;
    *value = strtol(digits, &end, 10);
    return end != digits;
}

static void softattn_constant_knows_every_number_of_the_header(void **state) {
    char line[512], name[64];
    long expected;
    int found = 0;
    (void)state;
    FILE *const header = fopen(SOFTATTN_HEADER, "r");
    assert_non_null(header);
    while (fgets(line, sizeof line, header)) {
        if (parse_constant(line, name, &expected)) {
            int32_t value = INT32_MIN;
            assert_ok(softattn_constant(name, &value));
            assert_int_equal(value, expected);
            found++;
        }
    }
    fclose(header);
    assert_true(found >= 30);
}

static void softattn_constant_refuses_other_names(void **state) {
    static const char *const names[] = {
        "", "SOFTATTN", "SOFTATTN_", "SOFTATTN_API", "softattn_ok", "SOFTATTN_OK "};
    int32_t value = 77;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_fails(softattn_constant(names[i], &value), SOFTATTN_ERROR_ARGUMENT, "name");
    }
    assert_fails(softattn_constant(NULL, &value), SOFTATTN_ERROR_NULL, "name");
    assert_fails(softattn_constant("SOFTATTN_OK", NULL), SOFTATTN_ERROR_NULL, "value");
    assert_int_equal(value, 77);
}

static void every_status_has_its_name(void **state) {
    (void)state;
    assert_string_equal(softattn_status_string(SOFTATTN_OK), "SOFTATTN_OK");
    assert_string_equal(softattn_status_string(SOFTATTN_ERROR_NULL), "SOFTATTN_ERROR_NULL");
    assert_string_equal(softattn_status_string(SOFTATTN_ERROR_UNSUPPORTED), "SOFTATTN_ERROR_UNSUPPORTED");
    for (int32_t status = SOFTATTN_ERROR_UNSUPPORTED; status <= SOFTATTN_OK; status++) {
        int32_t value = 1;
        assert_ok(softattn_constant(softattn_status_string(status), &value));
        assert_int_equal(value, status);
    }
    assert_string_equal(softattn_status_string(1), "unknown status");
    assert_string_equal(softattn_status_string(INT32_MIN), "unknown status");
}

static void the_detail_text_is_cut_to_the_buffer(void **state) {
    char whole[1024], part[8];
    (void)state;
    assert_fails(softattn_constant(NULL, NULL), SOFTATTN_ERROR_NULL, "name");
    const int64_t length = softattn_last_error(NULL, 0);
    assert_int_equal(softattn_last_error(whole, sizeof whole), length);
    assert_int_equal(strlen(whole), length);
    memset(part, '#', sizeof part);
    assert_int_equal(softattn_last_error(part, sizeof part - 1), length);
    assert_int_equal(strlen(part), sizeof part - 2);
    assert_memory_equal(part, whole, sizeof part - 2);
    assert_int_equal(part[sizeof part - 1], '#');
    assert_int_equal(softattn_last_error(part, 1), length);
    assert_int_equal(part[0], '\0');
    memset(part, '#', sizeof part);
    assert_int_equal(softattn_last_error(part, 0), length);
    assert_int_equal(softattn_last_error(part, -1), length);
    assert_int_equal(part[0], '#');
}

static void success_leaves_the_detail_text(void **state) {
    int32_t value;
    (void)state;
    assert_fails(softattn_constant("no such name", &value), SOFTATTN_ERROR_ARGUMENT, "no such name");
    assert_ok(softattn_constant("SOFTATTN_OK", &value));
    assert_non_null(strstr(last_error(), "no such name"));
}

static void *length_in_a_new_thread(void *length) {
    *(int64_t *)length = softattn_last_error(NULL, 0);
    return NULL;
}

static void the_detail_text_belongs_to_its_thread(void **state) {
    int64_t length = -1;
    pthread_t thread;
    (void)state;
    assert_fails(softattn_constant(NULL, NULL), SOFTATTN_ERROR_NULL, "name");
    assert_int_equal(pthread_create(&thread, NULL, length_in_a_new_thread, &length), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(length, 0);
}

static void instruction_sets_are_listed_once_and_generic_is_there(void **state) {
    const int32_t count = softattn_isa_count();
    int generic = 0;
    (void)state;
    assert_true(count >= 1);
    for (int32_t i = 0; i < count; i++) {
        const char *const name = softattn_isa_name(i);
        assert_non_null(name);
        assert_true(strlen(name) > 0 && strlen(name) < sizeof((softattn_attention_plan *)0)->isa);
        generic += strcmp(name, "generic") == 0;
        for (int32_t j = 0; j < i; j++) {
            assert_string_not_equal(name, softattn_isa_name(j));
        }
    }
    assert_int_equal(generic, 1);
    assert_null(softattn_isa_name(-1));
    assert_null(softattn_isa_name(count));
    assert_null(softattn_isa_name(INT32_MAX));
    assert_null(softattn_isa_name(INT32_MIN));
}

static void the_blas_has_one_of_two_names(void **state) {
    (void)state;
    const char *const name = softattn_blas_name();
    assert_true(strcmp(name, "openblas") == 0 || strcmp(name, "internal") == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_the_headers),
        cmocka_unit_test(softattn_constant_knows_every_number_of_the_header),
        cmocka_unit_test(softattn_constant_refuses_other_names),
        cmocka_unit_test(every_status_has_its_name),
        cmocka_unit_test(the_detail_text_is_cut_to_the_buffer),
        cmocka_unit_test(success_leaves_the_detail_text),
        cmocka_unit_test(the_detail_text_belongs_to_its_thread),
        cmocka_unit_test(instruction_sets_are_listed_once_and_generic_is_there),
        cmocka_unit_test(the_blas_has_one_of_two_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
