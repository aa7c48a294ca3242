/*
 * libsoftattn: row-wise softmax and scaled dot-product attention, softmax(scale * Q K^T) V, on CPUs.
 *
 * This header is the C ABI and its reference manual. What the numbers mean at every edge (masks, NaN, infinities,
 * empty rows) is written in docs/semantics.md; the order of the arithmetic in docs/arithmetic.md.
 *
 * Rules that hold for every function
 *   - Every function that can fail returns an int32_t status: SOFTATTN_OK (0) or a negative SOFTATTN_ERROR_*. After an
 *     error the outputs hold what they held before, and softattn_last_error gives a sentence that names the argument.
 *   - The library never prints, aborts, throws, installs signal handlers, sets errno or changes floating-point control
 *     state. It starts no thread before a context with more than one thread first needs it.
 *   - Sizes and strides are int64_t. Strides count elements, not bytes; they may be negative, and on inputs zero
 *     (broadcast). Those of an output keep its elements apart in nested order: sorted by magnitude, each steps over all
 *     that the smaller ones reach, else SOFTATTN_ERROR_STRIDE. Strides along sizes of 1 mean nothing.
 *   - Inputs may share memory with each other; an output shares none with any other argument unless its comment allows
 *     it. Arrays that interleave without sharing are fine; where their strides make it too hard to tell, they are taken to
 *     share.
 *   - Arrays are aligned to their elements, tensors at data + byte_offset, else SOFTATTN_ERROR_ARGUMENT.
 *   - Arguments are checked before anything is written: NULL handles and struct sizes first, then each array by itself
 *     in the order of the arguments, then how they fit together, then overlap. The first failure decides the status.
 *     Setters check a number by itself; ranges that depend on the element type are for the run to check.
 *   - Nothing is read or written outside the elements that the arguments describe, gaps between rows included.
 *   - Only fixed-width integers, doubles and pointers cross the ABI; constants are macros, and softattn_constant gives
 *     their values to callers that cannot read macros.
 *   - Every softattn_*_destroy accepts NULL. Strings that functions return are static: they stay valid and are not
 *     to be freed.
 *   - Environment, read once, at first use: SOFTATTN_ISA=name caps the instruction set that a context chooses by
 *     itself; SOFTATTN_NUM_THREADS=n is the thread count of contexts that do not set one (1 … 1024, or 0 for the CPUs
 *     that the process may use). Values that are not usable here are ignored, and both in set-uid programs.
 */
#ifndef SOFTATTN_SOFTATTN_H
#define SOFTATTN_SOFTATTN_H

#include <stdint.h>

#define SOFTATTN_VERSION_MAJOR 0
#define SOFTATTN_VERSION_MINOR 1
#define SOFTATTN_VERSION_PATCH 0

/* SOFTATTN_API marks what the shared library exports. */
#if defined(SOFTATTN_BUILDING) && defined(__GNUC__)
#define SOFTATTN_API __attribute__((visibility("default")))
#else
#define SOFTATTN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------------------------------------------------ */

#define SOFTATTN_OK                0
#define SOFTATTN_ERROR_NULL        (-1)  /* a pointer that must not be NULL is NULL */
#define SOFTATTN_ERROR_ARGUMENT    (-2)  /* a value is outside its range */
#define SOFTATTN_ERROR_SHAPE       (-3)  /* ranks or sizes do not fit together */
#define SOFTATTN_ERROR_TYPE        (-4)  /* element type or device not accepted here */
#define SOFTATTN_ERROR_STRIDE      (-5)  /* an output's elements are not apart, or a list is not compact */
#define SOFTATTN_ERROR_OVERLAP     (-6)  /* an output overlaps another operand in a way that is not allowed */
#define SOFTATTN_ERROR_OVERFLOW    (-7)  /* a product of sizes and strides leaves the address range */
#define SOFTATTN_ERROR_STRUCT_SIZE (-8)  /* struct_size is unknown to this version, see "Argument structs" */
#define SOFTATTN_ERROR_MEMORY      (-9)  /* the allocator returned NULL, or the workspace is too small */
#define SOFTATTN_ERROR_THREAD      (-10) /* kept for later: today a run goes on with the threads that start */
#define SOFTATTN_ERROR_UNSUPPORTED (-11) /* a legal request that this build, CPU or engine cannot serve */

/* The status's name, such as "SOFTATTN_ERROR_SHAPE"; "unknown status" for other values. Never NULL. */
SOFTATTN_API const char *softattn_status_string(int32_t status);

/*
 * Copies the detail text of this thread's last failed call into buffer, at most capacity bytes, always NUL-terminated
 * if capacity > 0. Returns the text's length without the NUL, so a larger return than capacity - 1 means it was cut.
 * buffer may be NULL when capacity is 0. Empty before the first failure; successful calls leave it as it is.
 */
SOFTATTN_API int64_t softattn_last_error(char *buffer, int64_t capacity);

/* ---- Introspection ----------------------------------------------------------------------------------------------- */

/* The linked library's version: major * 10000 + minor * 100 + patch, and as "0.1.0". */
SOFTATTN_API int32_t softattn_version(void);
SOFTATTN_API const char *softattn_version_string(void);

/*
 * The instruction sets that this build contains and this CPU runs, best first: "avx512" "avx2" "sse2" "sve" "neon"
 * "rvv" "generic". softattn_isa_name returns NULL when index is not in 0 … softattn_isa_count() - 1.
 * "generic" (scalar C with fused multiply-add) is always there and defines every other set's results bit for bit;
 * "sse2" has no fused multiply-add and is exempt from that promise.
 */
SOFTATTN_API int32_t softattn_isa_count(void);
SOFTATTN_API const char *softattn_isa_name(int32_t index);

/* What the BLAS engine multiplies with: "openblas", or "internal" where the library was built without one. */
SOFTATTN_API const char *softattn_blas_name(void);

/*
 * Value of a constant of this header by its full name ("SOFTATTN_CAUSAL_TOP_LEFT"), for callers that cannot read
 * macros. SOFTATTN_ERROR_ARGUMENT when there is none of that name.
 */
SOFTATTN_API int32_t softattn_constant(const char *name, int32_t *value);

/* ---- Context ----------------------------------------------------------------------------------------------------- */

/*
 * A context holds the choice of instruction set, the threads and the allocator. Operations refer to the context that
 * they were created with; it must outlive them, and settings changed since then apply to their next run. NULL is
 * accepted wherever a const context is: serial, best instruction set, malloc, no state kept between calls.
 *
 * Thread rule: create, the setters and destroy belong to one thread at a time, with no call running on the context.
 * Runs on one context, or on several, may come from any number of threads at once.
 * After fork the child may keep using a context; its threads are started anew when first needed.
 */
typedef struct softattn_context softattn_context;

/* Runs task(task_context, index) once for every index in 0 … tasks - 1, in any order, on any threads, and returns when
 * all have ended. Tasks never wait for each other, so running them one after another is fine. */
