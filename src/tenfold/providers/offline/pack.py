"""Reads the HMSEMB01 weight container; refuses a file whose bytes are not the pinned ones.

Layout: 8 bytes of magic, u64 length of a JSON header, the header, the tokenizer's JSON, then the tensors in the
header's order. An "i8" tensor is its int8 values followed by one f32 scale for each 64 of them.
"""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from tenfold.providers.offline.granite import PACK_SHA256

Floats = NDArray[np.float32]

_MAGIC = b"HMSEMB01"
_GROUP = 64  # weights that share one scale


class PackRefused(Exception):
    """The weights are not the ones this version was built for."""


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    dtype: str
    shape: list[int]
    length: int = msgspec.field(name="len")


class _Header(msgspec.Struct, frozen=True):
    tokenizer_len: int
    tensors: list[_Tensor]


class Quantised:
    """A matrix of int8 with a scale for each 64 values of a row."""

    def __init__(self, values: NDArray[np.int8], scales: Floats) -> None:
        self._values = values
        self._scales = scales

    def rows(self, numbers: list[int] | slice) -> Floats:
        picked = self._values[numbers].astype(np.float32)
        scaled: Floats = picked * self._scales[numbers][:, :, None]
        return scaled.reshape(len(picked), -1)


class Pack:
    def __init__(self, tokenizer: str, tensors: dict[str, Floats | Quantised]) -> None:
        self.tokenizer = tokenizer
        self._tensors = tensors

    @classmethod
    def read(cls, path: Path, sha256: str = PACK_SHA256) -> "Pack":
        """Raises PackRefused, OSError."""
        block = path.read_bytes()
        if hashlib.sha256(block).hexdigest() != sha256:
            raise PackRefused(f"{path} is not the pinned model file: its sha256 differs. Reinstall the package.")
        if block[:8] != _MAGIC:
            raise PackRefused(f"{path} is not a HMSEMB01 container.")
        header_end = 16 + int.from_bytes(block[8:16], "little")
        header = msgspec.json.decode(block[16:header_end], type=_Header)
        offset = header_end + header.tokenizer_len
        tokenizer = block[header_end:offset].decode()
        tensors: dict[str, Floats | Quantised] = {}
        for tensor in header.tensors:
            tensors[tensor.name] = _read_tensor(tensor, memoryview(block)[offset : offset + tensor.length])
            offset += tensor.length
        return cls(tokenizer, tensors)

    def vector(self, name: str) -> Floats:
        """A tensor that was kept as floats."""
        tensor = self._tensors[name]
        if isinstance(tensor, Quantised):
            raise PackRefused(f"{name} should be floats")
        return tensor

    def quantised(self, name: str) -> Quantised:
        tensor = self._tensors[name]
        if not isinstance(tensor, Quantised):
            raise PackRefused(f"{name} should be quantised")
        return tensor

    def matrix(self, name: str) -> Floats:
        """A quantised matrix as floats, of shape (outputs, inputs)."""
        return self.quantised(name).rows(slice(None))


def _read_tensor(tensor: _Tensor, block: memoryview) -> Floats | Quantised:
    if tensor.dtype == "f32":
        floats: Floats = np.frombuffer(block, np.float32).reshape(tensor.shape)
        return floats
    rows, columns = tensor.shape
    values = np.frombuffer(block, np.int8, count=rows * columns)
    scales = np.frombuffer(block, np.float32, offset=rows * columns)
    return Quantised(values.reshape(rows, columns // _GROUP, _GROUP), scales.reshape(rows, columns // _GROUP))
