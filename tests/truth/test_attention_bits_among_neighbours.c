/*
 * A row of attention by the fused engine is the same bits whatever is computed beside it: alone or in a batch, at
 * any position of it, with other heads or without, even read together with them, among few queries (decoding) or
 * many (prefill), in pieces or at once, with shared key/value heads or repeated ones, in a padded batch or packed. On every instruction set.
 */
#include "attention_case.h"
#include "attention_part.h"
#include "compare.h"
#include "contexts.h"
#include "expect.h"

#include <stdlib.h>
#include <string.h>

enum { PROBLEMS = 40, MOST_DECODED_QUERIES = 20, LARGE_BYTES = 1 << 24 };

/* Any masks, but one problem for each batch element, so nothing packed. */
static attention_options random_options(random_source *random) {
    attention_options o = attention_options_random(random);
    o.layout = o.layout == ATTENTION_PACKED ? ATTENTION_SEQ_FIRST : o.layout;
    o.seq_q = random_between(random, 1, 90);
    o.seq_kv = random_between(random, 1, random_below(random, 2) ? 150 : 1100);
    o.dim_qk = random_between(random, 1, 20);
    o.dim_v = random_between(random, 1, 20);
    attention_options_add_masks(&o, random);
    o.batch = random_between(random, 1, 3);
    o.sequences = 0;
    o.engine = SOFTATTN_ENGINE_FUSED;
    o.wants_weights = false;
    return o;
}

static void create_and_run(attention_case *c, const attention_options *options,
                           const softattn_context *context, random_source *random) {
    attention_case_create(c, options, random);
    EXPECT(attention_case_run(c, context) == SOFTATTN_OK, "%s", last_error());
}

static void expect_same_part(const attention_case *whole, int64_t batch, int64_t first_head, int64_t heads,
                             int64_t first_query, int64_t queries, const softattn_context *context) {
    const attention_range range = {batch, first_head, heads, first_query, queries};
    EXPECT(attention_part_differing_bits(whole, &range, context) == 0,
           "batch %d, heads %d + %d, queries %d + %d alone on %s: %s", (int)batch, (int)first_head,
           (int)heads, (int)first_query, (int)queries, softattn_context_isa(context),
           attention_case_text(whole));
}

/* ---- Batch and heads ----------------------------------------------------------------------------------- */

static void batch_and_heads_change_no_bit(const softattn_context *context, random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        const attention_options o = random_options(random);
        attention_case c;
        create_and_run(&c, &o, context, random);
        const int64_t group = o.heads_q / o.heads_kv;
        for (int64_t batch = 0; batch < o.batch; batch++) {
            expect_same_part(&c, batch, 0, o.heads_q, 0, o.seq_q, context);
            expect_same_part(&c, batch, random_below(random, o.heads_q), 1, 0, o.seq_q, context);
            expect_same_part(&c, batch, random_below(random, o.heads_kv) * group, group, 0, o.seq_q, context);
        }
        attention_case_destroy(&c);
    }
}

/* Of heads that lie side by side, each by itself, which the engine cannot read together with others. */
static void heads_read_together_change_no_bit(const char *isa, random_source *random) {
    for (int problem = 0; problem < PROBLEMS / 4; problem++) {
        attention_options o = random_options(random);
        softattn_context *const context = context_create(isa, (int32_t)random_between(random, 1, 3));
        attention_options_put_heads_together(&o, random);
        const int64_t group = o.heads_q / o.heads_kv;
        attention_case c;
        create_and_run(&c, &o, context, random);
        for (int64_t batch = 0; batch < o.batch; batch++) {
            for (int64_t head = 0; head < o.heads_kv; head += random_between(random, 1, 4)) {
                expect_same_part(&c, batch, head * group, group, 0, o.seq_q, context);
            }
        }
        attention_case_destroy(&c);
        softattn_context_destroy(context);
    }
}

/* ---- More than the caches keep ---- */

