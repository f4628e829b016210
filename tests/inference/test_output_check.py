"""What a request promises, whether a text keeps it, and what is said of one that does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.chat import ChatRequest, ResponseFormat
from tenfold.core.errors import InvalidRequest
from tenfold.edge.dialects.anthropic.dialect import AnthropicDialect
from tenfold.edge.dialects.openai.dialect import OpenAIDialect
from tenfold.inference.output.expected import (
    ANY_JSON,
    VALID,
    Expected,
    Invalid,
    Promises,
    check,
    fits,
    is_json,
)
from tenfold.inference.output.explain import MOST_ERRORS
from tests.support.naughty import naughty_strings

ITEM = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
    "required": ["sku", "n"],
    "additionalProperties": False,
}
ORDER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "state": {"anyOf": [{"type": "null"}, {"enum": ["open", "closed"]}]},
    },
    "required": ["name", "items"],
    "additionalProperties": False,
    "$defs": {"Item": ITEM},
}


def asking(form: ResponseFormat | None) -> ChatRequest:
    return ChatRequest(model="m", messages=[], response_format=form)


def expected_of(schema: Any) -> Expected:
    found = Promises().of(asking(ResponseFormat(kind="json_schema", name="x", schema=schema)), "openai")
    assert found is not None
    return found


def errors_of(value: Any, schema: Any = ORDER) -> tuple[str, ...]:
    verdict = check(expected_of(schema), json.encode(value).decode())
    assert isinstance(verdict, Invalid)
    return verdict.errors


# -- promises --------------------------------------------------------------------------------


def test_text_promises_nothing() -> None:
    assert Promises().of(asking(None), "openai") is None
    assert Promises().of(asking(ResponseFormat(kind="text")), "openai") is None


def test_json_without_a_schema_is_any_json() -> None:
    assert Promises().of(asking(ResponseFormat(kind="json_object")), "openai") is ANY_JSON
    assert Promises().of(asking(ResponseFormat(kind="json_schema", name="x")), "openai") is ANY_JSON


def test_of_an_openai_body() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}}
    body = json.encode({"model": "m", "messages": [{"role": "user", "content": "hi"}], "response_format": form})
    dialect = OpenAIDialect()
    assert dialect.peek("chat", body).wants_json
    found = Promises().of(dialect.decode_chat(body), dialect.name)
    assert found is not None and found.shape is not None


@pytest.mark.parametrize("member", ["output_config", "output_format"])
def test_of_an_anthropic_body(member: str) -> None:
    form: dict[str, Any] = {"type": "json_schema", "schema": ORDER}
    said = {"format": form} if member == "output_config" else form
    body = json.encode(
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], member: said},
    )
    dialect = AnthropicDialect()
    assert dialect.peek("chat", body).wants_json
    found = Promises().of(dialect.decode_chat(body), dialect.name)
    assert found is not None and found.shape is not None


@pytest.mark.parametrize(
    ("dialect", "param"),
    [
        ("openai", "response_format.json_schema.schema"),
        ("anthropic", "output_config.format.schema"),
        ("canonical", "response_format.schema"),
    ],
)
def test_a_bad_schema_is_refused_where_the_client_wrote_it(dialect: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Promises().of(asking(ResponseFormat(kind="json_schema", schema={"type": "strng"})), dialect)
    assert caught.value.param == param


def test_a_schema_is_compiled_once_and_the_oldest_are_let_go() -> None:
    def seen(promises: Promises, number: int) -> object:
        found = promises.of(asking(ResponseFormat(kind="json_schema", schema={"const": number})), "openai")
        assert found is not None
        return found.shape

    room = Promises()
    assert seen(room, 1) is seen(room, 1)
    tight = Promises(kept_bytes=500)  # for two of them
    first, second = seen(tight, 1), seen(tight, 2)
    assert seen(tight, 1) is first
    seen(tight, 3)
    assert seen(tight, 1) is first
    assert seen(tight, 2) is not second
    none = Promises(kept_bytes=0)
    assert seen(none, 1) is not None


# -- checks ----------------------------------------------------------------------------------


def test_a_text_that_keeps_it() -> None:
    text = ' {"name": "a", "items": [{"sku": "x", "n": 1}], "state": null}\n'
    assert check(expected_of(ORDER), text) is VALID
    assert fits(expected_of(ORDER), text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "NaN", "[1,]", "{'a':1}", '{"a":1}{}', "\ufeff{}", '"\\ud800"', "1e999", '"\ud800"', "[" * 200],
)
def test_what_is_no_json(text: str) -> None:
    verdict = check(ANY_JSON, text)
    assert isinstance(verdict, Invalid)
    assert len(verdict.errors) == 1
    assert verdict.errors[0].startswith("(root): is not JSON")
    assert not is_json(text)


def test_depth_is_bounded() -> None:
    assert is_json("[" * 100 + "]" * 100)
    assert not is_json("[" * 101 + "]" * 101)
    assert not is_json("[" * 100_000 + "]" * 100_000)


def test_what_is_too_much_says_so() -> None:
    verdict = check(expected_of({"items": {"enum": list(range(20_000))}}), json.encode(list(range(1_000))).decode())
    assert isinstance(verdict, Invalid)
    assert verdict.too_much


# -- explanations ----------------------------------------------------------------------------


def test_each_fault_has_its_pointer() -> None:
    wrong = {"name": "much too long", "items": [{"sku": 1, "n": 0}, {}], "state": "lost", "more": 1}
    assert set(errors_of(wrong)) == {
        "/name: breaks maxLength 10",
        "/items/0/sku: is a number, expected string",
        "/items/0/n: breaks minimum 1",
        '/items/1: lacks the member "sku"',
        '/items/1: lacks the member "n"',
        "/state: is a string, expected null",
        '(root): has the member "more", which is not allowed',
    }


def test_pointers_are_escaped() -> None:
    assert errors_of({"a/b~": 1}, {"properties": {"a/b~": {"type": "string"}}}) == (
        "/a~1b~0: is a number, expected string",
    )


def test_the_nearest_branch_is_explained() -> None:
    cat = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}
    dog = {"type": "object", "properties": {"kind": {"const": "dog"}, "tail": {"type": "string"}}, "required": ["tail"]}
    assert errors_of({"kind": "cat", "lives": "9"}, {"oneOf": [dog, cat]}) == ("/lives: is a string, expected integer",)


def test_what_the_walk_does_not_know_is_refused_all_the_same() -> None:
    assert errors_of(1, {"not": {"type": "integer"}}) == ("(root): does not fit the schema",)
    assert errors_of([1], {"contains": {"type": "string"}}) == ("(root): does not fit the schema",)


def test_errors_are_few_and_short() -> None:
    errors = errors_of({"name": 1, "items": [{"x" * 10_000: 1}] * 100})
    assert len(errors) == MOST_ERRORS
    assert all(len(error) < 300 for error in errors)


def test_errors_do_not_grow_where_branches_nest() -> None:
    twice = {"type": ["object", "integer"], "properties": {"a": {"$ref": "#"}}}
    value: Any = "leaf"
    for _ in range(12):
        value = {"a": value}
    assert len(errors_of(value, {"anyOf": [twice, twice]})) <= MOST_ERRORS


def test_values_are_not_repeated() -> None:
    secret = "sk-live-0123456789"
    for value in ({"name": secret, "items": 1}, {"name": 1, "items": [secret]}, secret, [secret]):
        assert not any(secret in error for error in errors_of(value))


def test_naughty_texts() -> None:
    expected = expected_of(ORDER)
    for text in naughty_strings():
        verdict = check(expected, text)
        assert isinstance(verdict, Invalid)
        assert all(len(error) < 300 for error in verdict.errors)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_any_value_is_valid_or_has_a_fault(value: Any) -> None:
    try:
        text = json.encode(value).decode()
    except UnicodeEncodeError:
        return
    assert fits(ANY_JSON, text)
    verdict = check(expected_of(ORDER), text)
    assert verdict is VALID or (isinstance(verdict, Invalid) and verdict.errors)
