/* What this library is and what it can run on: its version, instruction sets and BLAS. */
#include <stddef.h>

#include "kernels/kernels.h"
#include "platform/blas.h"
#include "softattn/softattn.h"

#define TEXT(macro)   LITERAL(macro)
#define LITERAL(text) #text

int32_t softattn_version(void) {
    return SOFTATTN_VERSION_MAJOR * 10000 + SOFTATTN_VERSION_MINOR * 100 + SOFTATTN_VERSION_PATCH;
}

const char *softattn_version_string(void) {
    return TEXT(SOFTATTN_VERSION_MAJOR) "." TEXT(SOFTATTN_VERSION_MINOR) "." TEXT(SOFTATTN_VERSION_PATCH);
}

int32_t softattn_isa_count(void) { return softattn_isas_usable(); }

const char *softattn_isa_name(int32_t index) {
    const struct softattn_isa *isa = index < 0 ? NULL : softattn_isa_at(index);
    return isa == NULL ? NULL : isa->name;
}

const char *softattn_blas_name(void) { return softattn_blas_backend(); }
