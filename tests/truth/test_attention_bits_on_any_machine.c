/*
 * Attention by the fused engine gives the same bits on every instruction set with fused multiply-add, with any
 * number of threads, the library's or the caller's, and for operands at any address and of any layout: random
 * problems with every mask. (Instruction sets without it keep to their own bits.)
 */
#include "adversarial_pools.h"
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <string.h>

enum {
    MOST_ISAS = 16,
    MOST_THREADS = 8,
    PROBLEMS = 50,
    LONG_CACHES = 30,
    LARGE_CACHES = 2,
    LAYOUT_PROBLEMS = 5,
    MOST_SHIFT = 16
};

/* Few rows with many keys are split along the keys, many rows are not; all borders of tiles are crossed. */
static attention_options random_options(random_source *random) {
    attention_options o = attention_options_random(random);
    const bool decode = random_below(random, 2);
    o.layout = o.layout == ATTENTION_PACKED ? ATTENTION_COMPACT : o.layout;
    o.seq_q = decode ? random_between(random, 1, 6) : random_between(random, 7, 70);
    o.seq_kv = decode ? random_between(random, 1, 2200) : random_between(random, 1, 700);
    o.dim_qk = random_between(random, 1, 20);
    o.dim_v = random_between(random, 1, 20);
    attention_options_add_masks(&o, random);
    o.engine = SOFTATTN_ENGINE_FUSED;
    o.wants_weights = false;
    return o;
}

/* A few queries on a long cache of which windows, lengths and padding leave little: threads share chunks of keys, from the first
 * that is visible on. */
static attention_options random_long_cache(random_source *random) {
    static const int64_t queries[] = {1, 3, 20, 70};
    attention_options o = attention_options_plain(random_below(random, 2) ? ARRAY_F64 : ARRAY_F32, 4, 1, 8);
    o.batch = random_between(random, 1, 2);
    o.heads_kv = random_below(random, 2) ? 2 : 4;
    o.seq_q = queries[random_below(random, 4)];
    o.seq_kv = random_between(random, 1500, 3500);
    o.causal = random_below(random, 2) ? SOFTATTN_CAUSAL_BOTTOM_RIGHT : SOFTATTN_CAUSAL_OFFSET;
    o.offset = random_below(random, o.seq_kv);
    o.has_window = random_below(random, 4) != 0;
    o.window_left = random_below(random, 1700);
    o.window_right = -1;
    o.has_key_lengths = random_below(random, 2);
    o.has_key_starts = random_below(random, 2);
    o.engine = SOFTATTN_ENGINE_FUSED;
    if (random_below(random, 3) == 0) {
        attention_options_put_heads_together(&o, random);
    }
    return o;
}

/* More keys and values than a cache of 32 MiB keeps: they are asked for in another way, heads by themselves or side by side. */
static attention_options random_large_cache(attention_layout layout, random_source *random) {
    attention_options o = attention_options_plain(ARRAY_F32, 8, 1, 64);
    o.heads_q = random_below(random, 2) ? 8 : 16;
    o.seq_kv = random_between(random, 8900, 9100);
    o.dim_v = random_between(random, 56, 72);
    o.layout = layout;
    o.engine = SOFTATTN_ENGINE_FUSED;
    return o;
}

/* ---- Instruction sets and threads ---------------------------------------------------------------------- */

static void expect_same(attention_case *c, const softattn_context *context, const attention_case *expected,
                        const char *what) {
    attention_case_forget_outputs(c);
    EXPECT(attention_case_run(c, context) == SOFTATTN_OK, "%s", last_error());
    EXPECT(attention_case_differing_bits(c, expected) == 0, "%s, %d threads on %s: %s", what,
           (int)softattn_context_threads(context), softattn_context_isa(context), attention_case_text(c));
}

