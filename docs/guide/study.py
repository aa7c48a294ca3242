"""Makes the tables and figures of docs/guide.md from runs of libsoftattn: tables between the marks in the page, figures as
SVG files beside this script. Random numbers are seeded, so a run changes nothing but what the library changed.

usage: study.py <path of libsoftattn.so> [--check]
       --check  writes nothing, and fails where a table of the page is not what the library gives

Needs NumPy, and for the figures matplotlib.
"""
import pathlib
import sys

import numpy as np

from softattn import Library

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent / "guide.md"
EXAMPLES = HERE.parent / "examples"

KEYS = 512
POWERS = (0, 0.25, 0.5, 0.75, 1)
POWER_NAMES = ("1", "d^¼", "√d", "d^¾", "d")


def random_heads(dim, queries=256, keys=KEYS, seed=1):
    """Queries, keys and values of independent entries with mean 0 and variance 1."""
    source = np.random.default_rng([seed, dim])
    draw = lambda rows: source.standard_normal((1, 1, rows, dim)).astype(np.float32)
    return draw(queries), draw(keys), draw(keys)


def number(value):
    """Three digits that matter."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}·10^{int(exponent)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(value):
    return f"{100 * value:.0f} %"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ---- What the divisor does to the rows ----


def diagnose(library, dim, power):
    q, k, _ = random_heads(dim)
    return library.diagnose_attention(q, k, dim**-power)


def divisor_table(library, dim=512):
    rows = []
    for power, name in zip(POWERS, POWER_NAMES):
        d = diagnose(library, dim, power)
        rows.append([f"{name} = {number(dim**power)}", number(np.sqrt(d["score_variance"].mean())),
                     number(d["max_probability"].mean()), number(d["entropy"].mean()),
                     number(d["effective_keys"].mean()), percent(d["saturated"].mean()),
                     number(np.median(d["jacobian_norm"]))])
    return table(["divisor", "score deviation", "largest probability", "entropy", "effective keys", "saturated",
                  "Jacobian norm, median"], rows)


def dimension_table(library):
    rows = []
    for dim in (8, 32, 128, 512, 2048):
        unscaled, scaled = diagnose(library, dim, 0), diagnose(library, dim, 0.5)
        rows.append([str(dim), number(unscaled["score_variance"].mean()), number(unscaled["effective_keys"].mean()),
                     percent(unscaled["saturated"].mean()), number(scaled["score_variance"].mean()),
                     number(scaled["effective_keys"].mean()), percent(scaled["saturated"].mean())])
    return table(["d", "variance of q·k", "effective keys", "saturated", "variance of q·k / √d", "effective keys",
                  "saturated"], rows)


def real_table(library):
    q, k = (np.load(EXAMPLES / f"{name}.npy") for name in "qk")
    rows = []
    for power, name in zip((0, 0.5, 1), ("1", "√32, as trained", "32")):
        d = library.diagnose_attention(q, k, 32.0**-power)
        rows.append([name, number(np.sqrt(d["score_variance"].mean())), number(d["max_probability"].mean()),
                     number(d["effective_keys"].mean()), percent(d["saturated"].mean()),
                     number(np.median(d["jacobian_norm"]))])
    return table(["divisor", "score deviation", "largest probability", "effective keys of 14", "saturated",
                  "Jacobian norm, median"], rows)


# ---- What it does to gradients ----


def gradient_norms(library, dim, power):
    """Norms of the gradients by each query, for random gradients by the weights of length 1."""
    q, k, _ = random_heads(dim)
    scores = (q[0, 0].astype(np.float64) @ k[0, 0].T.astype(np.float64)).astype(np.float32)
    scale = dim**-power
    dy = np.random.default_rng(2).standard_normal(scores.shape)
    dy = (dy / np.linalg.norm(dy, axis=1, keepdims=True)).astype(np.float32)
    ds = library.softmax_backward(library.softmax(scores, scale), dy, scale)
    return np.linalg.norm(ds @ k[0, 0], axis=1)


def gradient_table(library, dim=512):
    rows = []
    for power, name in zip(POWERS, POWER_NAMES):
        norms = gradient_norms(library, dim, power)
        low, middle, high = np.percentile(norms, (5, 50, 95))
        rows.append([name, number(low), number(middle), number(high), number(norms.max()),
                     number(norms.max() / middle)])
    return table(["divisor", "5th percentile", "median", "95th percentile", "largest", "largest / median"], rows)


# ---- Softmax or raw scores ----


def raw_table(library, dim=64):
    rows = []
    for keys in (16, 128, 1024, 8192):
        q, k, v = random_heads(dim, 64, keys, seed=3)
        loud = k.copy()
        loud[0, 0, 0] *= 50
        scale = dim**-0.5
        outputs = []
        for key in (k, loud):
            scores = (q[0, 0] @ key[0, 0].T) * np.float32(scale)
            outputs.append((np.abs(library.attention(q, key, v, scale)).max(), np.abs(scores @ v[0, 0]).max()))
        rows.append([str(keys), *(number(value) for pair in zip(*outputs) for value in pair)])
    return table(["keys", "softmax", "softmax, one key × 50", "raw scores", "raw scores, one key × 50"], rows)


NORMALIZERS = ("SOFTMAX", "SOFTMAX_PLUS_ONE", "SPARSEMAX", "ENTMAX", "SIGMOID", "RELU", "RELU_SQUARED", "NONE")


def normalizer_table(library, dim=64):
    """Of scores with variance 1, and with one key 10 times as long. The sigmoid's bias is -ln of the keys."""
    q, k, v = random_heads(dim)
    loud = k.copy()
    loud[0, 0, 0] *= 10
    rows = []
    for name in NORMALIZERS:
        cells = []
        for key in (k, loud):
            scores = (q[0, 0] @ key[0, 0].T) * np.float32(dim**-0.5)
            weights = library.softmax(scores, normalizer=name, sigmoid_bias=-float(np.log(KEYS)))
            cells += [number(weights.sum(axis=1).mean()), percent((weights == 0).mean()),
                      number(np.abs(weights @ v[0, 0]).max())]
        rows.append([name, *cells[:3], *cells[4:]])
    return table(["normalizer", "sum of a row's weights", "weights of 0", "largest output", "weights of 0, one key × 10",
                  "largest output, one key × 10"], rows)


