"""The stream of a response in the background: what its job tells, event by event, so that whoever follows it, on
whatever process, can go on after any of them.

The event of number N is the job's event N - 1: the first two, of its acceptance, and the last, of its end, are told by
whoever follows (`beginning`, `ending`), of what is stored. A job that begins anew tells nothing twice: as long as the
reply is the one that was told before, it is silent; where it is another one, the event `tenfold.restart` says that what
was told of it is void.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from msgspec import json

from tenfold.core.ids import TenantId
from tenfold.inference.background import Recorder
from tenfold.inference.responses.ports import Codec, EventRows, Stamp, StreamEvent
from tenfold.inference.responses.types import ENDED, Echo, JsonObject

FIRST = 2  # the number of the first event that the job tells
MAX_EVENT_BYTES = 1024 * 1024  # of a job

_PAGE = 500
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_RESTART = "tenfold.restart"
_RESTART_EVENT = b"event: tenfold.restart\n"
_ITEM = "response.output_item.done"

# Where the dialect has it, behind type and number.
_INDEX = re.compile(rb'[^\n]*\ndata: \{"type":"[^"]*","sequence_number":\d+,"output_index":(\d+)')

_decoder: json.Decoder[Any] = json.Decoder()


def number_of(job_event: int) -> int:
    """Of the event of a stream that is this event of its job."""
    return job_event + 1


def beginning(codec: Codec, queued: JsonObject) -> list[bytes]:
    """The events 0 and 1."""
    return [
        codec.event(kind, number, {"response": queued})
        for number, kind in enumerate(("response.created", "response.queued"))
    ]


def ending(codec: Codec, response: JsonObject, job_event: int) -> bytes:
    """The last one; `job_event` is the number of the job's own end. OpenAI has no word for a cancelled one: it is
    incomplete, and its status says why."""
    status = response["status"]
    kind = status if status in ENDED - {"cancelled"} else "incomplete"
    return codec.event(f"response.{kind}", number_of(job_event), {"response": response})


class Telling(Recorder):
    """The Responder of one attempt: takes a reply, and tells what is new of it. `told`: the job's events so far."""

    def __init__(
        self, codec: Codec, echo: Echo, told: Sequence[bytes], emit: Callable[[bytes], Awaitable[None]]
    ) -> None:
        super().__init__(self._take)
        self._codec = codec
        self._echo = echo
        self._emit = emit
        self._count = len(told)
        self._items_begun = _items_of(told)
        self._items: list[JsonObject] = []
        self._seen = b""  # of a reply that may be the one that was told
        self._place = 0
        self._is_another = False  # what comes is another reply
        began = _last_restart(told)
        if began is None:
            self._expected = told
            self._stamp = codec.stamp(echo, sequence=FIRST - 1)  # its first is our number 0
        else:
            self._expected = told[began + 1 :]
            self._stamp = self._begin_anew(began, _items_of(told[:began]))[0]

    @property
    def items(self) -> list[JsonObject]:
        """The output items that are whole."""
        return self._items

    @property
    def response(self) -> JsonObject | None:
        """The Response object, once the reply has come to its end."""
        return self._stamp.response if self._stamp.ended else None

    def stream(self, status: int, headers: str) -> "Telling":
        """Begun twice: the first one was another call's, of the same step, that had failed."""
        self._is_another = self.is_stream
        super().stream(status, headers)
        return self

    async def _take(self, data: bytes) -> None:
        if self._is_another:
            self._is_another, self._seen = False, b""
            await self._tell_anew()
        if self._place < len(self._expected):
            self._seen += data
        for event in self._stamp.events(data):
            if not await self._is_as_told(event):
                await self._tell_anew()
                return
        if self._place >= len(self._expected):
            self._seen = b""

    async def _is_as_told(self, event: StreamEvent) -> bool:
        """False: what was told so far was of another reply."""
        if event.type == "response.created":
            return True
        if self._place < len(self._expected):
            if event.type in _ENDS or self._expected[self._place] != _data(event):
                return False
            self._place += 1
        elif event.type not in _ENDS:
            await self._tell(_data(event))
        if event.type == _ITEM:
            self._items.append(_decoded(event.frame)["item"])
        return True

    async def _tell(self, frame: bytes) -> None:
        self._count += 1
        self._items_begun = max(self._items_begun, _items_of((frame,)))
        await self._emit(frame)

    async def _tell_anew(self) -> None:
        self._stamp, restart = self._begin_anew(self._count, self._items_begun)
        self._items, self._expected, self._place = [], (), 0
        await self._tell(restart)
        data, self._seen = self._seen, b""
        await self._take(data)

    def _begin_anew(self, count: int, items: int) -> tuple[Stamp, bytes]:
        """The stamp of a reply that is told after so many events and items, and the event that says so."""
        stamp = self._codec.stamp(self._echo, sequence=FIRST + count, output_index=items, begun=True)
        restart = self._codec.event(_RESTART, 0, {"provider": None, "model": None})
        return stamp, stamp.events(restart)[0].frame


async def told_so_far(rows: EventRows, tenant_id: TenantId, job_id: UUID, last: int) -> list[bytes]:
    """The job's events up to this one; b"" for those that are none of a stream. Raises StoreUnavailable."""
    told: list[bytes] = []
    while len(told) < last:
        page = await rows.events(tenant_id, job_id, after=len(told), limit=_PAGE)
        if not page:
            break
        told += [event.data if event.kind == "output" else b"" for event in page]
    return told


def _last_restart(told: Sequence[bytes]) -> int | None:
    """Of those that were told here. One within a reply names a provider."""
    for place in range(len(told) - 1, -1, -1):
        frame = told[place]
        if frame.startswith(_RESTART_EVENT) and _decoded(frame)["provider"] is None:
            return place
    return None


def _items_of(frames: Sequence[bytes]) -> int:
    """How many were begun in them."""
    return max((int(found[1]) + 1 for frame in frames if (found := _INDEX.match(frame))), default=0)


def _data(event: StreamEvent) -> bytes:
    """What is too large for an event of a job is left out; all of it is in the response's end."""
    return event.frame if len(event.frame) <= MAX_EVENT_BYTES else b""


def _decoded(frame: bytes) -> JsonObject:
    value: JsonObject = _decoder.decode(frame[frame.index(b"data: ") + 6 :])
    return value
