"""Jobs on their way into the database: those of a tenant that come during its last commit share the next."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.ports import JobRows, Weight
from tenfold.jobs.types import Job, NewJob

MOST_TOGETHER = 100
MOST_BYTES_TOGETHER = 4 * 1024 * 1024

_Place = tuple[TenantId, UUID | None]
_Answer = asyncio.Future[Job | None]


class Submits:
    """`aclose` when no more come."""

    def __init__(self, rows: JobRows, *, weight: Weight, most: int, most_bytes: int) -> None:
        self._rows = rows
        self._weight = weight
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: dict[_Place, list[tuple[NewJob, _Answer]]] = {}
        self._tasks: dict[_Place, asyncio.Task[None]] = {}

    async def add(self, new: NewJob, holder: UUID | None = None) -> Job | None:
        """As `JobRows.add` of this one. Whoever is cancelled meanwhile may have added it all the same."""
        place = new.principal.tenant_id, holder
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, []).append((new, answer))
        if place not in self._tasks:
            self._tasks[place] = asyncio.create_task(self._drain(place), name="jobs-submit")
        return await answer

    async def aclose(self) -> None:
        """Waits for those that are under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _drain(self, place: _Place) -> None:
        try:
            while self._waiting[place]:
                batch = self._next_of(place)
                await self._add(place, batch)
        finally:
            for _, answer in self._waiting.pop(place):
                answer.cancel()
            del self._tasks[place]

    def _next_of(self, place: _Place) -> list[tuple[NewJob, _Answer]]:
        waiting, size, count = self._waiting[place], 0, 0
        for new, _ in waiting[:MOST_TOGETHER]:
            size += len(new.input)
            if count and size > MOST_BYTES_TOGETHER:
                break
            count += 1
        self._waiting[place] = waiting[count:]
        return waiting[:count]

    async def _add(self, place: _Place, batch: Sequence[tuple[NewJob, _Answer]]) -> None:
        tenant_id, holder = place
        try:
            added = await self._rows.add(
                tenant_id,
                [new for new, _ in batch],
                weight=self._weight(batch[0][0].principal),
                most=self._most,
                most_bytes=self._most_bytes,
                holder=holder,
            )
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        except Exception as error:  # edge of a task: it is raised to those who wait for it
            if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                for one in batch:  # one of them is at fault: not all are to suffer for it
                    await self._add(place, [one])
                return
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), job in zip(batch, added, strict=True):
            if not answer.done():
                answer.set_result(job)
