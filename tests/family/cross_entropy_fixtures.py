"""Writes cross_entropy_fixtures.h: losses, totals and gradients that test_cross_entropy_values.c compares with.

The values follow PyTorch's documented formulas for torch.nn.functional.cross_entropy, put together here the way its
implementation does (log_softmax, negative log-likelihood, a separate smoothing term with a mean of its own), in NumPy and
float64. Gradients are derivatives of that loss by complex steps, so no formula of a gradient is involved. Where torch can
be imported, every value is also compared with what it returns.

Logits, weights and probabilities are multiples of 1/8, exact in float32 too.

usage: cross_entropy_fixtures.py > cross_entropy_fixtures.h
"""
import math

import numpy as np

REDUCTIONS = {"none": "SOFTATTN_REDUCTION_NONE", "mean": "SOFTATTN_REDUCTION_MEAN", "sum": "SOFTATTN_REDUCTION_SUM"}


def log_softmax(z):
    shifted = z - z.real.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def class_index_loss(z, case):
    """Losses per row and total for integer targets."""
    log_p, classes = log_softmax(z), z.shape[1]
    target, weight, smoothing = case["target"], case["weight"], case["smoothing"]
    kept = target != case["ignore_index"]
    safe = np.where(kept, target, 0)
    row_weight = np.where(kept, weight[safe], 0.0)
    nll = -row_weight * log_p[np.arange(len(target)), safe]
    smooth = np.where(kept, -(log_p * weight).sum(axis=1), 0.0)
    losses = (1 - smoothing) * nll + smoothing / classes * smooth
    if case["reduction"] != "mean":
        return losses, losses.sum()
    divisor = row_weight.sum()
    return losses, (1 - smoothing) * (nll.sum() / divisor) + smoothing / classes * (smooth.sum() / divisor)


def probability_loss(z, case):
    """Losses per row and total for target probabilities."""
    log_p, classes, smoothing = log_softmax(z), z.shape[1], case["smoothing"]
    target = case["target"] * (1 - smoothing) + smoothing / classes
    losses = -(log_p * target * case["weight"]).sum(axis=1)
    return losses, losses.sum() / (z.shape[0] if case["reduction"] == "mean" else 1)


def loss(z, case):
    return (class_index_loss if case["target"].ndim == 1 else probability_loss)(z, case)


def gradient(case):
    """Of the total by the logits: the imaginary part of a tiny imaginary step."""
    logits, step = case["logits"], 1e-30
    result = np.zeros_like(logits)
    for place in np.ndindex(*logits.shape):
        moved = logits.astype(complex)
        moved[place] += step * 1j
        result[place] = loss(moved, case)[1].imag / step
    return result


def eighths(rng, low, high, size):
    return rng.integers(8 * low, 8 * high, size) / 8.0


def make_cases():
    rng = np.random.default_rng(20260101)
    for name, rows, classes, target_kind, weighted, ignored, smoothing in (
            ("plain", 4, 5, "index", False, 0, 0.0),
            ("ignored", 6, 4, "index", False, 2, 0.0),
            ("weights", 5, 6, "index", True, 0, 0.0),
            ("weights_ignored", 7, 5, "index", True, 3, 0.0),
            ("smoothing", 4, 7, "index", False, 0, 0.125),
            ("smoothing_ignored", 6, 5, "index", False, 2, 0.25),
            ("smoothing_weights", 5, 6, "index", True, 1, 0.5),
            ("smoothing_whole", 3, 4, "index", False, 0, 1.0),
            ("probabilities", 4, 5, "probabilities", False, 0, 0.0),
            ("probabilities_weights", 5, 4, "probabilities", True, 0, 0.0),
            ("probabilities_smoothing", 3, 8, "probabilities", True, 0, 0.25)):
        logits = eighths(rng, -6, 7, (rows, classes))
        weight = eighths(rng, 1, 4, classes) if weighted else np.ones(classes)
        if target_kind == "index":
            target = rng.integers(0, classes, rows)
            target[rng.permutation(rows)[:ignored]] = -100
        else:
            target = eighths(rng, 0, 1, (rows, classes))
        for reduction in REDUCTIONS:
            yield {"name": f"{name}_{reduction}", "logits": logits, "target": target, "weight": weight,
                   "weighted": weighted, "ignore_index": -100, "smoothing": smoothing, "reduction": reduction}


def compare_with_torch(case, losses, total, grad):
    """Whether torch is there; fails where it does not agree."""
    try:
        import torch
    except ImportError:
        return False
    logits = torch.tensor(case["logits"], requires_grad=True)
    options = {"weight": torch.tensor(case["weight"]) if case["weighted"] else None,
               "label_smoothing": case["smoothing"]}
    if case["target"].ndim == 1:
        options["ignore_index"] = case["ignore_index"]
    target = torch.tensor(case["target"])
    result = torch.nn.functional.cross_entropy(logits, target, reduction=case["reduction"], **options)
    result.sum().backward()
    expected = losses if case["reduction"] == "none" else total
    assert np.allclose(result.detach().numpy(), expected, rtol=1e-12, atol=1e-12), case["name"]
    assert np.allclose(logits.grad.numpy(), grad, rtol=1e-10, atol=1e-12), case["name"]
    return True


def numbers(values):
    return ", ".join(repr(float(value)) for value in np.ravel(values))


def print_case(case, losses, total, grad):
    rows, classes = case["logits"].shape
    has_classes = case["target"].ndim == 1
    print(f'    {{.name = "{case["name"]}",')
    print(f"     .rows = {rows},\n     .classes = {classes},")
    print(f"     .reduction = {REDUCTIONS[case['reduction']]},\n     .smoothing = {case['smoothing']},")
    print(f"     .logits = {{{numbers(case['logits'])}}},")
    if has_classes:
        print(f"     .targets = {{{', '.join(str(t) for t in case['target'])}}},")
    else:
        print(f"     .has_probabilities = true,\n     .probabilities = {{{numbers(case['target'])}}},")
    if case["weighted"]:
        print(f"     .has_weights = true,\n     .weights = {{{numbers(case['weight'])}}},")
    print(f"     .losses = {{{numbers(losses)}}},\n     .total = {float(total)!r},")
    print(f"     .gradient = {{{numbers(grad)}}}}},")


def main():
    cases = []
    compared = True
    for case in make_cases():
        losses, total = loss(case["logits"].astype(complex), case)
        losses, total, grad = losses.real, total.real, gradient(case)
        assert all(math.isfinite(value) for value in (*losses, total))
        compared = compare_with_torch(case, losses, total, grad) and compared
        cases.append((case, losses, total, grad))
    print("/* Written by cross_entropy_fixtures.py, which says what the values are; "
          f"{'compared' if compared else 'not compared'} with torch. */")
    print("/* clang-format off */")
    print("static const struct fixture fixtures[] = {")
    for case in cases:
        print_case(*case)
    print("};")
    print("/* clang-format on */")


main()
