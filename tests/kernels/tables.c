/*
 * Walking the kernel tables.
 */
#include "tables.h"
#include "expect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int check_tables(const char *name, table_check *check) {
    random_source random;
    random_start(&random, name);
    const struct softattn_isa *generic = softattn_isa_find("generic");
    for (int32_t i = 0; i < softattn_isas_usable(); i++) {
        const struct softattn_isa *isa = softattn_isa_at(i);
        printf("%s: %s, %d lanes of float\n", name, isa->name, (int)isa->f32->lanes());
        fflush(stdout);
        check(isa->f32, generic->f32, &random);
        check(isa->f64, generic->f64, &random);
    }
    return expect_summary();
}

int64_t test_rounds(void) {
    const char *text = getenv("SOFTATTN_TEST_ROUNDS");
    return text ? strtoll(text, NULL, 10) : USUAL_ROUNDS;
}

bool table_is_exact(const struct softattn_kernels *kernels) { return strcmp(kernels->isa, "sse2") != 0; }
