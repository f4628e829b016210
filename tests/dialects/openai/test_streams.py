"""Streams of providers: cut anywhere they say the same, and only a whole one ends well."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import (
    Ended,
    Failed,
    Finished,
    Metered,
    Started,
    TextPart,
    ToolCallPart,
)
from tenfold.core.usage import Usage
from tenfold.providers.openai import OpenAIWire, UpstreamFacts
from tests.dialects.openai.streaming import ASKED, DIALECT, WIRE, events_of, frames_of, stream_of, text_of
from tests.dialects.openai.vectors import chunks, fails, recorded_streams, streams
from tests.support.folding import fold


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
