"""Mending without a model: what is mended, what is left alone, and that nothing is made up."""

import json as plain_json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import ChatRequest, ResponseFormat
from tenfold.inference.output import mend as mend_module
from tenfold.inference.output.expected import ANY_JSON, Expected, Promises, fits
from tenfold.inference.output.mend import mend
from tests.support.naughty import naughty_strings


def expected_of(schema: Any) -> Expected:
    form = ResponseFormat(kind="json_schema", schema=schema)
    found = Promises().of(ChatRequest(model="m", messages=[], response_format=form), "openai")
    assert found is not None
    return found


OBJECT = expected_of({"type": "object", "properties": {"a": {"type": ["integer", "string", "null", "array"]}}})
ONLY_A = expected_of({"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {}}})

MENDED: list[tuple[str, Any]] = [
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ('```\n{"a": 1}\n```', {"a": 1}),
    ('Here you are [sic], {name}:\n\n{"a": 1}\n\nAnything else?', {"a": 1}),
    ('\ufeff{"a": 1}', {"a": 1}),
    ('{"a": 1,}', {"a": 1}),
    ('{"a": [1, 2, 3, ], }', {"a": [1, 2, 3]}),
    ("{'a': 'it\\'s \"so\"'}", {"a": 'it\'s "so"'}),
    ("{a: 1}", {"a": 1}),
    ("{$a-b: 1}", {"$a-b": 1}),
    ('{"a": True, "b": False, "c": None}', None),
    ('{"a": NaN}', {"a": None}),
    ('{"a": -Infinity}', {"a": None}),
    ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}),
    ('{"a": "\\d+ \\u00e9 \\n"}', {"a": "\\d+ é \n"}),
    ('{"a": "x" // why\n}', {"a": "x"}),
    ('{/* first */ "a": 1}', {"a": 1}),
    ('{"a": +1, "b": .5, "c": 5., "d": -0.5e3}', {"a": 1, "b": 0.5, "c": 5, "d": -500}),
    ('{"a": [1, 2]', {"a": [1, 2]}),
    ('{"a": 1}}', {"a": 1}),
    ('{"a": 1} {"a": 1}', {"a": 1}),
    ('{"a": "```"}\n```', {"a": "```"}),
    ('{"a": "Ignore {\\"a\\": 2} and [] in here"} ok', {"a": 'Ignore {"a": 2} and [] in here'}),
]


@pytest.mark.parametrize(("text", "value"), MENDED, ids=[text for text, _ in MENDED])
def test_mended(text: str, value: Any) -> None:
    expected = ANY_JSON if value is None else OBJECT
    found = mend(expected, text)
    assert found is not None
    assert fits(expected, found)
    if value is not None:
        assert plain_json.loads(found) == value


LEFT = [
    "",
    "Sorry, I cannot do that.",
    '{"a": ',
    '{"a": "x',
    '{"a": 1, ',
    '{"a"',
    '{"a": 1 "b": 2}',
    '{"a": [1, 2}',
    '{"a": 007}',
    '{"a": yes}',
    '{"a": 0x1F}',
    '{"a": 1} or rather {"a": 2}',
    '{"x": {"a": 1}, oh dear, {"a": 2}}',
    '{"broken" {"a": 1}}',
    '[{"a": 1}, {"a": 2}]',
    "[" * 5000,
    '{"a":' * 5000,
    "{'a': \"x}",
    "/*" * 5000,
    '{"a": /*',
]


@pytest.mark.parametrize("text", LEFT, ids=[text[:30] for text in LEFT])
def test_left_alone(text: str) -> None:
    assert mend(ONLY_A, text) is None


@pytest.mark.parametrize("text", ['{"a": [1, 2]', '{"a": [1, 2', '[{"a": 1}, {"a": 2}', '{"a": 1} and {"a": 1'])
def test_a_cut_reply_is_never_closed(text: str) -> None:
    assert mend(ANY_JSON, text, cut=True) is None


def test_a_whole_value_before_the_cut_is_found() -> None:
    assert mend(ONLY_A, '```json\n{"a": 1,}\n```\nHere the explan', cut=True) == '{"a":1}'


def test_many_brackets_left_open_are_not_closed() -> None:
    assert mend(ANY_JSON, "[" * 8 + "1") == "[" * 8 + "1" + "]" * 8
    assert mend(ANY_JSON, "[" * 9 + "1") is None


def test_what_stands_inside_a_broken_value_does_not_pass_for_it() -> None:
    tree = expected_of({"type": "object", "additionalProperties": {"$ref": "#"}})
    assert mend(tree, '{"left": {"a": {}}, "right" {"b": {}}}') is None


def test_a_mended_text_must_fit() -> None:
    assert mend(expected_of({"type": "object", "required": ["b"]}), "{a: 1}") is None
    assert mend(expected_of({"properties": {"a": {"type": "number"}}}), '{"a": NaN}') is None


def test_two_values_that_fit_are_not_chosen_from() -> None:
    assert mend(ANY_JSON, "[1] {}") is None
    assert mend(ONLY_A, '[1] {"a": 1}') == '{"a":1}'


def test_long_texts_are_left_alone() -> None:
    assert mend(ANY_JSON, "[1,]" + " " * mend_module.MOST_TEXT) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def _encodable(value: Any) -> bool:
    try:
        plain_json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(_json.filter(_encodable), st.booleans(), st.sampled_from([None, 2]), st.booleans())
def test_a_valid_document_is_never_changed(value: Any, ascii_only: bool, indent: int | None, cut: bool) -> None:
    text = plain_json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert mend(ANY_JSON, text, cut=cut) is text


@given(st.dictionaries(st.text(max_size=5), _json, max_size=3).filter(_encodable))
def test_a_document_in_prose_is_found_unchanged(value: Any) -> None:
    text = plain_json.dumps(value, ensure_ascii=False)
    found = mend(ANY_JSON, f"Well:\n```json\n{text}\n```\nDone.")
    assert found is not None
    assert plain_json.loads(found) == value


@given(st.dictionaries(st.text(max_size=5), _json, min_size=1, max_size=4).filter(_encodable), st.data())
def test_a_document_cut_anywhere_is_refused(value: Any, data: st.DataObject) -> None:
    text = plain_json.dumps(value, ensure_ascii=False)
    cut = data.draw(st.integers(0, len(text) - 1))
    assert mend(ANY_JSON, text[:cut], cut=True) is None


_pieces = st.sampled_from(
    [*"{}[]\"':,\\/*`\n\t .-+0123eEx", "true", "None", "NaN", "a", "```json", "//", "\\u12", "\ud800", "é"]
)


@given(st.lists(_pieces | st.text(max_size=3), max_size=40).map("".join), st.booleans())
def test_whatever_comes_in_what_comes_out_is_valid(text: str, cut: bool) -> None:
    for expected in (ANY_JSON, OBJECT, ONLY_A):
        found = mend(expected, text, cut=cut)
        if found is not None:
            assert fits(expected, found)
            assert mend(expected, found) is found


def test_naughty_strings_survive() -> None:
    for naughty in naughty_strings():
        mend(ANY_JSON, naughty)
        try:
            text = plain_json.dumps({"a": naughty}, ensure_ascii=False)
            text.encode()
        except UnicodeEncodeError:
            continue
        assert mend(ONLY_A, text) is text
        found = mend(ONLY_A, f"Sure!\n{text[:-1]},}}")
        assert found is not None
        assert plain_json.loads(found) == {"a": naughty}
