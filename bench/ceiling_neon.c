/*
 * Ceiling loops with NEON. 24 chains of 32 registers: four 128-bit units with 4 cycles of latency need 16.
 */
#include <arm_neon.h>

#define ISA_NAME   "neon"
#define LOOPS      bench_ceiling_loops_neon
#define CHAINS     24
#define HAS_STREAM 0

typedef float32x4_t vector_f32;
typedef float64x2_t vector_f64;

static inline vector_f32 set_f32(float a) { return vdupq_n_f32(a); }
static inline vector_f64 set_f64(double a) { return vdupq_n_f64(a); }
static inline vector_f32 add_f32(vector_f32 a, vector_f32 b) { return vaddq_f32(a, b); }
static inline vector_f64 add_f64(vector_f64 a, vector_f64 b) { return vaddq_f64(a, b); }
static inline double first_f32(vector_f32 a) { return (double)vgetq_lane_f32(a, 0); }
static inline double first_f64(vector_f64 a) { return vgetq_lane_f64(a, 0); }

/* The instruction adds to the register that it overwrites, so the chain runs through the sum. */
static inline vector_f32 multiply_add_f32(vector_f32 chain, vector_f32 factor, vector_f32 a) {
    return vfmaq_f32(chain, factor, a);
}
static inline vector_f64 multiply_add_f64(vector_f64 chain, vector_f64 factor, vector_f64 a) {
    return vfmaq_f64(chain, factor, a);
}

static inline vector_f32 load_f32(const float *x) { return vld1q_f32(x); }
static inline void store_f32(float *y, vector_f32 a) { vst1q_f32(y, a); }

#include "ceiling_template.h"
