/*
 * The limits of the machine.
 */
#include "ceilings.h"

#include "memory.h"

#include <softattn/softattn.h>

#include <stdatomic.h>
#include <string.h>

/* ---- Loops ------------------------------------------------------------------------------------------- */

/* Widest first, of the same processor. */
static const struct bench_ceiling_loops *const all_loops[] = {
#ifdef SOFTATTN_BENCH_HAVE_AVX512
    &bench_ceiling_loops_avx512,
#endif
#ifdef SOFTATTN_BENCH_HAVE_AVX2
    &bench_ceiling_loops_avx2,
#endif
#ifdef SOFTATTN_BENCH_HAVE_SSE2
    &bench_ceiling_loops_sse2,
#endif
#ifdef SOFTATTN_BENCH_HAVE_NEON
    &bench_ceiling_loops_neon,
#endif
    &bench_ceiling_loops_generic,
};

enum { LOOPS_COUNT = sizeof all_loops / sizeof all_loops[0] };

static int is_available(const char *isa) {
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        if (strcmp(softattn_isa_name(i), isa) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Memory is measured with these, too: its limit does not depend on who asks. "generic" is always
 * available. */
static const struct bench_ceiling_loops *widest_loops(void) {
    int i = 0;
    while (!is_available(all_loops[i]->isa)) {
        i++;
    }
    return all_loops[i];
}

const struct bench_ceiling_loops *bench_ceiling_loops(const char *isa) {
    for (int i = 0; i < LOOPS_COUNT; i++) {
        if (strcmp(all_loops[i]->isa, isa) == 0) {
            return all_loops[i];
        }
    }
    return widest_loops();
}

/* What the loops return goes here, so that no compiler finds their work useless. */
static void use(double value) {
    static _Atomic double sink;
    atomic_store_explicit(&sink, value, memory_order_relaxed);
}

/* ---- Multiply-adds ----------------------------------------------------------------------------------- */

/* Iterations of the loop in one call: a few microseconds. */
static const int64_t iterations_per_call = 1000;

struct multiply_add_run {
    struct bench_team *team;
    double (*loop)(int64_t iterations, double factor, double addend);
    int64_t calls;
};

static void multiply_add_member(void *argument, int member) {
    const struct multiply_add_run *run = argument;
    (void)member;
    use(run->loop(run->calls * iterations_per_call, 0.5, 1.0));
}

static double multiply_add_calls(void *argument, int64_t calls) {
    struct multiply_add_run *run = argument;
    run->calls = calls;
    return bench_team_run(run->team, multiply_add_member, run);
}

void bench_measure_multiply_add(struct bench_team *team, const struct bench_ceiling_loops *loops,
                                enum bench_type type, double seconds, struct bench_ceiling *ceiling) {
    struct multiply_add_run run = {
        .team = team,
        .loop = type == BENCH_F32 ? loops->multiply_add_f32 : loops->multiply_add_f64,
    };
    const int64_t flops = type == BENCH_F32 ? loops->flops_per_iteration_f32 : loops->flops_per_iteration_f64;
    struct bench_timing timing;
    bench_measure(multiply_add_calls, &run, seconds, &timing);
    const double flops_per_call = (double)flops * (double)iterations_per_call * bench_team_threads(team);
    ceiling->rate = flops_per_call / timing.median;
    ceiling->spread = timing.spread;
}

/* ---- Memory ------------------------------------------------------------------------------------------ */

const char *bench_traffic_name(enum bench_traffic traffic) {
    static const char *const names[] = {"read", "copy", "nontemporal-copy", "add", "nontemporal-add"};
    return names[traffic];
}

void bench_arena_destroy(struct bench_arena *arena) {
    bench_array_destroy(arena->x);
    bench_array_destroy(arena->y);
    bench_array_destroy(arena->z);
    memset(arena, 0, sizeof *arena);
}

static int grow(float **array, int64_t *elements, int64_t needed, struct bench_team *team) {
    if (needed <= *elements) {
        return 0;
    }
    bench_array_destroy(*array);
    *array = bench_array_create(team, BENCH_F32, needed);
    *elements = *array != NULL ? needed : 0;
    return *array != NULL ? 0 : -1;
}

struct traffic_run {
    struct bench_team *team;
    const struct bench_ceiling_loops *loops;
    enum bench_traffic traffic;
    const float *x, *z;
    float *y;
    int64_t elements;
    int64_t calls;
};

static int is_sum(enum bench_traffic traffic) {
    return traffic == BENCH_ADD || traffic == BENCH_NONTEMPORAL_ADD;
}

static void run_sums(const struct traffic_run *run, int64_t first, int64_t count) {
    const int around_caches = run->traffic == BENCH_NONTEMPORAL_ADD && run->loops->nontemporal_add != NULL;
    void (*add)(float *, const float *, const float *, int64_t) =
        around_caches ? run->loops->nontemporal_add : run->loops->add;
    for (int64_t call = 0; call < run->calls; call++) {
        add(run->y + first, run->x + first, run->z + first, count);
    }
}

static void run_copies(const struct traffic_run *run, int64_t first, int64_t count) {
    const int around_caches = run->traffic == BENCH_NONTEMPORAL_COPY && run->loops->nontemporal_copy != NULL;
    void (*copy)(float *, const float *, int64_t) =
        around_caches ? run->loops->nontemporal_copy : run->loops->copy;
    for (int64_t call = 0; call < run->calls; call++) {
        copy(run->y + first, run->x + first, count);
    }
}

static void traffic_member(void *argument, int member) {
    const struct traffic_run *run = argument;
    int64_t first, count;
    bench_share(run->elements, BENCH_LOOP_BLOCK, member, bench_team_threads(run->team), &first, &count);
    if (run->traffic == BENCH_READ) {
        use(run->loops->read(run->x + first, count, run->calls));
    } else if (is_sum(run->traffic)) {
        run_sums(run, first, count);
    } else {
        run_copies(run, first, count);
    }
}

static double traffic_calls(void *argument, int64_t calls) {
    struct traffic_run *run = argument;
    run->calls = calls;
    return bench_team_run(run->team, traffic_member, run);
}

int bench_measure_traffic(struct bench_team *team, struct bench_arena *arena, enum bench_traffic traffic,
                          double footprint, int in_place, double seconds, struct bench_ceiling *ceiling) {
    const int writes = traffic != BENCH_READ, reads = is_sum(traffic) ? 2 : 1;
    const int has_y = writes && !in_place, has_z = reads == 2;
    const double block_bytes = BENCH_LOOP_BLOCK * sizeof(float);
    const int64_t blocks = (int64_t)(footprint / (1 + has_y + has_z) / block_bytes) + 1;
    const int64_t elements = blocks * BENCH_LOOP_BLOCK;
    if (grow(&arena->x, &arena->x_elements, elements, team) != 0 ||
        (has_y && grow(&arena->y, &arena->y_elements, elements, team) != 0) ||
        (has_z && grow(&arena->z, &arena->z_elements, elements, team) != 0)) {
        return -1;
    }

    struct traffic_run run = {
        .team = team,
        .loops = widest_loops(),
        .traffic = traffic,
        .x = arena->x,
        .z = arena->z,
        .y = has_y ? arena->y : arena->x,
        .elements = elements,
    };
    struct bench_timing timing;
    bench_measure(traffic_calls, &run, seconds, &timing);
    ceiling->rate = (double)(reads + writes) * (double)elements * sizeof(float) / timing.median;
    ceiling->spread = timing.spread;
    return 0;
}

/* ---- Levels ------------------------------------------------------------------------------------------ */

const char *bench_level_name(enum bench_level level) {
    static const char *const names[] = {"L1", "L2", "L3", "DRAM"};
    return names[level];
}

static double larger(double a, double b) { return a > b ? a : b; }

double bench_level_footprint(const struct bench_machine *machine, enum bench_level level, int threads) {
    const double l1 = (double)machine->l1_bytes, l2 = (double)machine->l2_bytes,
                 l3 = (double)machine->l3_bytes;
    switch (level) {
    case BENCH_L1: return threads * l1 / 2;
    case BENCH_L2: return threads * l2 / 2;
    case BENCH_L3:
        /* Shared, so half of it for all threads, but well over what their own caches hold. */
        return l3 > 0 ? larger(l3 / 2, 2 * threads * l2) : 0;
    default: {
        /* Several processors have an L3 each, hence an amount per thread too. */
        const double enough = larger(4 * l3, threads * 64e6);
        const double most = (double)machine->memory_bytes / 8;
        return enough < most ? enough : most;
    }
    }
}
