"""The front door: everything wrong with a body is said, by name, and nothing but InvalidRequest ever comes out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import MAX_DEPTH
from tenfold.edge.dialects.openai.checks import check_chat
from tenfold.edge.dialects.openai.hot import Peek, peek_chat, peek_embeddings
from tests.dialects.openai.vectors import requests, spots
from tests.support.naughty import naughty_strings
from tests.support.openai_schema import official_examples

HI: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def body(**members: Any) -> bytes:
    return json.dumps(HI | members).encode()


def said(content: Any, role: str = "user", **members: Any) -> bytes:
    return body(messages=[{"role": role, "content": content, **members}])


def refusal(raw: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        peek_chat(raw)
    assert caught.value.message
    assert caught.value.status == 400
    return caught.value


def test_it_reads_what_routing_needs() -> None:
    raw = body(
        stream=True,
        stream_options={"include_usage": True},
        n=2,
        max_tokens=10,
        max_completion_tokens=20,
        temperature=0.5,
        seed=7,
        user="u",
        tools=[{"type": "function", "function": {"name": "f"}}],
        response_format={"type": "json_object"},
    )
    assert peek_chat(raw) == Peek(
        model="gpt-4o-mini",
        stream=True,
        include_usage=True,
        n=2,
        max_tokens=20,
        temperature=0.5,
        seed=7,
        user="u",
        has_tools=True,
        wants_json=True,
    )


def test_nulls_are_as_if_unsaid() -> None:
    names = ("stream", "stream_options", "n", "max_tokens", "temperature", "top_p", "stop", "seed", "user", "tools")
    more = ("tool_choice", "response_format", "logit_bias", "logprobs", "metadata", "presence_penalty", "functions")
    assert peek_chat(body(**dict.fromkeys((*names, *more)))) == peek_chat(body())


def test_media_is_seen() -> None:
    image = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    assert peek_chat(said(image)).has_media
    assert not peek_chat(said([{"type": "text", "text": "image_url"}])).has_media


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"{}", "model"),
        (b'{"model":"m"}', "messages"),
        (body(model=""), "model"),
        (body(model=3), "model"),
        (body(messages=[]), "messages"),
        (body(messages="hi"), "messages"),
        (body(messages=["hi"]), "messages[0]"),
        (body(messages=[{"content": "hi"}]), "messages[0].role"),
        (body(messages=[{"role": "human", "content": "hi"}]), "messages[0].role"),
        (body(messages=[{"role": 1, "content": "hi"}]), "messages[0].role"),
        (body(messages=[{"role": "user"}]), "messages[0].content"),
        (said(None), "messages[0].content"),
        (said(5), "messages[0].content"),
        (said([]), "messages[0].content"),
        (said(["hi"]), "messages[0].content[0]"),
        (said([{"text": "hi"}]), "messages[0].content[0].type"),
        (said([{"type": "text"}]), "messages[0].content[0].text"),
        (said([{"type": "text", "text": None}]), "messages[0].content[0].text"),
        (said([{"type": "text", "text": 1}]), "messages[0].content[0].text"),
        (said([{"type": "image_url"}]), "messages[0].content[0].image_url"),
        (said([{"type": "image_url", "image_url": {"url": 1}}]), "messages[0].content[0].image_url.url"),
        (said([{"type": "input_audio", "input_audio": {"data": "x"}}]), "messages[0].content[0].input_audio.format"),
        (said("x", "tool"), "messages[0].tool_call_id"),
        (said(None, "assistant", tool_calls=[{"id": "c"}]), "messages[0].tool_calls[0].function"),
        (said(None, "assistant", tool_calls=[{"id": "c", "function": {}}]), "messages[0].tool_calls[0].function.name"),
        (body(temperature=3), "temperature"),
        (body(temperature=-0.1), "temperature"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=True), "temperature"),
        (body(temperature=10**400), "temperature"),
        (body(top_p=1.5), "top_p"),
        (body(presence_penalty=-3), "presence_penalty"),
        (body(frequency_penalty=[1]), "frequency_penalty"),
        (body(n=0), "n"),
        (body(n=129), "n"),
        (body(n=1.5), "n"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=-1), "max_tokens"),
        (body(max_completion_tokens=-5), "max_completion_tokens"),
        (body(top_logprobs=21), "top_logprobs"),
        (body(stream="true"), "stream"),
        (body(stream_options=[]), "stream_options"),
        (body(stream_options={"include_usage": 1}), "stream_options.include_usage"),
        (body(stop=5), "stop"),
        (body(stop=[1]), "stop[0]"),
        (body(seed=2**70), "seed"),
        (body(user=1), "user"),
        (body(tools={}), "tools"),
        (body(tools=[{"type": "function"}]), "tools[0].function"),
        (body(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function.name"),
        (
            body(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]),
            "tools[0].function.parameters",
        ),
        (body(tool_choice="sometimes"), "tool_choice"),
        (body(tool_choice=[]), "tool_choice"),
        (body(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (body(response_format={"type": "json_schema", "json_schema": {}}), "response_format.json_schema.name"),
        (body(logit_bias={"50256": "x"}), "logit_bias.50256"),
        (body(logit_bias={"50256": 101}), "logit_bias.50256"),
        (body(logit_bias=[]), "logit_bias"),
        (body(metadata=[]), "metadata"),
    ],
)
def test_the_offending_field_is_named(raw: bytes, param: str) -> None:
    error = refusal(raw)
    assert error.param == param
    assert f"'{param}'" in error.message


def test_the_words_are_a_persons() -> None:
    assert refusal(said(5)).message == (
        "Invalid type for 'messages[0].content': expected a string or an array, but got an integer instead."
    )
    assert refusal(b'{"model":"m"}').message == "Missing required parameter: 'messages'."
    assert refusal(body(temperature=3)).message == "Invalid value for 'temperature': expected a number from 0 to 2."
    assert refusal(b"[]").message == (
        "Invalid type for the request body: expected an object, but got an array instead."
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"hi"',
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf" + body(),
        body()[:-1],
        body() + b"x",
        body() + body(),
        body(temperature=float("nan")),
        body(temperature=float("inf")),
        body(metadata={"a": float("-inf")}),
        body(zzz=float("nan")),
        body().replace(b"hi", b"\xc3\x28"),
        body().replace(b"hi", b"\xed\xa0\x80"),
        body(zzz="@").replace(b"@", b"\xff"),
        body(metadata={"@": 1}).replace(b"@", b"\xff"),
        body().replace(b"hi", b"\\ud800"),
        body().replace(b"hi", b"a\nb"),
        body(seed=1).replace(b": 1", b": 01"),
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    refusal(raw)


# -- duplicate keys --------------------------------------------------------------------------

PLACES = [
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"n":1@}', '"n":2'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}]@}', '"model":"other"'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"@}]}', '"content":"other"'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"@}]}', '"role":"system"'),
    ('{"model":"m","messages":[{"role":"user","content":"hi","own":1@}]}', '"own":2'),
    ('{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"@}]}]}', '"text":"other"'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"a":{"b":1@}}}', '"b":2'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"unknown":[{"b":1e5@}]}', '"b":2'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"b":1@}}', '"\\u0062":2'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"n":1@}', '"\\u006e":2'),
    ('{"model":"m","messages":[{"role":"user","content":"\\u0022\\u0022"}],"n":1@}', '"n":2'),
    ('{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1@}', '"temperature":0.0000001'),
]


@pytest.mark.parametrize("style", ["compact", "spaced", "indented"])
@pytest.mark.parametrize(("text", "twin"), PLACES)
def test_a_key_that_comes_twice_is_refused(text: str, twin: str, style: str) -> None:
    spaces = {"compact": ("", ""), "spaced": (" ", ""), "indented": (" ", "\n  ")}[style]
    single, double = text.replace("@", ""), text.replace("@", "," + twin)
    for raw in (single, double):
        restyled = raw.replace('":', '":' + spaces[0]).replace(',"', "," + (spaces[1] or spaces[0]) + '"').encode()
        if raw is single:
            assert peek_chat(restyled).model == "m"
        else:
            assert "twice" in refusal(restyled).message


def test_lengths_cannot_be_made_to_hide_a_lost_key() -> None:
    """Were numbers written anew, 1e6 would grow by just the bytes that the lost key takes."""
    lost = b',"n":2'
    grown = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"a":1e6},"n":1' + lost + b"}"
    assert "twice" in refusal(grown).message


JSON_TEXT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON_TEXT, key=st.text(max_size=8), ascii_only=st.booleans(), spaced=st.booleans())
def test_no_unique_key_is_taken_for_a_twin_and_no_twin_for_unique(
    value: Any, key: str, ascii_only: bool, spaced: bool
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")

    def dump(item: Any) -> str:
        return json.dumps(item, ensure_ascii=ascii_only, separators=separators)

    metadata = {"value": value, "own" + key: 1}
    try:
        raw = dump(HI | {"metadata": metadata}).encode()
    except UnicodeEncodeError:
        return  # lone surrogates are no text
    try:
        check_chat(raw)
    except InvalidRequest as error:
        assert "\\ud" in raw.decode(), error.message
        return
    twin = f"{dump('own' + key)}{separators[1]}2{separators[0]}"
    double = raw.replace(
        b'"metadata"' + separators[1].encode() + b"{", b'"metadata"' + separators[1].encode() + b"{" + twin.encode(), 1
    )
    with pytest.raises(InvalidRequest, match="twice"):
        check_chat(double)


def test_numbers_come_through_the_check_as_they_were_written() -> None:
    chat = check_chat(
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":1.50,"metadata":{"a":1E2}}'
    )
    assert isinstance(chat.temperature, Raw)
    assert bytes(chat.temperature) == b"1.50"


# -- nesting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 5_000, 200_000])
@pytest.mark.parametrize("shape", ["[@]", '{"a":@}'])
@pytest.mark.parametrize("member", ["metadata", "zzz", "tools", "content"])
def test_deep_nesting_is_refused(depth: int, shape: str, member: str) -> None:
    before, after = shape.split("@")
    deep = before * depth + "1" + after * depth
    members = {
        "metadata": f'"metadata":{{"x":{deep}}}',
        "zzz": f'"zzz":{deep}',
        "tools": f'"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"x":{deep}}}}}}}]',
        "content": f'"prediction":{{"content":{deep}}}',
    }
    raw = f'{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members[member]}}}'.encode()
    assert "nested too deeply" in refusal(raw).message


def test_no_depth_at_all_ends_in_another_error() -> None:
    for depth in range(700, 1_010):
        refusal(
            b'{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":{"a":%b1%b}}'
            % (b"[" * depth, b"]" * depth)
        )


def test_many_brackets_are_not_depth() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"a": [{}] * 50, "b": {"c": {"d": [1, 2.5]}}}}}
    assert peek_chat(body(tools=[tool] * 40)).has_tools
    assert peek_chat(said("[" * 5_000 + "{" * 5_000)).model
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"anyOf": [{"a": {}}] * 200}}}
    assert peek_chat(body(response_format=schema, functions=[{"name": "f", "parameters": {"x": [[]] * 90}}])).wants_json


# -- everything else -------------------------------------------------------------------------


def test_every_recorded_request_is_let_in() -> None:
    for name, raw in requests().items():
        assert peek_chat(raw).model, name


def test_every_official_example_is_let_in() -> None:
    examples = official_examples("/chat/completions")
    assert examples
    for example in examples:
        raw = example["curl"].split("-d '", 1)[1].rsplit("'", 1)[0].encode()
        assert peek_chat(raw).model, example["title"]


@pytest.mark.parametrize("style", ["compact", "spaced"])
def test_a_body_cut_anywhere_is_refused(style: str) -> None:
    separators = (",", ":") if style == "compact" else None
    for raw in list(requests().values())[::12]:
        full = json.dumps(json.loads(raw), separators=separators).encode()
        for end in range(len(full)):
            refusal(full[:end])


def test_naughty_strings_are_only_text() -> None:
    for text in naughty_strings():
        for ascii_only in (True, False):
            raw = json.dumps(HI | {"messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only)
            if "\\ud800" in raw or "\ud800" in raw:  # a lone surrogate is no text in either spelling
                refusal(raw.encode(errors="surrogatepass"))
            else:
                assert peek_chat(raw.encode()).model == "gpt-4o-mini"


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_let_in_or_refused(raw: bytes) -> None:
    for peek in (peek_chat, peek_embeddings):
        try:
            peek(raw)
        except InvalidRequest as error:
            assert error.message


@given(data=st.data())
def test_a_body_with_any_member_changed_is_let_in_or_refused(data: st.DataObject) -> None:
    value = json.loads(body(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}], n=1, stop="x"))
    spot, key = data.draw(st.sampled_from(spots(value)))
    spot[key] = data.draw(JSON_TEXT)
    try:
        peek_chat(json.dumps(value).encode())
    except InvalidRequest as error:
        assert error.message
