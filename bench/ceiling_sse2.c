/*
 * Ceiling loops with SSE2, which multiplies and adds in two instructions. 14 chains of 16 registers: where
 * multiplier and adder are separate pairs of units, a step of 6 cycles' latency needs 12.
 */
#include <emmintrin.h>

#define ISA_NAME   "sse2"
#define LOOPS      bench_ceiling_loops_sse2
#define CHAINS     14
#define HAS_STREAM 1

typedef __m128 vector_f32;
typedef __m128d vector_f64;

static inline vector_f32 set_f32(float a) { return _mm_set1_ps(a); }
static inline vector_f64 set_f64(double a) { return _mm_set1_pd(a); }
static inline vector_f32 add_f32(vector_f32 a, vector_f32 b) { return _mm_add_ps(a, b); }
static inline vector_f64 add_f64(vector_f64 a, vector_f64 b) { return _mm_add_pd(a, b); }
static inline double first_f32(vector_f32 a) { return (double)_mm_cvtss_f32(a); }
static inline double first_f64(vector_f64 a) { return _mm_cvtsd_f64(a); }

static inline vector_f32 multiply_add_f32(vector_f32 chain, vector_f32 factor, vector_f32 a) {
    return _mm_add_ps(_mm_mul_ps(chain, factor), a);
}
static inline vector_f64 multiply_add_f64(vector_f64 chain, vector_f64 factor, vector_f64 a) {
    return _mm_add_pd(_mm_mul_pd(chain, factor), a);
}

static inline vector_f32 load_f32(const float *x) { return _mm_load_ps(x); }
static inline void store_f32(float *y, vector_f32 a) { _mm_store_ps(y, a); }
static inline void stream_f32(float *y, vector_f32 a) { _mm_stream_ps(y, a); }
static inline void stream_fence(void) { _mm_sfence(); }

#include "ceiling_template.h"
