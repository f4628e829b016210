"""Durable work in memory, for tests of what stands on it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager

from tenfold.core.clock import Clock, FakeClock, SystemClock
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.ports import Handler
from tenfold.jobs.worker import JobWorker


class Work:
    """Jobs of these kinds, and nobody who does them until `working`."""

    def __init__(self, kinds: Collection[str], clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.rows = FakeJobRows(self.clock)
        self.followers = Followers(self.rows)
        self.rows.on_told = lambda tenant_id, job_id: self.followers.hint(f"{tenant_id.hex}:{job_id.hex}")
        self.jobs = JobService(self.rows, kinds, followers=self.followers, clock=self.clock)

    @asynccontextmanager
    async def working(self, handlers: Iterable[Handler]) -> AsyncIterator[JobWorker]:
        """A worker for the block. It goes by the clock of the machine."""
        worker = JobWorker(self.rows, handlers, clock=SystemClock(), poll_s=0.01)
        self.rows.on_ready = worker.wake
        self.jobs.begin_in(worker)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            await worker.stop(1.0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.jobs.aclose()
