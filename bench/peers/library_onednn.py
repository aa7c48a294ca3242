"""oneDNN, compiled here against an installed one: SOFTATTN_ONEDNN names its prefix, by default the compiler finds it."""
import atexit
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

SOURCE = pathlib.Path(__file__).with_name("onednn.cpp")


def build():
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    prefix = os.environ.get("SOFTATTN_ONEDNN")
    paths = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"] if prefix else []
    command = [os.environ.get("CXX", "c++"), "-O2", "-shared", "-fPIC", str(SOURCE), "-o", f"{directory}/onednn.so", *paths,
               "-ldnnl"]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise ImportError("its header and library are not installed")
    return ctypes.CDLL(f"{directory}/onednn.so")


library = build()
library.peer_version.restype = ctypes.c_char_p


def version():
    return library.peer_version().decode()


def job(name, sizes, arrays, out):
    """A call; the arrays live as long as it does."""
    function = getattr(library, "peer_" + name)
    function.restype = ctypes.c_void_p
    made = ctypes.c_void_p(function(*sizes, *(ctypes.c_void_p(array.ctypes.data) for array in [*arrays, out])))

    def run(keep=arrays):
        library.peer_run(made)
        return out
    return run


def prepare(case, inputs, threads):
    sizes = lambda *names: [ctypes.c_int64(case[name]) for name in names]
    if case["operation"] == "softmax":
        return job("softmax", sizes("rows", "cols"), [inputs["x"]], np.empty_like(inputs["x"]))
    if case["operation"] == "softmax_backward":
        return job("softmax_backward", sizes("rows", "cols"), [inputs["y"], inputs["dy"]], np.empty_like(inputs["dy"]))
    if case["operation"] == "attention":
        shape = sizes("batch", "heads", "kv_heads", "queries", "keys", "dim") + [ctypes.c_int32(case["causal"])]
        return job("attention", shape, [inputs[name] for name in ("q", "k", "v")], np.empty_like(inputs["q"]))
    raise NotImplementedError("not among its primitives")