static void instruction_sets_and_threads_change_no_bit(random_source *random) {
    softattn_context *contexts[MOST_ISAS][MOST_THREADS];
    const int32_t isas = softattn_isa_count() < MOST_ISAS ? softattn_isa_count() : MOST_ISAS;
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < isas * MOST_THREADS; i++) {
        contexts[i / MOST_THREADS][i % MOST_THREADS] =
            context_create(softattn_isa_name(i / MOST_THREADS), i % MOST_THREADS + 1);
    }
    for (int problem = 0; problem < PROBLEMS + LONG_CACHES + LARGE_CACHES; problem++) {
        const int large = problem - PROBLEMS - LONG_CACHES;
        const attention_options o =
            problem < PROBLEMS ? random_options(random)
            : large < 0        ? random_long_cache(random)
                        : random_large_cache(large == 0 ? ATTENTION_COMPACT : ATTENTION_SEQ_FIRST, random);
        random_source contents = *random;
        attention_case expected, actual;
        attention_case_create(&expected, &o, random);
        attention_case_create(&actual, &o, &contents);
        for (int32_t isa = 0; isa < isas; isa++) {
            const bool is_exact = isa_is_exact(softattn_isa_name(isa));
            EXPECT(attention_case_run(&expected, is_exact ? generic : contexts[isa][0]) == SOFTATTN_OK, "%s",
                   last_error());
            for (int32_t threads = 0; threads < MOST_THREADS; threads++) {
                expect_same(&actual, contexts[isa][threads], &expected, "the library's threads");
            }
        }
        attention_case_destroy(&expected);
        attention_case_destroy(&actual);
    }
    for (int32_t i = 0; i < isas * MOST_THREADS; i++) {
        softattn_context_destroy(contexts[i / MOST_THREADS][i % MOST_THREADS]);
    }
    softattn_context_destroy(generic);
}

/* ---- The caller's threads ------------------------------------------------------------------------------ */

typedef struct inner_call {
    attention_case *problem;
    const softattn_context *context;
} inner_call;

static void run_inner(void *user) {
    const inner_call *const call = user;
    EXPECT(attention_case_run(call->problem, call->context) == SOFTATTN_OK, "%s", last_error());
}

static void pools_of_the_caller_change_no_bit(random_source *random) {
    const attention_options plain = attention_options_plain(ARRAY_F32, 3, 40, 8);
    softattn_context *const serial = context_create(NULL, 1);
    softattn_context *const pooled = context_create(NULL, 1);
    attention_case inner, inner_expected;
    random_source inner_contents = *random;
    attention_case_create(&inner, &plain, random);
    attention_case_create(&inner_expected, &plain, &inner_contents);
    EXPECT(attention_case_run(&inner_expected, serial) == SOFTATTN_OK, "%s", last_error());
    const inner_call call = {&inner, pooled};
    int64_t tasks[ADVERSARIAL_POOLS] = {0};
    for (int problem = 0; problem < PROBLEMS; problem++) {
        const attention_options o = random_options(random);
        random_source contents = *random;
        attention_case expected, actual;
        attention_case_create(&expected, &o, random);
        attention_case_create(&actual, &o, &contents);
        EXPECT(attention_case_run(&expected, serial) == SOFTATTN_OK, "%s", last_error());
        for (int i = 0; i < ADVERSARIAL_POOLS; i++) {
            pool_state state = {0, run_inner, (void *)&call, 0};
            EXPECT(softattn_context_set_parallel_for(pooled, adversarial_pools[i].parallel_for, &state,
                                                     2 + problem % 7) == SOFTATTN_OK,
                   "%s", last_error());
            expect_same(&actual, pooled, &expected, adversarial_pools[i].name);
            tasks[i] += state.tasks;
        }
        attention_case_destroy(&expected);
        attention_case_destroy(&actual);
    }
    for (int i = 0; i < ADVERSARIAL_POOLS; i++) {
        EXPECT(tasks[i] > PROBLEMS, "%s had %d tasks to run", adversarial_pools[i].name, (int)tasks[i]);
    }
    EXPECT(attention_case_differing_bits(&inner, &inner_expected) == 0, "calls between the tasks");
    attention_case_destroy(&inner);
    attention_case_destroy(&inner_expected);
    softattn_context_destroy(serial);
    softattn_context_destroy(pooled);
}

