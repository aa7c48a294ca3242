"""Draws docs/performance/*.svg from measurements.

usage: charts.py GRID.json PEERS.json      (what `softattn-bench grid --json` and measure.py printed)

    share_of_peak.svg   attention's share of the multiply-add peak against the sequence length
    softmax.svg         softmax's time per element against the row length
    decode.svg          decoding's share of the read bandwidth
    peers.svg           times of other libraries over libsoftattn's
    accuracy.svg        errors of all against float64
"""
import json
import pathlib
import sys

import matplotlib
from matplotlib import pyplot

from page import NAMES, libraries_of

DIRECTORY = pathlib.Path(__file__).resolve().parents[2] / "docs" / "performance"
COLORS = dict(zip(NAMES, ["#c0392b", "#e67e22", "#2980b9", "#8e44ad", "#2c3e50", "#f1c40f", "#27ae60", "#7f8c8d"]))

# the same data draws the same bytes
matplotlib.rcParams.update({"svg.hashsalt": "softattn", "svg.fonttype": "none", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})


def save(figure, name):
    DIRECTORY.mkdir(exist_ok=True)
    figure.savefig(DIRECTORY / f"{name}.svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    pyplot.close(figure)


def lines_of(results, x, y, label):
    """Points by label, in the order of x."""
    lines = {}
    for result in results:
        lines.setdefault(label(result), []).append((result[x], y(result)))
    return {name: sorted(points) for name, points in lines.items()}


def draw_lines(name, title, axes_labels, lines, ceiling=None):
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6))
    for label, points in lines.items():
        axes.plot(*zip(*points), marker="o", markersize=4, label=label)
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(title=title, xlabel=axes_labels[0], ylabel=axes_labels[1])
    axes.set_ylim(0, ceiling)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, name)


def draw_share_of_peak(results):
    one = [r for r in results if r["operation"] == "attention" and r["type"] == "f32" and r["threads"] == 1 and
           r["seq_q"] == r["seq_kv"] and r["seq_q"] >= 64 and r["dim"] in (64, 128) and r["window_left"] < 0 and
           r["kv_heads"] == r["heads"] and r["family"] != "batches"]
    lines = lines_of(one, "seq_q", lambda r: 100 * r["share"],
                     lambda r: f'{r["isa"]}, d = {r["dim"]}' + (", causal" if r["causal"] != "none" else ""))
    draw_lines("share_of_peak", "Attention, f32, one thread", ("sequence length", "% of the multiply-add peak"), lines, 100)


def draw_softmax(results):
    square = [r for r in results if r["family"] == "softmax" and r["rows"] == r["cols"]]
    lines = lines_of(square, "cols", lambda r: r["nanoseconds_per_element"],
                     lambda r: f'{r["isa"]}, {r["threads"]} thread{"s" if r["threads"] > 1 else ""}')
    draw_lines("softmax", "Softmax of n × n scores, f32", ("n", "ns per element"), lines)


def bars(name, title, label, cases, names, value, log=False, unit=1.0):
    figure, axes = pyplot.subplots(figsize=(7.2, 0.55 * len(cases) + 1.2))
    height = 0.8 / len(names)
    for index, library in enumerate(names):
        places, lengths = [], []
        for row, case in enumerate(cases):
            if library in case["results"]:
                places.append(row + (index - (len(names) - 1) / 2) * height)
                lengths.append(value(case["results"][library]))
        axes.barh(places, lengths, height, color=COLORS[library], label=NAMES[library])
    axes.set_yticks(range(len(cases)), [case["case"] for case in cases])
    axes.invert_yaxis()
    if log:
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.minorticks_off()
    if unit:
        axes.axvline(unit, color="black", linewidth=0.8)
    axes.set(title=title, xlabel=label)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, name)


def draw_decode(results):
    cases = {}
    for r in (r for r in results if r["family"] == "decode"):
        heads = r["heads"] if r["heads"] == r["kv_heads"] else f'{r["heads"]}/{r["kv_heads"]}'
        name = f'batch {r["batch"]}, {heads} heads, {r["seq_kv"]} keys, d = {r["dim"]}'
        name += ",\n[batch, seq, heads, dim]" if r["layout"] == "bshd" else ""
        cases.setdefault(name, {})[f'{r["isa"]}, {r["threads"]} thread{"s" if r["threads"] > 1 else ""}'] = 100 * r["share"]
    figure, axes = pyplot.subplots(figsize=(6.4, 3))
    labels = list(dict.fromkeys(label for shares in cases.values() for label in shares))  # the colors of the other charts
    for index, label in enumerate(labels):
        height = 0.8 / len(labels)
        axes.barh([row + (index - (len(labels) - 1) / 2) * height for row in range(len(cases))],
                  [shares.get(label, 0) for shares in cases.values()], height, label=label)
    axes.set_yticks(range(len(cases)), list(cases))
    axes.invert_yaxis()
    axes.set(title="Decoding one token, f32", xlabel="% of the read bandwidth of the level that the keys lie in")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "decode")


def main():
    grid, peers = (json.loads(pathlib.Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    results = [r for r in grid["results"] if not r["error"] and r["engine"] != "textbook"]
    draw_share_of_peak(results)
    draw_softmax(results)
    draw_decode(results)
    one = [case for case in peers["results"] if case["threads"] == 1]
    names = libraries_of(one)
    bars("peers", "Time over libsoftattn's, one thread (right of the line: libsoftattn is faster)", "times as long",
         one, names[1:], lambda result: result["ratio"], log=True)
    bars("accuracy", "Relative error (L2) against float64, float32 results", "relative error", one, names,
         lambda result: result["relative_error"], unit=None)


if __name__ == "__main__":
    main()
