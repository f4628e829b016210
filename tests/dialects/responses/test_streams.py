"""Streams, event by event: which items begin and end when, and what official SDKs make of them."""

import cProfile
import json
import pstats
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatEvent,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    OpaquePart,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.core.errors import BrokenStream
from tenfold.core.usage import Usage
from tenfold.edge.dialects.responses import Echo, ResponsesDialect, Stamp
from tests.dialects.responses.protocol import check_stream, events_in
from tests.dialects.responses.vectors import asking

DIALECT = ResponsesDialect()
START = Started(id="chatcmpl-1", model="m-2026", created_s=7)


def told(*events: ChatEvent, end: bool = True, **members: Any) -> bytes:
    """Each event fed alone."""
    encoder = DIALECT.reply_encoder(DIALECT.decode_chat(asking(**members)))
    last: list[ChatEvent] = [Finished(reason="stop"), Ended()] if end else []
    return b"".join(encoder.encode([event]) for event in [START, *events, *last])


def kinds(frames: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events_in(frames)]


def output(frames: bytes) -> list[JsonObject]:
    items: list[JsonObject] = check_stream(frames)["output"]
    return items


def test_a_text() -> None:
    frames = told(TextDelta(text="Hel"), TextDelta(text=""), TextDelta(text="lo"))
    assert kinds(frames) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert output(frames)[0]["content"][0]["text"] == "Hello"


def test_usage_and_tier_are_told_at_the_end() -> None:
    frames = told(Metered(usage=Usage(input_tokens=12, output_tokens=3, reasoning_tokens=1)))
    created, final = events_in(frames)[0]["response"], check_stream(frames)
    assert "usage" not in created
    assert final["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
    assert (final["created_at"], final["completed_at"] > 7) == (7, True)


def test_nothing_said_is_an_empty_message() -> None:
    assert output(told())[0]["content"][0]["text"] == ""


def test_blocks_are_parts_of_one_message() -> None:
    frames = told(TextDelta(text="a", block=0), TextDelta(text="b", block=1), RefusalDelta(text="no"))
    (item,) = output(frames)
    assert [part["type"] for part in item["content"]] == ["output_text", "output_text", "refusal"]


def test_a_refusal_is_an_answer() -> None:
    final = check_stream(told(RefusalDelta(text="I "), RefusalDelta(text="won't."), Finished(reason="refusal")))
    assert (final["status"], final["output"][0]["content"][0]["refusal"]) == ("completed", "I won't.")


def test_thoughts_and_their_signatures() -> None:
    frames = told(
        ThinkingDelta(text="one", block=0),
        ThinkingDelta(signature="s1", block=0),
        ThinkingDelta(text="two", block=1),
        ThinkingDelta(redacted="hidden", block=2),
        ThinkingDelta(text="three"),
        ThinkingDelta(signature="s3"),
        ThinkingDelta(text="four"),
    )
    items = output(frames)
    texts = [item.get("content", [{"text": None}])[0]["text"] for item in items]
    assert texts == ["one", "two", None, "three", "four"]
    assert ["encrypted_content" in item for item in items] == [True, False, True, True, False]


def test_a_summary_where_one_is_asked_for() -> None:
    frames = told(ThinkingDelta(text="hm"), TextDelta(text="x"), reasoning={"summary": "auto"})
    assert "reasoning_summary_part.added" in kinds(frames)
    assert output(frames)[0]["summary"] == [{"type": "summary_text", "text": "hm"}]


def test_calls_that_grow_in_turn() -> None:
    frames = told(
        TextDelta(text="well"),
        ToolCallDelta(slot=0, id="a", name="f"),
        ToolCallDelta(slot=1, id="b", name="g", arguments='{"x":'),
        ToolCallDelta(slot=0, arguments='{"y":1}'),
        ToolCallDelta(slot=1, arguments="2}"),
    )
    assert [item.get("arguments") for item in output(frames)] == [None, '{"y":1}', '{"x":2}']


def test_a_call_is_done_when_the_next_begins() -> None:
    """So that a client may run the first while the second is still being said."""
    frames = told(
        ToolCallDelta(slot=0, id="a", name="f", arguments="{}"),
        ToolCallDelta(slot=1, id="b", name="g", arguments='{"x":1}'),
    )
    order = [(event["type"], event["output_index"]) for event in events_in(frames) if "output_index" in event]
    assert order.index(("response.output_item.done", 0)) < order.index(("response.output_item.added", 1))


def test_a_call_without_arguments_gets_the_empty_object() -> None:
    assert output(told(ToolCallDelta(slot=0, id="a", name="f")))[0]["arguments"] == "{}"


def test_a_call_without_an_id_gets_one() -> None:
    (item,) = output(told(ToolCallDelta(slot=0, name="f", arguments="{}")))
    assert item["call_id"].startswith("call_")


def test_text_between_calls_does_not_mix_them() -> None:
    frames = told(
        ToolCallDelta(slot=0, id="a", name="f", arguments='{"x"'),
        TextDelta(text="so"),
        ToolCallDelta(slot=0, arguments=":1}"),
    )
    assert [item.get("arguments") for item in output(frames)] == ['{"x":1}', None]


def test_arguments_for_a_call_that_has_ended_fail_the_stream() -> None:
    frames = told(
        ToolCallDelta(slot=0, id="a", name="f", arguments="{}"),
        ToolCallDelta(slot=1, id="b", name="g", arguments="{}"),
        ToolCallDelta(slot=0, arguments='{"again":1}'),
    )
    assert check_stream(frames)["status"] == "failed"


@pytest.mark.parametrize(
    ("last", "status"), [(TextDelta(text="cut"), "incomplete"), (ToolCallDelta(slot=0, id="a", name="f"), "incomplete")]
)
def test_an_answer_that_was_cut(last: ChatEvent, status: str) -> None:
    final = check_stream(told(ThinkingDelta(text="hm"), last, Finished(reason="length")))
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert final["output"][-1]["status"] == status


def test_other_choices_are_left_out() -> None:
    frames = told(TextDelta(text="a"), TextDelta(text="b", choice=1), Finished(reason="length", choice=1))
    assert check_stream(frames)["status"] == "completed"
    assert output(frames)[0]["content"][0]["text"] == "a"


def test_a_failure_that_the_provider_told() -> None:
    frames = told(TextDelta(text="a"), Failed(message="Full.", kind="overloaded", status=529), end=False)
    final = check_stream(frames)
    assert final["error"] == {"code": "server_error", "message": "Full."}
    assert final["output"] == []


def test_a_stream_without_a_start() -> None:
    encoder = DIALECT.reply_encoder(DIALECT.decode_chat(asking()))
    assert check_stream(encoder.encode([TextDelta(text="a"), Finished(reason="stop"), Ended()]))["model"] == "m"


# -- whatever comes --------------------------------------------------------------------------

_said = st.text(st.characters(codec="utf-8"), max_size=6)
_blocks = st.none() | st.integers(0, 2)
_deltas: st.SearchStrategy[ChatEvent] = st.one_of(
    st.builds(lambda text, block: TextDelta(text=text, block=block), _said, _blocks),
    st.builds(lambda text: RefusalDelta(text=text), _said),
    st.builds(
        lambda text, mark, data, block: ThinkingDelta(text=text, signature=mark, redacted=data, block=block),
        _said,
        st.none() | _said,
        st.none() | _said,
        _blocks,
    ),
    st.builds(
        lambda slot, text: ToolCallDelta(slot=slot, id=f"call_{slot}", name=f"f{slot}", arguments=text),
        st.integers(0, 2),
        st.sampled_from(["", "{}", '{"a":', "1}", " ", "]"]),
    ),
    st.just(
        OpaqueDelta(part=OpaquePart(dialect="openai", value={"type": "custom", "id": "c", "custom": {"name": "n"}}))
    ),
    st.just(OpaqueDelta(part=OpaquePart(dialect="openai", value={"type": "audio", "audio": {"id": "a"}}))),
    st.just(OpaqueDelta(part=OpaquePart(dialect="gemini", value={"text": "", "thoughtSignature": "c2ln"}))),
    st.sampled_from([Finished(reason="stop"), Finished(reason="length"), Finished(reason="refusal"), START]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_deltas, max_size=14), st.booleans())
def test_any_stream_is_a_proper_one(events: list[ChatEvent], summary: bool) -> None:
    """Whatever a provider mixes: the events are numbered, items begin and end once, and the response at the end has
    what they said; stamped too."""
    frames = told(*events, reasoning={"summary": "auto"} if summary else None)
    final = check_stream(frames, described=False)
    stamped = check_stream(Stamp(Echo(id="resp_" + "ab" * 16, created_at=7)).frames(frames), described=False)
    assert [item["type"] for item in stamped["output"]] == [item["type"] for item in final["output"]]
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    written = [
        part.get("text", "") for item in final["output"] for part in item.get("content", []) if "content" in item
    ]
    if final["status"] != "failed":
        assert len("".join(written)) >= len(said)


# -- the official SDK ------------------------------------------------------------------------


def sdk(frames: bytes) -> openai.OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=frames, headers={"content-type": "text/event-stream"})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0)


