"""The written ONNX file is one that onnxruntime reads; numbers survive protobuf's encoding."""

import numpy as np
import onnxruntime as ort
from hypothesis import given
from hypothesis import strategies as st

from tenfold.providers.offline.onnx_file import GraphWriter, varint


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_varint_decodes_to_its_number(value: int) -> None:
    decoded = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint(value)))
    assert decoded == value % 2**64
    assert all(byte & 0x80 for byte in varint(value)[:-1])
    assert not varint(value)[-1] & 0x80


def test_onnxruntime_runs_the_graph() -> None:
    writer = GraphWriter()
    added = writer.op("Add", "given", writer.constant(np.array([1, 2, 3], np.float32)))
    halves = writer.ops("Split", [added, writer.constant(np.array([1, 2]))], 2, axis=1)
    writer.result(writer.op("LeakyRelu", halves[1], alpha=0.5), "result")
    session = ort.InferenceSession(writer.model(("given", ("rows", 3)), ("result", ("rows", 2))))
    [result] = session.run(None, {"given": np.array([[0, 0, -7], [1, 1, 1]], np.float32)})
    assert result.tolist() == [[2.0, -2.0], [3.0, 4.0]]
