"""Writes sampling_fixtures.h: probabilities after filtering that test_sampling_filters.c compares with.

The filters are written here the way they are usually written on PyTorch's operators (topk, sort, softmax, cumsum, masked
fill with -inf), in NumPy and float64: temperature, then top-k, then top-p, then min-p, each on the logits that the one
before left. Where torch can be imported, the same is computed with torch and compared.

Logits are distinct multiples of 1/8, exact in float32, so that no tie and no rounding decides what is kept.

usage: sampling_fixtures.py > sampling_fixtures.h
"""
import numpy as np

CASES = [
    # vocabulary, spread, temperature, top_k, top_p, min_p
    (9, 3.0, 1.0, 0, 1.0, 0.0),
    (9, 3.0, 0.5, 0, 1.0, 0.0),
    (20, 4.0, 1.0, 5, 1.0, 0.0),
    (20, 4.0, 1.0, 0, 0.9, 0.0),
    (20, 4.0, 1.0, 0, 0.3, 0.0),
    (20, 4.0, 1.0, 0, 1.0, 0.1),
    (40, 2.0, 1.0, 0, 0.75, 0.0),
    (40, 2.0, 2.5, 12, 0.8, 0.0),
    (40, 2.0, 0.7, 25, 0.95, 0.05),
    (40, 6.0, 1.3, 0, 0.999, 1e-3),
    (60, 2.0, 1.0, 50, 0.6, 0.5),
    (60, 9.0, 3.0, 3, 0.5, 0.0),
]


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def filtered(logits, temperature, top_k, top_p, min_p):
    logits = logits / temperature
    if top_k > 0:
        logits = np.where(logits < np.sort(logits)[-top_k], -np.inf, logits)
    if top_p < 1:
        order = np.argsort(logits)
        drop = np.cumsum(softmax(logits[order])) <= 1 - top_p
        drop[-1] = False
        logits = logits.copy()
        logits[order[drop]] = -np.inf
    if min_p > 0:
        p = softmax(logits)
        logits = np.where(p < min_p * p.max(), -np.inf, logits)
    return softmax(logits)


def filtered_by_torch(torch, logits, temperature, top_k, top_p, min_p):
    logits = torch.tensor(logits, dtype=torch.float64) / temperature
    if top_k > 0:
        logits = logits.masked_fill(logits < torch.topk(logits, top_k).values[-1], -float("inf"))
    if top_p < 1:
        ordered, order = torch.sort(logits)
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        drop[-1] = False
        logits = logits.masked_fill(drop.scatter(0, order, drop), -float("inf"))
    if min_p > 0:
        p = logits.softmax(-1)
        logits = logits.masked_fill(p < min_p * p.max(), -float("inf"))
    return logits.softmax(-1).numpy()


def numbers(values):
    return "{" + ", ".join(repr(float(value)) for value in values) + "}"


def main():
    try:
        import torch
    except ImportError:
        torch = None
    random = np.random.default_rng(20260101)
    compared = "compared" if torch is not None else "not compared"
    print(f"/* Written by sampling_fixtures.py, which says what the values are; {compared} with torch. */")
    print("/* clang-format off */")
    print("static const struct sampling_fixture {")
    print("    int64_t vocabulary, top_k;")
    print("    double temperature, top_p, min_p;")
    print("    double logits[60], probabilities[60];")
    print("} sampling_fixtures[] = {")
    for vocabulary, spread, *filters in CASES:
        steps = random.permutation(int(8 * spread * 6))[:vocabulary]
        logits = steps / 8.0 - 3 * spread
        expected = filtered(logits, *filters)
        if torch is not None:
            assert np.allclose(expected, filtered_by_torch(torch, logits, *filters), rtol=1e-12, atol=0)
        temperature, top_k, top_p, min_p = filters
        print(f"    {{{vocabulary}, {top_k}, {temperature!r}, {top_p!r}, {min_p!r},")
        print(f"     {numbers(logits)},")
        print(f"     {numbers(expected)}}},")
    print("};\n/* clang-format on */")


main()
