/*
 * The table of bad tensors.
 */
#include "bad_tensors.h"

#include "assert_status.h"
#include "guard.h"

/* A tensor that may be changed freely, one dimension more included. */
typedef struct spoiled_tensor {
    softattn_tensor tensor;
    int64_t shape[SOFTATTN_MAX_RANK + 1], strides[SOFTATTN_MAX_RANK + 1];
} spoiled_tensor;

static void copy_tensor(spoiled_tensor *copy, const softattn_tensor *tensor) {
    int64_t stride = 1;
    copy->tensor = *tensor;
    for (int32_t axis = tensor->ndim - 1; axis >= 0; axis--) {
        copy->shape[axis] = tensor->shape[axis];
        copy->strides[axis] = tensor->strides ? tensor->strides[axis] : stride;
        stride *= tensor->shape[axis];
    }
    copy->tensor.shape = copy->shape;
    copy->tensor.strides = copy->strides;
}

static void set_negative_rank(spoiled_tensor *t) { t->tensor.ndim = -1; }
static void set_rank_9(spoiled_tensor *t) {
    t->tensor.ndim = 9;
    for (int i = 0; i < 9; i++) {
        t->shape[i] = t->strides[i] = 1;
    }
}
static void add_a_dimension(spoiled_tensor *t) {
    t->shape[t->tensor.ndim] = 1;
    t->strides[t->tensor.ndim] = 1;
    t->tensor.ndim++;
}
static void drop_shape(spoiled_tensor *t) { t->tensor.shape = NULL; }
static void set_negative_size(spoiled_tensor *t) { t->shape[t->tensor.ndim - 1] = -1; }
static void set_lowest_size(spoiled_tensor *t) { t->shape[0] = INT64_MIN; }
static void shrink(spoiled_tensor *t) { t->shape[t->tensor.ndim - 1]--; }
static void shrink_first_axis(spoiled_tensor *t) { t->shape[0]--; }
static void set_complex(spoiled_tensor *t) { t->tensor.dtype.code = 5; }
static void set_opaque(spoiled_tensor *t) { t->tensor.dtype.code = 255; }
static void set_24_bits(spoiled_tensor *t) { t->tensor.dtype.bits = 24; }
static void set_0_bits(spoiled_tensor *t) { t->tensor.dtype.bits = 0; }
static void set_2_lanes(spoiled_tensor *t) { t->tensor.dtype.lanes = 2; }
static void set_0_lanes(spoiled_tensor *t) { t->tensor.dtype.lanes = 0; }
static void set_gpu(spoiled_tensor *t) { t->tensor.device.device_type = 2; }
static void set_no_device(spoiled_tensor *t) { t->tensor.device.device_type = 0; }
static void drop_data(spoiled_tensor *t) { t->tensor.data = NULL; }
static void misalign_data(spoiled_tensor *t) { t->tensor.data = (char *)t->tensor.data + 1; }
static void misalign_offset(spoiled_tensor *t) { t->tensor.byte_offset = 2; }
static void wrap_offset(spoiled_tensor *t) { t->tensor.byte_offset = UINT64_MAX - 7; }
static void share_memory(spoiled_tensor *t) { t->strides[t->tensor.ndim - 1] = 0; }
static void share_memory_backwards(spoiled_tensor *t) {
    t->strides[0] = -t->strides[t->tensor.ndim - 1];
    t->tensor.data = (char *)t->tensor.data + 4096; /* so that the extent stays a legal address range */
}

/* The memory of tensors too large for any machine must not be touched. */
static void forbid_memory(spoiled_tensor *t) {
    t->tensor.data = guard_forbidden();
    t->tensor.byte_offset = 0;
}
static void overflow_the_count(spoiled_tensor *t) {
    forbid_memory(t);
    t->shape[0] = INT64_MAX;
    t->tensor.strides = NULL;
}
static void overflow_the_bytes(spoiled_tensor *t) {
    forbid_memory(t);
    t->strides[0] = INT64_MAX / 2;
}
static void overflow_the_extent(spoiled_tensor *t) {
    forbid_memory(t);
    t->strides[0] = INT64_MAX;
}
static void overflow_below(spoiled_tensor *t) {
    forbid_memory(t);
    t->strides[0] = INT64_MIN;
}
static void reach_below_address_0(spoiled_tensor *t) {
    forbid_memory(t);
    t->strides[0] = -((int64_t)1 << 59);
}

enum { OUTPUTS = 1, NO_BYTES = 2, NO_BROADCAST = 4 };

