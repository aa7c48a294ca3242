/*
 * Fuzz target of attention: bytes become sizes, strides, masks, options and values. Both engines must match the
 * oracle; the fused engine must give the same bits on another instruction set, with threads, and again.
 */
#include "attention_case.h"
#include "contexts.h"
#include "fuzz.h"

#include <math.h>

static softattn_context *best, *generic, *threaded;

static void create_contexts(void) {
    if (!best) {
        best = context_create(NULL, 1);
        generic = context_create("generic", 1);
        threaded = context_create(NULL, 3);
    }
}

static attention_options options_from(random_source *random) {
    static const int64_t keys[] = {0, 1, 7, 8, 9, 31, 64, 127, 128, 129, 257, 512, 513, 700};
    attention_options o = attention_options_random(random);
    if (o.layout != ATTENTION_PACKED) {
        o.seq_kv = keys[random_below(random, sizeof keys / sizeof *keys)];
        o.seq_q = random_between(random, 0, o.seq_q);
        o.dim_v = random_between(random, 0, o.dim_v);
    }
    attention_options_add_masks(&o, random);
    return o;
}

/* NaN alone for values, and where no factor takes all weights to 0: an infinite value is NaN when its weight has
 * underflowed. */
static void spoil_values(attention_case *c, random_source *random) {
    const bool has_weights = !c->options.has_sink && c->options.dropout < 1;
    if (random_below(random, 8) == 0 && has_weights && array_count(&c->v) > 0) {
        array_set(&c->v, random_below(random, array_count(&c->v)), (double)NAN);
    }
}

/* Slopes stay as they are: docs/semantics.md says nothing of infinite ones. */
static void spoil(attention_case *c, random_source *random) {
    test_array *const arrays[] = {&c->q, &c->k, &c->bias, &c->sink};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (arrays[i]->tensor.data && arrays[i]->tensor.ndim > 0) {
            fuzz_spoil(arrays[i], random);
        }
    }
    spoil_values(c, random);
}

static uint64_t run_and_hash(attention_case *c, const softattn_context *context) {
    attention_case_forget_outputs(c);
    fuzz_expect(attention_case_run(c, context) == SOFTATTN_OK, "the run failed", attention_case_text(c));
    return fuzz_hash(&c->lse, fuzz_hash(&c->out, 0));
}

static void check_bits(attention_case *c) {
    const uint64_t hash = run_and_hash(c, best);
    fuzz_expect(run_and_hash(c, best) == hash, "a second run gave other bits", attention_case_text(c));
    fuzz_expect(run_and_hash(c, threaded) == hash, "threads gave other bits", attention_case_text(c));
    if (isa_is_exact(softattn_context_isa(best))) {
        fuzz_expect(run_and_hash(c, generic) == hash, "generic gave other bits", attention_case_text(c));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    random_source random;
    attention_case c;
    create_contexts();
    random_start_from_bytes(&random, data, size);
    const attention_options options = options_from(&random);
    attention_case_create(&c, &options, &random);
    spoil(&c, &random);
    oracle_attention_results expected = attention_case_expected(&c);
    for (int32_t engine = SOFTATTN_ENGINE_FUSED; engine <= SOFTATTN_ENGINE_BLAS; engine++) {
        c.options.engine = engine;
        if (engine == SOFTATTN_ENGINE_BLAS || !options.wants_weights) {
            attention_case_forget_outputs(&c);
            fuzz_expect(attention_case_differences_from(&c, best, &expected) == 0, "not what the oracle says",
                        attention_case_text(&c));
        }
    }
    c.options.engine = SOFTATTN_ENGINE_FUSED;
    if (!options.wants_weights) {
        check_bits(&c);
    }
    oracle_attention_results_destroy(&expected);
    attention_case_destroy(&c);
    return 0;
}