typedef void (*softattn_task_function)(void *task_context, int64_t index);
typedef void (*softattn_parallel_for_function)(void *user, int64_t tasks, softattn_task_function task,
                                               void *task_context);

/* allocate returns bytes of memory aligned to alignment (a power of two, at most 4096), or NULL. Both are called from the
 * threads that call the library, so from several at once where those share a context. */
typedef void *(*softattn_allocate_function)(void *user, uint64_t bytes, uint64_t alignment);
typedef void (*softattn_free_function)(void *user, void *memory);

/* Creates a context with SOFTATTN_NUM_THREADS threads (1 where unset), the best instruction set, and malloc. */
SOFTATTN_API int32_t softattn_context_create(softattn_context **out);

/* Ends the context's threads and frees it. */
SOFTATTN_API void softattn_context_destroy(softattn_context *context);

/* threads: 1 … 1024, or 0 for the CPUs that this process may use. The calling thread counts as one of them; the others
 * start with the first run that has work for them. */
SOFTATTN_API int32_t softattn_context_set_threads(softattn_context *context, int32_t threads);

/* The number of threads; for NULL, 1. */
SOFTATTN_API int32_t softattn_context_threads(const softattn_context *context);

/*
 * Lets the caller's own threads do the work instead: parallel_for is called with at most `threads` tasks (1 … 1024; a
 * later set_threads changes that number). NULL parallel_for returns to as many threads of the library's own; user and
 * threads then mean nothing.
 */
SOFTATTN_API int32_t softattn_context_set_parallel_for(softattn_context *context,
                                                       softattn_parallel_for_function parallel_for,
                                                       void *user, int32_t threads);

/* isa: a name that softattn_isa_name lists. SOFTATTN_ERROR_UNSUPPORTED where this build or CPU lacks it. */
SOFTATTN_API int32_t softattn_context_set_isa(softattn_context *context, const char *isa);

/* The instruction set in use; for NULL, the one that calls without a context use. */
SOFTATTN_API const char *softattn_context_isa(const softattn_context *context);

/* Both functions or neither (NULL, NULL returns to malloc). Memory that the context keeps is freed with the functions
 * that allocated it. */
SOFTATTN_API int32_t softattn_context_set_allocator(softattn_context *context,
                                                    softattn_allocate_function allocate,
                                                    softattn_free_function free_memory, void *user);

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

#define SOFTATTN_DEVICE_CPU 1 /* kDLCPU */

#define SOFTATTN_TYPE_INT    0 /* kDLInt */
#define SOFTATTN_TYPE_UINT   1 /* kDLUInt */
#define SOFTATTN_TYPE_FLOAT  2 /* kDLFloat */
#define SOFTATTN_TYPE_BFLOAT 4 /* kDLBfloat */
#define SOFTATTN_TYPE_BOOL   6 /* kDLBool */

/*
 * 16-bit floats: SOFTATTN_TYPE_FLOAT of 16 bits (f16, IEEE binary16) and SOFTATTN_TYPE_BFLOAT of 16 bits (bf16, the upper
 * half of a float), where an operation says that it takes them. Everything between is computed in f32, as if the operands
 * had been f32 tensors, and results are rounded to the nearest, ties to even; subnormals are kept, what is too large
 * becomes infinity, a NaN stays one. Operands whose comments say so are f32 then.
 */

#define SOFTATTN_MAX_RANK 8

/*
 * A borrowed view of an array, laid out exactly as DLPack's DLTensor, so a pointer to one may be passed as it is. The
 * library reads the view during the call only and never frees anything it points to.
 *   data        the first element is at data + byte_offset; may be NULL when the tensor has no elements
 *   device      device_type must be SOFTATTN_DEVICE_CPU
 *   ndim        0 … SOFTATTN_MAX_RANK
 *   dtype       lanes must be 1
 *   shape       ndim sizes, each >= 0; those above 0, multiplied with each other and with the bytes of an element, make
 *               at most 2^46
 *   strides     ndim strides in elements; NULL means compact row-major
 */
