"""One library in a process of its own, which answers the driver line by line.

usage: worker.py LIBRARY THREADS      (LIBRARY: the module library_LIBRARY.py beside this file)

Requests and answers are JSON, a line each:
    {"prepare": CASE, "inputs": DIRECTORY}   -> {"version": TEXT}, or {"missing": WHY}
    {"run": CALLS}                           -> {"seconds": of one call, the mean}
    {"result": FILE}                         -> {}, and the result is in FILE (.npy)
"""
import importlib
import json
import os
import pathlib
import sys
import time


def limit_threads(threads):
    """Before any library is loaded: those that cannot be told see no more CPUs than threads."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)


class Worker:
    def __init__(self, library, threads):
        self.module, self.threads, self.call = f"library_{library}", threads, None

    def answer(self, request):
        import numpy as np
        if "prepare" in request:
            inputs = {file.stem: np.load(file) for file in sorted(pathlib.Path(request["inputs"]).glob("*.npy"))}
            try:
                module = importlib.import_module(self.module)
                self.call = module.prepare(request["prepare"], inputs, self.threads)
                self.call()
            except Exception as reason:  # whatever a library says to what it does not have
                return {"missing": str(reason).splitlines()[0] if str(reason) else type(reason).__name__}
            return {"version": module.version()}
        if "run" in request:
            start = time.perf_counter()
            for _ in range(request["run"]):
                self.call()
            return {"seconds": (time.perf_counter() - start) / request["run"]}
        np.save(request["result"], np.asarray(self.call()))
        return {}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    limit_threads(int(sys.argv[2]))
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


main()
