"""ggml's operators on the CPU (ggml.c)."""
import ctypes

import numpy as np

import native

library = native.build("ggml.c", "SOFTATTN_GGML", ["ggml-cpu", "ggml-base"])


def version():
    return "ggml " + library.peer_version().decode()


def prepare(case, inputs, threads):
    sizes = lambda *names: [ctypes.c_int64(case[name]) for name in names]
    thread_count = [ctypes.c_int32(threads)]
    if case["operation"] == "softmax":
        return native.job(library, "softmax", sizes("rows", "cols") + thread_count, [inputs["x"]],
                          np.empty_like(inputs["x"]))
    if case["operation"] == "softmax_backward":
        return native.job(library, "softmax_backward", sizes("rows", "cols") + thread_count,
                          [inputs["y"], inputs["dy"]], np.empty_like(inputs["dy"]))
    if case["operation"] == "attention":
        shape = sizes("batch", "heads", "kv_heads", "queries", "keys", "dim") + [ctypes.c_int32(case["causal"])]
        out = np.empty((case["batch"], case["queries"], case["heads"], case["dim"]), np.float32)
        run = native.job(library, "attention", shape + thread_count, [inputs[name] for name in ("q", "k", "v")], out)
        return lambda: run().swapaxes(1, 2)
    raise NotImplementedError("not among its operators")
