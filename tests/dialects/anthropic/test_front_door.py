"""What the front door lets in, and how it words what it does not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.call import Reach
from tenfold.core.chat import JsonObject
from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.edge.dialects.anthropic import AnthropicDialect, hot
from tenfold.edge.dialects.anthropic.checks import check_request
from tenfold.edge.dialects.anthropic.hot import Peek, peek_messages
from tenfold.edge.dialects.anthropic.schema import Body

GOOD: JsonObject = {"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        peek_messages(body)
    with pytest.raises(InvalidRequest):
        AnthropicDialect().decode_chat(body)
    return caught.value


def user(*blocks: Any) -> JsonObject:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def assistant(*blocks: Any) -> JsonObject:
    return {"messages": [{"role": "assistant", "content": list(blocks)}]}


FAULTS: list[tuple[JsonObject, str, str]] = [
    ({"model": ""}, "model: String should have at least 1 character", "model"),
    ({"model": 5}, "model: Input should be a valid string", "model"),
    ({"messages": []}, "messages: at least one message is required", "messages"),
    ({"messages": {}}, "messages: Input should be a valid list", "messages"),
    ({"messages": ["x"]}, "messages.0: Input should be a valid dictionary", "messages[0]"),
    ({"messages": [{"content": "x"}]}, "messages.0.role: Field required", "messages[0].role"),
    (
        {"messages": [GOOD["messages"][0], {"role": "tool", "content": "x"}]},
        "messages.1.role: Input should be 'user' or 'assistant'",
        "messages[1].role",
    ),
    ({"messages": [{"role": "user"}]}, "messages.0.content: Field required", "messages[0].content"),
    (
        {"messages": [{"role": "user", "content": None}]},
        "messages.0.content: Input should be a valid list",
        "messages[0].content",
    ),
    (user("x"), "messages.0.content.0: Input should be a valid dictionary", "messages[0].content[0]"),
    (user({"text": "x"}), "messages.0.content.0.type: Field required", "messages[0].content[0].type"),
    (
        user({"type": "text", "text": 5}),
        "messages.0.content.0.text: Input should be a valid string",
        "messages[0].content[0].text",
    ),
    (
        user({"type": "text", "text": "a"}, {"type": "image"}),
        "messages.0.content.1.source: Field required",
        "messages[0].content[1].source",
    ),
    (
        user({"type": "image", "source": {"type": "base64", "data": "x"}}),
        "messages.0.content.0.source.media_type: Field required",
        "messages[0].content[0].source.media_type",
    ),
    (
        user({"type": "tool_use", "id": "a", "name": "f", "input": {}}),
        "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages",
        "messages[0].content[0]",
    ),
    (
        assistant({"type": "tool_result", "tool_use_id": "a"}),
        "messages.0.content.0: `tool_result` blocks can only be in `user` messages",
        "messages[0].content[0]",
    ),
    (
        assistant({"type": "tool_use", "id": "a", "name": "f", "input": "{}"}),
        "messages.0.content.0.input: Input should be a valid dictionary",
        "messages[0].content[0].input",
    ),
    (
        assistant({"type": "thinking", "thinking": "x"}),
        "messages.0.content.0.signature: Field required",
        "messages[0].content[0].signature",
    ),
    (
        user({"type": "tool_result", "content": "x"}),
        "messages.0.content.0.tool_use_id: Field required",
        "messages[0].content[0].tool_use_id",
    ),
    (
        user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}),
        "messages.0.content.0.content.0.text: Field required",
        "messages[0].content[0].content[0].text",
    ),
    ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0", "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer", "max_tokens"),
    ({"max_tokens": True}, "max_tokens: Input should be a valid integer", "max_tokens"),
    ({"max_tokens": None}, "max_tokens: Input should be a valid integer", "max_tokens"),
    ({"max_tokens": 5.5}, "max_tokens: Input should be a valid integer", "max_tokens"),
    ({"temperature": 1.1}, "temperature: range: 0..1", "temperature"),
    ({"temperature": -1}, "temperature: range: 0..1", "temperature"),
    ({"temperature": "0.5"}, "temperature: Input should be a valid number", "temperature"),
    ({"top_p": 2}, "top_p: range: 0..1", "top_p"),
    ({"top_p": True}, "top_p: Input should be a valid number", "top_p"),
    ({"top_k": -1}, "top_k: Input should be greater than or equal to 0", "top_k"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean", "stream"),
    ({"stop_sequences": "x"}, "stop_sequences: Input should be a valid list", "stop_sequences"),
    ({"stop_sequences": ["x", 5]}, "stop_sequences.1: Input should be a valid string", "stop_sequences[1]"),
    ({"system": 5}, "system: Input should be a valid list", "system"),
    ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text'", "system[0].type"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id: Input should be a valid string", "metadata.user_id"),
    ({"service_tier": "flex"}, "service_tier: Input should be 'auto' or 'standard_only'", "service_tier"),
    ({"tools": {}}, "tools: Input should be a valid list", "tools"),
    ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required", "tools[0].custom.input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name: Field required", "tools[0].custom.name"),
    (
        {"tools": [{"name": "f", "input_schema": {}}] * 2},
        "tools: Tool names must be unique.",
        "tools",
    ),
    ({"tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary", "tool_choice"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required", "tool_choice.tool.name"),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        "thinking.enabled.budget_tokens",
    ),
    ({"output_config": {"format": "json"}}, "output_config.format: Input should be a valid dictionary", ""),
]


@pytest.mark.parametrize(("members", "message", "param"), FAULTS, ids=[fault[1][:60] for fault in FAULTS])
def test_faults_are_told_as_anthropic_tells_them(members: JsonObject, message: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        peek_messages(msgspec.json.encode({**GOOD, **members}))
    error = caught.value
    assert error.message == message
    assert error.param == (param or message.partition(":")[0])
    assert error.status == 400


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name}: Field required"):
        peek_messages(msgspec.json.encode({key: value for key, value in GOOD.items() if key != name}))


def test_counting_needs_no_max_tokens() -> None:
    body = msgspec.json.encode({"model": "m", "messages": GOOD["messages"]})
    assert AnthropicDialect().peek("count_tokens", body).max_tokens is None
    with pytest.raises(InvalidRequest):
        AnthropicDialect().peek("chat", body)
    with pytest.raises(InvalidRequest):  # what is given is checked all the same
        peek_messages(msgspec.json.encode({**GOOD, "max_tokens": -1}), counting=True)


def test_there_are_no_embeddings() -> None:
    dialect = AnthropicDialect()
    with pytest.raises(NotFound):
        dialect.peek("embeddings", b"{}")
    with pytest.raises(NotFound):
        dialect.decode_embeddings(b"{}")


SPACED = json.dumps(GOOD).encode()
BAD_BYTES = [
    b"",
    b"null",
    b"[]",
    b"{",
    SPACED + b"x",
    b"\xef\xbb\xbf" + SPACED,
    SPACED.replace(b"hi", b"\xff\xfe"),
    SPACED.replace(b"hi", b"\\ud800"),
    SPACED.replace(b": 5", b": NaN"),
    SPACED.replace(b": 5", b": 1e999"),
    SPACED.replace(b'"max', b'"model": "other", "max'),
    SPACED.replace(b'"role": "user"', b'"role": "user", "role": "assistant"'),
    SPACED.replace(b'"max', b'"mode\\u006c": "other", "max'),
    SPACED.replace(b'"max', b'"temperature": NaN, "max'),
    SPACED.replace(b'"max', b'"tools": [{"name": "f", "input_schema": {"a": 1, "a": 2}}], "max'),
    SPACED.replace(b'"max', b'"unknown": {"a": 1, "a": 1}, "max'),
    SPACED.replace(b'"max', b'"unknown": "\xff", "max'),
    SPACED.replace(b'"max', b'"unknown": ' + b"[" * 101 + b"]" * 101 + b', "max'),
    SPACED.replace(b'"max', b'"container": ' + b"[" * 101 + b"]" * 101 + b', "max'),
    SPACED.replace(
        b'"max', b'"tools": [{"name": "f", "input_schema": ' + b'{"a":' * 99 + b"1" + b"}" * 99 + b'}], "max'
    ),
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BAD_BYTES, ids=range(len(BAD_BYTES)))
def test_bodies_two_parsers_may_read_differently_are_refused(body: bytes) -> None:
    assert refused(body).status == 400


def test_the_same_body_is_read_alike_however_it_is_spaced() -> None:
    body = {
        **GOOD,
        "stream": True,
        "temperature": 0.25,
        "metadata": {"user_id": 'é"u'},
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"x": {"minimum": 1.50}}}}],
        "output_config": {"format": {"type": "json_schema", "schema": {}}},
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a/b"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1e-7}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
        ],
    }
    expected = Peek(
        model="claude",
        stream=True,
        max_tokens=5,
        temperature=0.25,
        user='é"u',
        has_tools=True,
        has_media=True,
        wants_json=True,
        reach=Reach(images=1),
    )
    written = [json.dumps(body), json.dumps(body, indent=2), json.dumps(body, separators=(",", ":"))]
    written += [json.dumps({**body, "output_format": None}), json.dumps(body, ensure_ascii=False)]
    for text in written:
        assert peek_messages(text.encode()) == expected


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "document", "source": {"type": "x"}}]}],
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
    ],
)
def test_media_are_seen_where_they_stand(content: list[JsonObject]) -> None:
    body = {**GOOD, "messages": [{"role": "user", "content": content}]}
    assert peek_messages(msgspec.json.encode(body)).has_media
    assert not peek_messages(msgspec.json.encode(GOOD)).has_media


def test_a_long_agent_conversation_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many brackets are not deep nesting: the typed look must not give up on them."""
    turn = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": {"y": [1]}}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "ok"}]},
    ]
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"x": {"type": "object"}}}}
    body = msgspec.json.encode({**GOOD, "messages": turn * 40, "tools": [tool]})
    monkeypatch.setattr(hot, "load_json", None)  # the slow way begins with it
    assert peek_messages(body).has_tools


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2000) | st.floats(0, 2, allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_KINDS = ["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "base64", "url"]
_KINDS += ["auto", "any", "tool", "none", "enabled", "adaptive", "disabled", "custom", "json_schema"]
_BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(_KINDS)},
    optional={
        "text": st.text(max_size=3) | JSON,
        "id": st.just("a"),
        "name": st.just("f") | JSON,
        "input": st.just({}) | JSON,
        "content": JSON,
        "tool_use_id": st.just("a"),
        "source": st.just({"type": "url", "url": "u"}) | JSON,
        "thinking": st.just("t"),
        "signature": st.just("s") | JSON,
        "data": st.just("d"),
        "title": JSON,
        "is_error": JSON,
        "cache_control": JSON,
        "citations": JSON,
    },
)
_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=3) | st.lists(_BLOCK)}
)
_TOP = {field.encode_name for field in msgspec.structs.fields(Body)} - {"model", "messages"}
_BODY = st.fixed_dictionaries(
    {"model": st.just("m") | JSON, "messages": st.lists(_MESSAGE, max_size=3)},
    optional={
        **dict.fromkeys(_TOP, JSON),
        "max_tokens": st.integers(0, 9) | JSON,
        "tools": st.lists(
            st.fixed_dictionaries({}, optional={"name": st.just("f"), "input_schema": st.just({}), "type": JSON}),
            max_size=2,
        ),
        "tool_choice": _BLOCK,
        "thinking": _BLOCK,
        "system": st.text(max_size=3) | st.lists(_BLOCK, max_size=2) | JSON,
    },
)


def outcome(body: bytes, *, counting: bool) -> Peek | str:
    try:
        return peek_messages(body, counting=counting)
    except InvalidRequest as error:
        return error.message


@given(_BODY, st.booleans())
def test_the_fast_look_lets_nothing_in_that_the_rules_refuse(body: JsonObject, counting: bool) -> None:
    """One member that the types do not know sends the same body the slow way: both must agree."""
    fast = outcome(msgspec.json.encode(body), counting=counting)
    slow = outcome(msgspec.json.encode({**body, "output_format": None}), counting=counting)
    assert fast == slow
    if isinstance(fast, Peek):
        check_request(body, counting=counting)
        AnthropicDialect().decode_chat(msgspec.json.encode(body))


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(body: bytes) -> None:
    assert isinstance(outcome(body, counting=False), str)
