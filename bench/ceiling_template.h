/*
 * The ceiling loops, written once. A file of one instruction set defines, before including this header:
 *   ISA_NAME, LOOPS     the set's name and the name of its table
 *   CHAINS              independent accumulators of the multiply-add loop: 12, 14, 16 or 24. Full rate needs
 *                       latency x throughput of them, and they must all fit in registers beside two constants
 *   vector_f32, vector_f64, and for both types: set_, add_, multiply_add_; load_f32, store_f32
 *   stream_f32 and stream_fence, and HAS_STREAM 1, where stores around the caches exist; else HAS_STREAM 0
 */
#include "ceiling_loops.h"

#define LANES(type) ((int64_t)(sizeof(vector_##type) / sizeof(scalar_##type)))

typedef float scalar_f32;
typedef double scalar_f64;

/* Each chain is a variable of its own: compilers do not reliably keep an array of 24 vectors in registers. */
#define EACH_12(op, type)                                                                                    \
    op(0, type) op(1, type) op(2, type) op(3, type) op(4, type) op(5, type) op(6, type) op(7, type)          \
        op(8, type) op(9, type) op(10, type) op(11, type)
#define EACH_14(op, type) EACH_12(op, type) op(12, type) op(13, type)
#define EACH_16(op, type) EACH_14(op, type) op(14, type) op(15, type)
#define EACH_24(op, type)                                                                                    \
    EACH_16(op, type)                                                                                        \
    op(16, type) op(17, type) op(18, type) op(19, type) op(20, type) op(21, type) op(22, type) op(23, type)
#define EACH_PASTE(count)    EACH_##count
#define EACH_OF(count)       EACH_PASTE(count)
#define EACH_CHAIN(op, type) EACH_OF(CHAINS)(op, type)

#define START_CHAIN(c, type)   vector_##type chain##c = set_##type((scalar_##type)c);
#define ADVANCE_CHAIN(c, type) chain##c = multiply_add_##type(chain##c, factors, addends);
#define SUM_CHAIN(c, type)     sum = add_##type(sum, chain##c);

/* The factor and the addend arrive as arguments, so the compiler can neither fold nor shorten the chains. */
#define DEFINE_MULTIPLY_ADD(type)                                                                            \
    static double multiply_add_loop_##type(int64_t iterations, double factor, double addend) {               \
        const vector_##type factors = set_##type((scalar_##type)factor);                                     \
        const vector_##type addends = set_##type((scalar_##type)addend);                                     \
        EACH_CHAIN(START_CHAIN, type)                                                                        \
        for (int64_t i = 0; i < iterations; i++) {                                                           \
            EACH_CHAIN(ADVANCE_CHAIN, type)                                                                  \
        }                                                                                                    \
        vector_##type sum = set_##type(0);                                                                   \
        EACH_CHAIN(SUM_CHAIN, type)                                                                          \
        return first_##type(sum);                                                                            \
    }

DEFINE_MULTIPLY_ADD(f32)
DEFINE_MULTIPLY_ADD(f64)

static double read_loop(const float *x, int64_t count, int64_t passes) {
    enum { READS = 8 };
    const int64_t lanes = LANES(f32);
    vector_f32 sum[READS];
    for (int r = 0; r < READS; r++) {
        sum[r] = set_f32(0);
    }
    for (int64_t pass = 0; pass < passes; pass++) {
        for (int64_t i = 0; i < count; i += READS * lanes) {
            for (int r = 0; r < READS; r++) {
                sum[r] = add_f32(sum[r], load_f32(x + i + r * lanes));
            }
        }
    }
    for (int r = 1; r < READS; r++) {
        sum[0] = add_f32(sum[0], sum[r]);
    }
    return first_f32(sum[0]);
}

#define VECTOR_AT(array, v) load_f32(array + i + (v)*lanes)

/* Four vectors at a time, each written by STORE; FENCE after all. */
#define DEFINE_WRITING_LOOPS(prefix, STORE, FENCE)                                                           \
    static void prefix##copy_loop(float *y, const float *x, int64_t count) {                                 \
        const int64_t lanes = LANES(f32);                                                                    \
        for (int64_t i = 0; i < count; i += 4 * lanes) {                                                     \
            for (int v = 0; v < 4; v++) {                                                                    \
                STORE(y + i + v * lanes, VECTOR_AT(x, v));                                                   \
            }                                                                                                \
        }                                                                                                    \
        FENCE;                                                                                               \
    }                                                                                                        \
    static void prefix##add_loop(float *y, const float *x, const float *z, int64_t count) {                  \
        const int64_t lanes = LANES(f32);                                                                    \
        for (int64_t i = 0; i < count; i += 4 * lanes) {                                                     \
            for (int v = 0; v < 4; v++) {                                                                    \
                STORE(y + i + v * lanes, add_f32(VECTOR_AT(x, v), VECTOR_AT(z, v)));                         \
            }                                                                                                \
        }                                                                                                    \
        FENCE;                                                                                               \
    }

DEFINE_WRITING_LOOPS(, store_f32, (void)0)
#if HAS_STREAM
DEFINE_WRITING_LOOPS(nontemporal_, stream_f32, stream_fence())
#endif

const struct bench_ceiling_loops LOOPS = {
    .isa = ISA_NAME,
    .multiply_add_f32 = multiply_add_loop_f32,
    .multiply_add_f64 = multiply_add_loop_f64,
    .flops_per_iteration_f32 = 2 * CHAINS * LANES(f32),
    .flops_per_iteration_f64 = 2 * CHAINS * LANES(f64),
    .read = read_loop,
    .copy = copy_loop,
    .add = add_loop,
#if HAS_STREAM
    .nontemporal_copy = nontemporal_copy_loop,
    .nontemporal_add = nontemporal_add_loop,
#endif
};
