"""What replies say, whole and streamed, and the end of a stream that waits for the verdict."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    Choice,
    Ended,
    Failed,
    Finished,
    FinishReason,
    OpaqueDelta,
    OpaquePart,
    Part,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.core.errors import UpstreamError
from tenfold.inference.output.counters import OutputCounters
from tenfold.inference.output.expected import ANY_JSON
from tenfold.inference.output.put_back import events_of
from tenfold.inference.output.said import EndHold, Said, StreamText, faults, mended, said_in
from tenfold.providers.anthropic.wire import AnthropicWire
from tenfold.providers.gemini.wire import GeminiWire
from tenfold.providers.openai.wire import OpenAIWire
from tenfold.providers.ports import Wire
from tests.dialects.matrix.replies import streams, whole_replies

WIRES: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire(), "gemini": GeminiWire()}
CALL = ToolCallPart(id="c", name="f", arguments="{}")


def reply(*parts: Part, reason: FinishReason | None = "stop") -> ChatReply:
    return ChatReply(id="r", model="m", choices=[Choice(parts=list(parts), finish_reason=reason)])


def text(said: str) -> TextPart:
    return TextPart(text=said)


# -- whole -----------------------------------------------------------------------------------


def test_the_texts_of_a_choice_are_one() -> None:
    found = said_in(reply(ThinkingPart(text="hm"), text('{"a":'), text("1}")))
    assert found == [Said(index=0, text='{"a":1}')]
    assert faults(ANY_JSON, found) == {}


@pytest.mark.parametrize(
    "excused",
    [
        reply(CALL, reason="tool_calls"),
        reply(text("Let me look."), CALL),
        reply(RefusalPart(text="No.")),
        reply(text("I can"), reason="content_filter"),
        reply(text(""), reason="refusal"),
        reply(text("so far"), reason="pause"),
        reply(OpaquePart(dialect="openai", value={"type": "audio"})),
    ],
)
def test_who_says_something_else_promises_nothing(excused: ChatReply) -> None:
    assert faults(ANY_JSON, said_in(excused)) == {}
    stream = StreamText()
    stream.take(events_of(excused))
    assert stream.said() == said_in(excused)


@pytest.mark.parametrize("silent", [reply(), reply(text("")), reply(ThinkingPart(text="{}"))])
def test_saying_nothing_keeps_no_promise(silent: ChatReply) -> None:
    assert faults(ANY_JSON, said_in(silent)).keys() == {0}


def test_a_block_beside_the_text_excuses_nothing() -> None:
    beside = reply(OpaquePart(dialect="anthropic", value={"type": "server_tool_use"}), text("not JSON"))
    assert faults(ANY_JSON, said_in(beside)).keys() == {0}
    stream = StreamText()
    stream.take(events_of(beside))
    assert faults(ANY_JSON, stream.said()).keys() == {0}


@pytest.mark.parametrize("number", ["12", "1.5", " 3\n"])
def test_a_number_that_was_cut_may_be_half_of_one(number: str) -> None:
    assert faults(ANY_JSON, said_in(reply(text(number)))) == {}
    assert faults(ANY_JSON, said_in(reply(text(number), reason="length"))).keys() == {0}


def test_all_choices_are_mended_or_none() -> None:
    said = [Said(index=0, text="{}"), Said(index=2, text="{a:1}"), Said(index=5, text="```[1]```")]
    invalid = faults(ANY_JSON, said)
    assert invalid.keys() == {2, 5}
    assert mended(ANY_JSON, said, invalid) == {2: '{"a":1}', 5: "[1]"}
    lost = [*said, Said(index=7, text="no")]
    assert mended(ANY_JSON, lost, faults(ANY_JSON, lost)) is None
    cut = [Said(index=0, text="{a:1", cut=True)]
    assert mended(ANY_JSON, cut, faults(ANY_JSON, cut)) is None


# -- streamed --------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", WIRES)
def test_a_stream_says_what_the_same_reply_says_whole(upstream: str) -> None:
    for name, body in whole_replies(upstream):
        try:
            whole = WIRES[upstream].decode_chat(body)
        except UpstreamError:  # a recorded failure
            continue
        stream = StreamText()
        stream.take(events_of(whole))
        assert stream.said() == said_in(whole), name


@pytest.mark.parametrize("upstream", ["openai", "anthropic"])
def test_raw_frames_say_what_the_events_say(upstream: str) -> None:
    wire = WIRES[upstream]
    for name, raw in streams(upstream):
        decoder, by_events = wire.stream_decoder(), StreamText()
        by_events.take(decoder.feed(raw) + decoder.finish())
        by_frames = StreamText(wire.stream_decoder())
        for start in range(0, len(raw), 777):
            by_frames.feed(raw[start : start + 777])
        assert by_frames.said() == by_events.said(), name


def test_choices_are_kept_apart() -> None:
    stream = StreamText()
    events: list[ChatEvent] = [
        Started(id="r", model="m"),
        TextDelta(text="{", choice=1),
        TextDelta(text="[", choice=0),
        ThinkingDelta(text="aside"),
        TextDelta(text="]", choice=0),
        Finished(reason="length", choice=1),
        Finished(reason="stop", choice=0),
        Ended(),
    ]
    stream.take(events)
    assert stream.said() == [Said(index=0, text="[]"), Said(index=1, text="{", cut=True)]


@pytest.mark.parametrize(
    "event", [ToolCallDelta(slot=0), RefusalDelta(text="No"), OpaqueDelta(part=OpaquePart(dialect="x", value={}))]
)
def test_deltas_that_excuse(event: ChatEvent) -> None:
    stream = StreamText()
    stream.take([event])
    assert stream.said()[0].excused


def test_a_failed_stream_says_so() -> None:
    stream = StreamText()
    assert not stream.failed
    stream.take([TextDelta(text="{"), Failed(message="x")])
    assert stream.failed


def test_what_is_kept_is_bounded() -> None:
    stream = StreamText(most=10)
    stream.take([TextDelta(text="[1,"), TextDelta(text="2", choice=1), TextDelta(text="345678]"), TextDelta(text="x")])
    said = stream.said()
    assert [one.text for one in said] == ["", ""]
    invalid = faults(ANY_JSON, said)
    assert all(verdict.too_much for verdict in invalid.values())
    assert mended(ANY_JSON, said, invalid) is None


OPENAI_END = b"data: [DONE]\n\n"
ANTHROPIC_END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
LOOKS_LIKE_IT = b'data: {"choices":[{"delta":{"content":"data: [DONE]\\nevent: message_stop"}}]}\n\n'


@given(st.sampled_from([OPENAI_END, ANTHROPIC_END, OPENAI_END.replace(b"\n", b"\r\n"), b"data:[DONE]\n\n"]), st.data())
def test_only_the_end_is_held(end: bytes, data: st.DataObject) -> None:
    frames = [b": ping\n\n", LOOKS_LIKE_IT, b"event: content\ndata: {}\n\n", LOOKS_LIKE_IT]
    blocks = data.draw(st.lists(st.integers(0, len(frames)), max_size=3).map(lambda cuts: [0, *sorted(cuts), 5]))
    hold = EndHold()
    sent = b"".join(hold.feed(b"".join([*frames, end][a:b])) for a, b in pairwise(blocks))
    assert sent == b"".join(frames)
    assert hold.feed(b": ping\n\n") == b""
    assert hold.rest() == end + b": ping\n\n"
    assert hold.rest() == b""


# -- counted ---------------------------------------------------------------------------------


def test_each_reply_counts_once() -> None:
    counters = OutputCounters()
    for _ in range(3):
        counters.count("m", "valid")
    counters.count("m", "repaired_locally")
    counters.count("n", "failed")
    assert counters.checked("m") == 4
    assert list(counters.figures()) == [
        ("tenfold_output_checks_total", (("model", "m"), ("outcome", "valid")), 3.0),
        ("tenfold_output_checks_total", (("model", "m"), ("outcome", "repaired_locally")), 1.0),
        ("tenfold_output_checks_total", (("model", "n"), ("outcome", "failed")), 1.0),
    ]


def test_models_are_bounded() -> None:
    counters = OutputCounters()
    for number in range(2_000):
        counters.count(f"m{number}", "valid")
    assert len(list(counters.figures())) == 501
    assert sum(value for _, _, value in counters.figures()) == 2_000
