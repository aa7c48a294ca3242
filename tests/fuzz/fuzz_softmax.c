/*
 * Fuzz target of softmax: bytes become sizes, strides, masks, options and values. The result must match the
 * oracle, and be the same bits on another instruction set, with threads, and again.
 */
#include "contexts.h"
#include "fuzz.h"
#include "softmax_case.h"

enum { MOST_ELEMENTS = 3000 };

static softattn_context *best, *generic, *threaded;

static void create_contexts(void) {
    if (!best) {
        best = context_create(NULL, 1);
        generic = context_create("generic", 1);
        threaded = context_create(NULL, 3);
    }
}

/* In place the scores are gone after a run, so each run has a case of its own from the same bytes. */
static void create_case(softmax_case *c, const uint8_t *data, size_t size) {
    random_source random;
    random_start_from_bytes(&random, data, size);
    const softmax_options options = softmax_options_random(&random, MOST_ELEMENTS);
    softmax_case_create(c, &options, &random);
    fuzz_spoil(&c->x, &random);
    if (options.bias.given && c->bias.tensor.ndim > 0) {
        fuzz_spoil(&c->bias, &random);
    }
}

static uint64_t run_and_hash(const uint8_t *data, size_t size, const softattn_context *context) {
    softmax_case c;
    create_case(&c, data, size);
    fuzz_expect(softmax_case_run(&c, context) == SOFTATTN_OK, "the run failed", softmax_case_text(&c));
    const uint64_t hash = fuzz_hash(&c.row_max, fuzz_hash(&c.lse, fuzz_hash(softmax_case_result(&c), 0)));
    softmax_case_destroy(&c);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    softmax_case c;
    create_contexts();
    create_case(&c, data, size);
    fuzz_expect(softmax_case_differences(&c, best) == 0, "not what the oracle says", softmax_case_text(&c));
    const uint64_t hash = run_and_hash(data, size, best);
    fuzz_expect(run_and_hash(data, size, best) == hash, "a second run gave other bits",
                softmax_case_text(&c));
    fuzz_expect(run_and_hash(data, size, threaded) == hash, "threads gave other bits", softmax_case_text(&c));
    if (isa_is_exact(softattn_context_isa(best))) {
        fuzz_expect(run_and_hash(data, size, generic) == hash, "generic gave other bits",
                    softmax_case_text(&c));
    }
    softmax_case_destroy(&c);
    return 0;
}
