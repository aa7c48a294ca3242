"""ggml's operators on the CPU (ggml.c)."""
import ctypes

import native

library = native.build("ggml.c", "SOFTATTN_GGML", ["ggml-cpu", "ggml-base"])


def version():
    return "ggml " + library.peer_version().decode()


def prepare(case, inputs, threads):
    """The result of its attention is [batch, seq, heads, dim]."""
    if case["operation"] != "attention":
        return native.prepare(library, case, inputs, [ctypes.c_int32(threads)])
    shape = case["batch"], case["queries"], case["heads"], case["dim"]
    run = native.prepare(library, case, inputs, [ctypes.c_int32(threads)], shape)
    return lambda: run().swapaxes(1, 2)
