"""What becomes of a batch's lines that a vendor's own batch tier may do: cut into parts, charged, handed over, looked
after, and written down. What comes back without an answer is left to the usual path.

However often and wherever it is begun anew, it goes on from what the rows say.
"""

import asyncio
from datetime import datetime

from tenfold.core.clock import Clock
from tenfold.core.ids import uuid7
from tenfold.inference.batches.ports import Why
from tenfold.inference.batches.types import Batch, Endpoint, LineResult
from tenfold.inference.handover.stepping import Content, Means, Steps
from tenfold.inference.handover.types import Part
from tenfold.jobs.ports import JobContext, JobLost


class HandOver:
    """Implements `batches.ports.Elsewhere`: `run` it before the lines that are left are asked one by one."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def run(self, job: JobContext, batch: Batch, endpoint: Endpoint, content: Content) -> Why:
        """Returns when the vendors have no more of the batch, after a day at most. Raises JobLost, StoreUnavailable,
        Conflict (the input file is gone)."""
        parts = await self._means.parts.of(batch.tenant_id, batch.id)
        if not parts and not may_begin(self._means, batch):
            return "all"
        return await _Work(self._means, job, batch, endpoint, content, parts).run()


def may_begin(means: Means, batch: Batch) -> bool:
    """Whether a vendor may take a day for it."""
    left_s = (batch.expires_at - means.clock.now()).total_seconds()
    return (
        bool(means.seats) and batch.spec.window_s >= means.limits.least_window_s and left_s >= means.limits.least_left_s
    )


class _Work:
    """One batch."""

    def __init__(
        self, means: Means, job: JobContext, batch: Batch, endpoint: Endpoint, content: Content, parts: list[Part]
    ) -> None:
        self._means = means
        self._job = job
        self._batch = batch
        self._endpoint = endpoint
        self._parts = {part.id: part for part in parts}
        self._steps = Steps(means, batch, endpoint, content, self, set(self._parts))
        self._why: Why = "all"
        self._stop_at: float | None = None  # of the loop's time: until then the vendors may end what they have
        self._pause_s = 0.0
        self._told_to_stop: set[object] = set()  # parts

    @property
    def stopping(self) -> bool:
        return self._stop_at is not None

    async def run(self) -> Why:
        await self.look()
        if not self.stopping and may_begin(self._means, self._batch):
            await self._cut()
        while self._open and not self._is_over:
            try:
                await self._round()
            except asyncio.CancelledError:
                if not self._job.cancelled or self.stopping:
                    raise
                self._stop("cancelled")  # and what is done by now is kept
        return self._why

    async def look(self) -> None:
        await self._saw(await self._means.rows.find(self._batch.tenant_id, self._batch.id))

    async def record(self, results: list[LineResult]) -> None:
        if results:
            self._job.spent(sum(result.cost_nano for result in results))
            await self._saw(await self._means.rows.record(self._batch.tenant_id, self._batch.id, results))

    # -- inside --------------------------------------------------------------------------------

    @property
    def _open(self) -> list[Part]:
        return [part for part in self._parts.values() if part.state != "collected"]

    @property
    def _is_over(self) -> bool:
        return self._stop_at is not None and asyncio.get_running_loop().time() >= self._stop_at

    async def _cut(self) -> None:
        batch, means = self._batch, self._means
        done = set(await means.rows.done(batch.tenant_id, batch.id))
        done.update(number for part in self._parts.values() for number in part.lines)
        async for label, numbers in means.cutting.pieces(batch.spec, self._endpoint, self._steps.lines(), done):
            at = _in_milliseconds(means.clock)
            part = Part(tenant_id=batch.tenant_id, batch_id=batch.id, id=uuid7(), target=label, at=at, lines=numbers)
            await means.parts.add(part)
            self._parts[part.id] = part

    async def _round(self) -> None:
        moved = False
        for part in self._open:
            is_wanted = not self.stopping or part.vendor_id is None or part.id in self._told_to_stop
            if not is_wanted and await self._steps.cancel(part):
                self._told_to_stop.add(part.id)
            self._parts[part.id] = after = await self._steps.step(part)
            moved = moved or after.state != part.state
        await self.look()
        if self._open and not moved:
            await self._pause()

    async def _pause(self) -> None:
        """Longer from time to time: small batches are done in minutes, others take the day."""
        limits, was_stopping = self._means.limits, self.stopping
        left_s = self._pause_s = min(max(limits.look_s, 1.5 * self._pause_s), limits.poll_s)
        while self.stopping == was_stopping:
            await asyncio.sleep(min(limits.look_s, left_s))
            await self.look()
            left_s -= limits.look_s
            if left_s <= 0:
                return

    async def _saw(self, batch: Batch | None) -> None:
        if batch is None or batch.ended:
            raise JobLost  # somebody else has ended it
        if batch.cancelling_at is not None:
            self._stop("cancelled")
        elif batch.late:
            self._stop("late")
        told = batch.completed + batch.failed + sum(self._steps.done.values())
        await self._job.progress(batch.status, min(told, batch.total), batch.total)

    def _stop(self, why: Why) -> None:
        if self._stop_at is None:
            self._why = why
            self._stop_at = asyncio.get_running_loop().time() + self._means.limits.drain_s


def _in_milliseconds(clock: Clock) -> datetime:
    """A float of seconds holds them exactly enough."""
    now = clock.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
