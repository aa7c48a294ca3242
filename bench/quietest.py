#!/usr/bin/env python3
"""Merges grids of one library on one machine: of each problem the result that varied least, among those measured while the
machine gave at least nine tenths of the multiply-adds that it ever gave to so many threads.

    python3 bench/quietest.py first.json second.json ... > grid.json

On a shared machine no hour is quiet throughout.
"""
import json
import pathlib
import sys

SETTINGS = ("family", "operation", "type", "engine", "isa", "threads", "rows", "cols", "in_place", "scale", "log", "temperature", "top_k",
            "top_p", "min_p", "batch", "heads", "kv_heads", "seq_q", "seq_kv", "dim", "dim_v", "causal", "window_left", "window_right",
            "keep_mask", "bias", "softcap", "alibi", "dropout", "layout", "normalizer")


def settings(result):
    return tuple(result.get(name) for name in SETTINGS)


def multiply_adds(result):
    return result["multiply_add_isa"], result["type"], result["threads"]


def unrest(result, most):
    if result["error"]:
        return 2, 0
    return int(result["multiply_add_gflops"] < 0.9 * most[multiply_adds(result)]), result["unrest"]


def main():
    documents = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    if not documents:
        sys.exit(__doc__)
    most = {}
    for result in (result for document in documents for result in document["results"] if not result["error"]):
        most[multiply_adds(result)] = max(most.get(multiply_adds(result), 0), result["multiply_add_gflops"])
    merged = documents[0]
    places = {settings(result): place for place, result in enumerate(merged["results"])}
    for result in (result for document in documents[1:] for result in document["results"]):
        place = places.get(settings(result))
        if place is None:
            sys.exit(f"a problem that the first grid has not: {settings(result)}")
        if unrest(result, most) < unrest(merged["results"][place], most):
            merged["results"][place] = result
    json.dump(merged, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
