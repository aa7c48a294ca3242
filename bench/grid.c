/*
 * The problems that stand for all others.
 */
#include "grid.h"

#include <softattn/softattn.h>

#include <string.h>

/* An operation on the rows of a matrix. */
struct matrix_row {
    const char *family;
    enum bench_operation operation;
    enum bench_type type;
    int64_t rows, cols;
    int in_place, side_by_side;
};

static const struct matrix_row matrix_rows[] = {
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 128, 128, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 256, 256, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 512, 512, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 1024, 1024, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 2048, 2048, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 4096, 4096, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 8192, 8192, 0, 0},
    {"softmax", BENCH_SOFTMAX, BENCH_F32, 80000, 100, 0, 0},
    {"softmax-f64", BENCH_SOFTMAX, BENCH_F64, 512, 512, 0, 0},
    {"softmax-f64", BENCH_SOFTMAX, BENCH_F64, 2048, 2048, 0, 0},
    {"softmax-f64", BENCH_SOFTMAX, BENCH_F64, 4096, 4096, 0, 0},
    {"softmax-16-bit", BENCH_SOFTMAX, BENCH_BF16, 4096, 4096, 0, 0},
    {"softmax-16-bit", BENCH_SOFTMAX, BENCH_F16, 4096, 4096, 0, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 128, 128, 0, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 512, 512, 0, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 4096, 4096, 0, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 4096, 4096, 1, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 80000, 100, 0, 0},
    {"softmax-backward", BENCH_SOFTMAX_BACKWARD, BENCH_F64, 4096, 4096, 0, 0},
    {"softmax-backward-16-bit", BENCH_SOFTMAX_BACKWARD, BENCH_BF16, 4096, 4096, 0, 0},
    {"softmax-backward-16-bit", BENCH_SOFTMAX_BACKWARD, BENCH_F16, 4096, 4096, 0, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F32, 64, 1000, 0, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F32, 16384, 1000, 0, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F32, 1024, 32000, 0, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F32, 1024, 32000, 1, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F32, 256, 128256, 0, 0},
    {"cross-entropy", BENCH_CROSS_ENTROPY, BENCH_F64, 512, 32000, 0, 0},
    {"cross-entropy-16-bit", BENCH_CROSS_ENTROPY, BENCH_BF16, 1024, 32000, 0, 0},
    {"cross-entropy-16-bit", BENCH_CROSS_ENTROPY, BENCH_F16, 1024, 32000, 0, 0},
    {"side-by-side", BENCH_SOFTMAX, BENCH_F32, 16384, 21, 0, 1},
    {"side-by-side", BENCH_SOFTMAX, BENCH_F32, 1024, 1024, 0, 1},
    {"side-by-side", BENCH_SOFTMAX, BENCH_BF16, 1024, 1024, 0, 1},
    {"side-by-side", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 16384, 21, 0, 1},
    {"side-by-side", BENCH_SOFTMAX_BACKWARD, BENCH_F32, 1024, 1024, 0, 1},
    {"diagnose", BENCH_DIAGNOSE, BENCH_F32, 1024, 1024, 0, 0},
    {"diagnose", BENCH_DIAGNOSE, BENCH_F32, 4096, 4096, 0, 0},
    {"diagnose", BENCH_DIAGNOSE, BENCH_F64, 1024, 1024, 0, 0},
};

/* Softmax of f32 with options. */
struct option_row {
    int64_t size;
    double scale;
    int32_t causal;
    int is_log;
};

static const struct option_row option_rows[] = {
    {1024, 0.125, SOFTATTN_CAUSAL_NONE, 0},     {1024, 0.125, SOFTATTN_CAUSAL_TOP_LEFT, 0},
    {1024, 1, SOFTATTN_CAUSAL_NONE, 1},         {4096, 0.125, SOFTATTN_CAUSAL_NONE, 0},
    {4096, 0.125, SOFTATTN_CAUSAL_TOP_LEFT, 0}, {4096, 1, SOFTATTN_CAUSAL_NONE, 1},
};