/* Sequences and heads beyond what third-level caches of up to 40 MiB keep, where each asks for what the next one begins with. */
static attention_options options_from_memory(random_source *random) {
    attention_options o = random_options(random);
    const double element = o.type == ARRAY_F64 ? 8 : 4;
    o.seq_q = random_between(random, 20, 260);
    o.seq_kv = random_between(random, 1, 260);
    o.dim_qk = random_between(random, 30, 70);
    o.dim_v = random_between(random, 30, 70);
    o.heads_kv = random_between(random, 1, 12);
    o.heads_q = o.heads_kv * random_between(random, 1, 2);
    o.has_bias = o.has_keep = false;
    o.block_k = 0;
    const double rows = (double)(o.heads_q * o.seq_q + o.heads_kv * o.seq_kv);
    o.batch = 1 + (int64_t)(LARGE_BYTES / (rows * (double)(o.dim_qk + o.dim_v) * element));
    return o;
}

static void sequences_from_memory_change_no_bit(const char *isa, random_source *random) {
    const attention_options o = options_from_memory(random);
    softattn_context *const context = context_create(isa, (int32_t)random_between(random, 1, 3));
    attention_case c;
    create_and_run(&c, &o, context, random);
    for (int i = 0; i < 6; i++) {
        const int64_t batch = i == 0 ? o.batch - 1 : random_below(random, o.batch);
        expect_same_part(&c, batch, random_below(random, o.heads_q), 1, 0, o.seq_q, context);
    }
    attention_case_destroy(&c);
    softattn_context_destroy(context);
}

/* ---- Queries ------------------------------------------------------------------------------------------- */

/* Options under which queries can be taken alone: dropout counts them from the problem's first one. */
static attention_options options_without_dropout(random_source *random) {
    attention_options o = random_options(random);
    o.dropout = 0;
    if (o.block_k > 0 && o.block_q > o.seq_q / 4 + 1) {
        o.block_q = o.seq_q / 4 + 1; /* parts begin where a block does */
    }
    return o;
}

static int64_t block_start(const attention_options *o, int64_t query) {
    return o->block_k > 0 ? query / o->block_q * o->block_q : query;
}

/* 1 … 20 queries of one head, of a group and of all: as few rows as decoding has, and more than that. */
static void few_queries_give_the_bits_of_many(const softattn_context *context, random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        const attention_options o = options_without_dropout(random);
        const int64_t group = o.heads_q / o.heads_kv;
        attention_case c;
        create_and_run(&c, &o, context, random);
        for (int64_t queries = 1; queries <= MOST_DECODED_QUERIES && queries <= o.seq_q; queries++) {
            const int64_t first = block_start(&o, random_between(random, 0, o.seq_q - queries));
            const int64_t batch = random_below(random, o.batch);
            expect_same_part(&c, batch, random_below(random, o.heads_q), 1, first, queries, context);
            expect_same_part(&c, batch, random_below(random, o.heads_kv) * group, group, first, queries,
                             context);
            expect_same_part(&c, batch, 0, o.heads_q, first, queries, context);
        }
        attention_case_destroy(&c);
    }
}

/* All queries, a few at a time, as prompts that arrive in pieces. */
static void queries_in_pieces_give_the_bits_of_the_whole(const softattn_context *context,
                                                         random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        attention_options o = options_without_dropout(random);
        o.causal = (int32_t)random_between(random, SOFTATTN_CAUSAL_TOP_LEFT, SOFTATTN_CAUSAL_OFFSET);
        const int64_t most = random_between(random, 1, 40);
        attention_case c;
        create_and_run(&c, &o, context, random);
        for (int64_t batch = 0; batch < o.batch; batch++) {
            int64_t first = 0;
            while (first < o.seq_q) {
                int64_t end = block_start(&o, first + random_between(random, 1, most));
                end = end <= first ? block_start(&o, first + o.block_q) : end;
                end = end < o.seq_q ? end : o.seq_q;
                expect_same_part(&c, batch, 0, o.heads_q, first, end - first, context);
                first = end;
            }
        }
        attention_case_destroy(&c);
    }
}

/* ---- Key/value heads ----------------------------------------------------------------------------------- */

/* Head h of `to` is head h / group of `from`. */
static void repeat_heads(test_array *to, const test_array *from, int64_t group) {
    const int64_t elements = to->shape[2] * to->shape[3];
    for (int64_t i = 0; i < array_count(to); i++) {
        array_set(to, i, array_get(from, i / elements / group * elements + i % elements));
    }
}

