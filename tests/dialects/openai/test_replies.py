"""Whole replies: what a provider said, an OpenAI client gets, in a shape that OpenAI's own schema accepts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from tenfold.core.clock import FakeClock
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire
from tests.dialects.openai.vectors import recorded, whole_replies
from tests.support.openai_schema import assert_valid, official_examples

DIALECT = OpenAIDialect(FakeClock())
WIRE = OpenAIWire()
ASKED = ChatRequest(model="m", messages=[])
LEGACY = DIALECT.decode_chat(
    b'{"model":"m","messages":[{"role":"user","content":"x"}],"functions":[{"name":"f"}],"function_call":"auto"}'
)


def told(reply: ChatReply, request: ChatRequest = ASKED) -> JsonObject:
    """What the client gets; valid, and read by OpenAI's SDK."""
    raw = DIALECT.encode_reply(reply, request)
    value: JsonObject = json.loads(raw)
    assert_valid("CreateChatCompletionResponse", value)
    assert ChatCompletion.model_validate_json(raw).choices
    return value


def reply(*parts: Part, **members: Any) -> ChatReply:
    return ChatReply(id="r", model="m", choices=[Choice(parts=list(parts), finish_reason="stop")], **members)


def message(*parts: Part) -> JsonObject:
    value: JsonObject = told(reply(*parts))["choices"][0]["message"]
    return value


def refused(body: bytes) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        WIRE.decode_chat(body)
    return caught.value


# -- through and through ---------------------------------------------------------------------


def essence(value: JsonObject) -> JsonObject:
    """What of a chat.completion a client acts on."""
    usage = value.get("usage") or {}
    read = usage.get("prompt_tokens_details") or {}
    written = usage.get("completion_tokens_details") or {}
    return {
        "id": value["id"],
        "model": value["model"],
        "created": value["created"],
        "choices": [_essence_of_choice(choice) for choice in value["choices"]],
        "total_tokens": usage.get("total_tokens"),
        "cached_tokens": read.get("cached_tokens") or 0,
        "audio_tokens": (read.get("audio_tokens") or 0, written.get("audio_tokens") or 0),
        "prompt_tokens": usage.get("prompt_tokens"),
    }


def _essence_of_choice(choice: JsonObject) -> JsonObject:
    message = choice["message"]
    content = message.get("content")
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, list):  # Mistral's chunks
        thought = "".join(bit["text"] for part in content if part["type"] == "thinking" for bit in part["thinking"])
        content = "".join(part["text"] for part in content if part["type"] == "text")
    if not thought:
        details = message.get("reasoning_details") or []
        thought = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    return {
        "index": choice["index"],
        "finish_reason": choice["finish_reason"],
        "content": content or None,
        "thought": thought or None,
        "refusal": message.get("refusal"),
        "annotations": message.get("annotations") or [],
        "logprobs": {"content": None, "refusal": None} | (choice.get("logprobs") or {}),
        "tool_calls": [
            (call["id"], call["function"]["name"], call["function"].get("arguments") or "{}")
            for call in message.get("tool_calls") or []
        ],
    }


def test_recorded_replies_reach_the_client_whole() -> None:
    replies = whole_replies()
    assert len(replies) > 150
    for name, raw in replies.items():
        assert essence(told(WIRE.decode_chat(raw))) == essence(json.loads(raw)), name


def test_official_replies_reach_the_client_whole() -> None:
    seen = 0
    for example in official_examples("/chat/completions"):
        if '"chat.completion"' in example["response"]:
            raw = example["response"].encode()
            assert essence(told(WIRE.decode_chat(raw))) == essence(json.loads(raw)), example["title"]
            seen += 1
    assert seen >= 4


def test_usage_is_the_same_by_the_short_way_and_the_long() -> None:
    for name, raw in whole_replies().items():
        assert WIRE.usage_of_reply(raw) == WIRE.decode_chat(raw).usage, name


def test_reasoning_tokens_are_told() -> None:
    for name, raw in whole_replies().items():
        details = json.loads(raw)["usage"].get("completion_tokens_details") or {}
        usage = told(WIRE.decode_chat(raw))["usage"]
        shown = usage["completion_tokens_details"]["reasoning_tokens"]
        assert shown == min(details.get("reasoning_tokens") or 0, usage["completion_tokens"]), name


def test_members_only_this_dialect_has_come_through() -> None:
    raw = json.dumps(
        {
            "id": "i",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "provider": "Acme",
            "x_groq": {"id": "q"},
            "service_tier": "default",
            "system_fingerprint": "fp",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        }
    ).encode()
    value = told(WIRE.decode_chat(raw))
    assert (value["provider"], value["x_groq"], value["system_fingerprint"]) == ("Acme", {"id": "q"}, "fp")
    assert value["service_tier"] == "default"
    assert "usage" not in value


# -- replies of other dialects ---------------------------------------------------------------


def test_a_silent_call_has_no_content() -> None:
    value = told(
        ChatReply(
            id="r",
            model="m",
            choices=[
                Choice(
                    parts=[ToolCallPart(id="c", name="f", arguments="", signature="sig")], finish_reason="tool_calls"
                )
            ],
        )
    )
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "sig"}},
    }
    assert value["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [call],
    }
    assert value["created"] == int(FakeClock().now().timestamp())


def test_a_signed_thought_can_be_sent_back() -> None:
    parts: list[Part] = [ThinkingPart(text="a", signature="s"), ThinkingPart(redacted="xyz"), TextPart(text="hi")]
    value = message(*parts)
    assert (value["reasoning_content"], value["content"]) == ("a", "hi")
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, value]}
    assert DIALECT.decode_chat(json.dumps(body).encode()).messages[1].parts == parts


