"""What study.py calls of libsoftattn, through ctypes: NumPy arrays are passed as DLPack's DLTensor."""
import ctypes

import numpy as np

i32, i64, pointer, size = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64

NUMBERS = ("entropy", "max_probability", "effective_keys", "score_mean", "score_variance", "jacobian_norm")


class Tensor(ctypes.Structure):
    _fields_ = [("data", pointer), ("device_type", i32), ("device_id", i32), ("ndim", i32), ("code", ctypes.c_uint8),
                ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(i64)),
                ("strides", ctypes.POINTER(i64)), ("byte_offset", size)]


def arguments(name, *fields):
    """A struct of tensor pointers that starts with its size."""
    kinds = [("struct_size", size)] + [(field, ctypes.POINTER(Tensor)) for field in fields]
    return type(name, (ctypes.Structure,), {"_fields_": kinds})


SoftmaxArgs = arguments("SoftmaxArgs", "x", "y", "bias", "keep_mask", "lengths", "lse", "row_max")
BackwardArgs = arguments("BackwardArgs", "y", "dy", "dx")
EntropyArgs = arguments("EntropyArgs", "logits", "targets", "target_probabilities", "class_weights", "losses", "total",
                        "gradient", "lse", "counted")
Diagnosis = arguments("Diagnosis", *NUMBERS, "saturated", "summary")


class AttentionArgs(ctypes.Structure):
    _fields_ = [("struct_size", size)] + [
        (name, ctypes.POINTER(Tensor)) for name in ("q", "k", "v", "out", "bias", "keep_mask", "lse", "weights")
    ] + [("workspace", pointer), ("workspace_bytes", size)]


def tensor(array):
    """A pointer to a tensor that borrows the array."""
    code = {"f": 2, "i": 0, "u": 1}[array.dtype.kind]
    shape = (i64 * array.ndim)(*array.shape)
    strides = (i64 * array.ndim)(*(stride // array.itemsize for stride in array.strides))
    return ctypes.pointer(Tensor(array.ctypes.data, 1, 0, array.ndim, code, 8 * array.itemsize, 1, shape, strides, 0))


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        self.c.softattn_softmax_set_scale.argtypes = [pointer, ctypes.c_double]
        self.c.softattn_softmax_set_sigmoid_bias.argtypes = [pointer, ctypes.c_double]
        self.c.softattn_attention_set_scale.argtypes = [pointer, ctypes.c_double]
        self.c.softattn_cross_entropy_set_reduction.argtypes = [pointer, i32]

    def call(self, name, *values):
        status = getattr(self.c, "softattn_" + name)(*values)
        if status != 0:
            text = ctypes.create_string_buffer(256)
            self.c.softattn_last_error(text, i64(len(text)))
            raise RuntimeError(f"softattn_{name}: {text.value.decode()}")

    def constant(self, name):
        value = i32()
        self.call("constant", name.encode(), ctypes.byref(value))
        return value

    def create(self, kind):
        handle = pointer()
        self.call(kind + "_create", None, ctypes.byref(handle))
        return handle

    def destroy(self, kind, handle):
        function = getattr(self.c, f"softattn_{kind}_destroy")
        function.argtypes, function.restype = [pointer], None
        function(handle)

    def softmax(self, x, scale=1.0, normalizer="SOFTMAX", sigmoid_bias=0.0):
        handle, y = self.create("softmax"), np.empty_like(x)
        self.call("softmax_set_scale", handle, scale)
        self.call("softmax_set_normalizer", handle, self.constant("SOFTATTN_NORMALIZER_" + normalizer))
        self.call("softmax_set_sigmoid_bias", handle, sigmoid_bias)
        args = SoftmaxArgs(ctypes.sizeof(SoftmaxArgs), x=tensor(x), y=tensor(y))
        self.call("softmax_run", handle, ctypes.byref(args))
        self.destroy("softmax", handle)
        return y

    def softmax_backward(self, y, dy, scale=1.0):
        """The gradient by x from that by y = softmax(scale * x)."""
        handle, dx = self.create("softmax"), np.empty_like(y)
        self.call("softmax_set_scale", handle, scale)
        args = BackwardArgs(ctypes.sizeof(BackwardArgs), y=tensor(y), dy=tensor(dy), dx=tensor(dx))
        self.call("softmax_backward", handle, ctypes.byref(args))
        self.destroy("softmax", handle)
        return dx

    def diagnose_attention(self, q, k, scale):
        """The numbers of every query of [batch, heads, seq, dim] arrays, and whether it is saturated."""
        handle, shape = self.create("attention"), q.shape[:-1]
        self.call("attention_set_scale", handle, scale)
        results = {name: np.empty(shape, q.dtype) for name in NUMBERS}
        results["saturated"] = np.empty(shape, np.uint8)
        outputs = Diagnosis(ctypes.sizeof(Diagnosis), **{name: tensor(array) for name, array in results.items()})
        args = AttentionArgs(ctypes.sizeof(AttentionArgs), q=tensor(q), k=tensor(k))
        self.call("attention_diagnose", handle, ctypes.byref(args), ctypes.byref(outputs))
        self.destroy("attention", handle)
        return results

    def attention(self, q, k, v, scale):
        handle, out = self.create("attention"), np.empty(q.shape[:-1] + v.shape[-1:], q.dtype)
        self.call("attention_set_scale", handle, scale)
        args = AttentionArgs(ctypes.sizeof(AttentionArgs), q=tensor(q), k=tensor(k), v=tensor(v), out=tensor(out))
        self.call("attention_run", handle, ctypes.byref(args))
        self.destroy("attention", handle)
        return out

    def cross_entropy(self, logits, targets):
        """Losses of rows of logits, and the gradient of each row's own loss."""
        handle, gradient = self.create("cross_entropy"), np.empty_like(logits)
        losses = np.empty(len(logits), logits.dtype)
        self.call("cross_entropy_set_reduction", handle, 0)
        args = EntropyArgs(ctypes.sizeof(EntropyArgs), logits=tensor(logits), targets=tensor(targets),
                           losses=tensor(losses), gradient=tensor(gradient))
        self.call("cross_entropy_run", handle, ctypes.byref(args))
        self.destroy("cross_entropy", handle)
        return losses, gradient