static const struct bad_tensor {
    const char *what;
    void (*spoil)(spoiled_tensor *tensor);
    int32_t status;
    int only; /* OUTPUTS: of outputs; NO_BYTES: of elements larger than a byte; NO_BROADCAST: where sizes must
                 agree */
} bad_tensors[] = {
    {"ndim -1", set_negative_rank, SOFTATTN_ERROR_ARGUMENT, 0},
    {"ndim 9", set_rank_9, SOFTATTN_ERROR_ARGUMENT, 0},
    {"shape NULL", drop_shape, SOFTATTN_ERROR_NULL, 0},
    {"a size of -1", set_negative_size, SOFTATTN_ERROR_ARGUMENT, 0},
    {"a size of INT64_MIN", set_lowest_size, SOFTATTN_ERROR_ARGUMENT, 0},
    {"a dimension too many", add_a_dimension, SOFTATTN_ERROR_SHAPE, 0},
    {"last size too small", shrink, SOFTATTN_ERROR_SHAPE, NO_BROADCAST},
    {"first size too small", shrink_first_axis, SOFTATTN_ERROR_SHAPE, NO_BROADCAST},
    {"complex type", set_complex, SOFTATTN_ERROR_TYPE, 0},
    {"unknown type code", set_opaque, SOFTATTN_ERROR_TYPE, 0},
    {"24 bits", set_24_bits, SOFTATTN_ERROR_TYPE, 0},
    {"0 bits", set_0_bits, SOFTATTN_ERROR_TYPE, 0},
    {"2 lanes", set_2_lanes, SOFTATTN_ERROR_TYPE, 0},
    {"0 lanes", set_0_lanes, SOFTATTN_ERROR_TYPE, 0},
    {"a GPU's memory", set_gpu, SOFTATTN_ERROR_TYPE, 0},
    {"device type 0", set_no_device, SOFTATTN_ERROR_TYPE, 0},
    {"data NULL", drop_data, SOFTATTN_ERROR_NULL, 0},
    {"data misaligned", misalign_data, SOFTATTN_ERROR_ARGUMENT, NO_BYTES},
    {"byte_offset misaligned", misalign_offset, SOFTATTN_ERROR_ARGUMENT, NO_BYTES},
    {"byte_offset wraps", wrap_offset, SOFTATTN_ERROR_OVERFLOW, 0},
    {"elements share memory", share_memory, SOFTATTN_ERROR_STRIDE, OUTPUTS},
    {"elements share memory backwards", share_memory_backwards, SOFTATTN_ERROR_STRIDE, OUTPUTS},
    {"count overflows", overflow_the_count, SOFTATTN_ERROR_OVERFLOW, 0},
    {"bytes overflow", overflow_the_bytes, SOFTATTN_ERROR_OVERFLOW, NO_BYTES},
    {"extent overflows", overflow_the_extent, SOFTATTN_ERROR_OVERFLOW, 0},
    {"extent overflows below", overflow_below, SOFTATTN_ERROR_OVERFLOW, 0},
    {"extent below address 0", reach_below_address_0, SOFTATTN_ERROR_OVERFLOW, 0},
};

static bool applies(const struct bad_tensor *bad, const tensor_field *field) {
    return !((bad->only & OUTPUTS) && !field->is_output) &&
           !((bad->only & NO_BYTES) && (*field->field)->dtype.bits == 8) &&
           !((bad->only & NO_BROADCAST) && field->broadcasts);
}

static void assert_refused(const tensor_field *field, const tensor_user *caller, const char *what,
                           int32_t expected) {
    const int32_t status = caller->run(caller->user);
    if (status != expected) {
        fail_msg("%s with %s: %s (%s), should be %s", field->name, what, softattn_status_string(status),
                 last_error(), softattn_status_string(expected));
    }
    const bool others_blamed = field->decides_sizes && expected == SOFTATTN_ERROR_SHAPE;
    if (!others_blamed && !strstr(last_error(), field->name)) {
        fail_msg("%s with %s: the detail text does not name it: %s", field->name, what, last_error());
    }
    if (!caller->outputs_untouched(caller->user)) {
        fail_msg("%s with %s: an output was touched", field->name, what);
    }
}

void assert_bad_tensors_are_refused(const tensor_field *field, const tensor_user *caller) {
    const softattn_tensor *const good = *field->field;
    for (size_t i = 0; i < sizeof bad_tensors / sizeof *bad_tensors; i++) {
        if (applies(&bad_tensors[i], field)) {
            spoiled_tensor spoiled;
            copy_tensor(&spoiled, good);
            bad_tensors[i].spoil(&spoiled);
            *field->field = &spoiled.tensor;
            assert_refused(field, caller, bad_tensors[i].what, bad_tensors[i].status);
            *field->field = good;
        }
    }
    if (field->is_required) {
        *field->field = NULL;
        assert_refused(field, caller, "NULL", SOFTATTN_ERROR_NULL);
        *field->field = good;
    }
}
