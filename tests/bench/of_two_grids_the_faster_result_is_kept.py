"""Promise: merging grids keeps of each problem the fastest result, takes what had failed before, and refuses a problem that the
first grid has not.

usage: of_two_grids_the_faster_result_is_kept.py FASTEST_PY
"""
import json
import pathlib
import subprocess
import sys
import tempfile


def result(rows, seconds, error=None):
    return {"family": "softmax", "type": "f32", "isa": "avx2", "threads": 1, "rows": rows, "seconds": seconds, "error": error}


def merge(*grids):
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory) / f"{place}.json" for place in range(len(grids))]
        for path, results in zip(paths, grids):
            path.write_text(json.dumps({"machine": "one", "results": results}), encoding="utf-8")
        return subprocess.run([sys.executable, "-B", sys.argv[1], *paths], capture_output=True, text=True)


def main():
    first = [result(1, 1.5), result(2, 2.0), result(3, None, "no memory")]
    second = [result(3, 3.0), result(2, 9.0), result(1, 1.0)]
    third = [result(1, 1.2), result(2, None, "no memory"), result(3, 2.5)]
    done = merge(first, second, third)
    assert done.returncode == 0, done.stderr
    merged = json.loads(done.stdout)
    assert merged["machine"] == "one" and [r["seconds"] for r in merged["results"]] == [1.0, 2.0, 2.5], merged
    assert merge(first, [result(4, 1.0)]).returncode != 0
    assert merge().returncode != 0


main()
