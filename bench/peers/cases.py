"""The problems that every library solves, their inputs, and what the results should be."""
import numpy as np

ATTENTION = {"batch": 1, "heads": 8, "kv_heads": 8, "causal": False}


def attention(**sizes):
    case = {**ATTENTION, **sizes, "operation": "attention"}
    case.setdefault("keys", case["queries"])
    return case


CASES = {
    "softmax 1024 × 1024": {"operation": "softmax", "rows": 1024, "cols": 1024},
    "softmax 4096 × 4096": {"operation": "softmax", "rows": 4096, "cols": 4096},
    "softmax backward 1024 × 1024": {"operation": "softmax_backward", "rows": 1024, "cols": 1024},
    "cross-entropy, loss and gradient, 1024 × 32000": {"operation": "cross_entropy", "rows": 1024, "cols": 32000},
    "attention 256 × 256, d = 64": attention(queries=256, dim=64),
    "attention 1024 × 1024, d = 64": attention(queries=1024, dim=64),
    "attention 2048 × 2048, d = 64": attention(queries=2048, dim=64),
    "attention 1024 × 1024, d = 128": attention(queries=1024, dim=128),
    "attention 1024 × 1024, d = 64, causal": attention(queries=1024, dim=64, causal=True),
    "decode 1 × 4096, d = 128": attention(queries=1, keys=4096, dim=128, heads=32, kv_heads=32),
    "decode 1 × 4096, d = 128, 32 heads on 8": attention(queries=1, keys=4096, dim=128, heads=32, kv_heads=8),
}

QUICK = {
    "softmax 64 × 96": {"operation": "softmax", "rows": 64, "cols": 96},
    "softmax backward 64 × 96": {"operation": "softmax_backward", "rows": 64, "cols": 96},
    "cross-entropy, loss and gradient, 32 × 500": {"operation": "cross_entropy", "rows": 32, "cols": 500},
    "attention 40 × 40, d = 16, causal": attention(queries=40, dim=16, heads=2, kv_heads=2, causal=True),
    "decode 1 × 64, d = 16, 4 heads on 2": attention(queries=1, keys=64, dim=16, heads=4, kv_heads=2),
}


def make_inputs(case):
    """Named float32 arrays (targets: int64), the same for the same case."""
    random = np.random.default_rng(1)
    normal = lambda *shape: random.standard_normal(shape, np.float32)
    if case["operation"] == "attention":
        batch, dim = case["batch"], case["dim"]
        return {"q": normal(batch, case["heads"], case["queries"], dim),
                "k": normal(batch, case["kv_heads"], case["keys"], dim),
                "v": normal(batch, case["kv_heads"], case["keys"], dim)}
    x = normal(case["rows"], case["cols"])
    if case["operation"] == "softmax":
        return {"x": x}
    if case["operation"] == "cross_entropy":
        return {"logits": x, "targets": random.integers(0, case["cols"], case["rows"])}
    return {"y": softmax(x.astype(np.float64)).astype(np.float32), "dy": normal(case["rows"], case["cols"])}


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_by_definition(case, q, k, v):
    group = case["heads"] // case["kv_heads"]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    out = np.empty(q.shape[:-1] + v.shape[-1:], q.dtype)
    for head in range(case["heads"]):
        scores = q[:, head] @ k[:, head].swapaxes(-1, -2) / np.sqrt(np.asarray(case["dim"], q.dtype))
        if case["causal"]:
            scores = np.where(np.tri(case["queries"], case["keys"], dtype=bool), scores, -np.inf)
        out[:, head] = softmax(scores) @ v[:, head]
    return out


def solve(case, inputs):
    """The result by its definition, in the inputs' precision."""
    if case["operation"] == "attention":
        return attention_by_definition(case, **inputs)
    if case["operation"] == "softmax":
        return softmax(inputs["x"])
    if case["operation"] == "softmax_backward":
        y, dy = inputs["y"], inputs["dy"]
        return y * (dy - (y * dy).sum(-1, keepdims=True))
    gradient = softmax(inputs["logits"])
    gradient[np.arange(case["rows"]), inputs["targets"]] -= 1
    return gradient / np.asarray(case["rows"], gradient.dtype)


def exact(case, inputs):
    """The same in float64."""
    return solve(case, {name: array.astype(np.float64) if array.dtype == np.float32 else array
                        for name, array in inputs.items()})


def errors(result, expected):
    """(largest absolute difference, relative difference in the L2 norm)"""
    difference = result.astype(np.float64) - expected
    return float(np.abs(difference).max()), float(np.linalg.norm(difference) / np.linalg.norm(expected))
