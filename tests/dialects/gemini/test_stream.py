"""Streams: cut anywhere they give the same events, and only a complete one ends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatEvent,
    Choice,
    Ended,
    Failed,
    Finished,
    Metered,
    OpaquePart,
    RefusalDelta,
    Started,
    TextDelta,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.providers.gemini.frames import LIMIT, Frames
from tenfold.providers.gemini.wire import GeminiWire
from tests.dialects.gemini.vectors import all_streams, recorded_streams, stream_fixtures
from tests.support.folding import fold, merged

WIRE = GeminiWire()


def events_of(*blocks: bytes) -> list[ChatEvent]:
    decoder = WIRE.stream_decoder()
    events = [event for block in blocks for event in decoder.feed(block)] + decoder.finish()
    assert decoder.feed(b"data: {}\n\n") == decoder.finish() == []
    return events


def one_byte_blocks(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def chunk(*parts: dict[str, Any], finish: str | None = None, index: int | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    said |= {"finishReason": finish} if finish else {}
    said |= {} if index is None else {"index": index}
    return {"candidates": [said]}


def whole(body: bytes) -> bool:
    return isinstance(events_of(body)[-1], Ended)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    lines = [line for line in body.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line[5:]) for line in lines]


def test_every_stream_gives_its_text_and_ends_when_it_finished() -> None:
    for name, body in all_streams().items():
        events = events_of(body)
        chunks = chunks_of(body)
        candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", [])]
        text = "".join(
            part.get("text", "")
            for candidate in candidates
            for part in candidate.get("content", {}).get("parts", [])
            if not part.get("thought")
        )
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text, name
        finished = any(candidate.get("finishReason") for candidate in candidates)
        blocked = any("blockReason" in chunk.get("promptFeedback", {}) for chunk in chunks)
        broke = b'"error":' in body
        assert isinstance(events[-1], Ended) == ((finished or blocked) and not broke), name
        assert isinstance(events[-1], Failed) == broke, name


def test_events_keep_their_order() -> None:
    ranks = {Started: 0, Finished: 2, Metered: 3, Ended: 4, Failed: 4}
    for name, body in all_streams().items():
        order = [ranks.get(type(event), 1) for event in events_of(body)]
        assert order == sorted(order), name
        assert order.count(0) <= 1, name
        assert order.count(3) <= 1, name


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    for name, body in all_streams().items():
        assert events_of(*one_byte_blocks(body)) == events_of(body), name


def test_every_cut_in_two_gives_the_same_events() -> None:
    short = {name: body for name, body in all_streams().items() if len(body) < 2_500}
    assert len(short) >= 5
    for name, body in short.items():
        expected = events_of(body)
        for at in range(1, len(body)):
            assert events_of(body[:at], body[at:]) == expected, (name, at)


def test_a_stream_cut_before_its_finish_never_ends() -> None:
    for name, body in all_streams().items():
        last = max(body.rfind(b'"finishReason"'), body.rfind(b'"blockReason"'))
        frames = body[: max(last, 0)].split(b"data: ")[:-1]
        first = next((n for n, frame in enumerate(frames) if b'"finishReason"' in frame), len(frames))
        for count in range(first + 1):  # old models repeat the reason on every chunk: after the first, nobody can know
            events = events_of(b"data: ".join(frames[:count]))
            assert not any(isinstance(event, Ended) for event in events), (name, count)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_at_any_byte_never_ends_before_the_finish(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(recorded_streams()))
    at = data.draw(st.integers(0, body.index(b'"finishReason"')))
    assert not any(isinstance(event, Ended) for event in events_of(body[:at]))


def test_streams_fold_to_what_their_whole_reply_says() -> None:
    """No fixture is one answer in both forms, so the whole reply is made of the chunks: that is what the API does."""
    for name, body in all_streams().items():
        if not whole(body) or b"partialArgs" in body or b"willContinue" in body:
            continue
        chunks = chunks_of(body)
        response = json.loads(json.dumps(chunks[-1]))
        candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", [])]
        if not candidates:
            continue
        parts = [part for candidate in candidates for part in candidate.get("content", {}).get("parts", [])]
        response["candidates"] = [candidates[-1] | {"content": {"parts": parts}}]
        reply = WIRE.decode_chat(json.dumps(response).encode())
        [choice], [folded] = reply.choices, fold(events_of(body))
        assert comparable(folded) == comparable(choice), name
        metered = [event.usage for event in events_of(body) if isinstance(event, Metered)]
        assert metered == ([reply.usage] if reply.usage else []), name


def comparable(choice: Choice) -> tuple[object, ...]:
    parts = [
        (part.name, part.arguments, part.signature) if isinstance(part, ToolCallPart) else part
        for part in merged(part for part in choice.parts if not _is_metadata(part))
    ]
    return parts, choice.finish_reason, choice.logprobs


def _is_metadata(part: object) -> bool:
    return isinstance(part, OpaquePart) and any(name.endswith("Metadata") for name in part.value)


def test_arguments_in_pieces_become_whole_calls() -> None:
    expected = {
        "google-stream-tool-call-arguments": [{"location": "Boston"}, {"location": "San Francisco"}],
        "google-stream-no-args-tool-call": [{}, {"id": "A"}, {"id": "B"}, {"id": "C"}],
    }
    streams = {name.split("/")[1].removesuffix(".chunks.txt"): body for name, body in stream_fixtures().items()}
    for name, arguments in expected.items():
        [choice] = fold(events_of(streams[name]))
        found = [part for part in choice.parts if isinstance(part, ToolCallPart)]
        assert [json.loads(call.arguments) for call in found] == arguments
        assert found[0].signature
        assert len({call.id for call in found}) == len(found)
        assert choice.finish_reason == "tool_calls"
    nested = next(body for name, body in streams.items() if "nested" in name)
    [call] = [part for part in fold(events_of(nested))[0].parts if isinstance(part, ToolCallPart)]
    recipe = json.loads(call.arguments)["recipe"]
    assert (len(recipe["ingredients"]), len(recipe["steps"]), recipe["name"]) == (10, 10, "Lasagna")
    deltas = [event for event in events_of(nested) if isinstance(event, ToolCallDelta)]
    assert len(deltas) > 40, "arguments are given out as they come"


def test_a_call_in_pieces_that_never_ends_is_closed_by_the_finish() -> None:
    body = sse(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": True}}),
        chunk({"text": ""}, finish="STOP"),
    )
    [call] = fold(events_of(body))[0].parts
    assert isinstance(call, ToolCallPart)
    assert call.arguments == '{"a":"x"}'


def test_arguments_out_of_order_fail_the_stream() -> None:
    pieces = [{"jsonPath": path, "numberValue": 1} for path in ("$.a.x", "$.b", "$.a.y")]
    events = events_of(sse(chunk({"functionCall": {"name": "f", "partialArgs": pieces}}, finish="STOP")))
    assert isinstance(events[-1], Failed)
    assert events[-1].kind == "malformed_reply"


def test_an_error_in_the_middle_fails_the_stream_and_keeps_what_was_metered() -> None:
    usage = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    for tail in (sse(error), json.dumps(error, indent=2).encode(), b"\r\n" + json.dumps(error).encode()):
        body = sse(chunk({"text": "a"}, finish="STOP") | usage) + tail
        for blocks in ([body], one_byte_blocks(body)):
            *_, metered, failed = events_of(*blocks)
            assert isinstance(metered, Metered)
            assert failed == Failed(message="overloaded", kind="UNAVAILABLE", status=503)


def test_the_array_form_reads_the_same() -> None:
    for name, body in all_streams().items():
        chunks = chunks_of(body)
        if not chunks or b'"error":' in body:
            continue
        array = b"[" + b"\n,\r\n".join(json.dumps(chunk, indent=2).encode() for chunk in chunks) + b"\n]\n"
        expected = [event for event in events_of(body) if not isinstance(event, Started | ToolCallDelta)]
        for blocks in ([array], [array[:7], array[7:]], one_byte_blocks(array)):
            found = [event for event in events_of(*blocks) if not isinstance(event, Started | ToolCallDelta)]
            assert found == expected, name


def test_an_array_cut_inside_a_document_does_not_end() -> None:
    array = json.dumps([chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="STOP")]).encode()
    events = events_of(array[:-9])
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a"]
    assert not isinstance(events[-1], Ended)


def test_every_candidate_must_finish() -> None:
    first, second = chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, index=1)
    assert not any(isinstance(event, Ended) for event in events_of(sse(first, second)))
    ended = events_of(sse(first, second, chunk(finish="MAX_TOKENS", index=1)))
    assert [(choice.index, choice.finish_reason) for choice in fold(ended)] == [(0, "stop"), (1, "length")]
    assert isinstance(ended[-1], Ended)


def test_the_last_finish_reason_counts() -> None:
    body = sse(chunk({"text": "a"}, finish="STOP"), chunk(finish="RECITATION"))
    assert [event for event in events_of(body) if isinstance(event, Finished)] == [Finished(reason="content_filter")]


def test_a_candidate_that_failed_is_a_failed_stream() -> None:
    events = events_of(sse(chunk({"text": "a"}), chunk(finish="MALFORMED_FUNCTION_CALL")))
    assert isinstance(events[-1], Failed)
    assert (events[-1].kind, events[-1].status) == ("MALFORMED_FUNCTION_CALL", 502)


def test_a_blocked_prompt_is_complete() -> None:
    feedback = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}}
    events = events_of(sse(feedback | {"usageMetadata": {"promptTokenCount": 4}}))
    assert [type(event) for event in events] == [Started, RefusalDelta, Finished, Metered, Ended]


def test_thoughts_come_apart_from_text() -> None:
    body = sse(chunk({"text": "hm", "thought": True}), chunk({"text": "a"}, finish="STOP"))
    assert fold(events_of(body))[0].parts == [ThinkingPart(text="hm"), TextPart(text="a")]


def test_logprobs_travel_with_the_text() -> None:
    said = chunk({"text": "a"}, finish="STOP")
    said["candidates"][0]["logprobsResult"] = {"chosenCandidates": [{"token": "a", "logProbability": -1.5}]}
    [choice] = fold(events_of(sse(said)))
    assert choice.logprobs is not None
    assert [entry["logprob"] for entry in choice.logprobs["content"]] == [-1.5]


@pytest.mark.parametrize("bad", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"candidates": 3}\n\n', b"data: \xff\n\n"])
def test_a_frame_that_cannot_be_read_fails_the_stream(bad: bytes) -> None:
    events = events_of(sse(chunk({"text": "a"})) + bad + sse(chunk(finish="STOP")))
    assert isinstance(events[-1], Failed)
    assert events[-1].kind == "malformed_reply"


def test_an_endless_event_fails_the_stream() -> None:
    decoder = WIRE.stream_decoder()
    block = b"x" * (1 << 20)
    events = decoder.feed(b'data: {"candidates": "')
    for _ in range(LIMIT // len(block) + 1):
        events += decoder.feed(block)
    assert [type(event) for event in events] == [Failed]
    bare = Frames()
    with pytest.raises(ValueError, match="larger"):
        bare.feed(b'{"' + block * (LIMIT // len(block) + 1))


pieces_of_streams = st.sampled_from(
    [
        b"data: ",
        b"\n\n",
        b"\r\n",
        b"{",
        b"}",
        b'"',
        b"\\",
        b"[",
        b"]",
        b",",
        b'{"candidates":[',
        b'"finishReason":"STOP"',
    ]
)


@given(st.lists(st.binary(max_size=20) | pieces_of_streams, max_size=30))
@settings(deadline=None)
def test_the_decoder_never_raises(blocks: list[bytes]) -> None:
    events = events_of(*blocks)
    assert sum(isinstance(event, Failed | Ended) for event in events) <= 1
    WIRE.stream_facts(b"".join(blocks[:10]), b"".join(blocks[10:]))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_stream_never_raises(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(sorted(stream_fixtures().values(), key=len)[:12])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    events_of(bytes(body))


@pytest.mark.parametrize("window", [600, 4_000, 1 << 20])
def test_facts_of_a_stream_agree_with_its_events(window: int) -> None:
    for name, body in all_streams().items():
        tail = body[-window:]
        if b"data: " not in tail and len(tail) < len(body):
            continue  # the last frame is larger than the window
        facts, events = WIRE.stream_facts(body[:window], tail), events_of(body)
        assert facts.complete == isinstance(events[-1], Ended), name
        assert facts.failed == isinstance(events[-1], Failed), name
        assert facts.usage == next((event.usage for event in events if isinstance(event, Metered)), None), name
        assert len(facts.finish_reasons) >= sum(isinstance(event, Finished) for event in events if facts.usage), name
