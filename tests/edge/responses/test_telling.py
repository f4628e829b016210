"""The stream of a response in the background, told by one attempt after the other: nothing twice, nothing lost."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import json

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Finished,
    Message,
    Metered,
    Started,
    TextDelta,
    TextPart,
)
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.edge.responses import ResponsesCodec
from tenfold.inference.responses.telling import FIRST, MAX_EVENT_BYTES, Telling, beginning, ending, told_so_far
from tenfold.inference.responses.types import Echo
from tenfold.jobs.types import JobEvent

CODEC = ResponsesCodec()
ECHO = Echo(id=f"resp_{uuid7().hex}", created_at=1_800_000_000, background=True, request={"model": "m", "input": "Hi"})


def pieces(*words: str, whole: bool = True) -> list[bytes]:
    """A reply as the pipeline sends it, for a response of another id."""
    asked = ChatRequest(model="m", messages=[Message(role="user", parts=[TextPart(text="Hi")])])
    encoder = CODEC.dialect.reply_encoder(asked)
    events: list[ChatEvent] = [Started(id=uuid7().hex, model="m"), *(TextDelta(text=word) for word in words)]
    if whole:
        events += [Finished(reason="stop"), Metered(usage=Usage(input_tokens=1, output_tokens=2)), Ended()]
    return [piece for event in events if (piece := encoder.encode([event]))]


class Job:
    """What was told of it."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    async def attempt(self, reply: Sequence[bytes], upto: int | None = None) -> Telling:
        telling = Telling(CODEC, ECHO, list(self.events), self._emit)
        telling.stream(200, "")
        for piece in reply[:upto]:
            await telling.send_bytes(piece)
        return telling

    async def _emit(self, data: bytes) -> None:
        self.events.append(data)

    @property
    def decoded(self) -> list[Any]:
        return [json.decode(frame[frame.index(b"data: ") + 6 :]) for frame in self.events]

    @property
    def kinds(self) -> list[str]:
        return [event["type"].removeprefix("response.") for event in self.decoded]

    @property
    def text(self) -> str:
        """As a client has it that heeds restarts."""
        text = ""
        for event in self.decoded:
            if event["type"] == "tenfold.restart":
                text = ""
            elif event["type"] == "response.output_text.delta":
                text += event["delta"]
        return text

    def assert_numbered(self) -> None:
        assert [event["sequence_number"] for event in self.decoded] == list(range(FIRST, FIRST + len(self.events)))


async def test_one_attempt() -> None:
    job, reply = Job(), pieces("a", "b")
    telling = await job.attempt(reply)
    assert job.kinds[0] == "in_progress"
    assert "created" not in job.kinds
    assert "completed" not in job.kinds
    assert job.text == "ab"
    assert telling.response is not None
    assert telling.response["id"] == ECHO.id
    assert [item["content"][0]["text"] for item in telling.items] == ["ab"]
    job.assert_numbered()


async def test_an_attempt_is_cut_anywhere_and_the_next_one_goes_on() -> None:
    reply = pieces("a", "b", "c")
    once = Job()
    await once.attempt(reply)
    for cut in range(len(reply) + 1):
        job = Job()
        first = await job.attempt(reply, cut)
        assert first.response is None or cut == len(reply)
        telling = await job.attempt([b"".join(reply)])  # as it comes from under its key
        assert job.events == once.events, cut
        assert telling.response is not None
        assert [item["content"][0]["text"] for item in telling.items] == ["abc"]


@pytest.mark.parametrize("joined", [False, True])
async def test_another_answer_begins_anew(joined: bool) -> None:
    job, other = Job(), pieces("a", "x", "y")
    await job.attempt(pieces("a", "b", whole=False))
    told = list(job.events)
    telling = await job.attempt([b"".join(other)] if joined else other)
    assert job.events[: len(told)] == told
    assert job.kinds[len(told)] == "tenfold.restart"
    assert "in_progress" not in job.kinds[len(told) :]
    assert job.text == "axy"
    job.assert_numbered()
    assert telling.response is not None
    assert [item["content"][0]["text"] for item in telling.response["output"]] == ["axy"]
    before, after = job.decoded[: len(told)], job.decoded[len(told) + 1 :]
    items = [{event["item"]["id"] for event in half if "item" in event} for half in (before, after)]
    assert items[0].isdisjoint(items[1])
    assert {event["output_index"] for event in after if "output_index" in event} == {1}


