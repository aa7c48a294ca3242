"""libsoftattn, through ctypes: handles and arguments are made before the clock runs, and results go where they went before."""
import ctypes
import os
import pathlib
import sys

import numpy as np

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "docs" / "guide"))
import softattn  # noqa: E402  the guide's binding

library = softattn.Library(os.environ["SOFTATTN_LIBRARY"])


def version():
    library.c.softattn_version_string.restype = ctypes.c_char_p
    return "libsoftattn " + library.c.softattn_version_string().decode()


def context_of(threads):
    context = softattn.pointer()
    library.call("context_create", ctypes.byref(context))
    library.call("context_set_threads", context, softattn.i32(threads))
    return context


def handle_of(kind, context):
    handle = softattn.pointer()
    library.call(kind + "_create", context, ctypes.byref(handle))
    return handle


def run_of(name, handle, arguments, keep):
    """A call; keep: what the arguments point to."""
    function, reference = getattr(library.c, "softattn_" + name), ctypes.byref(arguments)

    def run():
        if function(handle, reference) != 0:
            raise RuntimeError(name)
        return keep[0]
    return run


def prepare(case, inputs, threads):
    context = context_of(threads)
    tensor, operation = softattn.tensor, case["operation"]
    if operation == "softmax":
        y = np.empty_like(inputs["x"])
        args = softattn.SoftmaxArgs(ctypes.sizeof(softattn.SoftmaxArgs), x=tensor(inputs["x"]), y=tensor(y))
        return run_of("softmax_run", handle_of("softmax", context), args, [y, inputs])
    if operation == "softmax_backward":
        dx = np.empty_like(inputs["dy"])
        args = softattn.BackwardArgs(ctypes.sizeof(softattn.BackwardArgs), y=tensor(inputs["y"]),
                                     dy=tensor(inputs["dy"]), dx=tensor(dx))
        return run_of("softmax_backward", handle_of("softmax", context), args, [dx, inputs])
    if operation == "cross_entropy":
        gradient, total = np.empty_like(inputs["logits"]), np.empty((), np.float32)
        args = softattn.EntropyArgs(ctypes.sizeof(softattn.EntropyArgs), logits=tensor(inputs["logits"]),
                                    targets=tensor(inputs["targets"]), total=tensor(total), gradient=tensor(gradient))
        return run_of("cross_entropy_run", handle_of("cross_entropy", context), args, [gradient, total, inputs])
    out = np.empty(inputs["q"].shape[:-1] + inputs["v"].shape[-1:], np.float32)
    handle = handle_of("attention", context)
    library.call("attention_set_causal", handle, softattn.i32(int(case["causal"])), softattn.i64(0))
    args = softattn.AttentionArgs(ctypes.sizeof(softattn.AttentionArgs), out=tensor(out),
                                  **{name: tensor(inputs[name]) for name in ("q", "k", "v")})
    return run_of("attention_run", handle, args, [out, inputs])
