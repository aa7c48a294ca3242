/*
 * Every instruction set with fused multiply-add gives the bits that "generic" gives: softmax, attention by
 * the fused engine, and attention by the BLAS engine where the library multiplies with its own kernels.
 */
#include "attention_case.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"
#include "softmax_case.h"

#include <string.h>

enum { SOFTMAX_PROBLEMS = 400, ATTENTION_PROBLEMS = 150 };

static void softmax_gives_the_bits_of_generic(const softattn_context *context,
                                              const softattn_context *generic, random_source *random) {
    for (int i = 0; i < SOFTMAX_PROBLEMS; i++) {
        const softmax_options options = softmax_options_random(random, 1500);
        random_source contents = *random;
        softmax_case a, b;
        softmax_case_create(&a, &options, random);
        softmax_case_create(&b, &options, &contents);
        EXPECT(softmax_case_run(&a, context) == SOFTATTN_OK, "%s", last_error());
        EXPECT(softmax_case_run(&b, generic) == SOFTATTN_OK, "%s", last_error());
        const int64_t differences = compare_bits("y", softmax_case_result(&a), softmax_case_result(&b)) +
                                    compare_bits("lse", &a.lse, &b.lse) +
                                    compare_bits("row_max", &a.row_max, &b.row_max);
        EXPECT(differences == 0, "%s against generic: %s", softattn_context_isa(context),
               softmax_case_text(&a));
        softmax_case_destroy(&a);
        softmax_case_destroy(&b);
    }
}

static void attention_gives_the_bits_of_generic(int32_t engine, const softattn_context *context,
                                                const softattn_context *generic, random_source *random) {
    for (int i = 0; i < ATTENTION_PROBLEMS; i++) {
        attention_options options = attention_options_random(random);
        options.engine = engine;
        random_source contents = *random;
        attention_case a, b;
        attention_case_create(&a, &options, random);
        attention_case_create(&b, &options, &contents);
        if (attention_case_is_served(&a, context)) {
            EXPECT(attention_case_run(&a, context) == SOFTATTN_OK, "%s", last_error());
            EXPECT(attention_case_run(&b, generic) == SOFTATTN_OK, "%s", last_error());
            int64_t differences = compare_bits("out", &a.out, &b.out) + compare_bits("lse", &a.lse, &b.lse);
            if (options.wants_weights) {
                differences += compare_bits("weights", &a.weights, &b.weights);
            }
            EXPECT(differences == 0, "%s against generic: %s", softattn_context_isa(context),
                   attention_case_text(&a));
        }
        attention_case_destroy(&a);
        attention_case_destroy(&b);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_instruction_sets_do_not_change_bits");
    softattn_context *const generic = context_create("generic", 1);
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        const char *const isa = softattn_isa_name(i);
        if (!isa_is_exact(isa)) {
            continue;
        }
        softattn_context *const context = context_create(isa, 1);
        softmax_gives_the_bits_of_generic(context, generic, &random);
        attention_gives_the_bits_of_generic(SOFTATTN_ENGINE_FUSED, context, generic, &random);
        if (strcmp(softattn_blas_name(), "internal") == 0) {
            attention_gives_the_bits_of_generic(SOFTATTN_ENGINE_BLAS, context, generic, &random);
        }
        softattn_context_destroy(context);
    }
    softattn_context_destroy(generic);
    return expect_summary();
}
