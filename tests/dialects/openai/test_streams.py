"""Streams: cut anywhere they say the same, folded they are the whole reply, and only a whole one ends well."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Choice,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    OpaquePart,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ThinkingDelta,
    Tool,
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.core.clock import FakeClock
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire, UpstreamFacts
from tests.dialects.openai.vectors import chunks, fails, recorded_streams, streams
from tests.support.folding import fold
from tests.support.openai_schema import assert_valid

DIALECT = OpenAIDialect(FakeClock())
WIRE = OpenAIWire()
ASKED = ChatRequest(model="m", messages=[], stream=True, include_usage=True)


def events_of(*blocks: bytes, wire: OpenAIWire = WIRE) -> list[ChatEvent]:
    decoder = wire.stream_decoder()
    events = [event for block in blocks for event in decoder.feed(block)]
    return events + decoder.finish()


def frames_of(stream: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame.strip()]


def stream_of(*deltas: JsonObject, finish: str | None = "stop", **members: Any) -> bytes:
    """A stream of one choice with these deltas, ended as OpenAI ends it."""
    base = {"id": "i", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    choices: list[JsonObject] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    lines = [json.dumps(base | members | {"choices": [choice]}).encode() for choice in choices]
    return b"".join(b"data: " + line + b"\n\n" for line in lines) + b"data: [DONE]\n\n"


def told(events: list[ChatEvent], request: ChatRequest = ASKED) -> bytes:
    """What the client gets: every chunk valid, and read by OpenAI's SDK."""
    encoder = DIALECT.reply_encoder(request)
    out = b"".join(encoder.encode([event]) for event in events)
    for chunk in chunks(out):
        assert_valid("CreateChatCompletionStreamResponse", chunk)
        ChatCompletionChunk.model_validate(chunk)
    return out


# -- decoding --------------------------------------------------------------------------------


def test_recorded_streams_are_well_formed() -> None:
    found = streams()
    assert len(found) > 25
    for name, stream in found.items():
        events = events_of(stream)
        kinds = [type(event) for event in events]
        assert kinds[0] is Started, name
        assert kinds[-1] is Ended, name
        assert kinds.count(Started) == kinds.count(Ended) == 1, name
        assert all(choice.finish_reason for choice in fold(events)), name
        assert Metered not in kinds or kinds[-2] is Metered, name


def test_a_stream_cut_at_every_byte_says_the_same() -> None:
    for name, stream in streams().items():
        expected = events_of(stream)
        for size in (1, 7, 1024):
            blocks = [stream[start : start + size] for start in range(0, len(stream), size)]
            assert events_of(*blocks) == expected, (name, size)


def test_one_cut_at_each_byte() -> None:
    stream = b"".join(frames_of(streams()["vercel_openai-compatible_chat/anthropic-fallback-tool-call.sse"]))
    for ending in (stream, stream.replace(b"\n", b"\r\n"), stream.replace(b"\n", b"\r")):
        expected = events_of(stream)
        assert [events_of(ending[:at], ending[at:]) for at in range(len(ending))] == [expected] * len(ending)


