/*
 * The whole set of kernels for one instruction set and type, and the table that exports them. An isa/ file includes one
 * simd/ header and then this one, with ISA_NAME defined.
 */
#ifndef SOFTATTN_KERNELS_TEMPLATE_TABLE_H
#define SOFTATTN_KERNELS_TEMPLATE_TABLE_H

#include "kernels/kernels.h"
#include "kernels/template/addend.h"
#include "kernels/template/attention.h"
#include "kernels/template/backward_columns.h"
#include "kernels/template/convert.h"
#include "kernels/template/cross_entropy.h"
#include "kernels/template/decode.h"
#include "kernels/template/decode_heads.h"
#include "kernels/template/diagnose.h"
#include "kernels/template/dropout.h"
#include "kernels/template/linear_attention.h"
#include "kernels/template/merge.h"
#include "kernels/template/normalize.h"
#include "kernels/template/sampling.h"
#include "kernels/template/softmax_backward.h"
#include "kernels/template/softmax_columns.h"
#include "kernels/template/softmax_row.h"
#include "kernels/template/transpose.h"

static int32_t lanes(void) { return LANES; }

#define TABLE_NAME_(isa, bits) softattn_kernels_##isa##_f##bits
#define TABLE_NAME(isa, bits)  TABLE_NAME_(isa, bits)
#define TEXT_(word)            #word
#define TEXT(word)             TEXT_(word)

/* Declared here and where it is used, so that it is not a stray definition. */
extern const struct softattn_kernels TABLE_NAME(ISA_NAME, SOFTATTN_REAL_BITS);

/*
 * Narrow blocks waste less where intervals of keys begin and end. Measured with AVX-512 and AVX2: with eight rows per tile two
 * vectors still keep the multipliers busy, with four they do not.
 */
#define TWO_VECTOR_KEYS (TILE_ROWS >= 8 ? 50 : 0)

const struct softattn_kernels TABLE_NAME(ISA_NAME, SOFTATTN_REAL_BITS) = {
    .isa = TEXT(ISA_NAME),
    .real_bytes = REAL_BYTES,
    .query_vectors = TILE_VECTORS,
    .two_vector_keys = TWO_VECTOR_KEYS,
    .decode_rows = DECODE_ROWS,
    .decode_tile_rows = DECODE_TILE_ROWS,
    .decode_heads_together = DECODE_HEADS,
    .streams_across_rows = STREAMS_ACROSS_ROWS,
    .lanes = lanes,
    .softmax_row = softmax_row,
    .softmax_columns = softmax_columns,
    .normalize_row = normalize_row,
    .normalize_backward = normalize_backward,
    .diagnose_row = diagnose_row,
    .softmax_backward = softmax_backward,
    .softmax_backward_columns = softmax_backward_columns,
    .cross_entropy = cross_entropy,
    .jacobian_row = jacobian_row,
#if SOFTATTN_REAL_BITS == 32
    .widen = widen,
    .narrow = narrow,
    .finish_narrowing = finish_narrowing,
#endif
    .argmax = argmax,
    .block_maxima = block_maxima,
    .kth_largest = kth_largest,
    .token_weights = token_weights,
    .token_collect = token_collect,
    .token_choice = token_choice,
    .token_pass = token_pass,
    .transpose = transpose,
    .all_finite = all_finite,
    .pack_addend = pack_addend,
    .keep_weights = keep_weights,
    .attention_tile = attention_tile,
    .decode_tile = decode_tile,
#if DECODE_HEADS > 1
    .decode_heads = decode_heads,
#endif
    .merge_lanes = merge_lanes,
    .merge_rows = merge_rows,
    .finish = finish,
    .store_lanes = store_lanes,
    .store_rows = store_rows,
    .multiply = multiply,
    .elu_plus_one = elu_plus_one,
    .add_rows = add_rows,
    .divide_rows = divide_rows,
};

#endif
