/* An attention problem from .npy files, see attention_files.h. */
#include "attention_files.h"

#include <inttypes.h>

#include "npy.h"
#include "report.h"

/* Size of an axis counted from the end: 1 is dim, 2 seq, 3 heads, 4 batch; 1 where the array has no such
 * axis. */
static int64_t size_from_end(const array *a, int32_t axis) {
    return axis <= a->rank ? a->shape[a->rank - axis] : 1;
}

static bool read_operand(const char *path, array *a) {
    if (!npy_read(path, a)) {
        return false;
    }
    return (a->rank >= 2 && a->rank <= 4) ||
           report(path, "rank %d; attention takes [batch, heads, seq, dim], [heads, seq, dim] or [seq, dim]",
                  (int)a->rank);
}

bool attention_files_read(attention_files *a, const char *q, const char *k, const char *v) {
    return read_operand(q, &a->q) && read_operand(k, &a->k) && read_operand(v, &a->v);
}

/* An output with q's leading sizes: all but the last axis, then the size `last` where it is no -1. */
static bool allocate_output(const array *q, int64_t last, array *out, const char *name) {
    *out = *q;
    out->data = NULL;
    if (last < 0) {
        out->rank--;
    } else {
        out->shape[out->rank - 1] = last;
    }
    return array_allocate(out, name);
}

bool attention_files_allocate_outputs(attention_files *a, bool lse, bool weights) {
    return allocate_output(&a->q, size_from_end(&a->v, 1), &a->out, "attention output") &&
           (!lse || allocate_output(&a->q, -1, &a->lse, "--lse")) &&
           (!weights || allocate_output(&a->q, size_from_end(&a->k, 2), &a->weights, "--weights"));
}

void attention_files_free(attention_files *a) {
    array_free(&a->q);
    array_free(&a->k);
    array_free(&a->v);
    array_free(&a->out);
    array_free(&a->lse);
    array_free(&a->weights);
}

softattn_attention *attention_create(const softattn_context *context, const attention_settings *settings) {
    softattn_attention *attention = NULL;
    if (report_status(softattn_attention_create(context, &attention)) &&
        (!settings->has_scale || report_status(softattn_attention_set_scale(attention, settings->scale))) &&
        report_status(softattn_attention_set_causal(attention, settings->causal, 0)) &&
        report_status(softattn_attention_set_normalizer(attention, settings->normalizer.kind)) &&
        report_status(softattn_attention_set_sigmoid_bias(attention, settings->normalizer.sigmoid_bias)) &&
        report_status(softattn_attention_set_engine(attention, settings->engine))) {
        return attention;
    }
    softattn_attention_destroy(attention);
    return NULL;
}

/* The tensors that an argument struct points to. */
typedef struct operands {
    softattn_tensor q, k, v, out, lse, weights;
    softattn_attention_args args;
} operands;

static void bind_operands(attention_files *a, operands *o) {
    o->q = array_tensor(&a->q);
    o->k = array_tensor(&a->k);
    o->v = array_tensor(&a->v);
    o->out = array_tensor(&a->out);
    o->lse = array_tensor(&a->lse);
    o->weights = array_tensor(&a->weights);
    o->args = (softattn_attention_args){.struct_size = sizeof o->args,
                                        .q = &o->q,
                                        .k = &o->k,
                                        .v = &o->v,
                                        .out = &o->out,
                                        .lse = a->lse.data != NULL ? &o->lse : NULL,
                                        .weights = a->weights.data != NULL ? &o->weights : NULL};
}

bool attention_files_run(attention_files *a, const softattn_attention *attention) {
    operands o;
    bind_operands(a, &o);
    return report_status(softattn_attention_run(attention, &o.args));
}

bool attention_files_describe(attention_files *a, const softattn_attention *attention,
                              softattn_attention_plan *plan) {
    operands o;
    bind_operands(a, &o);
    *plan = (softattn_attention_plan){.struct_size = sizeof *plan};
    return report_status(softattn_attention_describe(attention, &o.args, plan));
}

/* Keys that the queries of one head see, all together. */
static double visible_pairs(int64_t queries, int64_t keys, int32_t causal) {
    const int64_t offset = causal == SOFTATTN_CAUSAL_BOTTOM_RIGHT ? keys - queries : 0;
    double pairs = 0.0;
    if (causal == SOFTATTN_CAUSAL_NONE) {
        return (double)queries * (double)keys;
    }
    for (int64_t query = 0; query < queries; query++) {
        const int64_t visible = query + offset + 1;
        pairs += (double)(visible < 0 ? 0 : visible > keys ? keys : visible);
    }
    return pairs;
}

double attention_files_flop(const attention_files *a, int32_t causal) {
    const double heads = (double)size_from_end(&a->q, 4) * (double)size_from_end(&a->q, 3);
    const double dims = (double)size_from_end(&a->q, 1) + (double)size_from_end(&a->v, 1);
    return 2.0 * heads * dims * visible_pairs(size_from_end(&a->q, 2), size_from_end(&a->k, 2), causal);
}

int64_t attention_files_heads(const attention_files *a) { return size_from_end(&a->q, 3); }

bool attention_files_has_head(const attention_files *a, int64_t head) {
    char shape[SHAPE_TEXT_BYTES];
    if (head < attention_files_heads(a) && size_from_end(&a->q, 4) > 0) {
        return true;
    }
    array_shape_text(&a->q, shape);
    return report("--head", "there is no head %" PRId64 " in a query of shape %s", head, shape);
}

bool attention_files_head_weights(attention_files *a, const softattn_attention *attention, int64_t head,
                                  array *weights) {
    const int64_t heads_kv = size_from_end(&a->k, 3);
    const int64_t head_kv = head / (attention_files_heads(a) / heads_kv);
    int64_t q_shape[2] = {size_from_end(&a->q, 2), size_from_end(&a->q, 1)};
    int64_t k_shape[2] = {size_from_end(&a->k, 2), size_from_end(&a->k, 1)};
    int64_t v_shape[2] = {size_from_end(&a->v, 2), size_from_end(&a->v, 1)};
    array head_out = {.bits = a->q.bits, .rank = 2, .shape = {q_shape[0], v_shape[1]}};
    bool ok;
    *weights = (array){.bits = a->q.bits, .rank = 2, .shape = {q_shape[0], k_shape[0]}};
    ok = array_allocate(weights, "attention weights") && array_allocate(&head_out, "attention output");
    if (ok) {
        const softattn_tensor q = array_matrix(&a->q, head * q_shape[0] * q_shape[1], q_shape);
        const softattn_tensor k = array_matrix(&a->k, head_kv * k_shape[0] * k_shape[1], k_shape);
        const softattn_tensor v = array_matrix(&a->v, head_kv * v_shape[0] * v_shape[1], v_shape);
        const softattn_tensor out = array_tensor(&head_out);
        const softattn_tensor probabilities = array_tensor(weights);
        const softattn_attention_args args = {
            .struct_size = sizeof args, .q = &q, .k = &k, .v = &v, .out = &out, .weights = &probabilities};
        ok = report_status(softattn_attention_run(attention, &args));
    }
    array_free(&head_out);
    if (!ok) {
        array_free(weights);
    }
    return ok;
}
