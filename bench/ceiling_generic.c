/*
 * Ceiling loops in plain C, one value at a time, with the fused multiply-add where every CPU of the target
 * has one. Compiled without automatic vectorization, as the library's generic kernels compute one value at a
 * time.
 */
#include <math.h>

#define ISA_NAME   "generic"
#define LOOPS      bench_ceiling_loops_generic
#define CHAINS     14
#define HAS_STREAM 0

typedef float vector_f32;
typedef double vector_f64;

static inline vector_f32 set_f32(float a) { return a; }
static inline vector_f64 set_f64(double a) { return a; }
static inline vector_f32 add_f32(vector_f32 a, vector_f32 b) { return a + b; }
static inline vector_f64 add_f64(vector_f64 a, vector_f64 b) { return a + b; }
static inline double first_f32(vector_f32 a) { return (double)a; }
static inline double first_f64(vector_f64 a) { return a; }

#if defined(FP_FAST_FMA) && defined(FP_FAST_FMAF)
static inline vector_f32 multiply_add_f32(vector_f32 chain, vector_f32 factor, vector_f32 a) {
    return fmaf(chain, factor, a);
}
static inline vector_f64 multiply_add_f64(vector_f64 chain, vector_f64 factor, vector_f64 a) {
    return fma(chain, factor, a);
}
#else
static inline vector_f32 multiply_add_f32(vector_f32 chain, vector_f32 factor, vector_f32 a) {
    return chain * factor + a;
}
static inline vector_f64 multiply_add_f64(vector_f64 chain, vector_f64 factor, vector_f64 a) {
    return chain * factor + a;
}
#endif

static inline vector_f32 load_f32(const float *x) { return *x; }
static inline void store_f32(float *y, vector_f32 a) { *y = a; }

#include "ceiling_template.h"
