/* Which kernel tables this CPU can run: one row per instruction set, best first. */
#include <stddef.h>
#include <string.h>

#include "kernels/kernels.h"
#include "platform/cpu.h"

#define DECLARE(isa)                                                                                         \
    extern const struct softattn_kernels softattn_kernels_##isa##_f32, softattn_kernels_##isa##_f64;
#define ROW(isa, needs) {{#isa, &softattn_kernels_##isa##_f32, &softattn_kernels_##isa##_f64}, needs},

#ifdef SOFTATTN_HAVE_AVX512
DECLARE(avx512)
#endif
#ifdef SOFTATTN_HAVE_AVX2
DECLARE(avx2)
#endif
#ifdef SOFTATTN_HAVE_SSE2
DECLARE(sse2)
#endif
#ifdef SOFTATTN_HAVE_SVE
DECLARE(sve)
#endif
#ifdef SOFTATTN_HAVE_NEON
DECLARE(neon)
#endif
#ifdef SOFTATTN_HAVE_RVV
DECLARE(rvv)
#endif
DECLARE(generic)

static const struct {
    struct softattn_isa isa;
    uint32_t needs; /* SOFTATTN_CPU_* bits, all of them */
} table[] = {
#ifdef SOFTATTN_HAVE_AVX512
    ROW(avx512, SOFTATTN_CPU_AVX512)
#endif
#ifdef SOFTATTN_HAVE_AVX2
        ROW(avx2, SOFTATTN_CPU_AVX2 | SOFTATTN_CPU_F16C)
#endif
#ifdef SOFTATTN_HAVE_SSE2
            ROW(sse2, SOFTATTN_CPU_SSE2)
#endif
#ifdef SOFTATTN_HAVE_SVE
                ROW(sve, SOFTATTN_CPU_SVE)
#endif
#ifdef SOFTATTN_HAVE_NEON
                    ROW(neon, SOFTATTN_CPU_NEON)
#endif
#ifdef SOFTATTN_HAVE_RVV
                        ROW(rvv, SOFTATTN_CPU_RVV)
#endif
                            ROW(generic, 0)};

static const int32_t table_size = (int32_t)(sizeof table / sizeof table[0]);

static int usable(int32_t row, uint32_t features) {
    return (table[row].needs & features) == table[row].needs;
}

int32_t softattn_isas_usable(void) {
    const uint32_t features = softattn_cpu_features();
    int32_t count = 0;
    for (int32_t row = 0; row < table_size; row++) {
        count += usable(row, features);
    }
    return count;
}

const struct softattn_isa *softattn_isa_at(int32_t index) {
    const uint32_t features = softattn_cpu_features();
    for (int32_t row = 0; row < table_size; row++) {
        if (usable(row, features) && index-- == 0) {
            return &table[row].isa;
        }
    }
    return NULL;
}

const struct softattn_isa *softattn_isa_find(const char *name) {
    const uint32_t features = softattn_cpu_features();
    for (int32_t row = 0; row < table_size; row++) {
        if (usable(row, features) && strcmp(table[row].isa.name, name) == 0) {
            return &table[row].isa;
        }
    }
    return NULL;
}
