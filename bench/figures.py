#!/usr/bin/env python3
"""Puts the results of a grid into the tables of README.md and docs/performance.md.

    softattn-bench grid --isa avx512,avx2 --threads 1,2 --json > grid.json
    python3 bench/figures.py grid.json

Each table stands between two comments, `figures: <name> begin` and `figures: <name> end`. With --second-machine before the
grid, all of it becomes the one table of another machine.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PREFILL = {"prefill", "prefill-f64", "head-sizes", "causal", "window", "grouped-heads", "batches"}


def sampling_options(result):
    if result["temperature"] == 0:
        return "argmax"
    options = [f'temperature {result["temperature"]:g}'] if result["temperature"] != 1 else []
    options += [f'top-k {result["top_k"]}'] if result["top_k"] else []
    options += [f'top-p {result["top_p"]:g}'] if result["top_p"] < 1 else []
    return ", ".join(options) or "all tokens"


def softmax_options(result):
    options = [f'scale {result["scale"]:g}'] if result["scale"] != 1 else []
    options += ["causal"] if result["causal"] not in ("none", None) else []
    options += ["log-softmax"] if result["log"] else []
    options += ["side by side"] if result.get("side_by_side") else []
    return "".join(f", {option}" for option in options)


def shape(result):
    if "rows" in result and result["rows"] is not None:
        text = f'{result["operation"].replace("softmax-backward", "softmax backward")} {result["rows"]} × {result["cols"]}'
        if result["operation"] == "sampling":
            text += ", " + sampling_options(result)
        if result["operation"] in ("softmax", "softmax-backward"):
            text += softmax_options(result)
        return text + (", in place" if result["in_place"] else "")
    heads = f'{result["heads"]}' if result["heads"] == result["kv_heads"] else f'{result["heads"]}/{result["kv_heads"]}'
    text = f'batch {result["batch"]}, {heads} heads, {result["seq_q"]} × {result["seq_kv"]}, d = {result["dim"]}'
    if result["causal"] != "none":
        text += f', {result["causal"]}'
    if result.get("layout") == "bshd":
        text += ", [batch, seq, heads, dim]"
    left = result.get("window_left")
    return text + (f", window {left + 1}" if left is not None and left >= 0 else "")


def columns(results):
    seen = []
    for result in results:
        key = (result["isa"], result["threads"])
        if key not in seen:
            seen.append(key)
    return seen


def table(results, cell, head):
    """One row per shape and type, one column per instruction set and number of threads."""
    keys = columns(results)
    rows = {}
    for result in results:
        name = shape(result) + ("" if result["type"] == "f32" else ", " + result["type"])
        rows.setdefault(name, {})[(result["isa"], result["threads"])] = cell(result)
    titles = [f'{isa}, {threads} thread{"s" if threads > 1 else ""}' for isa, threads in keys]
    lines = ["| " + " | ".join([head] + titles) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, cells in rows.items():
        lines.append("| " + " | ".join([name] + [cells.get(key, "") for key in keys]) + " |")
    return "\n".join(lines)


def doubt(result):
    """Results that varied by more than the program accepts carry a mark."""
    return " ~" if result["unrest"] > 0.05 else ""


def share(result):
    return f'{100 * result["share"]:.0f} %{doubt(result)}'


def softmax_cell(result):
    return f'{result["nanoseconds_per_element"]:.3f} ns, {share(result)}'


def row_cell(result):
    return f'{time_cell(result)}, {share(result)}'


def time_cell(result):
    seconds = result["seconds"]
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def machine(document):
    of = document["machine"]
    caches = " / ".join(f'{of[f"l{level}_bytes"] // 1024} KiB' for level in (1, 2, 3))
    return (f'{of["cpu"]}, {of["cpus"]} CPUs, caches {caches}; libsoftattn {document["library_version"]}; '
            f'{document["date"][:10]}. A value marked ~ varied by more than 5 %, or other processes ran beside it.')


def fill(path, name, text):
    content = path.read_text(encoding="utf-8")
    mark = f"figures: {name} " if name else "figures: "
    pattern = re.compile(f"(<!-- {mark}begin -->\n).*?(<!-- {mark}end -->)", re.S)
    if not pattern.search(content):
        sys.exit(f"{path}: no place for the figures '{name}'")
    path.write_text(pattern.sub(lambda match: match[1] + text + "\n" + match[2], content), encoding="utf-8")


OF_README = ("softmax 256 × 256", "softmax 1024 × 1024", "softmax 4096 × 4096", "batch 1, 8 heads, 256 × 256, d = 64",
             "batch 1, 8 heads, 1024 × 1024, d = 64", "batch 1, 8 heads, 4096 × 4096, d = 64",
             "batch 1, 8 heads, 2048 × 2048, d = 128", "batch 1, 8 heads, 2048 × 2048, d = 64, top-left",
             "batch 1, 32 heads, 1 × 4096, d = 128", "batch 1, 32/8 heads, 1 × 4096, d = 128")


def main():
    *options, path = sys.argv[1:]
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    results = [result for result in document["results"] if not result["error"] and result["engine"] != "textbook"]
    of = lambda *families: [result for result in results if result["family"] in families]
    page = ROOT / "docs" / "performance.md"
    if options == ["--second-machine"]:
        fill(page, "second machine", machine(document) + "\n\n" + table(results, row_cell, "problem"))
        return
    attention = of(*PREFILL)
    decode = of("decode")
    fill(page, "machine", machine(document))
    fill(page, "softmax", table(of("softmax", "softmax-options", "softmax-f64", "softmax-16-bit"), softmax_cell, "n × n"))
    gradients = of("softmax-backward", "softmax-backward-16-bit", "cross-entropy", "cross-entropy-16-bit")
    fill(page, "gradients", table(gradients, softmax_cell, "rows × columns"))
    fill(page, "rows", table(of("sampling", "diagnose"), row_cell, "rows × columns"))
    fill(page, "attention", table(attention, share, "problem"))
    fill(page, "decode", table(decode, row_cell, "problem"))
    fill(page, "small", table(of("tiny"), time_cell, "problem"))
    best = [r for r in results if shape(r) in OF_README and r["type"] == "f32" and r["isa"] == columns(results)[0][0]]
    summary = table(best, row_cell, "time, and share of what the machine can do at best")
    fill(ROOT / "README.md", "", summary + "\n\n" + machine(document))


if __name__ == "__main__":
    main()
