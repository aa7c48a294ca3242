/*
 * Calls OpenBLAS as a guest of the application: never sets its threads, never enters its threaded code where that
 * could meet other callers, never has more threads inside than it has buffers for. See blas.h.
 */
#include "blas.h"

#ifdef SOFTATTN_HAVE_OPENBLAS

#include <cblas.h>
#include <pthread.h>
#include <string.h>

bool softattn_blas_available(void) { return true; }

const char *softattn_blas_backend(void) { return "openblas"; }

/* openblas_get_parallel's answers. */
enum { BUILD_SEQUENTIAL = 0, BUILD_PTHREADS = 1 };

/*
 * OpenBLAS computes products of up to this m * n * k on the calling thread, whatever its settings (interface/gemm.c:
 * SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD). Larger ones from several threads would queue on one lock, and an
 * OpenMP build would start a team for each.
 *
 * On 64-bit Arm newer versions have other limits: products of floats use threads from 125000 on with Neoverse V2, with
 * V1 from 262144 itself on. There, products of a single row or column become those of a matrix and a vector, some of
 * which use threads from 9216 on; those are left to queue, as little would remain of products cut to that size.
 */
#if defined(__aarch64__)
#define SINGLE_THREAD_WORK 124999
#else
#define SINGLE_THREAD_WORK 262144
#endif

int64_t softattn_blas_work_limit(void) {
    int build = openblas_get_parallel();
    /* An OpenMP build's thread count is each calling thread's own, so one thread's answer says nothing about others. */
    bool single = build == BUILD_SEQUENTIAL || (build == BUILD_PTHREADS && openblas_get_num_threads() == 1);
    return single ? INT64_MAX : SINGLE_THREAD_WORK;
}

/* ---- The gate: how many threads of ours may be inside OpenBLAS at once ---- */

/* Each call takes one of at least 50 buffers; without one it crashes. The rest is left to the application. */
#define MOST_CALLERS 32

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER; /* a thread left, or a fork is done */
static int gate_inside;
static int gate_forks;    /* forks that wait for everyone to leave, or run; nobody enters meanwhile */
static int gate_capacity; /* 0 until the first call */

/* OpenBLAS frees its buffers before a fork, also those in use. So a fork waits until no product is under way, and none
 * starts until it is done. */
static void close_gate(void) {
    pthread_mutex_lock(&gate_lock);
    gate_forks++;
    while (gate_inside > 0) {
        pthread_cond_wait(&gate_changed, &gate_lock);
    }
}

static void reopen_gate(void) {
    gate_forks--;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

static void reopen_gate_in_child(void) {
    gate_forks = 0;                         /* others that waited are the parent's */
    pthread_cond_init(&gate_changed, NULL); /* its waiters are gone */
    pthread_mutex_unlock(&gate_lock);
}

/* Called with gate_lock held: OpenBLAS composes its configuration text in a static buffer. */
static void build_gate(void) {
    /* A sequential build shares its buffers without a lock unless it was built with one. */
    bool reentrant =
        openblas_get_parallel() != BUILD_SEQUENTIAL || strstr(openblas_get_config(), "USE_LOCKING") != NULL;
    gate_capacity = reentrant ? MOST_CALLERS : 1;
    /* Without memory for the handlers, forks during a product are as safe as OpenBLAS is; so is a fork that another
     * thread has begun at the moment of the process's first product, which no handler can know of. */
    (void)pthread_atfork(close_gate, reopen_gate, reopen_gate_in_child);
}

static void enter_gate(int *cancel_state) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel_state);
    pthread_mutex_lock(&gate_lock);
    if (gate_capacity == 0) {
        build_gate();
    }
    while (gate_forks > 0 || gate_inside >= gate_capacity) {
        pthread_cond_wait(&gate_changed, &gate_lock);
    }
    gate_inside++;
    pthread_mutex_unlock(&gate_lock);
}

static void leave_gate(int cancel_state) {
    pthread_mutex_lock(&gate_lock);
    /* Both a caller and a fork may wait, each for something else. */
    if (gate_inside-- == gate_capacity || gate_inside == 0) {
        pthread_cond_broadcast(&gate_changed);
    }
    pthread_mutex_unlock(&gate_lock);
    pthread_setcancelstate(cancel_state, NULL);
}

/* ---- Products ---- */

void softattn_blas_gemm_f32(bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                            int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    int cancel_state;
    enter_gate(&cancel_state);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
    leave_gate(cancel_state);
}

void softattn_blas_gemm_f64(bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                            int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
    int cancel_state;
    enter_gate(&cancel_state);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
    leave_gate(cancel_state);
}

#else

bool softattn_blas_available(void) { return false; }

const char *softattn_blas_backend(void) { return "internal"; }

int64_t softattn_blas_work_limit(void) { return 0; }

void softattn_blas_gemm_f32(bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                            int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    (void)transpose_b, (void)m, (void)n, (void)k, (void)alpha;
    (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
}

void softattn_blas_gemm_f64(bool transpose_b, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                            int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
    (void)transpose_b, (void)m, (void)n, (void)k, (void)alpha;
    (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)c, (void)ldc;
}

#endif
