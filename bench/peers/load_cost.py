"""What it costs to have a library in the process: time and memory of loading it, and its size on disk, as JSON.

Each is loaded five times in a process of its own; medians. Loading is: libsoftattn with a context; import torch; a session
of a model with one softmax in ONNX Runtime; a compiled one in OpenVINO; import jax.
"""
import json
import pathlib
import statistics
import subprocess
import sys

PROGRAM = """
import resource, time
{before}
memory = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
start, had = time.perf_counter(), memory()
{load}
print(time.perf_counter() - start, memory() - had)
"""

SOFTATTN = """
import ctypes
library = ctypes.CDLL({library!r})
context = ctypes.c_void_p()
assert library.softattn_context_create(ctypes.byref(context)) == 0
"""
ONNX_MODEL = """
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4])
graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"])], "one", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
"""
ONNX_RUNTIME = """
import onnxruntime
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
"""
OPENVINO = """
import openvino
from openvino import opset13 as opset
x = opset.parameter([4, 4])
compiled = openvino.Core().compile_model(openvino.Model([opset.softmax(x, -1)], [x]), "CPU")
"""
# name: what is imported before the clock runs, what is loaded, the package's directories
LOADS = {
    "libsoftattn": ("import ctypes", SOFTATTN, []),
    "ONNX Runtime": ("import numpy" + ONNX_MODEL, ONNX_RUNTIME, ["onnxruntime"]),
    "OpenVINO": ("import numpy", OPENVINO, ["openvino"]),
    "JAX": ("import numpy", "import jax, jaxlib", ["jax", "jaxlib"]),
    "PyTorch": ("import numpy", "import torch", ["torch"]),
}


def bytes_under(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def size_on_disk(library, packages):
    if not packages:
        return pathlib.Path(library).resolve().stat().st_size
    site = [pathlib.Path(path) for path in sys.path if path.endswith("site-packages")]
    return sum(bytes_under(path / package) for path in site for package in packages)


def main():
    library, results = sys.argv[1], {}
    for name, (before, load, packages) in LOADS.items():
        program = PROGRAM.format(before=before, load=load.replace("{library!r}", repr(library)))
        runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True) for _ in range(5)]
        if any(run.returncode for run in runs):
            print(f"{name}: not installed", file=sys.stderr)
            continue
        numbers = [tuple(map(float, run.stdout.split()[-2:])) for run in runs]
        results[name] = {"seconds": statistics.median(seconds for seconds, _ in numbers),
                         "memory_bytes": statistics.median(memory for _, memory in numbers),
                         "disk_bytes": size_on_disk(library, packages)}
    json.dump(results, sys.stdout, indent=1)


main()
