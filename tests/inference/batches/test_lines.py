"""Cutting a file into lines, and telling what is wrong with them."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tenfold.inference.batches.lines import Checker, Line, lines_of, not_in_a_batch, requested
from tenfold.inference.batches.types import MAX_ERRORS, LineError
from tests.inference.batches.samples import CHAT, line_of


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def cut(*chunks: bytes, most: int = 100) -> list[tuple[int, bytes]]:
    return [(line.number, line.text) async for line in lines_of(pieces(*chunks), most)]


def wrongs(*texts: bytes, endpoint: str = CHAT) -> list[LineError]:
    checker = Checker(endpoint)
    for number, text in enumerate(texts, 1):
        if not checker.see(Line(number, text)):
            break
    checker.end()
    return checker.errors


async def test_lines_are_cut_and_numbered() -> None:
    assert await cut(b"\xef\xbb\xbfone\r\n", b"\n  \ntw", b"o\nthree") == [(1, b"one"), (4, b"two"), (5, b"three")]
    assert await cut() == []
    assert await cut(b"\n\n") == []
    assert await cut(b"12345\n123456\n1234567\nx", most=6) == [(1, b"12345"), (2, b"123456"), (3, b""), (4, b"x")]
    assert await cut(b"123", b"456", b"789", b"\nx\n", most=6) == [(1, b""), (2, b"x")]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
async def test_where_a_file_is_cut_makes_no_difference(text: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    parts = [text[start:end] for start, end in pairwise(edges)]
    assert await cut(*parts, most=20) == await cut(text, most=20)


def test_good_lines_are_good() -> None:
    checker = Checker(CHAT)
    assert all(checker.see(Line(n, line_of(n).strip())) for n in range(1, 4))
    checker.end()
    assert (checker.errors, checker.total, checker.model) == ([], 3, "m")
    asked = requested(line_of(7).strip())
    assert asked.custom_id == "c-7"
    assert json.decode(asked.body)["model"] == "m"


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        (b'{"custom_id": "a", "custom_id": "b"}', "invalid_json_line", None),
        (b"[" * 5000, "invalid_json_line", None),
        (b"", "line_too_long", None),
        (b'{"custom_id": 1}', "missing_required_parameter", "custom_id"),
        (b'{"custom_id": ""}', "missing_required_parameter", "custom_id"),
        (json.encode({"custom_id": "x" * 513}), "invalid_custom_id", "custom_id"),
        (b'{"custom_id": "a", "method": "GET"}', "invalid_method", "method"),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}', "mismatched_url", "url"),
        (line_of(2).replace(b'"body"', b'"Body"'), "missing_required_parameter", "body"),
        (line_of(2, model=None), "missing_required_parameter", "body.model"),
    ],
)
def test_what_is_wrong_is_told_by_line(text: bytes, code: str, param: str | None) -> None:
    (error,) = wrongs(line_of(1).strip(), text.strip())
    assert (error.code, error.param, error.line) == (code, param, 2)


def test_every_wrong_line_is_told() -> None:
    found = wrongs(line_of(1).strip(), b"{", line_of(1).strip(), b"}", line_of(2).strip())
    assert [(one.line, one.code) for one in found] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "invalid_json_line"),
    ]
    assert "line 1" in found[1].message


def test_there_is_an_end_of_telling() -> None:
    found = wrongs(*[b"{"] * 5000)
    assert len(found) == MAX_ERRORS + 1
    assert found[-1].code == "too_many_errors"
    assert [one.code for one in wrongs()] == ["empty_file"]
    checker = Checker(CHAT, most_lines=2)
    assert [checker.see(Line(n, line_of(n).strip())) for n in (1, 2, 3)] == [True, True, False]
    assert [one.code for one in checker.errors] == ["too_many_tasks"]


def test_several_models_are_none() -> None:
    checker = Checker(CHAT)
    for number, model in enumerate(["a", "b", "c"], 1):
        checker.see(Line(number, line_of(number, model=model).strip()))
    assert (checker.errors, checker.model) == ([], None)


@pytest.mark.parametrize("model", ["a\0", "x" * 201, "\n"])
def test_what_cannot_be_a_models_name_is_not_told_as_one(model: str) -> None:
    checker = Checker(CHAT)
    checker.see(Line(1, line_of(1, model=model).strip()))
    assert (checker.errors, checker.model) == ([], None)


def test_what_makes_no_sense_in_a_batch() -> None:
    assert not_in_a_batch(b'{"stream": false, "background": null}') is None
    assert not_in_a_batch(b"nonsense") is None
    for name in ("stream", "background", "previous_response_id", "conversation"):
        refusal = not_in_a_batch(json.encode({name: True}))
        assert refusal is not None
        assert refusal.param == name
