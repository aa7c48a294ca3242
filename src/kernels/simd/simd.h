/*
 * The vector vocabulary that the kernel templates are written in. One header per instruction set defines it for the
 * type chosen by SOFTATTN_REAL_BITS (32: float, 64: double); this one only states what the words mean.
 *
 *   real, vec, mask         element, vector of LANES elements, one truth value per lane
 *   LANES                   elements per vector; a constant, or a call where vectors are scalable
 *   STRIPES                 partial sums of a row: 128 bytes of reals on every instruction set
 *   v_set(x) v_zero()       all lanes alike
 *   v_load(p) v_store(p, v) LANES elements, any alignment
 *   v_stream(p, v)          store around the caches; p aligned to the vector
 *   v_load_part(p, n, fill) elements 0 … n - 1 from memory, the rest fill; 0 <= n <= LANES; nothing else is touched
 *   v_store_part(p, v, n)
 *   v_add v_sub v_mul v_div IEEE, round to nearest even
 *   v_sqrt(a)               the same
 *   v_fma(a, b, c)          a * b + c, rounded once (SSE2: twice)
 *   v_max(a, b)             a > b ? a : b, so a NaN in a is passed over and one in b kept
 *   v_abs(a) v_copysign(a, s)
 *   v_round(x)              nearest integer, ties to even, where |x| < 2^22; unspecified elsewhere
 *   v_scale(p, n)           p * 2^n. n is integral, and 2^n and p * 2^n are normal; or p is 1, n one less than the
 *                           smallest of those, and the result 0; or p and n are NaN, and so is the result. Not where
 *                           HAS_QUIET_MASKS is defined: there nothing is raised outside of a mask, and the words are
 *   v_scale_where(m, p, n)  the same where m, else 0
 *   v_sub_where(m, a, b)    a - b where m, else 0
 *   v_less(a, b) v_equal    comparisons, false where a NaN takes part
 *   v_not_less(a, b)        the opposite of v_less, true where a NaN takes part
 *   v_and(m, n) v_or(m, n)  of two masks
 *   v_any(m)                whether any lane is true
 *   v_nonzero(p)            of LANES bytes, which are not 0
 *   v_select(m, a, b)       a where m, else b
 *   v_where(m, v)           v where m, else 0
 *   v_unless(m, v)          0 where m, else v
 *   v_unless_equal(a, b, v) 0 where a and b are equal, else v
 *   v_add_bits(a, b)        the lanes' bit patterns added as integers, modulo 2^32 or 2^64
 *   v_compress(p, m, v)     stores the lanes of v where m, one after another, and returns how many those are; what
 *                           follows them in the memory of LANES elements at p is left with any contents
 *   v_reduce_add(v)         halving tree: lane i plus lane i + w/2, and so on
 *   v_reduce_max(v)         the same with v_max
 *   v_transpose_columns(from, stride, to, to_stride, factor)   to[c * to_stride + r] = factor * from[r * stride + c] for
 *                           LANES rows and TRANSPOSE_COLUMNS columns
 *   HALVES                  16-bit floats that one of the following takes, with float only; not defined: convert.h has them
 *   widen_f16(from, to) widen_bf16           as the slots of the kernel table do
 *   narrow_f16(from, to, has_nan, stream) narrow_bf16
 *                           stream: to is aligned to 2 * HALVES bytes; has_nan 0, a constant: there is no NaN among them
 *   SPLITS_BF16             1 where there are the following, which are faster; else not defined
 *   split_bf16(from, to)    as widen_bf16, but the elements of even places first, then those of odd ones
 *   join_bf16(from, to, stream)   from that order, as narrow_bf16; a NaN stays one where the lower half of its bits is 0, as that of
 *                           all that arithmetic on 16-bit floats makes
 *   order_split(reals)      HALVES reals from that order into their own
 *   half_vec                the bits of HALVES 16-bit floats as signed integers
 *   halves_set(n) halves_load(from) halves_max(a, b) halves_min(a, b) halves_reduce_max(a) halves_reduce_min(a)
 *   V_PREFETCH(p) V_PREFETCH_FAR(p)   ask for a cache line in the first or second level
 *   ASKING(says)            how memory is asked for, enum softattn_asking: what the caller says of the CPU; or a constant: TWICE
 *                           where nothing was measured, ALIKE where code is small and asks once
 *   V_PREFETCH_WRITE(p)     ask for a cache line that will be written
 *   V_STREAMS               1: v_stream is not v_store
 *   V_FENCE()               orders streamed stores before what follows
 *   TILE_ROWS, TILE_VECTORS shape of the register tile of the products, data of the instruction set
 *   DECODE_TILE_ROWS, DECODE_TILE_VECTORS   shape of that of the products with few rows; 3 vectors or 4
 *   DECODE_KEY_VECTORS      vectors of keys, 1 or 2, that four rows of queries take at a time
 *   DECODE_ROWS             rows up to which the decode layout is used
 *   DECODE_HEADS            heads whose keys lie side by side that are decoded together at most; 1: each by itself
 *   DECODE_BYTES_PER_ASK    bytes of keys beside which one or two rows of queries ask for what comes from memory, the next keys
 *                           included, if nearly all does and keys have no gaps; a power of two; 0, and otherwise: a line at a time
 */
