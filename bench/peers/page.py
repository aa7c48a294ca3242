"""Puts measurements beside other libraries into docs/performance.md.

usage: page.py PEERS.json LOAD_COST.json      (what measure.py and load_cost.py printed)
"""
import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from figures import fill  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "performance.md"
NAMES = {"softattn": "libsoftattn", "torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
         "onednn": "oneDNN", "ggml": "ggml", "jax": "JAX", "numpy": "NumPy"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def duration(seconds):
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def ratio(result):
    """Beside libsoftattn's time; bold where the other library is the faster one."""
    text = f'{result["ratio"]:.2f}'
    return f"**{text}**" if result["ratio"] < 1 else text


def libraries_of(results):
    return [name for name in NAMES if any(name in result["results"] for result in results)]


def speed_table(results):
    names = libraries_of(results)
    rows = []
    for result in results:
        cells = [duration(result["results"]["softattn"]["seconds"])]
        cells += [ratio(result["results"][name]) if name in result["results"] else "" for name in names[1:]]
        rows.append([result["case"]] + cells)
    return table(["problem"] + [NAMES[name] for name in names], rows)


def error(result):
    return f'{result["relative_error"]:.1e}, {result["largest_error"]:.0e}'


def missing_note(results):
    """Why cells are empty: each library's reasons, with the cases of each."""
    shown, cases = libraries_of(results), {}
    for result in results:
        for name, reason in result["missing"].items():
            if name in shown:
                cases.setdefault((NAMES[name], reason), {})[result["case"]] = None  # once, in order
    lines = [f'* {name}, {reason}: {"; ".join(of)}' for (name, reason), of in cases.items()]
    return "\n".join(["Empty cells:", ""] + lines)


def error_table(results):
    names = libraries_of(results)
    rows = [[result["case"]] + [error(result["results"][name]) if name in result["results"] else "" for name in names]
            for result in results]
    return table(["relative error (L2), largest absolute error"] + [NAMES[name] for name in names], rows)


def load_table(costs):
    rows = [[name, duration(cost["seconds"]), f'{cost["memory_bytes"] / 2**20:.1f} MiB',
             f'{cost["disk_bytes"] / 2**20:.1f} MiB'] for name, cost in costs.items()]
    return table(["", "time to load", "memory that loading takes", "size on disk"], rows)


def summary(document):
    versions = {result["version"] for case in document["results"] for result in case["results"].values()}
    of = document["machine"]
    return (f'`./dev bench --peers` on {of["cpu"]}, {of["cpus"]} CPUs, {of["date"]}: {", ".join(sorted(versions))}; '
            f'Python {of["python"]}. All in float32. Times of libsoftattn; of the others their time over '
            "libsoftattn's, the median of ratios within a round, bold where they win. The problems are those of "
            "`bench/peers/cases.py`: batch 1; attention has 8 heads, decode 32. Where 32 heads share 8, NumPy repeats "
            "keys and values.")


def main():
    document, costs = (json.loads(pathlib.Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    parts = [summary(document)]
    for threads in sorted({result["threads"] for result in document["results"]}):
        of = [result for result in document["results"] if result["threads"] == threads]
        parts += [f'{threads} thread{"s" if threads > 1 else ""}:', speed_table(of)]
    one = [result for result in document["results"] if result["threads"] == document["results"][0]["threads"]]
    parts += [missing_note(document["results"]), "Errors against float64:", error_table(one),
              "Having the library in the process, in Python, by `bench/peers/load_cost.py`:",
              load_table(costs)]
    fill(PAGE, "peers", "\n\n".join(parts))


if __name__ == "__main__":
    main()
