"""The guard lets in exactly the bodies that every JSON parser reads alike."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import MAX_DEPTH, check_json, load_json, same_members

_TEXT = st.text(max_size=3) | st.sampled_from(["a", '"', "\\", "é", '\\"', "\\u0022", " "])
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_RAW_FRACTIONS = msgspec.json.Decoder(float_hook=Raw)


def written(value: Any, *, ascii_only: bool, indent: int | None) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()


@given(_VALUE, st.booleans(), st.sampled_from([None, 2]))
def test_any_value_is_let_in_however_it_is_written(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert load_json(written(value, ascii_only=ascii_only, indent=indent)) == value


@given(st.lists(st.tuples(_TEXT, _VALUE), min_size=2, max_size=4), st.data(), st.booleans())
def test_a_key_twice_is_refused_at_any_place(members: list[tuple[str, Any]], data: st.DataObject, nest: bool) -> None:
    key = data.draw(st.sampled_from([name for name, _ in members]))
    again = (key, data.draw(_VALUE))
    spelled = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in [*members, again])
    body = ("[{" + spelled + "}]" if nest else "{" + spelled + "}").encode()
    with pytest.raises(InvalidRequest, match="twice"):
        check_json(body)
    assert not same_members(body, msgspec.json.encode(_RAW_FRACTIONS.decode(body)))


def test_a_key_hidden_behind_an_escape_is_the_same_key() -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_json(b'{"model": 1, "mode\\u006c": 2}')
    assert caught.value.param == "model"
    with pytest.raises(InvalidRequest):
        load_json(b'{"\\u0022": 1, "\\"": 2}')


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"Infinity", b'"\xff"', b'"\\ud800"', b"1e999", b"{} {}"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        load_json(body)


def test_nesting_has_a_bound() -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        load_json(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
        for depth in (MAX_DEPTH + 1, 50_000):
            with pytest.raises(InvalidRequest, match="deep"):
                load_json(opening * depth + b"1" + closing * depth)
    load_json(b"[" + b"[]," * 500 + b"[]]")
