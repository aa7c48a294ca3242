"""Writes normalizer_fixtures.h: weights of sparsemax and 1.5-entmax that test_normalizers.c compares with.

The exact algorithms of the papers, which sort the scores, in NumPy and float64: Martins and Astudillo 2016, algorithm 1, for
sparsemax; Peters, Niculae and Martins 2019, algorithm 2, for 1.5-entmax. Where torch and the package entmax can be imported,
that package's weights are compared with, too.

Scores are multiples of 1/64, exact in float32.

usage: normalizer_fixtures.py > normalizer_fixtures.h
"""
import numpy as np

COLS = 24
SPREADS = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 30.0]


def sparsemax(scores):
    ordered = np.sort(scores)[::-1]
    sums = np.cumsum(ordered)
    counts = np.arange(1, scores.size + 1)
    support = int(np.sum(1 + counts * ordered > sums))
    threshold = (sums[support - 1] - 1) / support
    return np.maximum(scores - threshold, 0)


def entmax(scores):
    half = scores / 2
    ordered = np.sort(half)[::-1]
    counts = np.arange(1, half.size + 1)
    mean = np.cumsum(ordered) / counts
    spread = np.cumsum(ordered**2) - counts * mean**2
    thresholds = mean - np.sqrt(np.maximum(0, (1 - spread) / counts))
    threshold = thresholds[int(np.sum(thresholds <= ordered)) - 1]
    return np.maximum(half - threshold, 0) ** 2


def by_package(scores):
    """(sparsemax, entmax) of the package, or None where it is not installed."""
    try:
        import entmax as package
        import torch
    except ImportError:
        return None
    tensor = torch.tensor(scores, dtype=torch.float64)
    return package.sparsemax(tensor, dim=-1).numpy(), package.entmax15(tensor, dim=-1).numpy()


def numbers(values):
    return "{" + ", ".join(repr(float(value)) for value in values) + "}"


def main():
    random = np.random.default_rng(2019)
    rows, compared = [], False
    for spread in SPREADS:
        scores = np.round(random.normal(0, spread, COLS) * 64) / 64
        weights = sparsemax(scores), entmax(scores)
        theirs = by_package(scores)
        if theirs is not None:
            compared = True
            for own, other in zip(weights, theirs):
                assert np.max(np.abs(own - other)) < 1e-12
        rows.append((scores, *weights))
    with_package = "; those of the package entmax are the same" if compared else ""
    print(f"/* Written by normalizer_fixtures.py, which says what the values are{with_package}. */")
    print("/* clang-format off */")
    print("static const struct normalizer_fixture {")
    print(f"    double scores[{COLS}], sparsemax[{COLS}], entmax[{COLS}];")
    print("} normalizer_fixtures[] = {")
    for row in rows:
        print("    {" + ",\n     ".join(numbers(values) for values in row) + "},")
    print("};")
    print("/* clang-format on */")


main()
