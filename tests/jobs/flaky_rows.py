"""The rows of jobs in memory, with a look inside, and what a database does to whoever asks it: some things are done
and not answered.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.ports import JobRows
from tenfold.jobs.types import Job, JobEvent, NewJob

Key = tuple[TenantId, UUID]

METHODS = [name for name in vars(JobRows) if not name.startswith("_")]


class FlakyRows(FakeJobRows):
    """`calls` of each method; `unheard`: the names of those that do their work and fail then, once each. `add` waits
    for the `gate` when there is one, and takes no job whose subject is "bad"."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.calls: Counter[str] = Counter()
        self.unheard: Counter[str] = Counter()
        self.adds: list[int] = []  # how many jobs each time
        self.gate: asyncio.Event | None = None
        for name in METHODS:
            setattr(self, name, self._watched(name, getattr(self, name)))

    @property
    def jobs(self) -> dict[Key, Job]:
        return {key: self._told(one) for key, one in self._jobs.items()}

    @property
    def asked(self) -> list[NewJob]:
        return [one.new for one in self._jobs.values()]

    def told(self, one: NewJob) -> list[JobEvent]:
        """The events of this job."""
        return self._jobs[one.principal.tenant_id, one.id].events

    def lives(self, worker: UUID) -> bool:
        return worker in self._workers

    def give_away(self, one: NewJob) -> None:
        """Another worker has it from here on."""
        entry = self._jobs[one.principal.tenant_id, one.id]
        entry.holder = uuid7()
        entry.fence += 1

    def _watched(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name == "add" and not self.away:
                await self._adding(args[1])
            found = await method(*args, **kwargs)
            if self.unheard[name]:
                self.unheard[name] -= 1
                raise StoreUnavailable("The answer was lost.")
            return found

        return call

    async def _adding(self, jobs: Sequence[NewJob]) -> None:
        self.adds.append(len(jobs))
        if self.gate is not None:
            await self.gate.wait()
        if any(new.subject == "bad" for new in jobs):
            raise ValueError("bad")