def test_a_stream_cut_between_frames_never_ends_well() -> None:
    for name, stream in streams().items():
        frames = frames_of(stream)
        for count in range(0, len(frames) - 1, max(1, len(frames) // 40)):
            cut = b"".join(frames[:count])
            events = events_of(cut)
            assert isinstance(events[-1], Failed), (name, count)
            assert Ended() not in events
            assert not WIRE.stream_facts(cut[:100], cut).complete, (name, count)


def test_a_stream_cut_inside_a_frame_never_ends_well() -> None:
    stream = b"".join(frames_of(streams()["vercel_groq/groq-tool-call.chunks.txt"]))
    for at in range(len(stream) - len(b"]\n\n")):
        assert isinstance(events_of(stream[:at])[-1], Failed), at
        assert not WIRE.stream_facts(stream[:at], stream[:at]).complete, at


def test_folded_events_are_what_the_chunks_said() -> None:
    for name, stream in streams().items():
        said: dict[int, str] = {}
        arguments: dict[int, str] = {}
        reasons: dict[int, str] = {}
        for chunk in chunks(stream):
            for choice in chunk["choices"]:
                content = choice["delta"].get("content")
                if isinstance(content, str):
                    said[choice["index"]] = said.get(choice["index"], "") + content
                for call in choice["delta"].get("tool_calls") or []:
                    text = call["function"].get("arguments") or ""
                    arguments[choice["index"]] = arguments.get(choice["index"], "") + text
                reasons[choice["index"]] = choice.get("finish_reason") or reasons.get(choice["index"], "")
        for choice in fold(events_of(stream)):
            calls = [part.arguments for part in choice.parts if isinstance(part, ToolCallPart)]
            assert text_of(choice, TextPart) == said.get(choice.index, ""), name
            assert "".join(calls) == arguments.get(choice.index, ""), name
            assert choice.finish_reason == reasons[choice.index], name


def test_facts_of_a_raw_stream_agree_with_its_events() -> None:
    for name, stream in streams().items():
        events = events_of(stream)
        facts = WIRE.stream_facts(stream[:8192], stream[-16384:])
        assert facts.complete, name
        assert not facts.failed, name
        assert [facts.usage] == [event.usage for event in events if isinstance(event, Metered)] or (
            facts.usage is None and not any(isinstance(event, Metered) for event in events)
        ), name
        assert set(facts.finish_reasons) == {event.reason for event in events if isinstance(event, Finished)}, name


def test_errors_inside_a_stream_are_failures() -> None:
    failing = {name: stream for name, stream in recorded_streams().items() if fails(stream)}
    assert len(failing) == 2
    for stream in failing.values():
        last = events_of(stream)[-1]
        facts = WIRE.stream_facts(stream[:100], stream[-4096:])
        assert isinstance(last, Failed)
        assert (last.status, facts.failed, facts.complete) == (400, True, False)
    assert "Tool choice is required" in str(sorted(failing.items())[0][1])


@pytest.mark.parametrize(
    ("data", "message", "status"),
    [
        (b'data: {"error":{"message":"slow down","type":"rate_limit_error"}}\n\n', "slow down", 429),
        (b'data: {"error":"out of memory"}\n\n', "out of memory", 502),
        (b'data: {"object":"error","message":"bad","type":"BadRequestError","code":400}\n\n', "bad", 400),
        (b'event: error\ndata: {"message":"gone","code":"503"}\n\n', "gone", 503),
        (b'data: {"error":{"message":"odd"},"choices":3}\n\n', "odd", 502),
        (b"data: {]\n\n", "The provider sent a chunk that cannot be read.", 502),
        (b'data: {"choices":[{"delta":{"content":5}}]}\n\n', "The provider sent a chunk that cannot be read.", 502),
    ],
)
def test_an_error_frame_ends_everything(data: bytes, message: str, status: int) -> None:
    begun = stream_of({"content": "hi"}).removesuffix(b"data: [DONE]\n\n")
    events = events_of(begun + data + b"data: [DONE]\n\n")
    assert events[-1] == Failed(
        message=message,
        status=status,
        kind=getattr(events[-1], "kind", None),
        code=getattr(events[-1], "code", None),
    )
    assert sum(isinstance(event, Failed | Ended) for event in events) == 1


def test_what_was_metered_before_a_failure_is_told() -> None:
    usage = b'data: {"id":"i","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    events = events_of(stream_of({"content": "a"}).removesuffix(b"data: [DONE]\n\n") + usage)
    assert events[-2] == Metered(usage=Usage(input_tokens=3, output_tokens=1))
    assert isinstance(events[-1], Failed)


def test_a_server_known_to_send_no_done() -> None:
    wire = OpenAIWire(UpstreamFacts(ends_with_done=False))
    stream = stream_of({"content": "a"}).removesuffix(b"data: [DONE]\n\n")
    assert events_of(stream, wire=wire)[-1] == Ended()
    assert wire.stream_facts(stream, stream).complete
    unfinished = b"".join(frames_of(stream)[:-1])
    assert isinstance(events_of(unfinished, wire=wire)[-1], Failed)
    assert not wire.stream_facts(unfinished, unfinished).complete
    assert not wire.stream_facts(stream, stream[:-1]).complete


def test_an_empty_stream_is_no_reply() -> None:
    for stream in (b"", b"data: [DONE]\n\n", b": ping\n\n"):
        assert isinstance(events_of(stream)[-1], Failed)


def test_the_end_without_its_last_newlines_is_the_end() -> None:
    stream = stream_of({"content": "a"})
    for bare in (stream.removesuffix(b"\n"), stream.removesuffix(b"\n\n")):
        assert events_of(bare)[-1] == Ended()
        assert WIRE.stream_facts(bare, bare).complete


def test_text_that_speaks_of_the_end_is_not_the_end() -> None:
    talk = stream_of({"content": '\n\ndata: [DONE]\n\n"finish_reason":"stop" {"error":{}}'})
    cut = talk[: talk.index(b"data: [DONE]\n\n", len(talk) - 30)]
    cut = b"".join(frames_of(cut)[:1])
    facts = WIRE.stream_facts(cut, cut)
    assert (facts.complete, facts.failed, facts.finish_reasons) == (False, False, ())


@given(blocks=st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_events(blocks: list[bytes]) -> None:
    events = events_of(*blocks)
    assert isinstance(events[-1], Failed | Ended)
    WIRE.stream_facts(b"".join(blocks), b"".join(blocks))
    WIRE.without_usage_frame(b"".join(blocks))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "choices",
                    "delta",
                    "content",
                    "tool_calls",
                    "function",
                    "index",
                    "usage",
                    "error",
                    "custom",
                    "audio",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(values=st.lists(JSON, max_size=4))
def test_any_json_is_events(values: list[Any]) -> None:
    stream = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    events = events_of(stream + b"data: [DONE]\n\n")
    assert isinstance(events[-1], Failed | Ended)
    told_bytes = DIALECT.reply_encoder(ASKED).encode(events)
    assert told_bytes.endswith(b"\n\n")


def test_a_frame_without_end_is_not_kept() -> None:
    decoder = WIRE.stream_decoder()
    block = b"data: " + b"x" * (1 << 20)
    events = [event for _ in range(20) for event in decoder.feed(block)]
    assert [type(event) for event in events] == [Failed]


# -- tool calls in every server's numbering --------------------------------------------------


def calls_of(*deltas: JsonObject) -> list[tuple[str, str, str]]:
    parts = fold(events_of(stream_of(*deltas, finish="tool_calls")))[0].parts
    return [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCallPart)]


def call(arguments: str = "", name: str | None = None, **members: Any) -> JsonObject:
    function = {"arguments": arguments} | ({"name": name} if name is not None else {})
    return {"tool_calls": [members | {"function": function}]}


def test_fragments_find_their_call() -> None:
    both = [("a", "f", '{"x":1}'), ("b", "g", "{}")]
    by_index = [
        call("", "f", index=0, id="a"),
        call('{"x"', index=0),
        call(":1}", index=0),
        call("{}", "g", index=1, id="b"),
    ]
    assert calls_of(*by_index) == both
    interleaved = [
        call("", "f", index=4, id="a"),
        call("{", "g", index=9, id="b"),
        call('{"x":1}', index=4),
        call("}", index=9),
    ]
    assert calls_of(*interleaved) == both
    all_zero = [call('{"x":1}', "f", index=0, id="a"), call("{}", "g", index=0, id="b")]
    assert calls_of(*all_zero) == both
    no_index = [call('{"x":1}', "f", id="a"), call("{}", "g", id="b")]
    assert calls_of(*no_index) == both
    continued = [call('{"x"', "f", id="a"), call(":1}", id="a"), call("{}", "g", id="b"), call("", id="")]
    assert calls_of(*continued) == both
    repeated = [call('{"x"', "f", index=0, id="a"), call(":1}", "f", index=0, id="a"), call("{}", "g", index=1, id="b")]
    assert calls_of(*repeated) == both
    late_name = [call("{", index=0, id="a"), call('"x":1}', "f", index=0), call("{}", "g", index=1, id="b")]
    assert calls_of(*late_name) == both
    as_object = [
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
        call("{}", "g", index=1, id="b"),
    ]
    assert calls_of(*as_object) == both
    assert calls_of(call("{}", "f", index=0)) == [("call_0", "f", "{}")]


def test_legacy_and_custom_calls() -> None:
    legacy = [{"function_call": {"name": "f", "arguments": '{"x"'}}, {"function_call": {"arguments": ":1}"}}]
    assert calls_of(*legacy) == [("call_0", "f", '{"x":1}')]
    custom = [
        {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "y"}}]},
        call("{}", "f", index=1, id="b"),
    ]
    events = events_of(stream_of(*custom, finish="tool_calls"))
    value = {"id": "a", "type": "custom", "custom": {"name": "g", "input": "xy"}}
    assert OpaqueDelta(part=OpaquePart(dialect="openai", value=value)) in events
    assert ToolCallDelta(slot=0, id="b", name="f", arguments="{}") in events
    out = DIALECT.reply_encoder(ASKED).encode(events)  # the description of chunks has no word for custom calls
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(out)]
    assert {"tool_calls": [{"index": 1, **value}]} in deltas