def test_other_parts() -> None:
    assert message(TextPart(text="a"), TextPart(text="b"))["content"] == "ab"
    assert message()["content"] == ""
    refusal = message(RefusalPart(text="no"))
    assert (refusal["content"], refusal["refusal"]) == (None, "no")
    image = message(ImagePart(media_type="image/png", data="AA"))["images"]
    assert image == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    audio = {"id": "a", "expires_at": 1, "data": "AA", "transcript": "hi"}
    spoken = message(OpaquePart(dialect="openai", value={"type": "audio", "audio": audio}))
    assert (spoken["audio"], spoken["content"]) == (audio, None)
    custom = {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
    assert message(OpaquePart(dialect="openai", value=custom))["tool_calls"] == [custom]
    assert message(OpaquePart(dialect="anthropic", value={"type": "server_tool_use"}))["content"] == ""
    foreign = TextPart(text="t", citations=[{"type": "char_location", "cited_text": "x"}])
    assert message(foreign)["annotations"] == []


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons_have_openais_words(reason: Any, word: str) -> None:
    value = told(ChatReply(id="r", model="m", choices=[Choice(parts=[TextPart(text="x")], finish_reason=reason)]))
    assert value["choices"][0]["finish_reason"] == word


def test_usage_and_logprobs_are_whole() -> None:
    usage = Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=40,
        cache_write_tokens=7,
        input_audio_tokens=3,
        output_audio_tokens=4,
        reasoning_tokens=20,
    )
    token = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}
    choice = Choice(parts=[TextPart(text="x")], finish_reason="stop", logprobs={"content": [token]})
    value = told(ChatReply(id="r", model="m", choices=[choice], usage=usage, service_tier="standard"))
    assert value["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 3, "cache_write_tokens": 7},
        "completion_tokens_details": {
            "reasoning_tokens": 20,
            "audio_tokens": 4,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert value["choices"][0]["logprobs"] == {"content": [token], "refusal": None}
    assert "service_tier" not in value
    assert WIRE.usage_of_reply(json.dumps(value).encode()) == usage


def test_a_client_of_functions_gets_a_function_call() -> None:
    call = ToolCallPart(id="c", name="f", arguments='{"a":1}')
    answer = ChatReply(id="r", model="m", choices=[Choice(parts=[call], finish_reason="tool_calls")])
    choice = told(answer, LEGACY)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]


# -- what providers send in their own ways ---------------------------------------------------


def completion(message: JsonObject, finish_reason: Any = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish_reason}
    return json.dumps({"id": "i", "model": "m", "created": 1.5, "choices": [choice]}).encode()


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": "hi", "reasoning": "hmm"}, [ThinkingPart(text="hmm"), TextPart(text="hi")]),
        (
            {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
            [ToolCallPart(id="call_0", name="f", arguments="{}")],
        ),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            [ToolCallPart(id="call_0", name="f", arguments='{"a":1}')],
        ),
        (
            {"tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            [ToolCallPart(id="c", name="f", arguments="")],
        ),
        ({"content": "", "tool_calls": None, "refusal": ""}, []),
        (
            {"content": [THINKING, {"type": "text", "text": "b"}]},
            [ThinkingPart(text="a"), TextPart(text="b")],
        ),
        (
            {"content": "x", "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]},
            [TextPart(text="x", citations=[{"type": "url_citation", "url_citation": {"url": "u"}}])],
        ),
        (
            {"content": "x", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            [TextPart(text="x"), ImagePart(media_type="image/png", data="AA")],
        ),
    ],
)
def test_servers_have_their_own_ways(message: JsonObject, parts: list[Part]) -> None:
    assert WIRE.decode_chat(completion(message)).choices[0].parts == parts


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("model_length", "length"),
        ("eos", "stop"),
        ("function_call", "tool_calls"),
        ("", None),
        (None, None),
        ("new", "stop"),
    ],
)
def test_their_finish_reasons(word: Any, reason: Any) -> None:
    assert WIRE.decode_chat(completion({"content": "x"}, word)).choices[0].finish_reason == reason


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
def test_a_reply_the_provider_broke_off_is_no_reply(word: str) -> None:
    error = refused(completion({"content": "half"}, word))
    assert (error.status, error.kind, error.retryable) == (502, "incomplete_reply", True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[1]}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"x"}]}}]}',
        b'{"choices":[{"message":' + b"[" * 100_000,
        b'{"id":"\xff"}',
    ],
)
def test_what_is_no_completion_is_a_malformed_reply(body: bytes) -> None:
    error = refused(body)
    assert (error.status, error.kind) == (502, "malformed_reply")


def test_an_error_with_status_200_is_an_error() -> None:
    rows = [row for row in recorded("chat") if row["status"] == 429]
    assert rows
    error = refused(json.dumps(rows[0]["response_json"]).encode())
    assert (error.status, error.retryable) == (429, True)
    assert "rate-limited upstream" in error.message


NAMES = st.sampled_from(["choices", "message", "content", "tool_calls", "function", "usage", "error"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


@given(raw=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_reply_or_an_upstream_error(raw: bytes) -> None:
    WIRE.usage_of_reply(raw)
    try:
        reply = WIRE.decode_chat(raw)
    except UpstreamError as error:
        assert error.message
    else:
        assert json.loads(DIALECT.encode_reply(reply, ASKED))["choices"]
