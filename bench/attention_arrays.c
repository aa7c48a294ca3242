/*
 * The arrays of an attention. Those that are filled with random numbers have seeds of their own.
 */
#include "attention_arrays.h"

#include "memory.h"

#include <math.h>
#include <string.h>

enum { RANK = BENCH_ATTENTION_RANK };
enum seed { ZEROS, SEED_Q, SEED_K, SEED_V, SEED_BIAS };

/* The view of an array that is there: compact, of floats of the problem's type. */
static void view(struct bench_operand *operand, enum bench_type type, int32_t rank, const int64_t *shape) {
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        operand->shape[i] = shape[i];
        operand->strides[i] = stride;
        stride *= shape[i];
    }
    operand->tensor =
        (softattn_tensor){.data = operand->array,
                          .device = {SOFTATTN_DEVICE_CPU, 0},
                          .ndim = rank,
                          .dtype = {SOFTATTN_TYPE_FLOAT, (uint8_t)(8 * bench_type_bytes(type)), 1},
                          .shape = operand->shape,
                          .strides = operand->strides};
}

/* Exchanges the axes of heads and of the sequence: the array is [batch, seq, heads, dim]. */
static void put_heads_inside(struct bench_operand *operand) {
    const int64_t dim = operand->shape[3];
    operand->strides[1] = dim;
    operand->strides[2] = operand->shape[1] * dim;
}

static int create(struct bench_operand *operand, const struct bench_problem *problem, struct bench_team *team,
                  const int64_t shape[RANK], enum seed seed) {
    const int64_t elements = shape[0] * shape[1] * shape[2] * shape[3];
    operand->array = bench_array_create(team, problem->type, elements);
    if (operand->array == NULL) {
        return -1;
    }
    if (seed != ZEROS) {
        bench_fill_random(operand->array, problem->type, elements, (uint64_t)seed);
    }
    view(operand, problem->type, RANK, shape);
    return 0;
}

/* q, k, v or out. */
static int create_rows(struct bench_operand *operand, const struct bench_problem *problem,
                       struct bench_team *team, int64_t heads, int64_t seq, int64_t dim, enum seed seed) {
    const int64_t shape[RANK] = {problem->attention.batch, heads, seq, dim};
    if (create(operand, problem, team, shape, seed) != 0) {
        return -1;
    }
    if (problem->extras.layout == BENCH_LAYOUT_BSHD) {
        put_heads_inside(operand);
    }
    return 0;
}

/* For all batches the same. */
static int create_bias(struct bench_operand *bias, const struct bench_problem *problem,
                       struct bench_team *team) {
    const struct bench_attention_shape *shape = &problem->attention;
    const int64_t sizes[RANK] = {1, problem->extras.bias == BENCH_BIAS_HEADS ? shape->heads_q : 1,
                                 problem->extras.bias == BENCH_BIAS_KEYS ? 1 : shape->seq_q, shape->seq_kv};
    return create(bias, problem, team, sizes, SEED_BIAS);
}

/* For all batches and heads the same: a byte for each query and key. */
static int create_keep_mask(struct bench_operand *mask, const struct bench_problem *problem,
                            struct bench_team *team) {
    const int64_t queries = problem->attention.seq_q, keys = problem->attention.seq_kv;
    uint8_t *bytes = mask->array = bench_bytes_create(team, queries * keys);
    if (bytes == NULL) {
        return -1;
    }
    for (int64_t query = 0; query < queries; query++) {
        memset(bytes + query * keys, 1, (size_t)(query < keys ? query + 1 : keys));
    }
    view(mask, problem->type, RANK, (const int64_t[RANK]){1, 1, queries, keys});
    mask->tensor.dtype.code = SOFTATTN_TYPE_UINT;
    mask->tensor.dtype.bits = 8;
    return 0;
}

/* 2^(-8 / heads), 2^(-16 / heads), … 2^-8, as the method's authors chose them (Press et al. 2022). */
static int create_alibi_slopes(struct bench_operand *slopes, const struct bench_problem *problem,
                               struct bench_team *team) {
    const int64_t heads = problem->attention.heads_q;
    slopes->array = bench_array_create(team, problem->type, heads);
    if (slopes->array == NULL) {
        return -1;
    }
    for (int64_t head = 0; head < heads; head++) {
        bench_array_set(slopes->array, problem->type, head, exp2(-8.0 * (double)(head + 1) / (double)heads));
    }
    view(slopes, problem->type, 1, &heads);
    return 0;
}

static int create_options(struct bench_attention_arrays *arrays, softattn_attention_args *args,
                          const struct bench_problem *problem, struct bench_team *team) {
    if (problem->extras.bias != BENCH_BIAS_NONE) {
        if (create_bias(&arrays->bias, problem, team) != 0) {
            return -1;
        }
        args->bias = &arrays->bias.tensor;
    }
    if (problem->attention.keep_mask != BENCH_KEEP_MASK_NONE) {
        if (create_keep_mask(&arrays->keep_mask, problem, team) != 0) {
            return -1;
        }
        args->keep_mask = &arrays->keep_mask.tensor;
    }
    if (problem->extras.alibi) {
        if (create_alibi_slopes(&arrays->alibi_slopes, problem, team) != 0) {
            return -1;
        }
        args->alibi_slopes = &arrays->alibi_slopes.tensor;
    }
    return 0;
}

int bench_attention_arrays_create(struct bench_attention_arrays *arrays, softattn_attention_args *args,
                                  const struct bench_problem *problem, struct bench_team *team) {
    const struct bench_attention_shape *s = &problem->attention;
    if (create_rows(&arrays->q, problem, team, s->heads_q, s->seq_q, s->dim_qk, SEED_Q) != 0 ||
        create_rows(&arrays->k, problem, team, s->heads_kv, s->seq_kv, s->dim_qk, SEED_K) != 0 ||
        create_rows(&arrays->v, problem, team, s->heads_kv, s->seq_kv, s->dim_v, SEED_V) != 0 ||
        create_rows(&arrays->out, problem, team, s->heads_q, s->seq_q, s->dim_v, ZEROS) != 0) {
        return -1;
    }
    *args = (softattn_attention_args){.struct_size = sizeof *args,
                                      .q = &arrays->q.tensor,
                                      .k = &arrays->k.tensor,
                                      .v = &arrays->v.tensor,
                                      .out = &arrays->out.tensor};
    return create_options(arrays, args, problem, team);
}

void bench_attention_arrays_destroy(struct bench_attention_arrays *arrays) {
    bench_array_destroy(arrays->alibi_slopes.array);
    bench_array_destroy(arrays->keep_mask.array);
    bench_array_destroy(arrays->bias.array);
    bench_array_destroy(arrays->out.array);
    bench_array_destroy(arrays->v.array);
    bench_array_destroy(arrays->k.array);
    bench_array_destroy(arrays->q.array);
}