struct sampling_row {
    enum bench_type type;
    int64_t rows, cols;
    struct bench_sampling sampling;
};

static const struct sampling_row sampling_rows[] = {
    {BENCH_F32, 32, 131072, {0, 0, 1, 0}},      {BENCH_F32, 32, 131072, {1, 0, 1, 0}},
    {BENCH_F32, 32, 131072, {1, 64, 1, 0}},     {BENCH_F32, 32, 131072, {1, 0, 0.9, 0}},
    {BENCH_F32, 32, 131072, {0.7, 50, 0.9, 0}}, {BENCH_F32, 1, 32000, {1, 0, 0.9, 0}},
    {BENCH_F64, 32, 131072, {1, 0, 0.9, 0}},
};

struct attention_row {
    const char *family;
    enum bench_type type;
    int64_t batch, heads_q, heads_kv, seq_q, seq_kv, dim;
    int32_t causal;
    int64_t window; /* keys that a query sees at most, its own the last of them; 0: all */
    enum bench_layout layout;
};

static const struct attention_row attention_rows[] = {
    {"prefill", BENCH_F32, 1, 8, 8, 256, 256, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 512, 512, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 1024, 1024, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 2048, 2048, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 4096, 4096, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 8192, 8192, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 1024, 1024, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 2048, 2048, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill", BENCH_F32, 1, 8, 8, 4096, 4096, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"head-sizes", BENCH_F32, 1, 8, 8, 1024, 1024, 40, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"head-sizes", BENCH_F32, 1, 8, 8, 1024, 1024, 80, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"head-sizes", BENCH_F32, 1, 8, 8, 1024, 1024, 96, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"head-sizes", BENCH_F32, 1, 8, 8, 1024, 1024, 256, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"causal", BENCH_F32, 1, 8, 8, 512, 512, 64, SOFTATTN_CAUSAL_TOP_LEFT, 0, BENCH_LAYOUT_BHSD},
    {"causal", BENCH_F32, 1, 8, 8, 2048, 2048, 64, SOFTATTN_CAUSAL_TOP_LEFT, 0, BENCH_LAYOUT_BHSD},
    {"causal", BENCH_F32, 1, 8, 8, 2048, 2048, 128, SOFTATTN_CAUSAL_TOP_LEFT, 0, BENCH_LAYOUT_BHSD},
    {"causal", BENCH_F32, 1, 8, 8, 512, 2048, 64, SOFTATTN_CAUSAL_BOTTOM_RIGHT, 0, BENCH_LAYOUT_BHSD},
    {"window", BENCH_F32, 1, 8, 8, 1024, 1024, 64, SOFTATTN_CAUSAL_TOP_LEFT, 256, BENCH_LAYOUT_BHSD},
    {"window", BENCH_F32, 1, 8, 8, 8192, 8192, 64, SOFTATTN_CAUSAL_TOP_LEFT, 256, BENCH_LAYOUT_BHSD},
    {"grouped-heads", BENCH_F32, 1, 32, 8, 512, 512, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"batches", BENCH_F32, 128, 8, 8, 64, 64, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"batches", BENCH_F32, 64, 12, 12, 197, 197, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"batches", BENCH_F32, 64, 12, 12, 197, 197, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BSHD},
    {"decode", BENCH_F32, 8, 8, 8, 1, 2048, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"decode", BENCH_F32, 1, 32, 32, 1, 4096, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"decode", BENCH_F32, 1, 32, 8, 1, 4096, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"decode", BENCH_F32, 1, 32, 32, 1, 4096, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BSHD},
    {"decode", BENCH_F32, 1, 32, 8, 1, 4096, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BSHD},
    {"tiny", BENCH_F32, 1, 1, 1, 16, 16, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"tiny", BENCH_F32, 1, 8, 8, 64, 64, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill-f64", BENCH_F64, 1, 8, 8, 256, 256, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill-f64", BENCH_F64, 1, 8, 8, 1024, 1024, 64, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
    {"prefill-f64", BENCH_F64, 1, 8, 8, 1024, 1024, 128, SOFTATTN_CAUSAL_NONE, 0, BENCH_LAYOUT_BHSD},
};

enum {
    MATRIX_ROWS = sizeof matrix_rows / sizeof matrix_rows[0],
    OPTION_ROWS = sizeof option_rows / sizeof option_rows[0],
    SAMPLING_ROWS = sizeof sampling_rows / sizeof sampling_rows[0],
    ATTENTION_ROWS = sizeof attention_rows / sizeof attention_rows[0]
};

int bench_grid_count(void) { return MATRIX_ROWS + OPTION_ROWS + SAMPLING_ROWS + ATTENTION_ROWS; }

static struct bench_grid_case matrix_case(const struct matrix_row *row) {
    return (struct bench_grid_case){
        .family = row->family,
        .problem = {.operation = row->operation,
                    .type = row->type,
                    .rows = row->rows,
                    .cols = row->cols,
                    .scale = 1,
                    .in_place = row->in_place,
                    .side_by_side = row->side_by_side},
    };
}

static struct bench_grid_case option_case(const struct option_row *row) {
    return (struct bench_grid_case){
        .family = "softmax-options",
        .problem = {.operation = BENCH_SOFTMAX,
                    .type = BENCH_F32,
                    .rows = row->size,
                    .cols = row->size,
                    .scale = row->scale,
                    .is_log = row->is_log,
                    .attention = {.causal = row->causal}},
    };
}

static struct bench_grid_case sampling_case(const struct sampling_row *row) {
    return (struct bench_grid_case){
        .family = "sampling",
        .problem = {.operation = BENCH_SAMPLING,
                    .type = row->type,
                    .rows = row->rows,
                    .cols = row->cols,
                    .scale = 1,
                    .sampling = row->sampling},
    };
}

static struct bench_grid_case attention_case(const struct attention_row *row) {
    struct bench_grid_case item = {
        .family = row->family,
        .problem = {.operation = BENCH_ATTENTION, .type = row->type, .scale = 1},
    };
    item.problem.attention = (struct bench_attention_shape){
        .batch = row->batch,
        .heads_q = row->heads_q,
        .heads_kv = row->heads_kv,
        .seq_q = row->seq_q,
        .seq_kv = row->seq_kv,
        .dim_qk = row->dim,
        .dim_v = row->dim,
        .causal = row->causal,
        .window_left = row->window > 0 ? row->window - 1 : BENCH_WINDOW_UNLIMITED,
        .window_right = row->window > 0 ? 0 : BENCH_WINDOW_UNLIMITED,
    };
    item.problem.extras.layout = row->layout;
    return item;
}

struct bench_grid_case bench_grid_case(int index) {
    if (index < MATRIX_ROWS) {
        return matrix_case(&matrix_rows[index]);
    }
    index -= MATRIX_ROWS;
    if (index < OPTION_ROWS) {
        return option_case(&option_rows[index]);
    }
    index -= OPTION_ROWS;
    if (index < SAMPLING_ROWS) {
        return sampling_case(&sampling_rows[index]);
    }
    return attention_case(&attention_rows[index - SAMPLING_ROWS]);
}

static int is_first_of_family(int index) {
    return index == 0 || strcmp(bench_grid_case(index - 1).family, bench_grid_case(index).family) != 0;
}

struct bench_names bench_grid_families(const char *items[BENCH_GRID_MAX_FAMILIES]) {
    struct bench_names names = {items, 0};
    for (int i = 0; i < bench_grid_count() && names.count < BENCH_GRID_MAX_FAMILIES; i++) {
        if (is_first_of_family(i)) {
            items[names.count++] = bench_grid_case(i).family;
        }
    }
    return names;
}

int bench_grid_selects(int index, int quick, const char *filter) {
    if (filter != NULL && strstr(bench_grid_case(index).family, filter) == NULL) {
        return 0;
    }
    return !quick || is_first_of_family(index);
}
