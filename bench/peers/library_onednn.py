"""oneDNN: its softmax, and attention as its users put it together (onednn.cpp)."""
import ctypes

import numpy as np

import native

library = native.build("onednn.cpp", "SOFTATTN_ONEDNN", ["dnnl"])


def version():
    return library.peer_version().decode()


def prepare(case, inputs, threads):
    sizes = lambda *names: [ctypes.c_int64(case[name]) for name in names]
    if case["operation"] == "softmax":
        return native.job(library, "softmax", sizes("rows", "cols"), [inputs["x"]], np.empty_like(inputs["x"]))
    if case["operation"] == "softmax_backward":
        return native.job(library, "softmax_backward", sizes("rows", "cols"), [inputs["y"], inputs["dy"]],
                          np.empty_like(inputs["dy"]))
    if case["operation"] == "attention":
        shape = sizes("batch", "heads", "kv_heads", "queries", "keys", "dim") + [ctypes.c_int32(case["causal"])]
        return native.job(library, "attention", shape, [inputs[name] for name in ("q", "k", "v")],
                          np.empty_like(inputs["q"]))
    raise NotImplementedError("not among its primitives")
