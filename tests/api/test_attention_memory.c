/*
 * Memory of attention with masks: a workspace of exactly the described size, at any address, is enough and spares
 * every allocation; one byte less is refused; and the second run of a shape takes nothing from context or system.
 */
#include "allocator.h"
#include "assert_status.h"
#include "attention_case.h"
#include "failing_system.h"

enum { PROBLEMS = 60, MOST_THREADS = 4 };

static random_source contents;
static test_allocator allocator;

/* Any masks on either engine; every third problem has very many short sequences, others heads that are read together, or few rows,
 * to some of which the engine adds one. */
static attention_options random_options(int problem) {
    attention_options o = attention_options_random(&contents);
    attention_options_add_masks(&o, &contents);
    o.engine = problem % 2 ? SOFTATTN_ENGINE_FUSED : SOFTATTN_ENGINE_BLAS;
    o.wants_weights = o.wants_weights && o.engine == SOFTATTN_ENGINE_BLAS;
    if (problem % 3 == 0) {
        o.sequences = 100 + problem;
        o.batch = 1;
        o.layout = ATTENTION_COMPACT;
        o.seq_q = 150;
        o.seq_kv = 1400;
    } else if (problem % 3 == 1) {
        attention_options_put_heads_together(&o, &contents);
    } else {
        o.layout = ATTENTION_COMPACT;
        o.engine = SOFTATTN_ENGINE_FUSED;
        o.wants_weights = false;
        o.heads_q = o.heads_kv;
        o.seq_q = problem % 2 ? random_between(&contents, 1, 8) : 3 + 4 * random_below(&contents, 2);
        o.seq_kv = random_between(&contents, 1, 2100);
    }
    return o;
}

/* Starts the context's threads, and lets a BLAS take what it keeps. */
static void warm_up(const softattn_context *context) {
    attention_options o = attention_options_plain(ARRAY_F32, 8, 200, 4);
    for (o.engine = SOFTATTN_ENGINE_FUSED; o.engine <= SOFTATTN_ENGINE_BLAS; o.engine++) {
        attention_case c;
        attention_case_create(&c, &o, &contents);
        assert_ok(attention_case_run(&c, context));
        attention_case_destroy(&c);
    }
}

static uint64_t described_bytes(const softattn_attention *attention, const attention_case *c) {
    softattn_attention_plan plan = {.struct_size = sizeof plan};
    assert_ok(softattn_attention_describe(attention, &c->args, &plan));
    return plan.workspace_bytes;
}

static bool outputs_untouched(const attention_case *c) {
    return array_untouched(&c->out) && array_untouched(&c->lse) &&
           (!c->options.wants_weights || array_untouched(&c->weights));
}

/* How many allocations a run makes in this thread: of the C library, and of the context's allocator. */
static int64_t allocations_of_run(const softattn_attention *attention, attention_case *c) {
    const int64_t before = allocator.calls;
    fail_allocation(0, false); /* none fails; counting starts */
    const int32_t status = softattn_attention_run(attention, &c->args);
    const int64_t counted = allocations_counted();
    assert_ok(status);
    return counted + allocator.calls - before;
}

static void assert_expected(attention_case *c) {
    oracle_attention_results expected = attention_case_expected(c);
    if (attention_case_differences_from(c, NULL, &expected) != 0) {
        fail_msg("%s", attention_case_text(c));
    }
    oracle_attention_results_destroy(&expected);
}

/* The block ends at a page, so an odd number of bytes starts at an odd address. */
static void check_workspace(attention_case *c, const softattn_context *context) {
    softattn_attention *const attention = attention_case_handle(c, context);
    const uint64_t bytes = described_bytes(attention, c);
    guard_block block;
    guard_create(&block, (size_t)bytes, 1, GUARD_AFTER);
    assert_int_equal((uintptr_t)block.data % 64, 1); /* where aligning it takes the most */
    c->args.workspace = block.data;
    c->args.workspace_bytes = bytes - 1;
    assert_fails(softattn_attention_run(attention, &c->args), SOFTATTN_ERROR_MEMORY, "workspace");
    assert_true(outputs_untouched(c));
    c->args.workspace_bytes = bytes;
    assert_int_equal(allocations_of_run(attention, c), 0);
    assert_true(guard_surroundings_untouched(&block));
    c->args.workspace = NULL;
    c->args.workspace_bytes = 0;
    guard_destroy(&block);
    softattn_attention_destroy(attention);
}

static void a_workspace_of_the_described_size_spares_every_allocation(void **state) {
    (void)state;
    for (int32_t threads = 0; threads <= MOST_THREADS; threads += 2) {
        softattn_context *const context = threads > 0 ? context_create(NULL, threads) : NULL;
        warm_up(context);
        for (int problem = 0; problem < PROBLEMS; problem++) {
            const attention_options o = random_options(problem);
            attention_case c, other;
            random_source same = contents;
            attention_case_create(&c, &o, &contents);
            attention_case_create(&other, &o, &same);
            check_workspace(&c, context);
            assert_ok(attention_case_run(&other, context));
            assert_int_equal(attention_case_differing_bits(&c, &other), 0);
            attention_case_destroy(&c);
            attention_case_destroy(&other);
        }
        softattn_context_destroy(context);
    }
}

static void the_second_run_of_a_shape_takes_nothing(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= MOST_THREADS; threads += 3) {
        softattn_context *const context = context_create(NULL, threads);
        assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
        warm_up(context);
        for (int problem = 0; problem < PROBLEMS; problem++) {
            const attention_options o = random_options(problem);
            attention_case c;
            attention_case_create(&c, &o, &contents);
            softattn_attention *const attention = attention_case_handle(&c, context);
            assert_ok(softattn_attention_run(attention, &c.args));
            assert_int_equal(allocations_of_run(attention, &c), 0);
            softattn_attention_destroy(attention);
            attention_case_destroy(&c);
        }
        softattn_context_destroy(context);
        assert_int_equal(allocator.live, 0);
        assert_false(allocator.misused);
    }
}

/* Every allocation of a masked run in turn fails: a status, nothing written, nothing lost, and the next run works. */
static void every_failed_allocation_is_a_status(void **state) {
    (void)state;
    for (int problem = 0; problem < PROBLEMS / 4; problem++) {
        const attention_options o = random_options(problem);
        bool reached = true;
        for (int64_t n = 1; reached; n++) {
            softattn_context *const context = context_create(NULL, 2);
            attention_case c;
            attention_case_create(&c, &o, &contents);
            softattn_attention *const attention = attention_case_handle(&c, context);
            assert_ok(softattn_context_set_allocator(context, test_allocate, test_free, &allocator));
            const int64_t live = allocator.live;
            test_allocator_fail_at(&allocator, n, false);
            const int32_t status = softattn_attention_run(attention, &c.args);
            reached = allocator.calls >= n;
            test_allocator_fail_at(&allocator, 0, false);
            if (reached) {
                assert_fails(status, SOFTATTN_ERROR_MEMORY, "context");
                assert_true(outputs_untouched(&c));
                assert_int_equal(allocator.live, live);
            }
            assert_expected(&c);
            softattn_attention_destroy(attention);
            attention_case_destroy(&c);
            softattn_context_destroy(context);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workspace_of_the_described_size_spares_every_allocation),
        cmocka_unit_test(the_second_run_of_a_shape_takes_nothing),
        cmocka_unit_test(every_failed_allocation_is_a_status),
    };
    random_start(&contents, "test_attention_memory");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
