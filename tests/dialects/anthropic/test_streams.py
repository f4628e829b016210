"""Event streams of the upstream: however they are cut they mean the same, and only a whole one ends."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatEvent,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from tenfold.core.sse import SseDecoder, sse
from tenfold.core.usage import Usage
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.anthropic.tools import ANSWER_TOOL
from tests.dialects.anthropic.fold import fold
from tests.dialects.anthropic.vectors import streams

WIRE = AnthropicWire()
START: JsonObject = {
    "type": "message_start",
    "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []},
}
STOP: JsonObject = {"type": "message_stop"}


def frames(*events: JsonObject) -> bytes:
    return b"".join(sse(msgspec.json.encode(event), event["type"].encode()) for event in events)


def block(index: int, start: JsonObject, *deltas: JsonObject) -> list[JsonObject]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def finish(reason: str = "end_turn", **usage: int) -> list[JsonObject]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}, STOP]


def decode(raw: bytes, size: int | None = None) -> list[ChatEvent]:
    decoder = WIRE.stream_decoder()
    events: list[ChatEvent] = []
    for at in range(0, len(raw), size or max(1, len(raw))):
        events += decoder.feed(raw[at : at + (size or len(raw))])
    return events + decoder.finish()


def ended(events: list[ChatEvent]) -> bool:
    return bool(events) and isinstance(events[-1], Ended)


def test_real_streams_end_and_are_metered() -> None:
    vectors = [vector for vector in streams() if "spliced" not in vector.name]
    assert len(vectors) > 25
    for vector in vectors:
        events = decode(vector.stream)
        folded = fold(events)
        assert folded.ended, vector.name
        assert folded.reply.choices[0].finish_reason is not None, vector.name
        facts = WIRE.stream_facts(vector.stream, vector.stream)
        assert (facts.complete, facts.failed) == (True, False), vector.name
        assert facts.usage == folded.reply.usage, vector.name
        assert facts.usage is not None


def whole_message(raw: bytes) -> JsonObject:
    """The Message a stream stands for, put together as the documentation of the protocol says, apart from our code."""
    message: JsonObject = {}
    inputs: dict[int, str] = {}
    for event in SseDecoder().feed(raw + b"\n\n"):
        value = msgspec.json.decode(event.data)
        match value["type"]:
            case "message_start":
                message = value["message"]
            case "content_block_start":
                message["content"].append(value["content_block"])
            case "content_block_delta":
                target, delta = message["content"][value["index"]], value["delta"]
                match delta["type"]:
                    case "text_delta":
                        target["text"] += delta["text"]
                    case "thinking_delta":
                        target["thinking"] += delta["thinking"]
                    case "signature_delta":
                        target["signature"] = delta["signature"]
                    case "citations_delta":
                        target["citations"] = [*(target.get("citations") or []), delta["citation"]]
                    case "input_json_delta":
                        inputs[value["index"]] = inputs.get(value["index"], "") + delta["partial_json"]
                    case _:
                        target |= {name: said for name, said in delta.items() if name != "type"}
            case "message_delta":
                message |= value["delta"]
                for name, count in value["usage"].items():  # totals so far: of two the larger is the later
                    before = message["usage"].get(name)
                    message["usage"][name] = max(before or 0, count) if isinstance(count, int) else count
    for index, text in inputs.items():
        if text:
            message["content"][index]["input"] = msgspec.json.decode(text)
    return message


def test_a_folded_stream_is_the_whole_reply() -> None:
    for vector in streams():
        if "spliced" in vector.name or "incomplete" in vector.name:
            continue
        folded = fold(decode(vector.stream)).reply
        whole = WIRE.decode_chat(msgspec.json.encode(whole_message(vector.stream)))
        for choice in (*folded.choices, *whole.choices):  # the JSON of equal arguments may be spaced differently
            for position, part in enumerate(choice.parts):
                if arguments := getattr(part, "arguments", None):
                    again = msgspec.json.encode(msgspec.json.decode(arguments)).decode()
                    choice.parts[position] = msgspec.structs.replace(part, arguments=again)
        assert folded.choices == whole.choices, vector.name
        assert (folded.id, folded.model, folded.usage) == (whole.id, whole.model, whole.usage), vector.name


def test_a_stream_cut_at_every_byte_gives_the_same_events() -> None:
    for vector in streams():
        if len(vector.stream) > 20_000:
            continue
        assert decode(vector.stream, 1) == decode(vector.stream), vector.name


def test_a_stream_cut_in_two_anywhere_gives_the_same_events() -> None:
    raw = next(vector.stream for vector in streams() if vector.name == "tool_use_response")
    whole = decode(raw)
    for cut in range(len(raw)):
        decoder = WIRE.stream_decoder()
        assert decoder.feed(raw[:cut]) + decoder.feed(raw[cut:]) + decoder.finish() == whole


@pytest.mark.parametrize("ending", [b"\r\n", b"\r", b"\n"])
def test_lines_may_end_as_the_standard_allows(ending: bytes) -> None:
    raw = frames(START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "hi"}), *finish())
    assert decode(raw.replace(b"\n", ending), 1) == decode(raw)


def test_a_stream_that_lost_its_end_never_ends() -> None:
    for vector in streams():
        stream = vector.stream.rstrip()
        if len(stream) > 8_000:
            continue
        cuts = [at for at in range(len(stream)) if stream.startswith(b"\n\n", at)]
        for at in cuts:
            for cut in (at, at + 1, at + 2, at + 20):
                if cut >= len(stream) - 2:
                    continue
                events = decode(stream[:cut])
                assert not any(isinstance(event, Ended) for event in events), (vector.name, cut)
                assert not WIRE.stream_facts(stream[:cut], stream[:cut]).complete


def test_cut_bytes_at_the_very_end_are_no_error_of_their_own() -> None:
    raw = frames(START, *finish())
    for cut in range(len(raw)):
        assert not any(isinstance(event, Failed) for event in decode(raw[:cut]))


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_the_decoder_never_raises(blocks: list[bytes]) -> None:
    decoder = WIRE.stream_decoder()
    events = [event for block in blocks for event in decoder.feed(block)] + decoder.finish()
    assert not any(isinstance(event, Ended) for event in events)
    WIRE.stream_facts(b"".join(blocks), b"".join(blocks))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["index", "message", "content_block", "delta", "usage", "error", "text", "partial_json", "id", "name", "input"]
TYPES = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "text",
    "tool_use",
    "thinking",
    "text_delta",
    "input_json_delta",
    "error",
    "ping",
]


@st.composite
def hostile_event(draw: st.DrawFn, depth: int = 0) -> JsonObject:
    value: JsonObject = {"type": draw(st.sampled_from(TYPES) | JSON)}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        nested = depth < 2 and draw(st.booleans())
        value[name] = draw(hostile_event(depth=depth + 1)) if nested else draw(JSON)
    return value


@given(st.booleans(), st.lists(hostile_event(), max_size=8))
def test_events_with_members_of_any_type_never_raise(started: bool, events: list[JsonObject]) -> None:
    raw = b"".join(sse(msgspec.json.encode(event)) for event in ([START] if started else []) + events)
    decoded = decode(raw, 7)
    assert not any(isinstance(event, Ended) for event in decoded)
    assert all(not isinstance(event, Failed) for event in decoded[:-1])
    WIRE.stream_facts(raw, raw)


# -- what single events mean -------------------------------------------------------------------


def test_parallel_calls_get_slots_in_order() -> None:
    events = decode(
        frames(
            START,
            *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Both."}),
            *block(
                1,
                {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"}},
                {"type": "input_json_delta", "partial_json": ""},
                {"type": "input_json_delta", "partial_json": '{"x"'},
                {"type": "input_json_delta", "partial_json": ":1}"},
            ),
            *block(2, {"type": "tool_use", "id": "b", "name": "g", "input": {}}),
            *finish("tool_use"),
        )
    )
    calls = [(event.slot, event.id, event.arguments) for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [(0, "a", ""), (0, None, '{"x"'), (0, None, ":1}"), (1, "b", ""), (1, None, "{}")]
    assert any(isinstance(event, Finished) and event.reason == "tool_calls" for event in events)


def test_arguments_that_come_whole_at_the_start_are_not_lost() -> None:
    start = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    events = decode(frames(START, *block(0, start), *finish("tool_use")))
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == '{"x":1}'


def test_the_answer_tool_streams_as_text() -> None:
    fragments = [{"type": "input_json_delta", "partial_json": text} for text in ('{"a"', ":1}")]
    start = {"type": "tool_use", "id": "a", "name": ANSWER_TOOL, "input": {}}
    events = decode(frames(START, *block(0, start, *fragments), *finish("tool_use")))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == '{"a":1}'
    assert not any(isinstance(event, ToolCallDelta) for event in events)
    assert fold(events).reply.choices[0].finish_reason == "stop"


def test_blocks_of_unknown_kinds_come_whole() -> None:
    start: JsonObject = {"type": "new", "id": "n", "input": {}, "content": None, "note": "a"}
    deltas: list[JsonObject] = [
        {"type": "input_json_delta", "partial_json": '{"q":'},
        {"type": "input_json_delta", "partial_json": "1}"},
        {"type": "new_delta", "content": "c", "note": "b"},
        {"type": "citations_delta", "citation": {"cited_text": "x"}},
    ]
    events = decode(frames(START, *block(0, start, *deltas), *finish()))
    [value] = [event.part.value for event in events if isinstance(event, OpaqueDelta)]
    assert value == {
        "type": "new",
        "id": "n",
        "input": {"q": 1},
        "content": "c",
        "note": "ab",
        "citations": [{"cited_text": "x"}],
    }


def test_usage_of_the_start_is_completed_by_the_delta() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3, "output_tokens": 1}
    start = {**START, "message": {**START["message"], "usage": usage}}
    raw = frames(start, *finish("end_turn", output_tokens=9))
    expected = Usage(input_tokens=28, output_tokens=9, cache_read_tokens=20, cache_write_tokens=3)
    events = decode(raw)
    assert [event.usage for event in events if isinstance(event, Metered)] == [expected]
    assert WIRE.stream_facts(raw, raw).usage == expected
    assert WIRE.stream_facts(raw, raw).finish_reasons == ("end_turn",)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "overloaded_error", 529),
        ({"type": "rate_limit_error", "message": "m"}, "rate_limit_error", 429),
        ({"type": "new_error", "message": "m"}, "new_error", 502),
        (None, None, 502),
    ],
)
def test_an_error_event_is_a_failure(error: JsonObject | None, kind: str | None, status: int) -> None:
    raw = frames(START, {"type": "error", "error": error}) + frames(*finish())
    last = decode(raw)[-1]
    assert isinstance(last, Failed)
    assert (last.kind, last.status) == (kind, status)
    facts = WIRE.stream_facts(raw[:400], raw)
    assert (facts.failed, facts.complete) == (True, False)


@pytest.mark.parametrize(
    "events",
    [
        [START, START],
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}],
        [START, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}],
        [START, *block(0, {"type": "text"})[:1], *block(0, {"type": "text"})],
        [START, {"type": "content_block_start", "index": "0", "content_block": {"type": "text"}}],
        [STOP],
    ],
)
def test_a_stream_out_of_order_fails_and_stays_failed(events: list[JsonObject]) -> None:
    decoded = decode(frames(*events, *finish()))
    assert isinstance(decoded[-1], Failed)
    assert decoded[-1].kind == "malformed_reply"
    assert sum(isinstance(event, Failed) for event in decoded) == 1


def test_a_stream_spliced_from_two_fails() -> None:
    raw = next(vector.stream for vector in streams() if "spliced" in vector.name)
    assert isinstance(decode(raw)[-1], Failed)


def test_what_comes_after_the_end_is_nothing() -> None:
    raw = frames(START, *finish())
    assert decode(raw + b"data: [DONE]\n\n" + frames(START)) == decode(raw)
    assert ended(decode(raw + b"garbage"))


def test_a_reply_without_a_stop_reason_still_ends() -> None:
    events = decode(frames(START, STOP))
    assert events[-2:] == [Finished(reason="stop"), Ended()]


def test_an_event_larger_than_the_limit_fails() -> None:
    decoder = WIRE.stream_decoder()
    events = decoder.feed(b"data: " + b"x" * (9 * 1024 * 1024))
    assert isinstance(events[-1], Failed)
    assert decoder.feed(frames(START)) == []


def test_facts_need_only_the_two_ends() -> None:
    text = {"type": "text_delta", "text": 'he said {"type":"message_stop"} and "error"'}
    usage = {"input_tokens": 5, "output_tokens": 1}
    start = {**START, "message": {**START["message"], "usage": usage}}
    raw = frames(start, *block(0, {"type": "text", "text": ""}, *[text] * 300), *finish("end_turn", output_tokens=9))
    whole = WIRE.stream_facts(raw, raw)
    assert whole.usage == Usage(input_tokens=5, output_tokens=9)
    for size in range(200, 900):
        facts = WIRE.stream_facts(raw[:400], raw[-size:])
        assert facts == whole, size
    assert not WIRE.stream_facts(raw[:400], raw[-900:-200]).complete


def test_started_tells_the_input_side() -> None:
    raw = next(vector.stream for vector in streams() if vector.name == "tool_use_response")
    first = decode(raw)[0]
    assert isinstance(first, Started)
    assert first.usage is not None
    assert (first.id, first.usage.input_tokens) == ("msg_019Q1hrJbZG26Fb9BQhrkHEr", 377)
