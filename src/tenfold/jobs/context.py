"""What a handler sees of the job it does. What it tells is gathered, and written a few times a second.

Refuses to write once the job is another worker's.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

import msgspec

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.jobs.ports import JobLost, JobRows
from tenfold.jobs.types import Progress, Work

logger = logging.getLogger(__name__)

GATHER_S = 0.02  # what is told after a silence goes out so soon
WRITE_EVERY_S = 0.2
PROGRESS_EVERY_S = 1.0
PROGRESS_SHARE = 0.01  # of the time so far: a job of a day tells of its progress some thousand times, not 86,400
AWAY_S = 0.5
MAX_EVENT_BYTES = 1024 * 1024
MAX_BUFFERED_BYTES = 1024 * 1024  # whoever emits more waits for the database
_MAX_STAGE = 100

encode_progress = msgspec.json.encode


class Context:
    """See `ports.JobContext`. `on_lost` is called when a write in the background finds the job to be another's."""

    def __init__(
        self, work: Work, holder: UUID, rows: JobRows, *, clock: Clock, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self.work = work
        self.cancelled = work.job.cancel_requested
        self.cost_nano = 0
        self.lost = False
        self._holder = holder
        self._rows = rows
        self._clock = clock
        self._on_lost = on_lost
        self._begun_s = clock.monotonic_s()
        self._seq = work.events  # of the last event that is in the database
        self._events: list[tuple[str, bytes]] = []
        self._buffered = 0  # bytes of outputs that are not in the database
        self._progress: Progress | None = None  # not written yet
        self._latest = work.job.progress
        self._progress_due_s = self._begun_s
        self._sending: tuple[Progress | None, list[tuple[str, bytes]]] | None = None
        self._lock = asyncio.Lock()
        self._last_write_s = -WRITE_EVERY_S
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0
        self._writer: asyncio.Task[None] | None = None

    def key(self, step: str) -> str:
        return f"job_{self.work.job.id.hex}:{step}"

    def spent(self, cost_nano: int) -> None:
        self.cost_nano += cost_nano

    async def progress(self, stage: str = "", done: int = 0, total: int | None = None) -> None:
        self._not_lost()
        told = Progress(stage=stage[:_MAX_STAGE], done=done, total=total)
        if told == self._latest:
            return
        now_s = self._clock.monotonic_s()
        if told.stage != self._latest.stage:
            self._progress_due_s = now_s
        self._progress = self._latest = told
        self._write_in(max(GATHER_S, self._progress_due_s - now_s, self._last_write_s + WRITE_EVERY_S - now_s))

    async def emit(self, data: bytes) -> None:
        """Raises ValueError for more than MAX_EVENT_BYTES."""
        self._not_lost()
        if len(data) > MAX_EVENT_BYTES:
            raise ValueError(f"an event has at most {MAX_EVENT_BYTES} bytes")
        self._events.append(("output", data))
        self._buffered += len(data)
        self._write_in(max(GATHER_S, self._last_write_s + WRITE_EVERY_S - self._clock.monotonic_s()))
        while self._buffered > MAX_BUFFERED_BYTES:
            try:
                await self._write(everything=False)
            except StoreUnavailable:
                await asyncio.sleep(AWAY_S)  # for as long as the worker keeps the job

    async def flush(self) -> None:
        self._stop_timer()
        await self._write(everything=True)

    async def aclose(self) -> None:
        """Nothing is written in the background from here on; `flush` still can be."""
        self._stop_timer()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    # -- inside ----------------------------------------------------------------------------------

    def _not_lost(self) -> None:
        if self.lost:
            raise JobLost

    def _write_in(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        at_s = loop.time() + delay_s
        if self._timer is not None:
            if self._timer_at_s <= at_s:
                return
            self._timer.cancel()
        self._timer_at_s = at_s
        self._timer = loop.call_at(at_s, self._write_in_background)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_in_background(self) -> None:
        self._timer = None
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_quietly(), name="job-tells")
        else:
            self._write_in(WRITE_EVERY_S)

    async def _write_quietly(self) -> None:
        try:
            await self._write(everything=False)
        except StoreUnavailable as error:
            logger.info("a job cannot tell of itself, the database is away: %s", error.message)
            self._write_in(AWAY_S)
        except JobLost:
            self._on_lost()
        except Exception:  # edge of a task: the attempt finds out when it flushes
            logger.exception("a job cannot tell of itself", extra={"job": self.work.job.id.hex})

    async def _write(self, *, everything: bool) -> None:
        """`everything`: progress, too, that is not due yet."""
        async with self._lock:
            while True:
                self._not_lost()
                if self._sending is None and not self._take(everything):
                    return
                await self._send()

    def _take(self, everything: bool) -> bool:
        """Makes a batch of what was told. It stays as it is until the database has it: it may be sent twice."""
        now_s = self._clock.monotonic_s()
        progress = self._progress
        if progress is not None and not everything and now_s < self._progress_due_s:
            self._write_in(self._progress_due_s - now_s)
            progress = None
        if progress is not None:
            self._progress = None
            self._progress_due_s = now_s + max(PROGRESS_EVERY_S, (now_s - self._begun_s) * PROGRESS_SHARE)
            self._events.append(("progress", encode_progress(progress)))
        if not self._events:
            return False
        self._sending = progress, self._events
        self._events = []
        return True

    async def _send(self) -> None:
        assert self._sending is not None
        progress, events = self._sending
        if not await self._rows.tell(self.work, self._holder, progress, events, after=self._seq):
            self.lost = True
            raise JobLost
        self._seq += len(events)
        self._sending = None
        self._buffered -= sum(len(data) for kind, data in events if kind == "output")
        self._last_write_s = self._clock.monotonic_s()
