"""`GET /v1/jobs/{id}/events`: the events of a job from the one after `Last-Event-ID` (or `?after=`) on, to its end.

Ten thousand who wait for something to happen are no burden: each is a task at rest, a few small objects, and a place
at the common timer.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol
from urllib.parse import parse_qs
from uuid import UUID

from tenfold.core.errors import InvalidRequest, NotFound, Overloaded, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.edge.http import Request
from tenfold.edge.progress.beats import Beats
from tenfold.edge.progress.frames import as_sse
from tenfold.edge.progress.socket import ProgressSocket
from tenfold.inference.respond import EVENT_STREAM
from tenfold.jobs.names import job_id_of
from tenfold.jobs.types import Job, JobEvent

PREFIX = "/v1/jobs"
_COMMENT = b":\n\n"
_MOST_DIGITS = 18


class Followed(Protocol):
    """What is needed of `jobs.ports.Jobs`."""

    async def get(self, tenant_id: TenantId, job_id: UUID) -> Job: ...

    def follow(self, tenant_id: TenantId, job_id: UUID, *, after: int = 0) -> AsyncGenerator[JobEvent, None]: ...


class JobEvents:
    """A Resource of the front door. `stop` before the server stops: clients then come again elsewhere."""

    prefix = PREFIX
    routes = (("GET", f"{PREFIX}/{{job}}/events"),)

    def __init__(self, jobs: Followed, beats: Beats | None = None) -> None:
        self._jobs = jobs
        self._beats = beats or Beats()
        self._stopping = False

    @property
    def waiting(self) -> int:
        return self._beats.waiting

    def stop(self) -> None:
        self._stopping = True
        self._beats.stop()

    async def handle(self, request: Request, principal: Principal) -> None:
        job_id = _job_id(request)
        principal.require(SCOPE_INFERENCE)
        if self._stopping:
            raise Overloaded("This process is stopping. Try again.", retry_after_s=1.0)
        after = _after(request)
        events = self._jobs.follow(principal.tenant_id, job_id, after=after)
        async with aclosing(events):
            first: JobEvent | None = None
            if (await self._jobs.get(principal.tenant_id, job_id)).ended:
                first = await anext(events, None)
                if first is None and not request.offers_websocket:
                    request.whole(204, "", b"")  # an EventSource comes again after each end, until it is told this
                    return
            if request.offers_websocket:
                await ProgressSocket(request).run(first, events, self._beats)
            else:
                await _Stream(request).run(first, events, self._beats)


class _Stream:
    """Server-sent events (WHATWG HTML, section 9.2)."""

    __slots__ = ("_left", "_request", "_task")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._task: asyncio.Task[None] | None = None
        self._left = False

    async def run(self, first: JobEvent | None, events: AsyncGenerator[JobEvent, None], beats: Beats) -> None:
        """Raises ClientGone, CancelledError (the client hung up)."""
        request = self._request
        self._task = asyncio.current_task()
        request.stream(200, EVENT_STREAM)
        place = beats.join(self)
        try:
            # Clients of a process that ended do not all come again at once.
            await request.send_bytes(b"retry: %d\n\n" % random.randint(1000, 4000))  # noqa: S311
            if first is not None:
                await request.send_bytes(as_sse(first))
            async for event in events:
                await request.send_bytes(as_sse(event))
        except TenfoldError:
            request.abort()  # cut off, not ended: the client comes again and goes on where it was
        except asyncio.CancelledError:
            if not self._left or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._task = None
            beats.part(self, place)

    def beat(self) -> None:
        self._request.send_now(_COMMENT)

    def leave(self) -> None:
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()


def _job_id(request: Request) -> UUID:
    """Raises NotFound."""
    name, _, rest = request.path.removeprefix(PREFIX).removeprefix("/").partition("/")
    if rest != "events" or request.method != "GET":
        raise NotFound(f"{request.method} {request.path[:200]} does not exist here; jobs are at /api/v1/jobs.")
    job_id = job_id_of(name)
    if job_id is None:
        raise NotFound("There is no such job.")
    return job_id


def _after(request: Request) -> int:
    """The number of the last event that the client has. Raises InvalidRequest."""
    told = request.header(b"last-event-id")
    name = "Last-Event-ID"
    if told is None:
        name, told = "after", parse_qs(request.query).get("after", ["0"])[-1]
    if not (told.isascii() and told.isdigit() and len(told) <= _MOST_DIGITS):
        raise InvalidRequest(f"{name}: the number of an event is needed.", param=name)
    return int(told)
