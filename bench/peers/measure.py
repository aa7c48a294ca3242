"""Measures libsoftattn and other libraries on the same inputs, in turns, and prints JSON.

Each library runs in a process of its own (worker.py), limited to as many CPUs as it has threads. Runs interleave and their
order rotates from round to round, the others standing still; a ratio is taken between two runs of the same round, and its median is reported. Errors
are against the definition in float64 (cases.py). A library that is not installed, or has not the operation, is said so.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile

import numpy as np

import cases

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = ["softattn", "torch", "onnxruntime", "openvino", "onednn", "ggml", "jax", "numpy"]


class Process:
    """A worker, asked line by line. Between answers it is stopped: threads that some libraries keep spinning for a
    while would take the CPUs from whoever runs next."""

    def __init__(self, library, threads):
        self.name, self.messages = library, tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen([sys.executable, HERE / "worker.py", library, str(threads)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.messages)

    def ask(self, **request):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        self.child.send_signal(signal.SIGSTOP)
        if not line:
            self.messages.seek(0)
            sys.exit(f"{self.name} ended in the middle of {request}:\n{self.messages.read()}")
        return json.loads(line)

    def end(self):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.close()
        self.child.wait()


def calls_for(process, seconds):
    """How many calls take about so long, after as many have warmed up."""
    one = process.ask(run=1)["seconds"]
    count = max(1, min(100000, round(seconds / one)))
    return max(1, min(100000, round(seconds / process.ask(run=count)["seconds"])))


def median_ratio(times, ours):
    """Of two lists of seconds, of the same rounds."""
    return statistics.median(theirs / own for theirs, own in zip(times, ours))


def start(libraries, case, directory, threads):
    """(processes by library, versions, reasons why others are missing)"""
    processes, versions, missing = {}, {}, {}
    for library in libraries:
        process = Process(library, threads)
        answer = process.ask(prepare=case, inputs=str(directory))
        if "missing" in answer:
            missing[library] = answer["missing"]
            process.end()
        else:
            processes[library], versions[library] = process, answer["version"]
    return processes, versions, missing


def measure(libraries, name, case, threads, rounds, seconds):
    inputs = cases.make_inputs(case)
    expected = cases.exact(case, inputs)
    with tempfile.TemporaryDirectory() as directory:
        for key, array in inputs.items():
            np.save(pathlib.Path(directory) / key, array)
        processes, versions, missing = start(libraries, case, directory, threads)
        if "softattn" in missing:
            sys.exit(f'libsoftattn: {missing["softattn"]}')
        try:
            results = measure_in_turns(processes, versions, directory, expected, rounds, seconds)
        finally:
            for process in processes.values():
                process.end()
    return {"case": name, "threads": threads, **case, "results": results, "missing": missing}


def measure_in_turns(processes, versions, directory, expected, rounds, seconds):
    """What is known of each library's runs, by library."""
    counts = {library: calls_for(process, seconds) for library, process in processes.items()}
    times = {library: [] for library in processes}
    order = list(processes)
    for turn in range(rounds):
        for library in order[turn % len(order):] + order[:turn % len(order)]:
            times[library].append(processes[library].ask(run=counts[library])["seconds"])
    results = {}
    for library, process in processes.items():
        process.ask(result=str(pathlib.Path(directory) / "result.npy"))
        largest, relative = cases.errors(np.load(pathlib.Path(directory) / "result.npy"), expected)
        results[library] = {"version": versions[library], "seconds": statistics.median(times[library]),
                            "ratio": median_ratio(times[library], times["softattn"]),
                            "largest_error": largest, "relative_error": relative}
    return results


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "date": datetime.date.today().isoformat()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("softattn", help="libsoftattn.so to measure")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    parser.add_argument("--peers", default=",".join(LIBRARIES[1:]), help="others to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each (default 7)")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a run (default 0.1)")
    parser.add_argument("--quick", action="store_true", help="tiny cases, to see whether everything works")
    options = parser.parse_args()
    os.environ["SOFTATTN_LIBRARY"] = str(pathlib.Path(options.softattn).resolve())
    libraries = ["softattn"] + [name for name in options.peers.split(",") if name]
    results = []
    for threads in map(int, options.threads.split(",")):
        for name, case in (cases.QUICK if options.quick else cases.CASES).items():
            print(f"{name}, {threads} threads", file=sys.stderr)
            results.append(measure(libraries, name, case, threads, options.rounds, options.seconds))
    json.dump({"machine": machine(), "results": results}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
