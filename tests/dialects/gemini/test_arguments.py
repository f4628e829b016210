"""Arguments in pieces: the fragments join to the JSON text of the object the pieces describe."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.providers.gemini.arguments import ArgumentsWriter, OutOfOrder
from tenfold.providers.gemini.schema import PartialArg

keys = st.text(min_size=1, max_size=6)
scalars = st.text(max_size=12) | st.booleans() | st.none() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=8,
)


def pieces(value: Any, path: str, cut: int) -> list[dict[str, Any]]:
    """The wire form of a value; texts longer than `cut` come in several pieces and end with an empty one."""
    if isinstance(value, dict):
        return [
            piece
            for key, inner in value.items()
            for piece in pieces(inner, path + ("." + key if key.isalnum() else f"['{_quoted(key)}']"), cut)
        ]
    if isinstance(value, list):
        return [piece for index, inner in enumerate(value) for piece in pieces(inner, f"{path}[{index}]", cut)]
    if isinstance(value, str):
        if len(value) <= cut:
            return [{"jsonPath": path, "stringValue": value}]
        parts = [value[at : at + cut] for at in range(0, len(value), cut)] + [""]
        return [{"jsonPath": path, "stringValue": part, "willContinue": True} for part in parts[:-1]] + [
            {"jsonPath": path, "stringValue": ""}
        ]
    name = "nullValue" if value is None else "boolValue" if isinstance(value, bool) else "numberValue"
    return [{"jsonPath": path, name: value}]


def _quoted(key: str) -> str:
    return key.replace("\\", "\\\\").replace("'", "\\'")


def write(wire_pieces: list[dict[str, Any]]) -> list[str]:
    writer = ArgumentsWriter()
    return [writer.write(msgspec.convert(piece, PartialArg)) for piece in wire_pieces] + [writer.close()]


@given(st.dictionaries(keys, trees, max_size=4), st.integers(1, 8))
@settings(deadline=None)
def test_fragments_join_to_the_object(value: dict[str, Any], cut: int) -> None:
    assert json.loads("".join(write(pieces(value, "$", cut)))) == value


def test_text_is_given_out_as_it_comes() -> None:
    fragments = write(
        [
            {"jsonPath": "$.city", "stringValue": "Bos", "willContinue": True},
            {"jsonPath": "$.city", "stringValue": "ton", "willContinue": True},
            {"jsonPath": "$.city", "stringValue": ""},
            {"jsonPath": "$.days[0]", "numberValue": 1},
        ]
    )
    assert fragments == ['{"city":"Bos', "ton", '"', ',"days":[1', "]}"]


def test_a_text_without_its_end_is_closed_by_what_follows() -> None:
    fragments = write(
        [{"jsonPath": "$.a", "stringValue": "x", "willContinue": True}, {"jsonPath": "$.b", "boolValue": True}]
    )
    assert json.loads("".join(fragments)) == {"a": "x", "b": True}


@pytest.mark.parametrize(
    "paths",
    [
        ["$[0]"],
        ["$"],
        ["a"],
        ["$.a[1]"],
        ["$..a"],
        ["$.a", "$.a"],
        ["$.a.b", "$.a"],
        ["$.a", "$.a.b"],
        ["$.a[0]", "$.a.b"],
        ["$.a[0]", "$.a[2]"],
        ["$.a.x", "$.b", "$.a.y"],
    ],
)
def test_a_path_that_cannot_be_written_is_refused(paths: list[str]) -> None:
    with pytest.raises(OutOfOrder):
        write([{"jsonPath": path, "numberValue": 1} for path in paths])