typedef struct softattn_tensor {
    void *data;
    struct {
        int32_t device_type;
        int32_t device_id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code;
        uint8_t bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
} softattn_tensor;

/*
 * Argument structs
 * Each starts with struct_size = sizeof of the struct that the caller was compiled with; unused fields are zero. A
 * larger struct (up to 4096 bytes) than this version knows is accepted when the unknown tail is zero, a smaller one when
 * it has the fields of the first version that had the struct. Fields are only ever appended.
 */

/* ---- Softmax ----------------------------------------------------------------------------------------------------- */

/*
 * y = softmax(scale * x + bias, where visible) along one axis. Configure once, run any number of times through a const
 * handle from any threads at once.
 */
typedef struct softattn_softmax softattn_softmax;

#define SOFTATTN_OUTPUT_PROBABILITIES     0
#define SOFTATTN_OUTPUT_LOG_PROBABILITIES 1

/*
 * What a row without any visible score above -infinity becomes. AUTO: 0 where bias, keep_mask, lengths or a causal mode
 * is given, whatever they hold; NaN otherwise, as most frameworks.
 */
#define SOFTATTN_EMPTY_ROW_AUTO 0
#define SOFTATTN_EMPTY_ROW_NAN  1 /* NaN (log-probabilities: NaN) */
#define SOFTATTN_EMPTY_ROW_ZERO 2 /* probabilities 0, log-probabilities -infinity */

/* Causal alignment: query i sees key j when j <= i + offset. */
#define SOFTATTN_CAUSAL_NONE         0
#define SOFTATTN_CAUSAL_TOP_LEFT     1 /* offset = 0 */
#define SOFTATTN_CAUSAL_BOTTOM_RIGHT 2 /* offset = keys - queries, of each sequence */
#define SOFTATTN_CAUSAL_OFFSET       3 /* offset given by the caller: query 0 is at that position */

/* context may be NULL; it must outlive the handle. The handle starts with the defaults that the setters name and is the caller's
 * to destroy; on failure *out is left as it is. */
SOFTATTN_API int32_t softattn_softmax_create(const softattn_context *context, softattn_softmax **out);
SOFTATTN_API void softattn_softmax_destroy(softattn_softmax *softmax);

/* axis: -rank … rank - 1 of the tensors given to run; default -1, the last. */
SOFTATTN_API int32_t softattn_softmax_set_axis(softattn_softmax *softmax, int32_t axis);

/* Any finite scale; default 1. A run takes at most half the largest number of the element type, with 16-bit floats of
 * f32. A temperature T is the scale 1 / T (T > 0); the later call of the two counts. */
SOFTATTN_API int32_t softattn_softmax_set_scale(softattn_softmax *softmax, double scale);
SOFTATTN_API int32_t softattn_softmax_set_temperature(softattn_softmax *softmax, double temperature);

/* mode: SOFTATTN_CAUSAL_*; offset (-2^53 … 2^53) is used with SOFTATTN_CAUSAL_OFFSET only. Needs rank >= 2 and the last
 * axis: that one is the key, the one before it the query. BOTTOM_RIGHT goes by their sizes, whatever lengths say. */
SOFTATTN_API int32_t softattn_softmax_set_causal(softattn_softmax *softmax, int32_t mode, int64_t offset);

/* output: SOFTATTN_OUTPUT_*; default probabilities. */
SOFTATTN_API int32_t softattn_softmax_set_output(softattn_softmax *softmax, int32_t output);

/* policy: SOFTATTN_EMPTY_ROW_*; default AUTO. */
SOFTATTN_API int32_t softattn_softmax_set_empty_row(softattn_softmax *softmax, int32_t policy);

/*
 * What turns the visible scores s of a row, n in number, into its weights y: softmax, or what is used in its place. Formulas,
 * derivatives, ranges and sources are in docs/semantics.md. Masked places and scores of -infinity get 0, whatever the
 * normalizer. The weights of SOFTMAX, SPARSEMAX and ENTMAX sum to 1, and the empty-row policy is for these; others give a
 * row without scores 0.
 */
#define SOFTATTN_NORMALIZER_SOFTMAX          0 /* exp(s) / sum of exp(s) */
#define SOFTATTN_NORMALIZER_NONE             1 /* s */
#define SOFTATTN_NORMALIZER_RELU             2 /* max(s, 0) / n */
#define SOFTATTN_NORMALIZER_RELU_SQUARED     3 /* max(s, 0)^2 */
#define SOFTATTN_NORMALIZER_SIGMOID          4 /* 1 / (1 + exp(-(s + sigmoid bias))) */
#define SOFTATTN_NORMALIZER_SOFTMAX_PLUS_ONE 5 /* exp(s) / (1 + sum of exp(s)) */
#define SOFTATTN_NORMALIZER_SPARSEMAX        6 /* max(s - t, 0), with the t that makes the sum 1 */
#define SOFTATTN_NORMALIZER_ENTMAX           7 /* 1.5-entmax: max(s / 2 - t, 0)^2, likewise */

/*
 * normalizer: SOFTATTN_NORMALIZER_*; default SOFTMAX. lse, row_max, log-probabilities and diagnoses are of SOFTMAX and
 * SOFTMAX_PLUS_ONE alone, with the others SOFTATTN_ERROR_UNSUPPORTED. NONE and RELU write 0 as -0 where it is masked and
 * as +0 where it is a weight: that tells the backward pass which is which, so give it y as it came.
 */
SOFTATTN_API int32_t softattn_softmax_set_normalizer(softattn_softmax *softmax, int32_t normalizer);

/* bias: finite, in a run's element type, too; of SOFTATTN_NORMALIZER_SIGMOID; default 0. -ln(n) starts near softmax's
 * weights. */
SOFTATTN_API int32_t softattn_softmax_set_sigmoid_bias(softattn_softmax *softmax, double bias);

typedef struct softattn_softmax_args {
    uint64_t struct_size;
    /* scores, f16, bf16, f32 or f64, rank 1 … 8, any strides */
    const softattn_tensor *x;
    /* result, x's shape and type; may be x's own memory with the same strides, or NULL when only the outputs below
     * are wanted */
    const softattn_tensor *y;
    /* added to scale * x; x's type, f32 with 16-bit floats; each size is x's or 1 (fewer dimensions: leading
     * ones); -infinity masks; NULL: none */
    const softattn_tensor *bias;
    /* bool or uint8, non-zero = visible; broadcasts as bias; NULL: all visible */
    const softattn_tensor *keep_mask;
    /* int32 or int64: elements 0 … length - 1 of each row are visible; broadcasts to x's shape without the axis;
     * clamped to 0 … axis size; NULL: whole rows */
    const softattn_tensor *lengths;
    /* out: natural-log sum of exp of each row, x's type (f32 with 16-bit floats) and shape without the axis;
     * -infinity for an empty row; NULL: not wanted */
    const softattn_tensor *lse;
    /* out: largest visible score of each row after scale and bias, as lse */
    const softattn_tensor *row_max;
} softattn_softmax_args;

/*
 * Runs on the tensors in args, of which at least one of y, lse and row_max is given (else SOFTATTN_ERROR_NULL). Masked elements
 * have no effect whatever they hold, and become probability 0 (log-probability -infinity). A NaN or +infinity in a visible place
 * makes its row NaN.
 */
SOFTATTN_API int32_t softattn_softmax_run(const softattn_softmax *softmax, const softattn_softmax_args *args);

/*
 * Softmax along each row of a row-major matrix: rows x cols elements, the first of row r at x + r * x_stride.
 * y may equal x with y_stride == x_stride; other overlaps are an error. context may be NULL.
 * No mask, scale 1; an all -infinity row becomes NaN.
 */
SOFTATTN_API int32_t softattn_softmax_f32(const softattn_context *context, int64_t rows, int64_t cols,
                                          const float *x, int64_t x_stride, float *y, int64_t y_stride);
SOFTATTN_API int32_t softattn_softmax_f64(const softattn_context *context, int64_t rows, int64_t cols,
                                          const double *x, int64_t x_stride, double *y, int64_t y_stride);
/* The same on 16-bit floats. */
SOFTATTN_API int32_t softattn_softmax_f16(const softattn_context *context, int64_t rows, int64_t cols,
                                          const uint16_t *x, int64_t x_stride, uint16_t *y, int64_t y_stride);
SOFTATTN_API int32_t softattn_softmax_bf16(const softattn_context *context, int64_t rows, int64_t cols,
                                           const uint16_t *x, int64_t x_stride, uint16_t *y,
                                           int64_t y_stride);

/* ---- Derivatives of softmax -------------------------------------------------------------------------------------- */

/*
 * From the result y of a softmax run: the gradient of a loss, the Jacobian J = dy/dx and its product with a vector. The
 * handle's axis, scale, output and normalizer say what y is; its other options mean nothing here. Where y shows a masked
 * element (probability 0, log-probability -infinity) the derivatives are 0, whatever the other operand holds there.
 *   probabilities      dy_i/dx_j = scale * y_i * ([i = j] - y_j)
 *   log-probabilities  dy_i/dx_j = scale * ([i = j] - exp(y_j))
 *   other normalizers  see docs/semantics.md
 * With scale 1 the derivatives are those by the scores, so by a bias, too.
 */
typedef struct softattn_softmax_backward_args {
    uint64_t struct_size;
    /* what run gave, f16, bf16, f32 or f64, rank 1 … 8, any strides */
    const softattn_tensor *y;
    /* gradient of the loss by y; y's shape and type */
    const softattn_tensor *dy;
    /* out: gradient of the loss by x; y's shape and type; may be dy's own memory with the same strides */
    const softattn_tensor *dx;
} softattn_softmax_backward_args;

/* probabilities: dx = scale * y * (dy - sum of y * dy); log-probabilities: dx = scale * (dy - exp(y) * sum of dy). */
SOFTATTN_API int32_t softattn_softmax_backward(const softattn_softmax *softmax,
                                               const softattn_softmax_backward_args *args);

typedef struct softattn_softmax_jvp_args {
    uint64_t struct_size;
    /* as of softattn_softmax_backward_args */
    const softattn_tensor *y;
    /* direction in which x moves; y's shape and type */
    const softattn_tensor *x_tangent;
    /* out: how y then moves, J * x_tangent; y's shape and type; may be x_tangent's own memory with the same
     * strides */
    const softattn_tensor *y_tangent;
} softattn_softmax_jvp_args;

/* probabilities: y_tangent = scale * y * (x_tangent - sum of y * x_tangent); log-probabilities: scale * (x_tangent - sum of
 * exp(y) * x_tangent). */
SOFTATTN_API int32_t softattn_softmax_jvp(const softattn_softmax *softmax,
                                          const softattn_softmax_jvp_args *args);

typedef struct softattn_softmax_jacobian_args {
    uint64_t struct_size;
    /* as of softattn_softmax_backward_args, but f32 or f64, rank 1 … 7, n elements along the axis */
    const softattn_tensor *y;
    /* out: y's shape without the axis, then [n, n]: element i, j is dy_i/dx_j; y's type */
    const softattn_tensor *jacobian;
} softattn_softmax_jacobian_args;

/* probabilities: scale * y_i * ((i = j) - y_j); log-probabilities: scale * ((i = j) - exp(y_j)); 0 where i or j is masked. */
SOFTATTN_API int32_t softattn_softmax_jacobian(const softattn_softmax *softmax,
                                               const softattn_softmax_jacobian_args *args);

/*
 * Backward of the flat softmax functions above: dx = y * (dy - sum of y * dy) for each row of rows x cols matrices. dx may
 * equal dy with dx_stride == dy_stride; other overlaps are an error. context may be NULL.
 */
SOFTATTN_API int32_t softattn_softmax_backward_f32(const softattn_context *context, int64_t rows,
                                                   int64_t cols, const float *y, int64_t y_stride,
                                                   const float *dy, int64_t dy_stride, float *dx,
                                                   int64_t dx_stride);
SOFTATTN_API int32_t softattn_softmax_backward_f64(const softattn_context *context, int64_t rows,
                                                   int64_t cols, const double *y, int64_t y_stride,
                                                   const double *dy, int64_t dy_stride, double *dx,
                                                   int64_t dx_stride);
/* The same on 16-bit floats. */
SOFTATTN_API int32_t softattn_softmax_backward_f16(const softattn_context *context, int64_t rows,
                                                   int64_t cols, const uint16_t *y, int64_t y_stride,
                                                   const uint16_t *dy, int64_t dy_stride, uint16_t *dx,
                                                   int64_t dx_stride);
SOFTATTN_API int32_t softattn_softmax_backward_bf16(const softattn_context *context, int64_t rows,
                                                    int64_t cols, const uint16_t *y, int64_t y_stride,
                                                    const uint16_t *dy, int64_t dy_stride, uint16_t *dx,
                                                    int64_t dx_stride);

/* ---- Cross-entropy ----------------------------------------------------------------------------------------------- */

/*
 * Cross-entropy of logits and targets, and its gradient by the logits. Configure once, run any number of times through a
 * const handle from any threads at once. For each row, with z = scale * logits, C classes and class weights w (1 where not
 * given):
 *   lse  = log(sum over c of exp(z_c))
 *   q    = the target probabilities, or 1 for the target class and 0 for the others
 *   a_c  = w_c * ((1 - smoothing) * q_c + smoothing / C)
 *   loss = sum over c of a_c * (lse - z_c) + z_loss * lse^2
 * Rows whose target is ignore_index have loss and gradient 0. The total is the losses' sum, or for the mean
 *   targets               sum / (sum over the rows not ignored of w of their target)
 *   target probabilities  sum / rows
 * Parameters and values are PyTorch's, with two exceptions: a mean that no row counts in is 0, see `counted`; and a class
 * with a_c = 0 adds nothing to the loss even where its logit is -infinity.
 */
typedef struct softattn_cross_entropy softattn_cross_entropy;

#define SOFTATTN_REDUCTION_NONE 0
#define SOFTATTN_REDUCTION_MEAN 1
#define SOFTATTN_REDUCTION_SUM  2

/* context may be NULL; it must outlive the handle. The handle starts with the defaults that the setters name and is the caller's
 * to destroy; on failure *out is left as it is. */
SOFTATTN_API int32_t softattn_cross_entropy_create(const softattn_context *context,
                                                   softattn_cross_entropy **out);
SOFTATTN_API void softattn_cross_entropy_destroy(softattn_cross_entropy *cross_entropy);

/* Any number, in the range of the classes or not; default -100. Target probabilities have no ignored rows. */
SOFTATTN_API int32_t softattn_cross_entropy_set_ignore_index(softattn_cross_entropy *cross_entropy,
                                                             int64_t ignore_index);

/* smoothing: 0 … 1, default 0. */
SOFTATTN_API int32_t softattn_cross_entropy_set_label_smoothing(softattn_cross_entropy *cross_entropy,
                                                                double smoothing);

/* factor: finite and at least 0, default 0. */
SOFTATTN_API int32_t softattn_cross_entropy_set_z_loss(softattn_cross_entropy *cross_entropy, double factor);

/* As of softmax. */
SOFTATTN_API int32_t softattn_cross_entropy_set_scale(softattn_cross_entropy *cross_entropy, double scale);
SOFTATTN_API int32_t softattn_cross_entropy_set_temperature(softattn_cross_entropy *cross_entropy,
                                                            double temperature);

/* reduction: SOFTATTN_REDUCTION_*, default MEAN. The gradient is that of the total, with NONE of each row's own loss. */
SOFTATTN_API int32_t softattn_cross_entropy_set_reduction(softattn_cross_entropy *cross_entropy,
                                                          int32_t reduction);

typedef struct softattn_cross_entropy_args {
    uint64_t struct_size;
    /* [..., classes], f16, bf16, f32 or f64, rank 1 … 8, any strides */
    const softattn_tensor *logits;
    /* int32 or int64, logits' shape without the last dimension; each 0 … classes - 1 or ignore_index, else an
     * error that names the row and its value; NULL where target_probabilities are given */
    const softattn_tensor *targets;
    /* logits' shape and type, taken as they are; NULL where targets are given */
    const softattn_tensor *target_probabilities;
    /* [classes], logits' type (f32 with 16-bit floats); NULL: all 1 */
    const softattn_tensor *class_weights;
    /* out: of each row, whatever the reduction; logits' type (f32 with 16-bit floats) and shape without the last
     * dimension; NULL: not wanted */
    const softattn_tensor *losses;
    /* out: one element (rank 0, or sizes of 1), type as losses: the sum or mean; NULL: not wanted, as with
     * SOFTATTN_REDUCTION_NONE */
    const softattn_tensor *total;
    /* out: logits' shape and type; may be logits' own memory with the same strides; NULL: not wanted */
    const softattn_tensor *gradient;
    /* out: lse of each row, ignored ones included, as losses */
    const softattn_tensor *lse;
    /* out: one element, int32 or int64: rows that are not ignored and whose target's class weight is not 0; all
     * rows with probabilities. When it is 0, the mean and its gradient are 0 where 0 / 0 would be NaN; NULL: not
     * wanted */
    const softattn_tensor *counted;
} softattn_cross_entropy_args;

/* Runs on the tensors in args, at least one output among them. The bits do not depend on the number of threads. */
SOFTATTN_API int32_t softattn_cross_entropy_run(const softattn_cross_entropy *cross_entropy,
                                                const softattn_cross_entropy_args *args);

/*
 * Cross-entropy of each row of a row-major matrix of rows x classes logits, and the gradient of the losses' mean over the
 * rows that are not ignored. targets: [rows], classes or -100 for rows to be ignored. losses: [rows], not reduced.
 * gradient may equal logits with gradient_stride == logits_stride; other overlaps are an error. One of losses and gradient
 * may be NULL. context may be NULL.
 */
SOFTATTN_API int32_t softattn_cross_entropy_f32(const softattn_context *context, int64_t rows,
                                                int64_t classes, const float *logits, int64_t logits_stride,
                                                const int64_t *targets, float *losses, float *gradient,
                                                int64_t gradient_stride);
SOFTATTN_API int32_t softattn_cross_entropy_f64(const softattn_context *context, int64_t rows,
                                                int64_t classes, const double *logits, int64_t logits_stride,
                                                const int64_t *targets, double *losses, double *gradient,
                                                int64_t gradient_stride);
/* The same on logits and gradients of 16-bit floats; losses are f32. */
SOFTATTN_API int32_t softattn_cross_entropy_f16(const softattn_context *context, int64_t rows,
                                                int64_t classes, const uint16_t *logits,
                                                int64_t logits_stride, const int64_t *targets, float *losses,
                                                uint16_t *gradient, int64_t gradient_stride);
SOFTATTN_API int32_t softattn_cross_entropy_bf16(const softattn_context *context, int64_t rows,
                                                 int64_t classes, const uint16_t *logits,
                                                 int64_t logits_stride, const int64_t *targets, float *losses,
                                                 uint16_t *gradient, int64_t gradient_stride);

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

/*
 * From the logits of an output layer to tokens. Configure once, run any number of times through a const handle from any
 * threads at once. For each row, in this order:
 *   temperature  weight of token j: w_j = exp((logit_j - largest logit) / temperature)
 *   top-k        keeps the k largest logits
 *   top-p        keeps the largest logits until their weights make at least p of the weight of all that are left
 *   min-p        keeps the tokens with w_j >= p, that is at least p times the largest probability
 *   draw         the first token, in order of index, at which the sum of the kept weights exceeds uniform times all of it
 * Among equal logits the lower index counts as larger. At least one token is kept. The library holds no random state:
 * equal logits and equal uniform numbers give equal tokens, whatever the instruction set (but "sse2"), threads, batch
 * and layout. docs/semantics.md defines sums and rounding.
 *
 * Tokens of logit -infinity are never kept. A row without any other gives token -1 and probabilities 0. A row with a NaN,
 * or at a temperature above 0 with +infinity, gives token -1 and probabilities NaN.
 */
typedef struct softattn_sampler softattn_sampler;

/* context may be NULL; it must outlive the handle. The handle starts with the defaults that the setters name and is the caller's
 * to destroy; on failure *out is left as it is. */
SOFTATTN_API int32_t softattn_sampler_create(const softattn_context *context, softattn_sampler **out);
SOFTATTN_API void softattn_sampler_destroy(softattn_sampler *sampler);

/* temperature: finite and at least 0 (on f32 logits, if not 0, between about 1e-38 and 8e34); default 1. With 0 the token
 * is that of the largest logit, its probability 1, and neither the filters nor uniform mean anything. */
SOFTATTN_API int32_t softattn_sampler_set_temperature(softattn_sampler *sampler, double temperature);

/* k: 0 (the default) keeps all tokens. */
SOFTATTN_API int32_t softattn_sampler_set_top_k(softattn_sampler *sampler, int64_t k);

/* p: 0 … 1; 1 (the default) keeps all tokens. */
SOFTATTN_API int32_t softattn_sampler_set_top_p(softattn_sampler *sampler, double p);

/* p: 0 … 1; 0 (the default) keeps all tokens. */
SOFTATTN_API int32_t softattn_sampler_set_min_p(softattn_sampler *sampler, double p);

typedef struct softattn_sampler_args {
    uint64_t struct_size;
    /* [..., vocabulary], f32 or f64, rank 1 … 8, any strides; at a temperature above 0 at most 2^26 tokens */
    const softattn_tensor *logits;
    /* one number in [0, 1) per row, logits' type and shape without the last dimension; another value is an error
     * that names the row; NULL where no tokens are wanted or the temperature is 0 */
    const softattn_tensor *uniform;
    /* out: int32 or int64, as uniform; NULL: not wanted */
    const softattn_tensor *tokens;
    /* out: of the kept tokens, 0 for the others; logits' shape and type; may be logits' own memory with the same
     * strides; NULL: not wanted */
    const softattn_tensor *probabilities;
    /* out: bool or uint8, 1 for kept tokens, else 0; logits' shape; NULL: not wanted */
    const softattn_tensor *keep_mask;
} softattn_sampler_args;

/* Runs on the tensors in args, at least one output among them. */
SOFTATTN_API int32_t softattn_sampler_run(const softattn_sampler *sampler, const softattn_sampler_args *args);

/*
 * Index of the largest element of each row of a row-major matrix, the lowest one where several are equal; -1 for a row
 * that has a NaN, or nothing above -infinity. tokens: [rows]. context may be NULL.
 */
SOFTATTN_API int32_t softattn_argmax_f32(const softattn_context *context, int64_t rows, int64_t cols,
                                         const float *x, int64_t x_stride, int64_t *tokens);
SOFTATTN_API int32_t softattn_argmax_f64(const softattn_context *context, int64_t rows, int64_t cols,
                                         const double *x, int64_t x_stride, int64_t *tokens);

/* ---- Attention --------------------------------------------------------------------------------------------------- */

/*
 * out = softmax(mask(softcap(scale * q k^T) + bias + alibi)) v for every batch and head. Configure once, run any number
 * of times through a const handle from any threads at once.
 *
 * Per query i and key j of one head:
 *   s = scale * dot(q_i, k_j)
 *   s = cap * tanh(s / cap)                      with a soft-cap
 *   s = s + bias[i][j] - slope * |i + offset - j|  with a bias, with ALiBi slopes
 *   s = -infinity                                where a mask hides j from i
 *   p = exp(s) / (sum over j of exp(s) + exp(sink))   or another normalizer's weight
 *   out_i = sum over j of dropout(p) * v_j
 * Masks compose: a key is visible when every mask given keeps it.
 */
typedef struct softattn_attention softattn_attention;

#define SOFTATTN_ENGINE_AUTO  0 /* FUSED, but BLAS for what only that one has */
#define SOFTATTN_ENGINE_FUSED 1 /* tiled, memory O(seq); its results obey the arithmetic contract */
#define SOFTATTN_ENGINE_BLAS  2 /* score rows by matrix product; alone returns weights, has every normalizer */

/* context may be NULL; it must outlive the handle. The handle starts with the defaults that the setters name and is the caller's
 * to destroy; on failure *out is left as it is. */
SOFTATTN_API int32_t softattn_attention_create(const softattn_context *context, softattn_attention **out);
SOFTATTN_API void softattn_attention_destroy(softattn_attention *attention);

/* Any finite scale, zero and negative included; a run takes at most half the largest number of the element type. Until
 * it is called, and after use_default_scale, the scale is 1 / sqrt(dim_qk). */
SOFTATTN_API int32_t softattn_attention_set_scale(softattn_attention *attention, double scale);
SOFTATTN_API int32_t softattn_attention_use_default_scale(softattn_attention *attention);

/* mode: SOFTATTN_CAUSAL_*; offset (-2^53 … 2^53) is used with SOFTATTN_CAUSAL_OFFSET only. Default NONE. */
SOFTATTN_API int32_t softattn_attention_set_causal(softattn_attention *attention, int32_t mode,
                                                   int64_t offset);

/*
 * How positions of queries and keys correspond, for the window and ALiBi where the causal mode is NONE; with a causal
 * mode, that mode decides. mode: SOFTATTN_CAUSAL_*, of which NONE and TOP_LEFT mean offset 0. Default NONE.
 */
SOFTATTN_API int32_t softattn_attention_set_alignment(softattn_attention *attention, int32_t mode,
                                                      int64_t offset);

/* Query i sees keys i + offset - left … i + offset + right, both ends included; -1 leaves a side open. Default -1, -1. */
SOFTATTN_API int32_t softattn_attention_set_window(softattn_attention *attention, int64_t left,
                                                   int64_t right);

/* Scores become cap * tanh(score / cap). cap: positive and finite, or 0 for none (the default). A run takes caps from
 * the smallest normal number of the element type to half the largest. */
SOFTATTN_API int32_t softattn_attention_set_softcap(softattn_attention *attention, double cap);

/*
 * Drops each weight with this probability (0 … 1, default 0) and multiplies the others by 1 / (1 - probability). Which
 * are dropped is a function of (dropout_seed, dropout_offset, batch, head, query, key) alone: Philox4x32-10 with
 *   key     = low and high 32 bits of dropout_seed
 *   counter = (key index / 4, query index, batch * heads_q + head + high 32 bits of dropout_offset,
 *              low 32 bits of dropout_offset), each modulo 2^32
 * whose output word (key index mod 4) / 2^32 is u; the weight is dropped when u < probability. The log-sum-exp is of
 * all weights.
 */
SOFTATTN_API int32_t softattn_attention_set_dropout(softattn_attention *attention, double probability);

/*
 * SOFTATTN_NORMALIZER_* in the place of softmax, n being the keys that a query sees; default SOFTMAX. SOFTMAX_PLUS_ONE is
 * softmax with a sink of 0. The others are served by the BLAS engine and have no lse; none but SOFTMAX takes a sink. A run
 * that asks for what its normalizer has not, the fused engine included, is SOFTATTN_ERROR_UNSUPPORTED.
 */
SOFTATTN_API int32_t softattn_attention_set_normalizer(softattn_attention *attention, int32_t normalizer);

/* As of softmax. */
SOFTATTN_API int32_t softattn_attention_set_sigmoid_bias(softattn_attention *attention, double bias);

/* Size of the blocks that block_mask speaks of, in queries and keys; each at least 1. Default 64, 64. */
SOFTATTN_API int32_t softattn_attention_set_block_size(softattn_attention *attention, int64_t block_q,
                                                       int64_t block_k);

/* engine: SOFTATTN_ENGINE_*; default AUTO. */
SOFTATTN_API int32_t softattn_attention_set_engine(softattn_attention *attention, int32_t engine);

/*
 * Tensors of attention have rank 4, [batch, heads, seq, dim], or 3 or 2 with the leading sizes taken as 1. Any strides:
 * [batch, seq, heads, dim] and packed QKV are the same memory with other strides. f32 or f64, all of one type. lse has
 * one dimension less.
 */
typedef struct softattn_attention_args {
    uint64_t struct_size;
    /* [batch, heads_q, seq_q, dim_qk] */
    const softattn_tensor *q;
    /* [batch, heads_kv, seq_kv, dim_qk]; heads_q is a multiple of heads_kv, query head h reads key/value head
     * h / (heads_q / heads_kv) */
    const softattn_tensor *k;
    /* [batch, heads_kv, seq_kv, dim_v] */
    const softattn_tensor *v;
    /* [batch, heads_q, seq_q, dim_v]; overlaps no input */
    const softattn_tensor *out;
    /* added to the scores; sizes are those of [batch, heads_q, seq_q, seq_kv] or 1; fewer dimensions: leading
     * ones; -infinity masks; NULL: none */
    const softattn_tensor *bias;
    /* bool or uint8, non-zero = visible; broadcasts as bias; NULL: all visible */
    const softattn_tensor *keep_mask;
    /* out: [batch, heads_q, seq_q], natural log of the sum of exp; -infinity for an empty row; NULL: not wanted */
    const softattn_tensor *lse;
    /* out: [batch, heads_q, seq_q, seq_kv], the probabilities or another normalizer's weights, before dropout;
     * NULL: not wanted. Served by the BLAS engine */
    const softattn_tensor *weights;
    /* scratch memory of workspace_bytes, any alignment; NULL: the library takes it from the context. See
     * softattn_attention_plan */
    void *workspace;
    uint64_t workspace_bytes;
    /* [heads_q] or [batch, heads_q] (or sizes 1), q's type; NULL: none */
    const softattn_tensor *alibi_slopes;
    /* [heads_q], q's type: a logit that joins each row's maximum and sum and has no value; the lse includes it;
     * NULL: none */
    const softattn_tensor *sink;

    /* Sequences of unequal length in padded tensors: int32 [batch], compact; NULL: whole axes. */

    /* 0 … seq_q; queries after it give output 0 and lse -infinity, even with a sink; in packed sequences too */
    const softattn_tensor *query_lengths;
    /* 0 … seq_kv; keys after it are never read */
    const softattn_tensor *key_lengths;
    /* 0 … seq_kv; keys before it are padding and have no effect */
    const softattn_tensor *key_starts;

    /*
     * Packed sequences: batch of q, k, v, out is 1 and their seq axes hold sequences one after another. Sequence n has
     * queries query_offsets[n] … query_offsets[n + 1] - 1 and keys likewise. int32 [sequences + 1], compact, ascending
     * from 0 or more to at most the axis. Both or neither. "batch" above and in the dropout's counter then means the
     * sequence; rows outside all sequences are left as they are. Bias, keep_mask and weights are indexed by the axes.
     */
    const softattn_tensor *query_offsets;
    const softattn_tensor *key_offsets;

    /*
     * Block-sparse attention: bool or uint8, broadcasts to [batch, heads_q, ceil(seq_q / block_q),
     * ceil(seq_kv / block_k)]; zero hides that block of keys from that block of queries, counted within the sequence.
     * The fused engine leaves hidden blocks out where 8 keys or more side by side are hidden from queries that it takes
     * together, some dozens; blocks of 64 or more cost what is visible of them.
     */
    const softattn_tensor *block_mask;

    uint64_t dropout_seed;
    uint64_t dropout_offset;
} softattn_attention_args;

/* Runs on the tensors in args. A row whose keys are all masked gives output 0 and lse -infinity. */
SOFTATTN_API int32_t softattn_attention_run(const softattn_attention *attention,
                                            const softattn_attention_args *args);

/*
 * How a problem would run; all fields but struct_size are outputs. A workspace of workspace_bytes spares every allocation but
 * those that OpenBLAS makes of its own inside some small products on some CPUs.
 */
typedef struct softattn_attention_plan {
    uint64_t struct_size;
    int32_t engine;           /* SOFTATTN_ENGINE_FUSED or SOFTATTN_ENGINE_BLAS */
    int32_t threads;          /* threads that have work */
    char isa[16];             /* name of the instruction set */
    char kernel[48];          /* name of the kernel that does the products */
    int64_t query_tile;       /* queries per task */
    int64_t key_tile;         /* keys per tile */
    int64_t key_chunk;        /* keys after which partial results merge */
    uint64_t workspace_bytes; /* scratch that run takes */
} softattn_attention_plan;

/* Fills plan for the shapes and strides in args (data pointers are not read, so sequences count as if each had the whole
 * axes: where lists say that they are shorter, a run may cut finer). Where there is nothing to compute threads is 0 and
 * kernel empty. */
SOFTATTN_API int32_t softattn_attention_describe(const softattn_attention *attention,
                                                 const softattn_attention_args *args,
                                                 softattn_attention_plan *plan);

/*
 * Joins attention over parts of the keys, computed separately (here or elsewhere), into attention over all of them:
 * part p gave outs[p] [batch, heads, seq, dim] and lses[p] [batch, heads, seq] (natural log), f32 or f64, all of one
 * type. out and lse have the same shapes and type, may be the memory of outs[0] and lses[0] with the same strides, and
 * overlap nothing else. A part whose lse is -infinity in a row has no effect there, whatever its output holds; an lse
 * beyond 0.69 of the type's largest number counts as infinite. parts: 1 … 2^20; lse NULL: not wanted. Parts that were
 * computed with a sink would each count it: give the sink to one part only. context may be NULL.
 */
SOFTATTN_API int32_t softattn_attention_merge(const softattn_context *context, int64_t parts,
                                              const softattn_tensor *const *outs,
                                              const softattn_tensor *const *lses, const softattn_tensor *out,
                                              const softattn_tensor *lse);

/*
 * Attention on contiguous arrays: q [batch][heads_q][seq_q][dim_qk], k [batch][heads_kv][seq_kv][dim_qk],
 * v [batch][heads_kv][seq_kv][dim_v], out [batch][heads_q][seq_q][dim_v]; scale 1 / sqrt(dim_qk).
 * causal: SOFTATTN_CAUSAL_NONE, _TOP_LEFT or _BOTTOM_RIGHT. context may be NULL.
 */
SOFTATTN_API int32_t softattn_attention_f32(const softattn_context *context, int64_t batch, int64_t heads_q,
                                            int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk,
                                            int64_t dim_v, const float *q, const float *k, const float *v,
                                            float *out, int32_t causal);
SOFTATTN_API int32_t softattn_attention_f64(const softattn_context *context, int64_t batch, int64_t heads_q,
                                            int64_t heads_kv, int64_t seq_q, int64_t seq_kv, int64_t dim_qk,
                                            int64_t dim_v, const double *q, const double *k, const double *v,
                                            double *out, int32_t causal);

/* ---- Linear attention -------------------------------------------------------------------------------------------- */

/*
 * Attention whose similarity is a product of features (Katharopoulos et al., "Transformers are RNNs", 2020), so that its
 * cost grows with the sequence, not with its square: for every batch and head, with f the feature map,
 *   out_i = (f(q_i) S_i) / (f(q_i) . z_i),   S_i = sum over visible j of f(k_j)^T v_j,   z_i = sum over them of f(k_j)
 * A denominator of 0, as of a finite query without any visible key, gives output 0. Configure once, run any number of
 * times through a const handle from any threads at once.
 */
typedef struct softattn_linear_attention softattn_linear_attention;

#define SOFTATTN_FEATURE_MAP_ELU_PLUS_ONE 0 /* x + 1 for x > 0, else exp(x) */
#define SOFTATTN_FEATURE_MAP_IDENTITY     1 /* q and k hold features already, of any sign */

/* context may be NULL; it must outlive the handle. The handle starts with the defaults that the setters name and is the caller's
 * to destroy; on failure *out is left as it is. */
SOFTATTN_API int32_t softattn_linear_attention_create(const softattn_context *context,
                                                      softattn_linear_attention **out);
SOFTATTN_API void softattn_linear_attention_destroy(softattn_linear_attention *attention);

/* mode: SOFTATTN_CAUSAL_*; offset (-2^53 … 2^53) is used with SOFTATTN_CAUSAL_OFFSET only. Default NONE. With
 * key_lengths, BOTTOM_RIGHT goes by those. */
SOFTATTN_API int32_t softattn_linear_attention_set_causal(softattn_linear_attention *attention, int32_t mode,
                                                          int64_t offset);

/* feature_map: SOFTATTN_FEATURE_MAP_*; default ELU_PLUS_ONE. */
SOFTATTN_API int32_t softattn_linear_attention_set_feature_map(softattn_linear_attention *attention,
                                                               int32_t feature_map);

/* normalization: 1 divides by the denominator (the default), 0 leaves that out. */
SOFTATTN_API int32_t softattn_linear_attention_set_normalization(softattn_linear_attention *attention,
                                                                 int32_t normalization);

/*
 * Tensors as those of attention: rank 4, leading sizes of 1 may be left out down to rank 2 (normalizers: 1; key_lengths
 * has rank 1). Any strides. f32 or f64, all of one type.
 *
 * The state of a call is S and z after all its keys. Given to the next call as its initial state, that one continues: with
 * a causal mode of TOP_LEFT, each call gets the next queries, keys and values. Where the calls part after multiples of 64
 * keys the results are the same bits as in one call. A final array may be the memory of the initial one, with the same
 * strides; apart from that outputs overlap nothing.
 */
typedef struct softattn_linear_attention_args {
    uint64_t struct_size;
    /* [batch, heads_q, seq_q, dim_qk] */
    const softattn_tensor *q;
    /* [batch, heads_kv, seq_kv, dim_qk]; heads_q is a multiple of heads_kv, query head h reads key/value head
     * h / (heads_q / heads_kv) */
    const softattn_tensor *k;
    /* [batch, heads_kv, seq_kv, dim_v] */
    const softattn_tensor *v;
    /* [batch, heads_q, seq_q, dim_v] */
    const softattn_tensor *out;
    /* int32 [batch], 0 … seq_kv: keys after it are never read; NULL: all keys */
    const softattn_tensor *key_lengths;
    /* S before key 0: [batch, heads_kv, dim_qk, dim_v]; NULL: 0 */
    const softattn_tensor *initial_state;
    /* z before key 0: [batch, heads_kv, dim_qk]; both initial arrays or neither, but without normalization each by
     * itself; NULL: 0 */
    const softattn_tensor *initial_normalizer;
    /* out: S after the last key; NULL: not wanted */
    const softattn_tensor *final_state;
    /* out: z after the last key; NULL: not wanted */
    const softattn_tensor *final_normalizer;
} softattn_linear_attention_args;

/* Runs on the tensors in args. Scratch memory per thread: about 2 * dim_qk * dim_v + 64 * (4 * dim_qk + 2 * dim_v)
 * elements, from the context; one key/value head is one thread's work. */
SOFTATTN_API int32_t softattn_linear_attention_run(const softattn_linear_attention *attention,
                                                   const softattn_linear_attention_args *args);

/*
 * Linear attention with the feature map elu + 1 on contiguous arrays, laid out as those of softattn_attention_f32.
 * causal: SOFTATTN_CAUSAL_NONE, _TOP_LEFT or _BOTTOM_RIGHT. context may be NULL.
 */
SOFTATTN_API int32_t softattn_linear_attention_f32(const softattn_context *context, int64_t batch,
                                                   int64_t heads_q, int64_t heads_kv, int64_t seq_q,
                                                   int64_t seq_kv, int64_t dim_qk, int64_t dim_v,
                                                   const float *q, const float *k, const float *v, float *out,
                                                   int32_t causal);
SOFTATTN_API int32_t softattn_linear_attention_f64(const softattn_context *context, int64_t batch,
                                                   int64_t heads_q, int64_t heads_kv, int64_t seq_q,
                                                   int64_t seq_kv, int64_t dim_qk, int64_t dim_v,
                                                   const double *q, const double *k, const double *v,
                                                   double *out, int32_t causal);

/* ---- Diagnosis --------------------------------------------------------------------------------------------------- */

/*
 * What softmax makes of rows of scores: how many keys a row attends to, whether it is saturated, and how much gradient it
 * lets through. With y the row's probabilities and the scores as softmax sees them (scaled, with bias, visible ones only):
 *   entropy          - sum of y * ln(y), in nats: 0 for one key, ln(n) for n equal ones
 *   max_probability  largest y
 *   effective_keys   exp(entropy)
 *   score_mean       of the scores, and
 *   score_variance   the mean of their squared distances to it
 *   jacobian_norm    Frobenius norm of diag(y) - y y^T: 0 for a one-hot row, where no gradient passes; at most 1/2
 *   saturated        whether max_probability is above the handle's threshold
 * A row without a visible score above -infinity has 0 for all of them; a row with NaN or +infinity has NaN, and is not
 * saturated.
 */
typedef struct softattn_diagnosis_summary {
    uint64_t struct_size;
    int64_t rows; /* rows with finite results: the means and maxima are theirs, 0 where there are none */
    int64_t empty_rows;     /* rows without a visible score above -infinity */
    int64_t nan_rows;       /* rows with NaN or +infinity */
    int64_t saturated_rows; /* of the first */
    double entropy_mean, entropy_max;
    double max_probability_mean, max_probability_max;
    double effective_keys_mean, effective_keys_max;
    double score_mean_mean, score_mean_max;
    double score_variance_mean, score_variance_max;
    double jacobian_norm_mean, jacobian_norm_max;
} softattn_diagnosis_summary;

/* Where results go, at least one of them. Tensors have one element per row: the shape is that of the scores without the
 * softmax axis, for attention that of q without its last dimension; all but saturated have the type of x or q, or f32
 * where x has 16-bit floats. Each NULL: not wanted. */
typedef struct softattn_diagnosis {
    uint64_t struct_size;
    const softattn_tensor *entropy;
    const softattn_tensor *max_probability;
    const softattn_tensor *effective_keys;
    const softattn_tensor *score_mean;
    const softattn_tensor *score_variance;
    const softattn_tensor *jacobian_norm;
    /* bool or uint8 */
    const softattn_tensor *saturated;
    /* of all rows, summed in their order; struct_size set */
    softattn_diagnosis_summary *summary;
} softattn_diagnosis;

/* Probability above which a row counts as saturated: 0 … 1, default 0.99. */
SOFTATTN_API int32_t softattn_softmax_set_saturation(softattn_softmax *softmax, double probability);
SOFTATTN_API int32_t softattn_attention_set_saturation(softattn_attention *attention, double probability);

/* Diagnoses the rows that run would make of x, bias, keep_mask and lengths in args. The other tensors are not looked at. */
SOFTATTN_API int32_t softattn_softmax_diagnose(const softattn_softmax *softmax,
                                               const softattn_softmax_args *args,
                                               const softattn_diagnosis *diagnosis);

/*
 * Diagnoses the score rows of attention: of q, k and everything that shapes or masks scores. v, out, lse, weights and the
 * workspace are not looked at, dropout is left out, and a sink is one more score of the row in everything but the scores'
 * mean and variance. Scores are computed by the BLAS engine, row by row, whatever engine the handle asks for. Rows outside
 * all packed sequences are left as they are.
 */
SOFTATTN_API int32_t softattn_attention_diagnose(const softattn_attention *attention,
                                                 const softattn_attention_args *args,
                                                 const softattn_diagnosis *diagnosis);

#ifdef __cplusplus
}
#endif

#endif