/* The same problem but for k and v. */
static void run_with_keys(const attention_case *c, const softattn_tensor *k, const softattn_tensor *v,
                          attention_case *results, const softattn_context *context) {
    softattn_attention *const attention = attention_case_handle(c, context);
    softattn_attention_args args = c->args;
    args.k = k;
    args.v = v;
    args.out = &results->out.tensor;
    args.lse = &results->lse.tensor;
    EXPECT(softattn_attention_run(attention, &args) == SOFTATTN_OK, "%s", last_error());
    EXPECT(attention_case_differing_bits(results, c) == 0, "repeated key/value heads on %s: %s",
           softattn_context_isa(context), attention_case_text(c));
    softattn_attention_destroy(attention);
}

/* Repeated in memory, and where there is one head by a stride of 0. */
static void shared_heads_give_the_bits_of_repeated_ones(const softattn_context *context,
                                                        random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        attention_options o = random_options(random);
        const int64_t group = random_between(random, 2, 5);
        o.heads_q = o.heads_kv * group;
        attention_case shared, repeated;
        create_and_run(&shared, &o, context, random);
        o.heads_kv = o.heads_q;
        attention_case_create(&repeated, &o, random);
        repeat_heads(&repeated.k, &shared.k, group);
        repeat_heads(&repeated.v, &shared.v, group);
        run_with_keys(&shared, &repeated.k.tensor, &repeated.v.tensor, &repeated, context);
        if (shared.options.heads_kv == 1) {
            test_array k, v;
            shared.k.strides[1] = shared.v.strides[1] = 0;
            array_create_view(&k, &shared.k, 4, repeated.k.shape, shared.k.strides, 0);
            array_create_view(&v, &shared.v, 4, repeated.v.shape, shared.v.strides, 0);
            attention_case_forget_outputs(&repeated);
            run_with_keys(&shared, &k.tensor, &v.tensor, &repeated, context);
        }
        attention_case_destroy(&repeated);
        attention_case_destroy(&shared);
    }
}

/* ---- Padded and packed --------------------------------------------------------------------------------- */

/* Where rows of an array [batch][heads][seq][dim] stand. */
typedef struct row_place {
    int64_t batch, row;
} row_place;

static int64_t element_at(const test_array *array, row_place place, int64_t head, int64_t row, int64_t d) {
    return ((place.batch * array->shape[1] + head) * array->shape[2] + place.row + row) * array->shape[3] + d;
}

static void copy_rows(test_array *to, row_place at, const test_array *from, row_place source, int64_t rows) {
    for (int64_t i = 0; i < to->shape[1] * rows * to->shape[3]; i++) {
        const int64_t head = i / to->shape[3] / rows, row = i / to->shape[3] % rows, d = i % to->shape[3];
        array_set(to, element_at(to, at, head, row, d),
                  array_get(from, element_at(from, source, head, row, d)));
    }
}

static int64_t differing_rows(const test_array *a, row_place at, const test_array *b, row_place source,
                              int64_t rows) {
    int64_t differing = 0;
    for (int64_t i = 0; i < a->shape[1] * rows * a->shape[3]; i++) {
        const int64_t head = i / a->shape[3] / rows, row = i / a->shape[3] % rows, d = i % a->shape[3];
        differing +=
            memcmp(array_at(a, element_at(a, at, head, row, d)),
                   array_at(b, element_at(b, source, head, row, d)), array_element_bytes(a->type)) != 0;
    }
    return differing;
}

static int64_t blocks(int64_t seq, int64_t block) { return (seq + block - 1) / block; }

/* One problem's block mask where the other has such a block. */
static void copy_blocks(attention_case *to, const attention_case *from) {
    const attention_options *const t = &to->options, *const f = &from->options;
    const int64_t rows = blocks(t->seq_q, t->block_q), cols = blocks(t->seq_kv, t->block_k);
    const int64_t shape[4] = {1, f->heads_q, blocks(f->seq_q, f->block_q), blocks(f->seq_kv, f->block_k)};
    double *const map = array_read(&from->block_mask, 4, shape);
    for (int64_t i = 0; i < t->heads_q * rows * cols; i++) {
        const int64_t head = i / cols / rows, row = i / cols % rows, col = i % cols;
        const bool exists = row < shape[2] && col < shape[3];
        array_set(&to->block_mask, i, exists ? map[(head * shape[2] + row) * shape[3] + col] : 1.0);
    }
    free(map);
}