def test_the_sdk_raises_where_a_stream_breaks() -> None:
    frames = told(TextDelta(text="a"), end=False) + DIALECT.error_frame(BrokenStream("It broke."), "req_1")
    with (
        pytest.raises(openai.APIError, match="It broke"),
        sdk(frames).responses.stream(model="m", input="hi") as stream,
    ):
        list(stream)


def test_the_sdk_hands_a_restart_to_the_application() -> None:
    frames = told(TextDelta(text="a"), end=False) + DIALECT.restart_frame("other", "m-2") + told(TextDelta(text="b"))
    kinds_seen: list[str] = [event.type for event in sdk(frames).responses.create(model="m", input="hi", stream=True)]
    assert kinds_seen.count("tenfold.restart") == 1


def test_the_sdk_collects_what_was_said() -> None:
    frames = told(
        ThinkingDelta(text="hm"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        ToolCallDelta(slot=0, id="a", name="f", arguments='{"x":'),
        ToolCallDelta(slot=1, id="b", name="g", arguments='{"z":'),
        ToolCallDelta(slot=0, arguments="1}"),
        ToolCallDelta(slot=1, arguments="2}"),
    )
    with sdk(frames).responses.stream(model="m", input="hi") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["Hel", "Hello"]
    assert final.output_text == "Hello"
    calls = [item for item in final.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"x": 1}, {"z": 2}]


def test_very_many_open_calls() -> None:
    """Each is looked at once after it grew, however many are open."""
    calls: list[ChatEvent] = [ToolCallDelta(slot=n, id=f"c{n}", name="f", arguments='{"a":') for n in range(2_000)]
    encoder = DIALECT.reply_encoder(DIALECT.decode_chat(asking()))
    profile = cProfile.Profile()
    profile.runcall(encoder.encode, calls)
    looked = [count[0] for name, count in pstats.Stats(profile).stats.items() if name[2] == "is_whole"]  # type: ignore[attr-defined]
    assert looked == [1_999]