/* ---- Layout and address -------------------------------------------------------------------------------- */

static void layouts_change_no_bit(const softattn_context *context, random_source *random) {
    for (int problem = 0; problem < LAYOUT_PROBLEMS; problem++) {
        attention_options o = random_options(random);
        o.seq_kv = o.seq_q = 20 + 60 * (problem % 3); /* as packed q, k and v need it */
        o.dim_v = o.dim_qk;
        o.layout = ATTENTION_COMPACT;
        random_source contents = *random;
        attention_case compact;
        attention_case_create(&compact, &o, random);
        EXPECT(attention_case_run(&compact, context) == SOFTATTN_OK, "%s", last_error());
        for (int layout = 0; layout < 2 * ATTENTION_LAYOUTS; layout++) {
            random_source same = contents;
            attention_case other;
            o.layout = (attention_layout)(layout / 2);
            o.side = layout % 2 ? GUARD_AFTER : GUARD_BEFORE;
            attention_case_create(&other, &o, &same);
            expect_same(&other, context, &compact, "layout");
            attention_case_destroy(&other);
        }
        attention_case_destroy(&compact);
    }
}

/* The contents of an array, `shift` elements after a page's start. */
static void create_shifted(test_array *base, test_array *view, const test_array *from, int64_t shift) {
    const int64_t count = array_count(from) + shift;
    int64_t strides[SOFTATTN_MAX_RANK], stride = 1;
    for (int32_t axis = from->tensor.ndim - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= from->shape[axis];
    }
    array_create(base, from->type, 1, &count, ARRAY_COMPACT, GUARD_BEFORE);
    array_create_view(view, base, from->tensor.ndim, from->shape, strides, shift);
    array_copy(view, from);
}

/* Every operand at every distance from an aligned address, each at another one. */
static void addresses_change_no_bit(const softattn_context *context, random_source *random) {
    attention_options o = attention_options_plain(ARRAY_F32, 2, 37, 19);
    o.engine = SOFTATTN_ENGINE_FUSED;
    o.seq_kv = 150;
    o.has_bias = o.has_keep = o.has_alibi = o.has_sink = true;
    for (int variant = 0; variant < 4 * MOST_SHIFT; variant++) {
        o.type = variant / MOST_SHIFT % 2 ? ARRAY_F64 : ARRAY_F32;
        o.seq_q = variant / MOST_SHIFT / 2 ? 37 : 2;
        random_source contents = *random;
        attention_case aligned, moved;
        attention_case_create(&aligned, &o, &contents);
        contents = *random;
        attention_case_create(&moved, &o, &contents);
        const softattn_tensor **const fields[] = {&moved.args.q,         &moved.args.k,
                                                  &moved.args.v,         &moved.args.bias,
                                                  &moved.args.keep_mask, &moved.args.alibi_slopes,
                                                  &moved.args.sink};
        const test_array *const arrays[] = {&moved.q,    &moved.k,     &moved.v,   &moved.bias,
                                            &moved.keep, &moved.alibi, &moved.sink};
        enum { FIELDS = sizeof fields / sizeof *fields };
        test_array bases[FIELDS], views[FIELDS];
        for (int i = 0; i < FIELDS; i++) {
            create_shifted(&bases[i], &views[i], arrays[i], (variant + 3 * i) % MOST_SHIFT);
            *fields[i] = &views[i].tensor;
        }
        EXPECT(attention_case_run(&aligned, context) == SOFTATTN_OK, "%s", last_error());
        expect_same(&moved, context, &aligned, "other addresses");
        for (int i = 0; i < FIELDS; i++) {
            array_destroy(&bases[i]);
        }
        attention_case_destroy(&aligned);
        attention_case_destroy(&moved);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_bits_on_any_machine");
    instruction_sets_and_threads_change_no_bit(&random);
    pools_of_the_caller_change_no_bit(&random);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        layouts_change_no_bit(context, &random);
        addresses_change_no_bit(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
