"""Promise: merging two grids keeps of each problem the result that varied least, but one that was measured while the machine gave
less only for want of another, takes what had failed before, and refuses a problem that the first grid has not.

usage: of_two_grids_the_quieter_result_is_kept.py QUIETEST_PY
"""
import json
import pathlib
import subprocess
import sys
import tempfile


def result(rows, seconds, unrest, error=None, gflops=100.0, isa="avx2"):
    return {"family": "softmax", "type": "f32", "isa": isa, "threads": 1, "rows": rows, "seconds": seconds, "unrest": unrest,
            "multiply_add_isa": isa, "multiply_add_gflops": None if error else gflops, "error": error}


def merge(*grids):
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory) / f"{place}.json" for place in range(len(grids))]
        for path, results in zip(paths, grids):
            path.write_text(json.dumps({"machine": "one", "results": results}), encoding="utf-8")
        return subprocess.run([sys.executable, "-B", sys.argv[1], *paths], capture_output=True, text=True)


def main():
    first = [result(1, 1.0, 0.5), result(2, 2.0, 0.1), result(3, None, None, "no memory")]
    second = [result(3, 3.0, 0.9), result(2, 9.0, 0.2), result(1, 1.5, 0.4)]
    done = merge(first, second)
    assert done.returncode == 0, done.stderr
    merged = json.loads(done.stdout)
    assert merged["machine"] == "one" and [r["seconds"] for r in merged["results"]] == [1.5, 2.0, 3.0], merged
    slow = [result(1, 1.0, 0.1, gflops=89.0), result(2, 1.0, 0.1, gflops=91.0), result(3, 1.0, 0.1, isa="sse2", gflops=50.0)]
    quick = [result(1, 2.0, 0.5), result(2, 2.0, 0.5), result(3, 2.0, 0.5, isa="sse2", gflops=40.0)]
    for grids in ((slow, quick), (quick, slow)):
        assert [r["seconds"] for r in json.loads(merge(*grids).stdout)["results"]] == [2.0, 1.0, 1.0]
    assert merge(first, [result(4, 1.0, 0.0)]).returncode != 0
    assert merge().returncode != 0


main()
