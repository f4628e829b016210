"""What servers stream in their own ways: numbers of tool calls, thoughts, speech."""

from typing import Any

from tenfold.core.chat import (
    Ended,
    Failed,
    JsonObject,
    Metered,
    OpaqueDelta,
    OpaquePart,
    Started,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallPart,
)
from tests.dialects.openai.streaming import ASKED, DIALECT, WIRE, events_of, stream_of, told
from tests.dialects.openai.vectors import chunks
from tests.support.folding import fold


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
