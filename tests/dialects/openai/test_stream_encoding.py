"""Streams to clients: as OpenAI sends them, and put together by its SDK."""

import json

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Ended,
    Failed,
    Finished,
    Metered,
    OpaquePart,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.core.clock import FakeClock
from tenfold.core.usage import Usage
from tests.dialects.openai.streaming import ASKED, DIALECT, WIRE, events_of, text_of, told
from tests.dialects.openai.vectors import chunks, streams
from tests.support.folding import fold


def test_the_sdk_puts_recorded_streams_together() -> None:
    for name, stream in streams().items():
        events = events_of(stream)
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        out = told(events)
        assert out.endswith(b"data: [DONE]\n\n"), name
        for chunk in chunks(out):
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        final = json.loads(state.current_completion_snapshot.model_dump_json())
        expected = WIRE.decode_chat(json.dumps(final).encode())
        assert_same(expected, events, name)


def assert_same(reply: ChatReply, events: list[ChatEvent], name: str) -> None:
    folded = fold(events)
    assert len(reply.choices) == len(folded), name
    for ours, theirs in zip(folded, reply.choices, strict=True):
        assert ours.finish_reason == theirs.finish_reason, name
        assert text_of(ours, TextPart) == text_of(theirs, TextPart), name
        assert text_of(ours, RefusalPart) == text_of(theirs, RefusalPart), name
        calls = [
            [(part.id, part.name, part.arguments or "{}") for part in choice.parts if isinstance(part, ToolCallPart)]
            for choice in (ours, theirs)
        ]
        assert calls[0] == calls[1], name
    usages = [event.usage for event in events if isinstance(event, Metered)]
    assert reply.usage == (usages[0] if usages else None), name


def test_a_stream_is_as_openai_sends_it() -> None:
    events: list[ChatEvent] = [
        Started(id="i", model="up", created_s=0),
        TextDelta(text="Hi"),
        ToolCallDelta(slot=0, id="c", name="f"),
        ToolCallDelta(slot=0, arguments='{"a":'),
        ToolCallDelta(slot=0, arguments="1}"),
        Finished(reason="tool_calls"),
        Metered(usage=Usage(input_tokens=1, output_tokens=2)),
        Ended(),
    ]
    first, *rest, usage = chunks(told(events))
    assert first == {
        "id": "i",
        "object": "chat.completion.chunk",
        "created": int(FakeClock().now().timestamp()),
        "model": "up",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}, "finish_reason": None}
        ],
    }
    assert [chunk["choices"][0]["delta"] for chunk in rest] == [
        {"content": "Hi"},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in rest] == [None] * 4 + ["tool_calls"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 3
    unasked = ChatRequest(model="m", messages=[], stream=True)
    assert chunks(told(events, unasked)) == [first, *rest]


def test_choices_are_told_apart() -> None:
    events: list[ChatEvent] = [
        Started(id="i", model="m"),
        TextDelta(text="a"),
        TextDelta(text="b", choice=1, logprobs={"content": []}),
        Finished(reason="stop"),
        Finished(reason="length", choice=1),
        Finished(reason="refusal", choice=2),
        Ended(),
    ]
    told_choices = [chunk["choices"][0] for chunk in chunks(told(events))]
    second = [choice for choice in told_choices if choice["index"] == 1]
    assert second[0]["delta"]["role"] == "assistant"
    assert second[1]["logprobs"] == {"content": [], "refusal": None}
    assert second[-1]["finish_reason"] == "length"
    assert [choice["finish_reason"] for choice in told_choices if choice["index"] == 2] == [None, "content_filter"]


def test_a_call_without_arguments_gets_the_empty_object() -> None:
    events: list[ChatEvent] = [
        Started(id="i", model="m"),
        ToolCallDelta(slot=0, id="c", name="f"),
        ToolCallDelta(slot=1, id="d", name="g", arguments="{}"),
        Finished(reason="tool_calls"),
        Ended(),
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(told(events))]
    assert deltas[-2] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_a_client_of_functions_is_streamed_a_function_call() -> None:
    legacy = OpaquePart(dialect="openai-functions", value={})
    request = ChatRequest(model="m", messages=[], tools=[Tool(name="f", native=legacy)])
    events: list[ChatEvent] = [
        Started(id="i", model="m"),
        ToolCallDelta(slot=0, id="c", name="f", arguments="{}"),
        Finished(reason="tool_calls"),
        Ended(),
    ]
    told_choices = [chunk["choices"][0] for chunk in chunks(told(events, request))]
    assert told_choices[1]["delta"] == {"function_call": {"name": "f", "arguments": "{}"}}
    assert told_choices[2]["finish_reason"] == "function_call"


def test_a_failure_is_the_last_frame() -> None:
    failed = Failed(message="broke", kind="server_error", code="x", status=502)
    out = DIALECT.reply_encoder(ASKED).encode([Started(id="i", model="m"), TextDelta(text="a"), failed])
    assert out.endswith(b'data: {"error":{"message":"broke","type":"server_error","param":null,"code":"x"}}\n\n')
