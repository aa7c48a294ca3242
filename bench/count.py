#!/usr/bin/env python3
"""Counts the instructions of small calls with valgrind, which no other process disturbs: for regressions in what a call costs
before it computes anything.

    python3 bench/count.py build/release/bin/softattn-bench [BASELINE/softattn-bench]

A problem is solved 100 times and 300 times; a call is a 200th of the difference. With the program of another build as
baseline, its counts stand beside. Valgrind knows no AVX-512, so the instruction set is AVX2 where there is one.
"""
import re
import subprocess
import sys

FEW, MANY = 100, 300
ATTENTION = "attention --batch 1 --threads 1"
PROBLEMS = [
    "softmax --rows 1 --cols 16",
    "softmax --rows 8 --cols 64",
    "softmax-backward --rows 1 --cols 16",
    "cross-entropy --rows 1 --cols 16",
    "sampling --rows 1 --cols 64",
    f"{ATTENTION} --heads 1 --seq-q 1 --seq-kv 1 --dim 8",
    f"{ATTENTION} --heads 1 --seq-q 16 --dim 64",
    f"{ATTENTION} --heads 8 --seq-q 1 --seq-kv 64 --dim 64",
]


def instructions(program, problem, calls):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, *problem.split(), "--calls",
               str(calls)]
    run = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)}\n{run.stderr}")
    return int(found[1])


def per_call(program, problem):
    return (instructions(program, problem, MANY) - instructions(program, problem, FEW)) / (MANY - FEW)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    width = max(map(len, PROBLEMS))
    for problem in PROBLEMS:
        counts = [per_call(program, problem) for program in sys.argv[1:]]
        change = f"{100 * (counts[0] / counts[1] - 1):+8.1f} %" if len(counts) == 2 else ""
        print(f"{problem:<{width}}", *(f"{count:>10.0f}" for count in counts), change)


main()
