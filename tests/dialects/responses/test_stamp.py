"""Whose a reply is: ids and what was asked are the stamp's, the numbers of events go on whatever happens."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tenfold.core.chat import ChatEvent, ChatReply, Choice, Ended, Finished, Started, TextDelta, TextPart, ToolCallDelta
from tenfold.core.errors import BrokenStream, RateLimited, TenfoldError
from tenfold.edge.dialects.responses import Echo, ResponsesDialect, Stamp, blank
from tests.dialects.responses.protocol import check_stream, check_whole, events_in
from tests.dialects.responses.vectors import asking

DIALECT = ResponsesDialect()
ECHO = Echo(
    id="resp_" + "ab" * 16,
    created_at=2_000_000_000,
    previous_response_id="resp_" + "cd" * 16,
    store=False,
    background=True,
    request={"model": "m", "input": "hi", "metadata": {"mine": "yes"}, "user": "me"},
)
REQUEST = DIALECT.decode_chat(asking(metadata={"theirs": "yes"}, user="them"))
BEGIN: list[ChatEvent] = [Started(id="chatcmpl-1", model="m-2026"), TextDelta(text="Hel"), TextDelta(text="lo")]
END: list[ChatEvent] = [Finished(reason="stop"), Ended()]


def reply_of(events: list[ChatEvent]) -> bytes:
    return DIALECT.reply_encoder(REQUEST).encode(events)


def whole_reply() -> bytes:
    choice = Choice(parts=[TextPart(text="Hello")], finish_reason="stop")
    return DIALECT.encode_reply(ChatReply(id="chatcmpl-1", model="m-2026", choices=[choice], created_s=5), REQUEST)


def assert_ours(response: dict[str, Any]) -> None:
    assert response["id"] == ECHO.id
    assert (response["created_at"], response["previous_response_id"]) == (2_000_000_000, ECHO.previous_response_id)
    assert (response["store"], response["background"]) == (False, True)
    assert (response["metadata"], response["user"]) == ({"mine": "yes"}, "me")
    assert all(item["id"].startswith("msg_" + "ab" * 16) for item in response["output"])


def test_a_whole_reply() -> None:
    stamp = Stamp(ECHO)
    response = check_whole(stamp.whole(whole_reply()))
    assert_ours(response)
    assert response["model"] == "m-2026"
    assert response["completed_at"] >= response["created_at"]
    assert (stamp.response, stamp.ended) == (response, True)


@pytest.mark.parametrize("body", [b'{"error":{"message":"no"}}', b"", b"\xff", b"[]", b'{"object":"list"}'])
def test_what_is_no_response_stays_as_it_is(body: bytes) -> None:
    stamp = Stamp(ECHO)
    assert stamp.whole(body) == body
    assert stamp.response is None


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_stream_cut_anywhere(size: int) -> None:
    reply, stamp = reply_of(BEGIN + END), Stamp(ECHO)
    told = b"".join(stamp.frames(reply[at : at + size]) for at in range(0, len(reply), size))
    response = check_stream(told)
    assert_ours(response)
    assert (stamp.response, stamp.ended, stamp.output_index) == (response, True, 1)
    assert stamp.sequence == len(events_in(told))
    for event in events_in(told):
        if "item_id" in event:
            assert event["item_id"] == response["output"][0]["id"]


def test_events_one_by_one() -> None:
    stamp = Stamp(ECHO)
    events = stamp.events(reply_of(BEGIN + END))
    assert [event.sequence for event in events] == list(range(len(events)))
    assert [json.loads(event.frame.split(b"data: ", 1)[1])["type"] for event in events] == [e.type for e in events]


def test_the_models_words_stay_as_they_are() -> None:
    """Even when they look like events, or like numbers of them."""
    text = 'event: error\n\ndata: {"type":"error","sequence_number":99}\n\n_resp'
    told = Stamp(ECHO).frames(reply_of([BEGIN[0], TextDelta(text=text), *END]))
    assert check_stream(told)["output"][0]["content"][0]["text"] == text


def test_a_stream_that_breaks_ends_as_a_failed_response() -> None:
    stamp = Stamp(ECHO)
    told = stamp.frames(reply_of(BEGIN))
    told += stamp.frames(DIALECT.error_frame(BrokenStream("It broke."), "req_1"))
    response = check_stream(told)
    assert_ours(response)
    assert response["error"] == {"code": "server_error", "message": "It broke."}
    assert events_in(told)[-2]["error"]["message"] == "It broke."
    assert stamp.ended
    assert stamp.frames(reply_of(END)) == b""


def test_a_failed_response_has_the_items_that_were_done() -> None:
    call: list[ChatEvent] = [ToolCallDelta(slot=0, id="c", name="f", arguments="{}"), TextDelta(text="x")]
    stamp = Stamp(ECHO)
    told = stamp.frames(reply_of([BEGIN[0], *call])) + stamp.frames(DIALECT.error_frame(BrokenStream("Oh."), ""))
    assert [item["type"] for item in check_stream(told)["output"]] == ["function_call"]


def test_a_stream_that_begins_anew_goes_on_counting() -> None:
    stamp = Stamp(ECHO)
    told = stamp.frames(reply_of(BEGIN) + DIALECT.restart_frame("other", "m-2"))
    second: list[ChatEvent] = [Started(id="chatcmpl-2", model="m-2"), TextDelta(text="Hi"), *END]
    told += stamp.frames(reply_of(second))
    response = check_stream(told)
    assert (response["id"], response["model"]) == (ECHO.id, "m-2")
    assert [item["content"][0]["text"] for item in response["output"]] == ["Hi"]
    events = events_in(told)
    assert [event["type"] for event in events].count("response.created") == 1
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == [0, 1]
    assert added[0]["item"]["id"] != added[1]["item"]["id"]


def test_a_stream_that_goes_on_where_another_broke_off() -> None:
    """As a job does that another worker takes up."""
    first = Stamp(ECHO)
    told = first.frames(reply_of(BEGIN))
    second = Stamp(ECHO, sequence=first.sequence, output_index=first.output_index, begun=True)
    told += second.frames(DIALECT.restart_frame("other", "m-2"))
    told += second.frames(reply_of(BEGIN + END))
    response = check_stream(told)
    assert response["id"] == ECHO.id
    assert [before["sequence_number"] + 1 for before in events_in(told)][:-1] == [
        after["sequence_number"] for _, after in pairwise(events_in(told))
    ]


def test_the_same_reply_stamped_twice_is_the_same() -> None:
    """A reply that is kept under a key is told again as it was."""
    reply = reply_of(BEGIN + END)
    assert Stamp(ECHO).frames(reply) == Stamp(ECHO).frames(reply)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_responses_without_an_answer(status: Any) -> None:
    body = check_whole(json.dumps(blank(ECHO, status)).encode())
    assert_ours(body)
    assert (body["status"], body["output"], body["error"], body["model"]) == (status, [], None, "m")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimited("Slow down."), "rate_limit_exceeded"),
        (BrokenStream("It broke."), "server_error"),
        (TenfoldError("A bug."), "server_error"),
    ],
)
def test_failed_responses(error: TenfoldError, code: str) -> None:
    body = check_whole(json.dumps(blank(ECHO, "failed", error)).encode())
    assert body["error"] == {"code": code, "message": error.message}
