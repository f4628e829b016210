"""The embedding model: text to a unit vector, in the process that imports it. Deterministic: a text's vector does not
depend on the texts beside it. Not for the serving process, which must stay small: see `embedder`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from tenfold.providers.offline.granite import DIMENSIONS, MAX_TOKENS
from tenfold.providers.offline.onnx_file import GraphWriter
from tenfold.providers.offline.pack import Floats, Pack

_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12
_FIRST_POSITION = 2  # RoBERTa counts positions from 2
_CHARACTERS_PER_TOKEN = 10  # a bound on the tokenizer's work; 512 tokens of prose are about 2,500 characters

# How much of an outlier goes from the activations into the weights (SmoothQuant, arXiv:2211.10438, equation 4).
# Measured against the float model over 140 questions and paragraphs: mean cosine 0.998, lowest 0.995; without it
# 0.957 and 0.879.
_SMOOTHING = 0.9


class Encoder:
    """Measured on one core: 1.9 ms a question, 50 paragraphs of 124 words a second, ready in 0.5 s, 220 MB resident.

    Of passages 128 tokens are read (`PASSAGE_TOKENS`), in half the time of whole ones. On the AWS guides nDCG@10
    of the best candidates, fused with words, was 0.802, with whole ones 0.800, with 64 tokens 0.777.
    """

    def __init__(self, path: Path) -> None:
        """Raises PackRefused, OSError."""
        pack = Pack.read(path)
        self._tokenizer = Tokenizer.from_str(pack.tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._words = pack.quantised("word_emb")
        self._positions: Floats = pack.vector("pos_emb") + pack.vector("type_emb")[0]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session: Any = ort.InferenceSession(_graph(pack), options, providers=["CPUExecutionProvider"])

    def encode(self, text: str, *, most_tokens: int = MAX_TOKENS) -> tuple[Floats, int]:
        """The vector, of length 1, and the number of tokens read: at most so many, the rest is cut."""
        # One text a run: on one thread a batch of eight is half as fast (it leaves the caches), and int8 activations
        # share one scale over a batch, so that a text's vector would depend on its neighbours.
        ids: list[int] = self._tokenizer.encode(text[: _CHARACTERS_PER_TOKEN * most_tokens]).ids
        if len(ids) > most_tokens:
            ids = [*ids[: most_tokens - 1], ids[-1]]  # the last one says that the text ends
        embedded = self._words.rows(ids) + self._positions[_FIRST_POSITION : _FIRST_POSITION + len(ids)]
        output: Floats = self._session.run(None, {"embedded": embedded[None]})[0][0, 0]
        return output / np.linalg.norm(output), len(ids)


def _graph(pack: Pack) -> bytes:
    """The encoder as an ONNX model: int8 weights, one scale an output; activations are quantised as they come."""
    graph = _EncoderGraph(pack)
    hidden = graph.normalised("embedded", "emb_ln")
    normalised_by = "emb_ln"
    for layer in range(_LAYERS):
        hidden = graph.layer(hidden, f"l{layer}", normalised_by, only_first=layer == _LAYERS - 1)
        normalised_by = f"l{layer}.fln"
    graph.writer.result(graph.first(hidden), "vector")
    return graph.writer.model(("embedded", (1, "tokens", DIMENSIONS)), ("vector", (1, 1, DIMENSIONS)))


class _EncoderGraph:
    def __init__(self, pack: Pack) -> None:
        self.writer = GraphWriter()
        self._pack = pack
        self._thirds = self.writer.constant(np.array([DIMENSIONS] * 3))
        self._place_0 = self.writer.constant(np.array([0]))

    def layer(self, hidden: str, name: str, normalised_by: str, *, only_first: bool) -> str:
        """One transformer layer. `normalised_by` is the layer norm that `hidden` came from. `only_first`: of the first
        token, which the text's vector is (CLS pooling). The last layer need not answer for the others: an eighth less
        to compute."""
        writer = self.writer
        projected = self._linear(hidden, f"{name}.qkv", self._range_after_norm(normalised_by))
        queries, keys, values = writer.ops("Split", [projected, self._thirds], 3, axis=2)
        if only_first:
            queries, hidden = self.first(queries), self.first(hidden)
        attended = writer.op("com.microsoft.MultiHeadAttention", queries, keys, values, num_heads=_HEADS)
        hidden = self.normalised(writer.op("Add", hidden, self._linear(attended, f"{name}.ao")), f"{name}.aln")
        inner = writer.op("Gelu", self._linear(hidden, f"{name}.f1", self._range_after_norm(f"{name}.aln")))
        inner = self._linear(inner, f"{name}.f2", self._range_after_gelu(name))
        return self.normalised(writer.op("Add", hidden, inner), f"{name}.fln")

    def first(self, hidden: str) -> str:
        return self.writer.op("Gather", hidden, self._place_0, axis=1)

    def normalised(self, hidden: str, name: str) -> str:
        weight, bias = (self.writer.constant(self._pack.vector(f"{name}.{part}")) for part in "wb")
        return self.writer.op("LayerNormalization", hidden, weight, bias, epsilon=_EPSILON, axis=-1)

    def _linear(self, given: str, name: str, input_range: Floats | None = None) -> str:
        writer = self.writer
        weights = self._pack.matrix(f"{name}.w").T
        if input_range is not None:
            factors = input_range**_SMOOTHING / np.abs(weights).max(axis=1).clip(1e-6) ** (1 - _SMOOTHING)
            factors /= np.exp(np.log(factors).mean())
            weights = weights * factors[:, None]
            given = writer.op("Mul", given, writer.constant((1 / factors).astype(np.float32)))
        scales = np.abs(weights).max(axis=0) / 127
        quantised = writer.constant(np.round(weights / scales).astype(np.int8))
        narrow, scale, zero = writer.ops("DynamicQuantizeLinear", [given], 3)
        product = writer.op("Cast", writer.op("MatMulInteger", narrow, quantised, zero), to=1)
        rescale = writer.op("Mul", scale, writer.constant(scales.astype(np.float32)))
        return writer.op("Add", writer.op("Mul", product, rescale), writer.constant(self._pack.vector(f"{name}.b")))

    # How large each input of a linear layer gets, told from the weights before it instead of from sample texts: a
    # normalised value is a unit normal times the norm's weight plus its bias, and a sum of those is normal again.

    def _range_after_norm(self, name: str) -> Floats:
        bound: Floats = np.abs(self._pack.vector(f"{name}.b")) + 3 * np.abs(self._pack.vector(f"{name}.w"))
        return bound

    def _range_after_gelu(self, name: str) -> Floats:
        weights = self._pack.matrix(f"{name}.f1.w")
        mean = weights @ self._pack.vector(f"{name}.aln.b") + self._pack.vector(f"{name}.f1.b")
        spread = np.sqrt(((weights * self._pack.vector(f"{name}.aln.w")) ** 2).sum(axis=1))
        bound: Floats = (mean + 6 * spread).clip(0.2)  # of unlike inputs few are 6 deviations out, but outliers are
        return bound
