"""Whole replies: real ones survive the canonical form; what is no reply is told as the provider's fault."""

import msgspec
import pytest

from tenfold.core.chat import ChatReply, ChatRequest, Choice, JsonObject, Part, TextPart, ThinkingPart, ToolCallPart
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.anthropic.tools import ANSWER_TOOL
from tests.dialects.anthropic.vectors import replies

DIALECT, WIRE = AnthropicDialect(), AnthropicWire()
REQUEST = ChatRequest(model="m", messages=[])
USAGE: JsonObject = {"input_tokens": 3, "output_tokens": 4}


def reply(**members: object) -> bytes:
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE}
    return msgspec.json.encode({**base, "stop_reason": "end_turn", "stop_sequence": None, **members})


def encoded(value: ChatReply) -> JsonObject:
    out: JsonObject = msgspec.json.decode(DIALECT.encode_reply(value, REQUEST))
    return out


def without_nothing(value: object) -> object:
    """An absent member, null and a count of 0 mean the same in a usage object and a text block."""
    if isinstance(value, dict):
        return {name: without_nothing(inner) for name, inner in value.items() if inner not in (None, 0, [])}
    return [without_nothing(inner) for inner in value] if isinstance(value, list) else value


def test_real_replies_survive_the_canonical_form() -> None:
    vectors = replies()
    assert len(vectors) > 100
    for vector in vectors:
        decoded = WIRE.decode_chat(msgspec.json.encode(vector.reply))
        assert without_nothing(encoded(decoded)) == without_nothing(vector.reply), vector.name


def test_usage_is_the_same_read_lean_or_in_full() -> None:
    for vector in replies():
        body = msgspec.json.encode(vector.reply)
        usage = WIRE.usage_of_reply(body)
        assert usage is not None
        assert usage == WIRE.decode_chat(body).usage, vector.name
        stated = vector.reply["usage"]
        read, written = stated.get("cache_read_input_tokens") or 0, stated.get("cache_creation_input_tokens") or 0
        assert usage.input_tokens == stated["input_tokens"] + read + written
        assert usage.output_tokens == stated["output_tokens"]


@pytest.mark.parametrize(
    ("said", "canonical"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "length"),
        ("a_reason_of_next_year", "stop"),
    ],
)
def test_stop_reasons_go_both_ways(said: str, canonical: str) -> None:
    decoded = WIRE.decode_chat(reply(stop_reason=said, stop_sequence="X"))
    assert decoded.choices[0].finish_reason == canonical
    assert (encoded(decoded)["stop_reason"], encoded(decoded)["stop_sequence"]) == (said, "X")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"content": 5}', b'{"content": [5]}', b"[" * 5000])
def test_what_is_no_message_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        WIRE.decode_chat(body)
    assert (caught.value.status, caught.value.kind) == (502, "malformed_reply")
    assert WIRE.usage_of_reply(body) is None


def test_an_error_in_a_good_status_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="Overloaded") as caught:
        WIRE.decode_chat(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert caught.value.kind == "overloaded_error"


def test_the_answer_tool_is_unwrapped_to_the_answer() -> None:
    call = {"type": "tool_use", "id": "a", "name": ANSWER_TOOL, "input": {"city": "Paris"}}
    body = reply(content=[{"type": "text", "text": "Sure:"}, call], stop_reason="tool_use")
    choice = WIRE.decode_chat(body).choices[0]
    assert choice.parts == [TextPart(text='{"city":"Paris"}')]
    assert choice.finish_reason == "stop"


def test_a_reply_of_another_dialect_is_a_message() -> None:
    parts: list[Part] = [
        TextPart(text=""),
        ThinkingPart(text="hm"),
        TextPart(text="Let me look."),
        ToolCallPart(id="call.1", name="f", arguments='{"a":1}'),
        ToolCallPart(id="call_2", name="g", arguments=""),
        ToolCallPart(id="call_3", name="h", arguments='{"cut', signature="g3"),
    ]
    usage = Usage(input_tokens=10, output_tokens=7, cache_read_tokens=4, cache_write_tokens=3, reasoning_tokens=2)
    # some servers say "stop" after tool calls
    message = encoded(
        ChatReply(
            id="chatcmpl-1",
            model="gpt",
            choices=[Choice(parts=parts, finish_reason="stop")],
            usage=usage,
            service_tier="default",
        )
    )
    assert message["id"] == "msg_chatcmpl-1"
    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
        {"type": "tool_use", "id": "call_3", "name": "h", "input": {"INVALID_JSON": '{"cut'}, "signature": "g3"},
    ]
    assert message["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 0},
        "output_tokens_details": {"thinking_tokens": 2},
        "service_tier": "standard",
    }


def test_a_reply_without_usage_or_choice_is_still_a_message() -> None:
    message = encoded(ChatReply(id="x", model="", choices=[]))
    assert (message["content"], message["stop_reason"], message["model"]) == ([], "end_turn", "m")
    assert message["usage"]["input_tokens"] == 0
