#!/usr/bin/env python3
"""Merges grids of one library on one machine: of each problem the fastest result.

    python3 bench/fastest.py first.json second.json ... > grid.json

On a shared machine no hour is quiet throughout, and others only ever take time: from a program that keeps a core busy in many
ways also where a loop of multiply-adds, or little variation, shows nothing of them.
"""
import json
import pathlib
import sys

SETTINGS = ("family", "operation", "type", "engine", "isa", "threads", "rows", "cols", "in_place", "scale", "log", "side_by_side",
            "temperature", "top_k",
            "top_p", "min_p", "batch", "heads", "kv_heads", "seq_q", "seq_kv", "dim", "dim_v", "causal", "window_left", "window_right",
            "keep_mask", "bias", "softcap", "alibi", "dropout", "layout", "normalizer")


def settings(result):
    return tuple(result.get(name) for name in SETTINGS)


def time(result):
    return (1, 0) if result["error"] else (0, result["seconds"])


def main():
    documents = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    if not documents:
        sys.exit(__doc__)
    merged = documents[0]
    places = {settings(result): place for place, result in enumerate(merged["results"])}
    for result in (result for document in documents[1:] for result in document["results"]):
        place = places.get(settings(result))
        if place is None:
            sys.exit(f"a problem that the first grid has not: {settings(result)}")
        if time(result) < time(merged["results"][place]):
            merged["results"][place] = result
    json.dump(merged, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
