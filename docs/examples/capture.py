"""Writes the query, key and value arrays of one attention layer of a real transformer, and the result that
attention over them must give. README.md says what each file holds.

    python capture.py           writes the files beside this script
    python capture.py --check   checks the model against published figures, and the files against the model
"""

import argparse
import math
from pathlib import Path

import numpy as np

from minilm import Encoder, Tokenizer, sentence_embedding

SENTENCE = "My sister bought a new car and she drove it home."
LAYER = 3

# The quick start of the sentence-transformers documentation prints these cosine similarities for this model.
PUBLISHED_SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
PUBLISHED_SIMILARITIES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}


class Model:
    """Tokenizer and encoder together: from a sentence to what the transformer computes for it."""

    def __init__(self):
        self.tokenizer = Tokenizer()
        self.encoder = Encoder()

    def run(self, sentence):
        """Returns the tokens, the last hidden state and (query, key, value) per layer."""
        tokens = self.tokenizer.tokens(sentence)
        return tokens, *self.encoder.encode([self.tokenizer.ids[token] for token in tokens])


def expected_result(query, key, value):
    """softmax(QK^T / sqrt(dim)) V in float64 from the stored float32 arrays, straight from the definition."""
    query, key, value = (array.astype(np.float64) for array in (query, key, value))
    scores = np.einsum("bhid,bhjd->bhij", query, key) / math.sqrt(query.shape[-1])
    log_sum_exp = np.logaddexp.reduce(scores, axis=-1)
    weights = np.exp(scores - log_sum_exp[..., np.newaxis])
    out = np.einsum("bhij,bhjd->bhid", weights, value)
    return {"expected_out": out, "expected_weights": weights, "expected_lse": log_sum_exp}


def capture(model, sentence, layer):
    """The tokens, and q, k, v of the layer as float32 [batch][heads][seq][dim]."""
    tokens, _, layers = model.run(sentence)
    arrays = (array[np.newaxis].astype(np.float32) for array in layers[layer])
    return tokens, dict(zip("qkv", arrays))


def save(path, array):
    """.npy version 1.0, little-endian, C order, whatever machine or NumPy writes it."""
    with open(path, "wb") as file:
        stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        np.lib.format.write_array(file, stored, version=(1, 0))


def write(model, sentence, layer, directory):
    tokens, arrays = capture(model, sentence, layer)
    arrays |= expected_result(arrays["q"], arrays["k"], arrays["v"])
    for name, array in arrays.items():
        save(directory / f"{name}.npy", array)
        print(f"{name}.npy: {array.dtype} {list(array.shape)}")
    (directory / "tokens.txt").write_text("\n".join(tokens) + "\n")
    print(f"tokens.txt: {' '.join(tokens)}")


def check_model(model):
    """A wrong weight, layout or formula anywhere in the forward pass would move these figures."""
    embeddings = [sentence_embedding(model.run(sentence)[1]) for sentence in PUBLISHED_SENTENCES]
    for (a, b), published in PUBLISHED_SIMILARITIES.items():
        similarity = float(embeddings[a] @ embeddings[b])
        print(f"cosine {similarity:.4f}, published {published:.4f}: "
              f"{PUBLISHED_SENTENCES[a]} | {PUBLISHED_SENTENCES[b]}")
        # One unit of the fourth digit: half for the rounded figure, half for its float32 arithmetic.
        if abs(similarity - published) > 1e-4:
            raise SystemExit("the forward pass does not reproduce the published similarity")


def same(actual, wanted, tolerance):
    return actual.shape == wanted.shape and bool(np.all(np.abs(actual - wanted) <= tolerance))


def check_files(model, sentence, layer, directory):
    tokens, arrays = capture(model, sentence, layer)
    if (directory / "tokens.txt").read_text().split("\n")[:-1] != tokens:
        raise SystemExit("tokens.txt differs from the tokens of the sentence")
    stored = {name: np.load(directory / f"{name}.npy") for name in arrays}
    for name, array in arrays.items():
        # Another order of summation in float64 may flip the last rounding to float32, nothing more.
        if not same(stored[name], array, np.spacing(np.abs(array))):
            raise SystemExit(f"{name}.npy differs from what the model computes")
    for name, array in expected_result(stored["q"], stored["k"], stored["v"]).items():
        if not same(np.load(directory / f"{name}.npy"), array, 1e-13):
            raise SystemExit(f"{name}.npy differs from attention over q.npy, k.npy, v.npy")
    print("the files hold what the model computes for the sentence")


def check(model, sentence, layer, directory):
    check_model(model)
    check_files(model, sentence, layer, directory)


def main():
    parser = argparse.ArgumentParser(description="Capture Q, K, V of one layer of all-MiniLM-L6-v2.")
    parser.add_argument("--sentence", default=SENTENCE, help=f"printable ASCII text (default: {SENTENCE})")
    parser.add_argument("--layer", type=int, choices=range(6), default=LAYER, help=f"default: {LAYER}")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent,
                        help="of the files (default: beside this script)")
    parser.add_argument("--check", action="store_true", help="check the model and the files, write nothing")
    arguments = parser.parse_args()

    model = Model()
    action = check if arguments.check else write
    try:
        action(model, arguments.sentence, arguments.layer, arguments.directory)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
