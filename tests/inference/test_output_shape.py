"""Schemas of clients: what is refused before anybody is asked, and that no check can run away."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.errors import InvalidRequest
from tenfold.inference.output.shape import MOST_PATTERNS, MOST_SCHEMA_BYTES, Shape
from tenfold.inference.output.work import MOST_PLACES, TooHard, WorkOf
from tests.support.naughty import naughty_strings

PARAM = "response_format.json_schema.schema"


def shape(schema: Any) -> Shape:
    return Shape(json.encode(schema), PARAM)


def refusal(schema: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        shape(schema)
    return caught.value


def chain(length: int, link: Any) -> dict[str, Any]:
    """d0 leads to d1 in the way `link` says, and so on."""
    defs = {f"d{i}": link({"$ref": f"#/$defs/d{i + 1}"}) for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": {"type": "integer"}}}


def nested(value: Any, times: int, around: Any) -> Any:
    for _ in range(times):
        value = around(value)
    return value


REFUSED: list[tuple[str, Any, str]] = [
    ("an unknown type", {"type": "strng"}, "strng"),
    ("a wrong keyword", {"properties": []}, "not of type"),
    ("a negative length", {"minLength": -1}, "less than"),
    ("a list", [1], "neither an object nor a boolean"),
    ("a web reference", {"$ref": "http://127.0.0.1:9/schema"}, "nothing is fetched"),
    ("a file reference", {"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "nothing is fetched"),
    ("a relative reference", {"items": {"$ref": "other.json#/a"}}, "nothing is fetched"),
    ("a reference to nowhere", {"$ref": "#/$defs/none"}, "leads nowhere"),
    ("a name of nobody", {"$ref": "#none"}, "leads nowhere"),
    ("a reference to no schema", {"$ref": "#/title", "title": "x"}, "leads to no schema"),
    ("an unknown meta-schema", {"$schema": "http://127.0.0.1:9/meta"}, "Unknown meta-schema"),
    ("an old draft", {"$schema": "http://json-schema.org/draft-04/schema#"}, "drafts before draft 6"),
    ("a base of its own inside", {"items": {"$id": "http://127.0.0.1:9/x"}}, "may have an $id"),
    ("a dynamic reference", {"items": {"$dynamicRef": "#x"}}, "not followed"),
    ("a loop", {"$ref": "#"}, "refers to itself"),
    ("a longer loop", {"allOf": [{"anyOf": [{"not": {"$ref": "#"}}]}]}, "refers to itself"),
    ("two of a name", {"$defs": {"a": {"$anchor": "n"}, "b": {"$anchor": "n"}}, "$ref": "#n"}, "have the name"),
    ("no regular expression", {"pattern": "(((("}, "no regular expression"),
    ("a long pattern", {"pattern": "a" * 1001}, "longer than"),
    ("many patterns", {"properties": {f"p{i}": {"pattern": "a"} for i in range(MOST_PATTERNS + 1)}}, "patterns"),
    ("a key with look-around", {"patternProperties": {"(?=a)b": {}}}, "look-around"),
    ("a large one", {"description": "x" * MOST_SCHEMA_BYTES}, "larger than"),
    ("a wide one", {"properties": {f"p{i}": {} for i in range(MOST_PLACES)}}, "schemas in it"),
    ("two to the thirtieth ways", chain(30, lambda to: {"anyOf": [to, to]}), "too many ways"),
    ("looking again", nested({"properties": {}}, 20, lambda s: {"allOf": [s], "unevaluatedProperties": False}), "ways"),
    ("a long way", chain(900, lambda to: {"allOf": [to], "properties": {"x": True}}), "too many"),
]


@pytest.mark.parametrize(("schema", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_with_the_place_of_the_schema(schema: Any, said: str) -> None:
    error = refusal(schema)
    assert said in error.message
    assert error.param == PARAM
    assert error.status == 400
    assert len(error.message) < 500


GOOD: list[tuple[str, Any, Any, Any]] = [
    ("anything", True, {"a": 1}, None),
    ("types", {"type": ["string", "null"]}, None, 1),
    ("draft 7", {"$schema": "http://json-schema.org/draft-07/schema#", "const": 1}, 1, 2),
    ("an own id", {"$id": "https://example.com/x", "$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, 1, 2),
    ("a name", {"$ref": "#n", "$defs": {"a": {"$anchor": "n", "type": "array"}}}, [], {}),
    ("a tree", {"type": "object", "additionalProperties": {"$ref": "#"}}, {"a": {"b": {}}}, {"a": {"b": 1}}),
    ("an odd pointer", {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"const": 1}}}, 1, 2),
    ("a list's item", {"$ref": "#/anyOf/1", "anyOf": [{}, {"const": 1}]}, 1, 2),
    ("a fine pattern", {"pattern": "^a+$"}, "aa", "b"),
    ("members called as keywords are", {"properties": {"$ref": {"const": 1}, "pattern": {}}}, {"$ref": 1}, {"$ref": 2}),
    ("old dependencies", {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, {"a": 1, "b": 2}, {"c": 1}),
]


@pytest.mark.parametrize(("schema", "fits", "not_fits"), [c[1:] for c in GOOD], ids=[c[0] for c in GOOD])
def test_what_it_holds_replies_to(schema: Any, fits: Any, not_fits: Any) -> None:
    made = shape(schema)
    if schema is not True and "dependencies" not in schema:
        assert not made.fits(not_fits)
    assert made.fits(fits)


def test_formats_assert_nothing() -> None:
    assert shape({"type": "string", "format": "email"}).fits("not one")


@pytest.mark.parametrize("pattern", [r"^(?!\.)a", r"(?=a)(a+)+\1$", r"(a)\1", r"(?:\w?){1000}z"])
def test_a_pattern_that_may_run_away_is_not_asserted(pattern: str) -> None:
    made = shape({"properties": {"a": {"type": "string", "pattern": pattern}}})
    assert made.unchecked
    assert made.fits({"a": "zzz"})
    assert not made.fits({"a": 1})


def test_patterns_run_without_backtracking() -> None:
    made = shape({"pattern": "^(a+)+$"})
    assert not made.unchecked
    assert not made.fits("a" * 50_000 + "b")


DEEP = nested("leaf", 60, lambda value: {"a": value})
TWICE: dict[str, Any] = {"type": ["object", "integer"], "properties": {"a": {"$ref": "#"}}}
GROWING: list[tuple[str, Any, Any]] = [
    ("two ways down", {"anyOf": [TWICE, TWICE]}, DEEP),
    ("two ways down, not recursive", chain(40, lambda to: {"allOf": [{"properties": {"a": to}}] * 2}), DEEP),
    (
        "everything leads to everything",
        {
            "$ref": "#/$defs/d0",
            "$defs": {
                f"d{i}": {"anyOf": [{"properties": {"a": {"$ref": f"#/$defs/d{k}"}}} for k in range(20)]}
                for i in range(20)
            },
        },
        DEEP,
    ),
    ("names too", {"propertyNames": {"enum": list(range(20_000))}}, {str(i): 0 for i in range(100)}),
    ("a long list of words", {"items": {"enum": list(range(20_000))}}, list(range(100))),
    ("a hard pattern on a long text", {"pattern": "^(?:[ab]*a[ab]{300})z"}, "ab" * 10_000),
    ("hard keys", {"patternProperties": {"(?:[ab]*a[ab]{300})z": {}}}, {"ab" * 10_000: 1}),
    ("all different", {"uniqueItems": True}, list(range(200_000))),
    ("two in items", {"allOf": [{"items": {"$ref": "#"}}, {"contains": {"$ref": "#"}}]}, nested(1, 60, lambda x: [x])),
]


@pytest.mark.parametrize(("schema", "value"), [c[1:] for c in GROWING], ids=[c[0] for c in GROWING])
def test_a_check_that_would_grow_without_end_is_not_begun(schema: Any, value: Any) -> None:
    made = shape(schema)
    assert made.is_too_much(value, json.encode(value).decode())
    assert not made.is_too_much(1, "1")


def test_a_long_reply_to_a_plain_schema_is_checked() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"anyOf": [{"type": "null"}, {}]}}}
    made = shape({"type": "array", "items": {"$ref": "#/$defs/item"}, "$defs": {"item": item}})
    value = [{"name": "x" * 40, "n": i} for i in range(5_000)]
    assert not made.is_too_much(value, json.encode(value).decode())
    assert made.fits(value)


# Schemas of every kind of keyword, with references to two definitions.
_REFERENCES: list[Any] = [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}, {"$ref": "#"}]
_leaves: st.SearchStrategy[Any] = st.sampled_from(
    [
        True,
        False,
        {},
        {"type": "object"},
        {"enum": [1, "a"]},
        {"pattern": "a{1,30}"},
        {"uniqueItems": True},
        *_REFERENCES,
    ]
)


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("ab"), inner, min_size=1)
    return st.one_of(
        *(st.fixed_dictionaries({word: several}) for word in ("allOf", "anyOf", "oneOf", "prefixItems")),
        *(st.fixed_dictionaries({word: named}) for word in ("properties", "patternProperties", "dependentSchemas")),
        *(st.fixed_dictionaries({word: inner}) for word in ("not", "items", "additionalProperties", "contains")),
        *(st.fixed_dictionaries({word: inner}) for word in ("propertyNames", "unevaluatedProperties")),
    )


_schemas = st.builds(
    lambda root, x, y: {"allOf": [root], "$defs": {"x": x, "y": y}},
    *(st.recursive(_leaves, _grown, max_leaves=5),) * 3,
)
_values = st.recursive(
    st.sampled_from([None, 1, "a", "ab" * 40]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=20,
)


@given(_schemas, _values, st.integers(1, 5_000))
@settings(max_examples=300)
def test_the_quick_look_never_promises_less_work_than_the_walk_counts(schema: Any, value: Any, most: int) -> None:
    try:
        work = WorkOf(schema)
    except TooHard:
        return
    if not work.exceeds(value, json.encode(value).decode(), most):
        assert not work._walk_exceeds(value, most)


@given(_schemas, _values)
@settings(max_examples=300)
def test_any_schema_is_refused_or_holds(schema: Any, value: Any) -> None:
    try:
        made = shape(schema)
    except InvalidRequest:
        return
    if not made.is_too_much(value, json.encode(value).decode()):
        made.fits(value)


def test_naughty_words_in_schemas() -> None:
    for word in naughty_strings():
        try:
            raw = json.encode(
                {"title": word, "properties": {word: {"const": word}}, "pattern": word, "$ref": f"#/properties/{word}"}
            )
        except UnicodeEncodeError:  # half of a surrogate pair: no body has one
            continue
        try:
            made = Shape(raw, PARAM)
        except InvalidRequest as error:
            assert len(error.message) < 500
        else:
            made.fits({word: word})
