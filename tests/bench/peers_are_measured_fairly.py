"""Promise: the comparison with other libraries takes ratios round by round, errors against what the definitions give in
float64, and hands every library the same inputs.

usage: peers_are_measured_fairly.py BENCH_PEERS_DIRECTORY
"""
import sys

import numpy as np

sys.path.insert(0, sys.argv[1])
import cases  # noqa: E402
import measure  # noqa: E402
import page  # noqa: E402


def ratios_are_taken_within_a_round():
    ours, theirs = [1.0, 10.0, 2.0], [3.0, 20.0, 2.0]  # the machine was slow in the second round
    assert measure.median_ratio(theirs, ours) == 2.0
    assert measure.median_ratio(ours, ours) == 1.0


def errors_are_those_of_the_result():
    expected = np.array([3.0, 4.0])
    assert cases.errors(np.array([3.0, 4.0], np.float32), expected) == (0.0, 0.0)
    assert cases.errors(np.array([3.0, 9.0], np.float32), expected) == (5.0, 1.0)


def inputs_are_the_same_for_the_same_case():
    for case in cases.QUICK.values():
        first, second = cases.make_inputs(case), cases.make_inputs(case)
        assert list(first) == list(second)
        assert all(np.array_equal(first[name], second[name]) for name in first)


def softmax_rows_sum_to_one():
    y = cases.exact({"operation": "softmax"}, {"x": np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])})
    assert np.allclose(y, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-15)


def gradients_are_those_of_finite_differences():
    step, random = 1e-6, np.random.default_rng(3)
    case = {"operation": "cross_entropy", "rows": 2, "cols": 5}
    logits, targets = random.standard_normal((2, 5)), np.array([4, 1])
    loss = lambda z: -np.log(cases.softmax(z)[[0, 1], targets]).mean()
    gradient = cases.exact(case, {"logits": logits, "targets": targets})
    dy = random.standard_normal((2, 5))
    backward = cases.exact({"operation": "softmax_backward"}, {"y": cases.softmax(logits), "dy": dy})
    for place in np.ndindex(2, 5):
        above, below = logits.copy(), logits.copy()
        above[place] += step
        below[place] -= step
        assert abs((loss(above) - loss(below)) / (2 * step) - gradient[place]) < 1e-8
        change = ((cases.softmax(above) - cases.softmax(below)) * dy).sum() / (2 * step)
        assert abs(change - backward[place]) < 1e-8


def attention_has_groups_and_a_causal_mask():
    case = cases.attention(queries=2, keys=3, dim=1, heads=2, kv_heads=1, causal=True)
    q, k = np.zeros((1, 2, 2, 1)), np.zeros((1, 1, 3, 1))
    v = np.array([1.0, 3.0, 8.0]).reshape(1, 1, 3, 1)
    assert np.array_equal(cases.exact(case, {"q": q, "k": k, "v": v}).ravel(), [1, 2, 1, 2])
    everything = cases.exact({**case, "causal": False}, {"q": q, "k": k, "v": v})
    assert np.allclose(everything, 4)


def tables_mark_where_others_win():
    assert page.ratio({"ratio": 0.5}) == "**0.50**" and page.ratio({"ratio": 1.25}) == "1.25"
    result = {"case": "c", "results": {"softattn": {"seconds": 2e-6}, "jax": {"ratio": 3.0}}}
    assert page.speed_table([result]).splitlines() == ["| problem | libsoftattn | JAX |", "|---|---|---|",
                                                       "| c | 2.0 µs | 3.00 |"]


def every_empty_cell_is_explained():
    missing = {"a": {}, "b": {"jax": "no"}, "c": {"jax": "no", "ggml": "not there"}}
    results = [{"case": case, "results": {"softattn": {}, "jax": {}}, "missing": missing[case]} for case in "abcb"]
    assert page.missing_note(results).splitlines() == ["Empty cells:", "", "* JAX, no: b; c"]


for promise in (ratios_are_taken_within_a_round, errors_are_those_of_the_result, inputs_are_the_same_for_the_same_case,
                softmax_rows_sum_to_one, gradients_are_those_of_finite_differences,
                attention_has_groups_and_a_causal_mask, tables_mark_where_others_win, every_empty_cell_is_explained):
    promise()
    print(promise.__name__)