# ---- Cross-entropy under extreme logits ----


def entropy_rows(library, gaps):
    """Two classes with logits [gap, 0] and the second one as the target."""
    logits = np.stack([np.array(gaps, np.float32), np.zeros(len(gaps), np.float32)], axis=1)
    losses, gradient = library.cross_entropy(logits, np.ones(len(gaps), np.int64))
    p = library.softmax(logits)
    error = (p - np.array([0, 1], np.float32)).astype(np.float32)
    squared = library.softmax_backward(p, 2 * error)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        naive = -np.log(np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1))
    return losses, gradient, squared, naive


def entropy_table(library):
    gaps = (-50, -10, -1, 0, 1, 10, 50, 100, 10000)
    losses, gradient, squared, naive = entropy_rows(library, gaps)
    rows = []
    for i, gap in enumerate(gaps):
        rows.append([str(gap), number(losses[i]), number(gradient[i, 0]), number(squared[i, 0]),
                     "∞" if np.isinf(naive[i]) else "NaN" if np.isnan(naive[i]) else number(naive[i])])
    return table(["logit of the wrong class", "cross-entropy", "its gradient, σ(z) − y",
                  "gradient of the squared error", "cross-entropy without subtracting the maximum, f32"], rows)


# ---- Figures ----


def draw(library):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "softattn", "font.size": 9, "axes.spines.top": False,
                                "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
                                "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    def save(figure, name):
        figure.tight_layout()
        figure.savefig(HERE / name, metadata={"Date": None})
        plt.close(figure)

    powers = np.linspace(0, 1, 21)
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, 4))
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.6), sharex=True)
    panels = (("score_variance", "variance of the scores", True), ("max_probability", "largest probability", False),
              ("effective_keys", f"effective keys of {KEYS}", True), ("jacobian_norm", "Jacobian norm", True))
    for dim, color in zip((8, 64, 512, 2048), colors):
        runs = [diagnose(library, dim, power) for power in powers]
        for axis, (name, title, logarithmic) in zip(axes.flat, panels):
            axis.plot(powers, [run[name].mean() for run in runs], color=color, label=f"d = {dim}")
            axis.set_title(title)
            axis.set_yscale("log" if logarithmic else "linear")
    for axis in axes.flat:
        axis.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    for axis in axes[1]:
        axis.set_xticks(POWERS, POWER_NAMES)
        axis.set_xlabel("divisor of the scores")
    axes[0, 1].legend(frameon=False)
    save(figure, "scale.svg")

    figure, axis = plt.subplots(figsize=(8, 3.2))
    norms = [gradient_norms(library, 512, power) for power in powers]
    for percentile, style in ((95, "--"), (50, "-"), (5, ":")):
        axis.plot(powers, [np.percentile(values, percentile) for values in norms], color="black", linestyle=style,
                  label=f"{percentile}th percentile")
    axis.plot(powers, [values.max() for values in norms], color="tab:red", label="largest")
    axis.set_yscale("log")
    axis.set_ylim(1e-7, 20)
    axis.set_xticks(POWERS, POWER_NAMES)
    axis.set_xlabel("divisor of the scores, d = 512")
    axis.set_ylabel("gradient by a query")
    axis.legend(frameon=False, ncols=2)
    save(figure, "gradients.svg")

    gaps = np.linspace(-15, 15, 121)
    losses, gradient, squared, _ = entropy_rows(library, gaps)
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.9))
    axes[0].plot(gaps, losses, color="black")
    axes[0].set_title("cross-entropy")
    axes[1].plot(gaps, gradient[:, 0], color="black", label="of cross-entropy, σ(z) − y")
    axes[1].plot(gaps, squared[:, 0], color="tab:red", linestyle="--", label="of the squared error")
    axes[1].set_title("gradient by the wrong class's logit")
    axes[1].set_ylim(-0.06, 1.35)  # room for the legend above the curves
    axes[1].legend(frameon=False, loc="upper left")
    for axis in axes:
        axis.set_xlabel("logit of the wrong class above the right one's")
    save(figure, "cross_entropy.svg")


# ---- The page ----

TABLES = {"divisor": divisor_table, "dimension": dimension_table, "real": real_table, "gradient": gradient_table,
          "raw": raw_table, "normalizer": normalizer_table, "entropy": entropy_table}


def fill(page, library):
    for name, make in TABLES.items():
        begin, end = f"<!-- table: {name} -->\n", "\n<!-- end -->"
        head, rest = page.split(begin)
        page = head + begin + make(library) + rest[rest.index(end):]
    return page


def main():
    library, before = Library(sys.argv[1]), PAGE.read_text(encoding="utf-8")
    after = fill(before, library)
    if "--check" in sys.argv[2:]:
        sys.exit("docs/guide.md: its tables are not what the library gives" if after != before else 0)
    PAGE.write_text(after, encoding="utf-8")
    draw(library)


main()
