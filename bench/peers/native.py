"""Drivers in C and C++ for libraries without a Python package: compiled here against what is installed, or against the
prefix that an environment variable names."""
import atexit
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np


def build(source, variable, libraries):
    """The driver beside this file, loaded."""
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    prefix = os.environ.get(variable)
    paths = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"] if prefix else []
    compiler = os.environ.get("CXX", "c++") if source.endswith("pp") else os.environ.get("CC", "cc")
    command = [compiler, "-O2", "-shared", "-fPIC", str(pathlib.Path(__file__).with_name(source)), "-o",
               f"{directory}/driver.so", *paths, *(f"-l{name}" for name in libraries), "-lm"]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise ImportError(f"not installed, nor under {variable}")
    library = ctypes.CDLL(f"{directory}/driver.so")
    library.peer_version.restype = ctypes.c_char_p
    return library


def prepare(library, case, inputs, last_sizes=(), attention_shape=None):
    """A call of the case; last_sizes follow the sizes, attention_shape is the result's where it is not that of q."""
    sizes = lambda *names: [ctypes.c_int64(case[name]) for name in names]
    if case["operation"] == "softmax":
        names, arrays, shape = sizes("rows", "cols"), [inputs["x"]], inputs["x"].shape
    elif case["operation"] == "softmax_backward":
        names, arrays, shape = sizes("rows", "cols"), [inputs["y"], inputs["dy"]], inputs["y"].shape
    elif case["operation"] == "attention":
        names = sizes("batch", "heads", "kv_heads", "queries", "keys", "dim") + [ctypes.c_int32(case["causal"])]
        arrays, shape = [inputs[name] for name in ("q", "k", "v")], attention_shape or inputs["q"].shape
    else:
        raise NotImplementedError("not among its operators")
    return job(library, case["operation"], [*names, *last_sizes], arrays, np.empty(shape, np.float32))


def job(library, name, sizes, arrays, out):
    """A call of what the driver's peer_<name> makes; the arrays live as long as it does."""
    function = getattr(library, "peer_" + name)
    function.restype = ctypes.c_void_p
    made = ctypes.c_void_p(function(*sizes, *(ctypes.c_void_p(array.ctypes.data) for array in [*arrays, out])))

    def run(keep=arrays):
        library.peer_run(made)
        return out
    return run