def test_thoughts_in_every_servers_words() -> None:
    signed = {"reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": "s"}], "reasoning": "a"}
    events = events_of(
        stream_of(
            {"reasoning_content": "x"},
            {"reasoning": "y"},
            signed,
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "z"}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "w"}]}]},
        )
    )
    assert [event for event in events if isinstance(event, ThinkingDelta)] == [
        ThinkingDelta(text="x"),
        ThinkingDelta(text="y"),
        ThinkingDelta(text="a", signature="s"),
        ThinkingDelta(redacted="z"),
        ThinkingDelta(text="w"),
    ]
    details = [
        detail
        for chunk in chunks(told(events))
        for choice in chunk["choices"]
        for detail in choice["delta"].get("reasoning_details", [])
    ]
    assert details == [
        {"type": "reasoning.text", "text": "xya", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "z", "index": 1},
    ]


def test_a_provider_that_breaks_a_choice_off_fails() -> None:
    stream = stream_of({"content": "half"}, finish="error")
    last = events_of(stream)[-1]
    assert isinstance(last, Failed)
    assert (last.kind, last.status) == ("incomplete_reply", 502)
    facts = WIRE.stream_facts(stream, stream)
    assert (facts.failed, facts.complete) == (True, False)


def test_what_comes_after_the_finish_is_not_read() -> None:
    stream = stream_of({"content": "a"})
    again = stream.removesuffix(b"data: [DONE]\n\n") + stream_of({"content": "b"}, finish="length")
    assert events_of(again) == events_of(stream)


def test_odd_members_that_say_nothing_do_not_break_a_stream() -> None:
    events = events_of(stream_of({"content": "a"}, created="soon", usage="much", error=None, service_tier=None))
    assert events[0] == Started(id="i", model="m")
    assert events[-1] == Ended()
    assert not any(isinstance(event, Metered) for event in events)


def test_spoken_replies_are_put_together() -> None:
    events = events_of(
        stream_of({"audio": {"id": "a", "transcript": "he"}}, {"audio": {"transcript": "y", "data": "AA"}})
    )
    audio = {"type": "audio", "audio": {"id": "a", "transcript": "hey", "data": "AA"}}
    assert OpaqueDelta(part=OpaquePart(dialect="openai", value=audio)) in events


# -- encoding --------------------------------------------------------------------------------


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


def text_of(choice: Choice, kind: type[TextPart | RefusalPart]) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, kind))


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
