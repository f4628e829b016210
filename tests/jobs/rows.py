"""Jobs at rest in both forms, for the suites that run on each, and short ways to ask them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.ports import JobRows
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import Job, NewJob, Work
from tenfold.store import Store

KIND = "call"
TIMES = {
    "job_queue": ("run_at", "claimed_at"),
    "jobs": ("created_at", "run_at", "started_at", "ended_at", "expires_at"),
}
ROOM: dict[str, int] = {"most": 10_000, "most_bytes": 10**9}


def new_job(tenant_id: TenantId, **facts: Any) -> NewJob:
    principal = Principal(tenant_id=tenant_id, tenant_slug="acme", scopes=frozenset({"inference"}), plan="pro")
    defaults: dict[str, Any] = {"kind": KIND, "principal": principal, "input": b"{}"}
    return NewJob(**(defaults | facts))


@dataclass(frozen=True, kw_only=True)
class Rows:
    rows: JobRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds
    worker: UUID = field(default_factory=uuid7)
    ids: list[UUID] = field(default_factory=list)

    async def add(self, *jobs: NewJob, weight: int = 1, **facts: Any) -> list[Job | None]:
        return await self.rows.add(jobs[0].principal.tenant_id, jobs, weight=weight, **(ROOM | facts))

    async def added(self, count: int = 1, *, of: TenantId | None = None, weight: int = 1, **facts: Any) -> list[UUID]:
        """Their ids, which are in order."""
        jobs = [new_job(of or self.tenants[0], id=self.next_id(), **facts) for _ in range(count)]
        assert None not in await self.add(*jobs, weight=weight)
        return [new.id for new in jobs]

    async def claim(self, limit: int = 1, *, by: UUID | None = None, kinds: Sequence[str] = (KIND,)) -> list[Work]:
        return await self.rows.claim(by or self.worker, kinds, limit=limit)

    async def begun(self, **facts: Any) -> Work:
        await self.added(**facts)
        return (await self.claim())[0]

    async def found(self, job_id: UUID, of: TenantId | None = None) -> Job:
        job = await self.rows.find(of or self.tenants[0], job_id)
        assert job is not None
        return job

    def next_id(self) -> UUID:
        """Within a millisecond those of uuid7 are in no order."""
        self.ids.append(UUID(int=self.ids[-1].int + 1) if self.ids else uuid7())
        return self.ids[-1]


def fake_rows(tenants: tuple[TenantId, TenantId]) -> Rows:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return Rows(rows=FakeJobRows(clock), tenants=tenants, let_pass=let_pass)


def postgres_rows(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Rows:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)
        owner = await asyncpg.connect(database)
        try:
            for table, columns in TIMES.items():
                passed = ", ".join(f"{column} = {column} - make_interval(secs => $1)" for column in columns)
                await owner.execute(f"UPDATE tenfold.{table} SET {passed}", seconds)
        finally:
            await owner.close()

    return Rows(rows=PostgresJobRows(store, clock), tenants=tenants, let_pass=let_pass)