#ifndef SOFTATTN_KERNELS_SIMD_H
#define SOFTATTN_KERNELS_SIMD_H

#include <stdint.h>

#if SOFTATTN_REAL_BITS == 32
typedef float real;
#define REAL_BYTES 4
#elif SOFTATTN_REAL_BITS == 64
typedef double real;
#define REAL_BYTES 8
#else
#error SOFTATTN_REAL_BITS must be 32 or 64
#endif

#define STRIPES       (128 / REAL_BYTES)
#define REAL_INFINITY ((real)__builtin_inff())

/* v_fma for one element. */
#ifdef V_FMA_ROUNDS_TWICE
#define real_fma(a, b, c) ((a) * (b) + (c))
#elif SOFTATTN_REAL_BITS == 32
#define real_fma(a, b, c) __builtin_fmaf(a, b, c)
#else
#define real_fma(a, b, c) __builtin_fma(a, b, c)
#endif

/*
 * Before local arrays that vectors are stored in and loaded from. Compilers align them less, and a vector across two lines is
 * slow; across two pages it is also not forwarded from its store, so that loading it waits for all stores before, among them
 * those around the caches: softmax took eight times as long where the stack happened to lie so.
 */
#if defined(__AVX512F__)
#define VECTOR_ALIGNED _Alignas(64)
#elif defined(__AVX2__)
#define VECTOR_ALIGNED _Alignas(32)
#else
#define VECTOR_ALIGNED
#endif

/* What loops may keep in registers before compilers store it. */
#if defined(__x86_64__) && !defined(__AVX512F__)
#define VECTOR_REGISTERS 16
#else
#define VECTOR_REGISTERS 32
#endif

/* Hides where a vector comes from: clang 14 leaves out a selection of what is harmless in lanes that are passed over later, as a
 * divisor that is not 0, and so raises exceptions that the source does not. */
#if defined(__x86_64__)
#define V_GUARD(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define V_GUARD(v) __asm__("" : "+w"(v))
#elif defined(__riscv_vector)
#define V_GUARD(v) __asm__("" : "+vr"(v))
#else
#define V_GUARD(v) ((void)(v))
#endif

/* Hides where a pointer comes from: what is read there is read again, not kept in registers that are needed otherwise. */
#define FORGET(p) __asm__ volatile("" : "+r"(p))

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Of a function that begins a line of code: its loops then lie as they lay when they were measured, whatever lies before them. */
#define BEGINS_A_LINE __attribute__((aligned(64)))
/* Before a loop of known length that is not worth writing out. */
#if defined(__clang__)
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ROLLED _Pragma("GCC unroll 1")
#endif
/* Apart, as it would take registers of the code that calls it. Where the code is to be small gcc knows where it is smallest: what is
 * called once, in place (12 KB less). */
#if defined(__OPTIMIZE_SIZE__) && !defined(__clang__)
#define NEVER_INLINE static
#else
#define NEVER_INLINE static __attribute__((noinline))
#endif
/* In place for speed, apart where the code is to be small. */
#ifdef __OPTIMIZE_SIZE__
enum { IS_SMALL = 1 };
#define SPEED_INLINE NEVER_INLINE
#else
enum { IS_SMALL = 0 };
#define SPEED_INLINE ALWAYS_INLINE
#endif

#endif
