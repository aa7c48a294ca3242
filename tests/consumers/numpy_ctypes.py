"""NumPy arrays through ctypes: the flat functions, and attention on views whose strides are NumPy's own, passed as
DLPack's DLTensor. usage: numpy_ctypes.py <path of libsoftattn.so.0>"""

import ctypes
import sys

import numpy as np

i32, i64, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class DLTensor(ctypes.Structure):
    """DLPack's layout, written from its specification and not from the library's header."""

    _fields_ = [
        ("data", pointer),
        ("device_type", i32),
        ("device_id", i32),
        ("ndim", i32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(i64)),
        ("strides", ctypes.POINTER(i64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class AttentionArgs(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint64)] + [
        (name, ctypes.POINTER(DLTensor)) for name in ("q", "k", "v", "out", "bias", "keep_mask", "lse", "weights")
    ] + [("workspace", pointer), ("workspace_bytes", ctypes.c_uint64)]


def tensor(array):
    """A DLTensor that borrows the array: its memory, its strides, nothing copied."""
    code = {"f": 2, "b": 6}[array.dtype.kind]
    sizes = (i64 * array.ndim)(*array.shape)
    strides = (i64 * array.ndim)(*(stride // array.itemsize for stride in array.strides))
    return DLTensor(array.ctypes.data, 1, 0, array.ndim, code, 8 * array.itemsize, 1, sizes, strides, 0)


def load(path):
    library = ctypes.CDLL(path)
    library.softattn_version_string.restype = ctypes.c_char_p
    library.softattn_status_string.restype = ctypes.c_char_p
    library.softattn_last_error.argtypes = [ctypes.c_char_p, i64]
    library.softattn_softmax_f64.argtypes = [pointer, i64, i64, pointer, i64, pointer, i64]
    library.softattn_attention_create.argtypes = [pointer, ctypes.POINTER(pointer)]
    library.softattn_attention_destroy.argtypes = [pointer]
    library.softattn_attention_set_causal.argtypes = [pointer, i32, i64]
    library.softattn_attention_run.argtypes = [pointer, ctypes.POINTER(AttentionArgs)]
    library.softattn_constant.argtypes = [ctypes.c_char_p, ctypes.POINTER(i32)]
    return library


def succeed(library, status):
    if status != 0:
        text = ctypes.create_string_buffer(256)
        library.softattn_last_error(text, len(text))
        sys.exit(f"{library.softattn_status_string(status).decode()}: {text.value.decode()}")


def constant(library, name):
    value = i32()
    succeed(library, library.softattn_constant(name.encode(), ctypes.byref(value)))
    return value.value


def numpy_softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def flat_softmax_agrees_with_numpy(library, random):
    scores = random.normal(scale=10.0, size=(37, 101))
    rows, cols = scores.shape
    probabilities = np.empty_like(scores)
    succeed(library, library.softattn_softmax_f64(None, rows, cols, scores.ctypes.data, cols,
                                                  probabilities.ctypes.data, cols))
    # exp turns a rounding of its argument, at most 128 here, into up to 64 eps; a sum of 101 terms adds up to 50 eps;
    # twice that, for both sides.
    np.testing.assert_allclose(probabilities, numpy_softmax(scores), rtol=256 * np.finfo(np.float64).eps)


def attention_on_strided_views_agrees_with_numpy(library, random):
    batch, heads_q, heads_kv, seq, dim = 2, 4, 2, 9, 5
    # Packed as [batch, seq, heads, dim] and seen as [batch, heads, seq, dim], as models hold their projections.
    q = random.normal(size=(batch, seq, heads_q, dim)).transpose(0, 2, 1, 3)
    k, v = (random.normal(size=(batch, seq, heads_kv, dim)).transpose(0, 2, 1, 3) for _ in range(2))
    out = np.empty((batch, seq, heads_q, dim)).transpose(0, 2, 1, 3)
    keep_mask = np.ones((batch, 1, 1, seq), dtype=bool)
    keep_mask[1, ..., 3] = False

    attention = pointer()
    succeed(library, library.softattn_attention_create(None, ctypes.byref(attention)))
    succeed(library, library.softattn_attention_set_causal(
        attention, constant(library, "SOFTATTN_CAUSAL_TOP_LEFT"), 0))
    args = AttentionArgs(struct_size=ctypes.sizeof(AttentionArgs))
    for name, array in {"q": q, "k": k, "v": v, "out": out, "keep_mask": keep_mask}.items():
        setattr(args, name, ctypes.pointer(tensor(array)))
    succeed(library, library.softattn_attention_run(attention, ctypes.byref(args)))
    library.softattn_attention_destroy(attention)

    group = heads_q // heads_kv
    scores = q @ np.repeat(k, group, axis=1).swapaxes(-1, -2) / np.sqrt(dim)
    visible = np.tril(np.ones((seq, seq), dtype=bool)) & keep_mask
    expected = numpy_softmax(np.where(visible, scores, -np.inf)) @ np.repeat(v, group, axis=1)
    # Dot products of 5 and 9 terms of size about 1, each rounding at most eps: 1e-13 leaves a factor of ten.
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-13)


def main():
    library = load(sys.argv[1])
    seed = np.random.SeedSequence().entropy
    print(f"libsoftattn {library.softattn_version_string().decode()}, seed {seed}")
    random = np.random.default_rng(seed)
    flat_softmax_agrees_with_numpy(library, random)
    attention_on_strided_views_agrees_with_numpy(library, random)


main()