async def test_after_a_restart_the_next_attempt_goes_on_too() -> None:
    other = pieces("a", "x", "y")
    once = Job()
    await once.attempt(pieces("a", "b", whole=False))
    begun = len(once.events)
    await once.attempt(other)
    for cut in range(2, len(other) + 1):
        job = Job()
        await job.attempt(pieces("a", "b", whole=False))
        await job.attempt(other, cut)
        await job.attempt([b"".join(other)])
        assert [event["type"] for event in job.decoded] == [event["type"] for event in once.decoded]
        assert job.text == "axy"
        job.assert_numbered()
    assert begun


async def test_a_shorter_answer_is_another_one() -> None:
    job = Job()
    await job.attempt(pieces("a", "b", "c", whole=False))
    telling = await job.attempt(pieces("a", "b"))
    assert job.text == "ab"
    assert "tenfold.restart" in job.kinds
    assert telling.response is not None


async def test_a_reply_that_had_failed_is_followed_by_the_next_one() -> None:
    """Under the key of the step, in one and the same attempt."""
    job = Job()
    telling = await job.attempt([*pieces("a", "b", whole=False), CODEC.dialect.error_frame(TenfoldError("Full"), "")])
    assert job.kinds[-1] == "error"
    assert telling.response is not None
    assert telling.response["status"] == "failed"
    told = len(job.events)
    telling.stream(200, "")
    for piece in pieces("x"):
        await telling.send_bytes(piece)
    assert job.kinds[told] == "tenfold.restart"
    assert job.text == "x"
    job.assert_numbered()
    assert telling.response["status"] == "completed"
    assert [item["content"][0]["text"] for item in telling.items] == ["x"]


async def test_an_event_that_is_too_large_keeps_its_number() -> None:
    job, long = Job(), "x" * MAX_EVENT_BYTES
    reply = pieces("a", long)
    telling = await job.attempt(reply)
    assert b"" in job.events
    assert all(len(data) <= MAX_EVENT_BYTES for data in job.events)
    told = list(job.events)
    await job.attempt(reply)
    assert job.events == told
    assert telling.response is not None
    assert telling.response["output"][0]["content"][0]["text"] == "a" + long


class Events:
    """Of a job that was redriven: its first end stands among them."""

    def __init__(self, count: int) -> None:
        self.all = [
            JobEvent(seq=seq, kind="ended" if seq == 3 else "output", data=b"%d" % seq) for seq in range(1, count + 1)
        ]

    async def events(self, tenant_id: TenantId, job_id: Any, *, after: int, limit: int) -> list[JobEvent]:
        return self.all[after : after + min(limit, 4)]


async def test_what_was_told_is_read_page_by_page() -> None:
    told = await told_so_far(Events(10), TenantId(uuid7()), uuid7(), 10)
    assert told == [b"1", b"2", b"", *(b"%d" % seq for seq in range(4, 11))]
    assert len(await told_so_far(Events(2), TenantId(uuid7()), uuid7(), 10)) == 2


def test_the_two_ends() -> None:
    queued = CODEC.blank(ECHO, "queued")
    created, waits = beginning(CODEC, queued)
    assert created.startswith(b'event: response.created\ndata: {"type":"response.created","sequence_number":0,')
    assert waits.startswith(b'event: response.queued\ndata: {"type":"response.queued","sequence_number":1,')
    assert ending(CODEC, queued | {"status": "failed"}, 4).startswith(
        b'event: response.failed\ndata: {"type":"response.failed","sequence_number":5,'
    )
    assert ending(CODEC, queued | {"status": "cancelled"}, 4).startswith(b"event: response.incomplete\n")