/* Lengths become offsets, with rows that belong to no sequence before the first and after the last. */
static void pack(attention_case *packed, const attention_case *padded) {
    int64_t query = 1, key = 2;
    for (int64_t i = 0; i <= padded->options.batch; i++) {
        array_set(&packed->query_offsets, i, (double)query);
        array_set(&packed->key_offsets, i, (double)key);
        if (i < padded->options.batch) {
            const int64_t queries = (int64_t)array_get(&padded->query_lengths, i);
            const int64_t keys = (int64_t)array_get(&padded->key_lengths, i);
            copy_rows(&packed->q, (row_place){0, query}, &padded->q, (row_place){i, 0}, queries);
            copy_rows(&packed->k, (row_place){0, key}, &padded->k, (row_place){i, 0}, keys);
            copy_rows(&packed->v, (row_place){0, key}, &padded->v, (row_place){i, 0}, keys);
            query += queries;
            key += keys;
        }
    }
    if (padded->options.block_k > 0) {
        copy_blocks(packed, padded);
    }
    if (padded->options.has_alibi) {
        array_copy(&packed->alibi, &padded->alibi);
    }
    if (padded->options.has_sink) {
        array_copy(&packed->sink, &padded->sink);
    }
    if (padded->options.has_key_starts) {
        for (int64_t i = 0; i < padded->options.batch; i++) {
            const double start = array_get(&padded->key_starts, i), end = array_get(&padded->key_lengths, i);
            array_set(&packed->key_starts, i, start < end ? start : end);
        }
    }
}

static int64_t sum_of(const test_array *list) {
    int64_t sum = 0;
    for (int64_t i = 0; i < array_count(list); i++) {
        sum += (int64_t)array_get(list, i);
    }
    return sum;
}

static void packed_sequences_give_the_bits_of_padded_ones(const softattn_context *context,
                                                          random_source *random) {
    for (int problem = 0; problem < PROBLEMS; problem++) {
        attention_options o = random_options(random);
        o.has_query_lengths = o.has_key_lengths = true;
        o.has_bias = o.has_keep = false;
        o.single_axes = o.block_k > 0 ? 1 : 0; /* packed sequences share their blocks */
        attention_case padded, packed;
        create_and_run(&padded, &o, context, random);
        o.sequences = o.batch;
        o.batch = 1;
        o.has_query_lengths = o.has_key_lengths = false;
        o.seq_q = sum_of(&padded.query_lengths) + 2;
        o.seq_kv = sum_of(&padded.key_lengths) + 3;
        attention_case_create(&packed, &o, random);
        pack(&packed, &padded);
        EXPECT(attention_case_run(&packed, context) == SOFTATTN_OK, "%s", last_error());
        for (int64_t i = 0; i < o.sequences; i++) {
            const row_place at = {0, (int64_t)array_get(&packed.query_offsets, i)}, source = {i, 0};
            EXPECT(differing_rows(&packed.out, at, &padded.out, source,
                                  (int64_t)array_get(&padded.query_lengths, i)) == 0,
                   "packed sequence %d on %s: %s", (int)i, softattn_context_isa(context),
                   attention_case_text(&padded));
        }
        attention_case_destroy(&padded);
        attention_case_destroy(&packed);
    }
}

int main(void) {
    random_source random;
    random_start(&random, "test_attention_bits_among_neighbours");
    for (int32_t i = 0; i < softattn_isa_count(); i++) {
        softattn_context *const context = context_create(softattn_isa_name(i), 1);
        batch_and_heads_change_no_bit(context, &random);
        sequences_from_memory_change_no_bit(softattn_isa_name(i), &random);
        heads_read_together_change_no_bit(softattn_isa_name(i), &random);
        few_queries_give_the_bits_of_many(context, &random);
        queries_in_pieces_give_the_bits_of_the_whole(context, &random);
        shared_heads_give_the_bits_of_repeated_ones(context, &random);
        packed_sequences_give_the_bits_of_padded_ones(context, &random);
        softattn_context_destroy(context);
    }
    return expect_summary();
}
