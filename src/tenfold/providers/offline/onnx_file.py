"""Writes the few parts of an ONNX model file that the encoder needs, so that the `onnx` package is no dependency.

ONNX is protobuf (onnx/onnx.proto, IR version 10): a message is a row of fields, each a key (number, wire type) and
a value.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_IR_VERSION = 10
_OPSETS = (("", 20), ("com.microsoft", 1))
_ELEMENT_TYPES = {"float32": 1, "int8": 3, "int64": 7}
_FLOAT, _INT = 1, 2  # AttributeProto.AttributeType


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers travel as their 64-bit two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | float | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    block = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(block)) + block


def _attribute(name: str, value: int | float) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _INT)
    return _field(1, name) + _field(2, value) + _field(20, _FLOAT)


class GraphWriter:
    """Nodes in the order they run. `op` and `constant` return the name of what they made."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._names = 0

    def constant(self, value: NDArray[np.generic]) -> str:
        name = self._name()
        tensor = b"".join(_field(1, size) for size in value.shape) + _field(2, _ELEMENT_TYPES[value.dtype.name])
        self._constants.append(tensor + _field(8, name) + _field(9, np.ascontiguousarray(value).tobytes()))
        return name

    def op(self, kind: str, *inputs: str, **attributes: int | float) -> str:
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(self, kind: str, inputs: Sequence[str], outputs: int, **attributes: int | float) -> list[str]:
        """A node with several outputs. An operator of another domain is named with it: "com.microsoft.Attention"."""
        made = [self._name() for _ in range(outputs)]
        self._node(kind, inputs, made, attributes)
        return made

    def result(self, value: str, name: str) -> None:
        self._node("Identity", [value], [name], {})

    def model(self, given: tuple[str, Sequence[int | str]], result: tuple[str, Sequence[int | str]]) -> bytes:
        """The file. Input and output are floats of these shapes; a size that varies is a word."""
        graph = (
            b"".join(_field(1, node) for node in self._nodes)
            + _field(2, "encoder")
            + b"".join(_field(5, constant) for constant in self._constants)
            + _field(11, _value_info(*given))
            + _field(12, _value_info(*result))
        )
        opsets = b"".join(_field(8, _field(1, domain) + _field(2, version)) for domain, version in _OPSETS)
        return _field(1, _IR_VERSION) + _field(2, "tenfold") + _field(7, graph) + opsets

    def _node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, int | float]
    ) -> None:
        domain, _, name = kind.rpartition(".")
        self._nodes.append(
            b"".join(_field(1, value) for value in inputs)
            + b"".join(_field(2, value) for value in outputs)
            + _field(4, name)
            + b"".join(_field(5, _attribute(*attribute)) for attribute in attributes.items())
            + (_field(7, domain) if domain else b"")
        )

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"


def _value_info(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _ELEMENT_TYPES["float32"]) + _field(2, sizes)))
